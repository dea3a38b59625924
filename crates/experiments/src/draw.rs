//! One independent draw: its random streams, its device, what it measured.

use candle_core::{Device, Tensor};
use xexp_init::{Init, Layer, Seed, Stream};

use crate::{Error, Result};

/// Most values of a tensor that is drawn, one gigabyte: parameters that ask for more are a slip, and must not end the
/// program for want of memory.
pub const MOST: usize = 1 << 28;

/// One draw of a set-up's weights and inputs.
pub struct Draw<'a> {
    seed: Seed,
    experiment: &'a str,
    setup: &'a str,
    /// Number of the draw, from 0.
    pub number: usize,
    /// Where tensors live.
    pub device: &'a Device,
    recorded: Vec<(String, f64)>,
}

impl<'a> Draw<'a> {
    /// Draw `number` of a set-up.
    pub fn new(
        seed: Seed,
        (experiment, setup): (&'a str, &'a str),
        number: usize,
        device: &'a Device,
    ) -> Self {
        Draw { seed, experiment, setup, number, device, recorded: vec![] }
    }

    /// Full name of the stream `purpose` of this draw.
    pub fn path(&self, purpose: &str) -> String {
        format!("{}/{}/{}/{purpose}", self.experiment, self.setup, self.number)
    }

    /// The stream `purpose`: a function of the run's seed, the experiment, the set-up, the draw and the purpose.
    pub fn stream(&self, purpose: &str) -> Stream {
        self.seed.stream(&self.path(purpose))
    }

    /// A seed of this draw's own, for whatever names its streams itself (layers of a model, dropout).
    pub fn seed(&self, purpose: &str) -> Seed {
        Seed(self.stream(purpose).u64())
    }

    /// A seed that the draws of this number have in common in all set-ups: for differences between set-ups, in which
    /// chance is to cancel.
    pub fn paired_seed(&self) -> Seed {
        Seed(self.seed.stream(&format!("{}//{}", self.experiment, self.number)).u64())
    }

    /// A seed that all draws of the experiment have in common: for what is chosen once.
    pub fn common_seed(&self) -> Seed {
        Seed(self.seed.stream(&format!("{}//common", self.experiment)).u64())
    }

    /// Independent `N(0, std²)` values of `shape`, f32.
    ///
    /// # Errors
    /// A shape of more than 2²⁸ values, a device without memory.
    pub fn normal(&self, purpose: &str, shape: &[usize], std: f64) -> Result<Tensor> {
        let count = room(shape)?;
        let mut stream = self.stream(purpose);
        let values: Vec<f32> = (0..count).map(|_| (std * stream.normal()) as f32).collect();
        Ok(Tensor::from_vec(values, shape, self.device)?)
    }

    /// A layer's weight in the layer's shape, drawn by `init`, f32.
    ///
    /// # Errors
    /// A layer or an initializer without meaning, or more than 2²⁸ weights.
    pub fn weight(&self, purpose: &str, layer: &Layer, init: Init) -> Result<Tensor> {
        room(&layer.shape())?;
        let values = init.fill(layer, &mut self.stream(purpose))?;
        Ok(Tensor::from_vec(values, layer.shape(), self.device)?)
    }

    /// Records one measured number under the name by which rows refer to it; once a draw and name.
    ///
    /// # Errors
    /// A number that is not finite, or a second one of the same name.
    pub fn record(&mut self, measure: &str, value: f64) -> Result<()> {
        if self.recorded.iter().any(|(name, _)| name == measure) {
            return Err(Error::Twice { experiment: self.experiment.to_owned(), name: measure.to_owned() });
        }
        if !value.is_finite() {
            return Err(Error::NotFinite {
                experiment: self.experiment.to_owned(),
                setup: self.setup.to_owned(),
                draw: self.number,
                name: measure.to_owned(),
                found: value,
            });
        }
        self.recorded.push((measure.to_owned(), value));
        Ok(())
    }

    /// What was recorded, in the order of recording.
    pub fn into_recorded(self) -> Vec<(String, f64)> {
        self.recorded
    }
}

/// The number of values of a shape, if they may be drawn.
fn room(shape: &[usize]) -> Result<usize> {
    let count = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    let shape = || shape.to_vec();
    Ok(count.filter(|&count| count <= MOST).ok_or_else(|| xexp_init::Error::TooLarge { shape: shape() })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_memory_holds_is_refused_and_not_tried() {
        let draw = Draw::new(Seed(1), ("e", "s"), 0, &Device::Cpu);
        for shape in [[1 << 20, 1 << 20], [usize::MAX, 2]] {
            assert!(draw.normal("x", &shape, 1.0).is_err(), "{shape:?}");
            let layer = Layer::Linear { input: shape[0], output: shape[1] };
            assert!(draw.weight("w", &layer, Init::lecun()).is_err(), "{shape:?}");
        }
        assert_eq!(draw.normal("x", &[3, 2], 1.0).unwrap().dims(), [3, 2]);
    }
}
