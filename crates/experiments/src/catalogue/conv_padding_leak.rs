//! Zero padding drains a deep convolutional network from its border.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Looks, Row, Rule};

use super::demand::{demand, fits};
use super::planes::{phase_moments, resolution, wrapped};
use crate::{About, Draw, Experiment, Result, Setup};

/// Stacks of linear convolutions that keep the image's size.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvPaddingLeak {
    /// Channels, in and out.
    pub channels: usize,
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// Side of the square image, in pixels.
    pub side: usize,
    /// Images a draw.
    pub batch: usize,
    /// After how many layers the signal is measured, rising.
    pub depths: Vec<usize>,
}

impl Default for ConvPaddingLeak {
    fn default() -> Self {
        ConvPaddingLeak { channels: 48, kernel: 3, side: 16, batch: 1, depths: vec![3, 10, 20, 30] }
    }
}

/// What a convolution reads beyond the border.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Border {
    /// Zeros.
    Zero,
    /// Zeros, and each output is multiplied up by how many of its taps they took.
    Rescaled,
    /// The opposite side.
    Circular,
}

impl ConvPaddingLeak {
    fn layer(&self) -> Layer {
        let (channels, kernel) = (self.channels, vec![self.kernel; 2]);
        Layer::Conv { input: channels, output: channels, kernel, stride: vec![1; 2], groups: 1 }
    }

    fn deepest(&self) -> usize {
        self.depths.last().copied().unwrap_or(0)
    }

    /// Share of the taps along one axis that meet the image, by position.
    fn shares(&self) -> Vec<f64> {
        let half = self.kernel / 2;
        let met = |i: usize| (i + half).min(self.side - 1) + 1 - i.saturating_sub(half);
        (0..self.side).map(|i| met(i) as f64 / self.kernel as f64).collect()
    }

    /// `A^depth 1` along one axis, `A` the mean over the taps with zeros beyond the border. A position's second moment is
    /// the product of its two coordinates' values.
    ///
    /// Source: `v'(p) = Σ_taps v(p + tap)/k²`, which is the square of one axis' operator and starts from a product.
    fn profile(&self, depth: usize) -> Vec<f64> {
        let half = self.kernel / 2;
        let mut v = vec![1.0; self.side];
        for _ in 0..depth {
            v = (0..self.side)
                .map(|i| {
                    let met = i.saturating_sub(half)..=(i + half).min(self.side - 1);
                    v[met].iter().sum::<f64>() / self.kernel as f64
                })
                .collect();
        }
        v
    }

    /// Resolution of the draws for the fluctuation of a linear stack of fan-in `c·k²`.
    fn tolerance(&self, depth: usize) -> f64 {
        let fan = (self.channels * self.kernel * self.kernel) as f64;
        resolution(0.03, 2.0 * depth as f64 / fan, &Looks::default())
    }
}

impl Experiment for ConvPaddingLeak {
    type Setup = Border;

    const ABOUT: About = About {
        id: "conv-padding-leak",
        title: "Zero padding leaks the signal",
        question: "Does a deep stack of correctly initialized convolutions keep the scale of its signal when images are \
                   padded with zeros?",
        source: "Document, \"Various network layers\", convolutions (\"stable through deep networks\"); recursion of the \
                 second moment by position",
        method: "A stack of linear convolutions, as many channels out as in, Xavier weights (gain exactly 1 in the interior), \
                 on N(0, 1) images. A draw is a new stack and a new image; it measures E[x²] after several depths and at one \
                 corner. Three borders: zeros; zeros with every output multiplied by √(taps/taps that met the image); the \
                 opposite side of the image. The control says that the border does not matter.",
        cost: "6 s",
    };

    fn full() -> Self {
        ConvPaddingLeak { channels: 64, side: 24, depths: vec![3, 10, 30, 60], ..ConvPaddingLeak::default() }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let odd = self.kernel % 2 == 1 && self.kernel <= self.side;
        demand(id, "kernel", self.kernel, odd, "an odd number, at most `side`")?;
        let rising = self.depths.windows(2).all(|pair| pair[0] < pair[1]);
        let some = rising && self.depths.first().is_some_and(|&depth| depth > 0) && self.deepest() <= 10_000;
        demand(id, "depths", &self.depths, some, "one or more rising numbers, from 1 to 10000")?;
        let fit = fits(&[self.channels, self.channels, self.kernel, self.kernel])
            && fits(&[self.batch, self.channels, self.side, self.side, 4]);
        demand(id, "channels", self.channels, fit, "1 or more, with `batch` and `side` that fit memory")
    }

    fn setups(&self) -> Result<Vec<Setup<Border>>> {
        let borders =
            [("zero", Border::Zero), ("rescaled", Border::Rescaled), ("circular", Border::Circular)];
        Ok(borders.map(|(name, border)| Setup::new(name, border)).into())
    }

    fn predict(&self, setup: &Setup<Border>) -> Result<Vec<Row>> {
        let reason = "3 %, or three standard errors of the last look if that is more, at a log variance of 2L/(c·k²): the mean \
                      over weights is exact";
        let claim = "Xavier with these fans keeps the signal stable through deep convolutional networks.";
        let why = "with zeros beyond the border, positions near it sum fewer products, and every layer carries the loss \
                   one kernel further inwards";
        let mut rows = vec![];
        for &depth in &self.depths {
            let profile = self.profile(depth);
            let mean = profile.iter().sum::<f64>() / profile.len() as f64;
            let value = if setup.of == Border::Zero { mean * mean } else { 1.0 };
            let row = format!("{}/depth-{depth}", setup.name);
            rows.push(
                Row::new(row, "E[x²] over the image after so many layers", &format!("depth-{depth}"))
                    .about(value, self.tolerance(depth), reason)
                    .claim(claim, Rule::about(1.0, self.tolerance(depth).max(0.1)), why)
                    .at("depth", &setup.name, depth as f64),
            );
        }
        if setup.of == Border::Zero && self.kernel > 1 {
            let depth = self.deepest();
            let corner = self.profile(depth)[0].powi(2);
            rows.push(Row::new("zero/corner", "E[x²] at the four corners after all layers", "corner").about(
                corner,
                3.0 * self.tolerance(depth),
                "three times the image's tolerance: four positions instead of all average less",
            ));
            let row =
                Row::new("zero/control", "E[x²] after all layers, if the border did not matter", "last");
            rows.push(row.about(1.0, self.tolerance(depth), reason).control());
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Border>, draw: &mut Draw<'_>) -> Result<()> {
        let half = self.kernel / 2;
        let rescale: Vec<f32> = self.shares().iter().map(|share| share.sqrt().recip() as f32).collect();
        let rescale = Tensor::from_vec(rescale, (1, 1, self.side, 1), draw.device)?;
        let rescale = rescale.broadcast_mul(&rescale.t()?)?;
        let mut x = draw.normal("input", &[self.batch, self.channels, self.side, self.side], 1.0)?;
        for depth in 1..=self.deepest() {
            let weight = draw.weight(&format!("weight-{depth}"), &self.layer(), Init::xavier_normal())?;
            x = match setup.of {
                Border::Zero => x.conv2d(&weight, half, 1, 1, 1)?,
                Border::Rescaled => x.conv2d(&weight, half, 1, 1, 1)?.broadcast_mul(&rescale)?,
                Border::Circular => wrapped(&x, half)?.conv2d(&weight, 0, 1, 1, 1)?,
            };
            if self.depths.contains(&depth) {
                let all = phase_moments(&x, &(0..self.side), 1)?[0];
                draw.record(&format!("depth-{depth}"), all)?;
                if depth == self.deepest() {
                    draw.record("last", all)?;
                    let edges = Tensor::new(&[0, self.side as u32 - 1], draw.device)?;
                    let corners = x.index_select(&edges, 2)?.index_select(&edges, 3)?;
                    draw.record("corner", phase_moments(&corners, &(0..2), 1)?[0])?;
                }
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new("depth", "What the border drains", "layers", "E[x²]")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_the_count_of_walks_and_decays_by_the_known_eigenvalue() {
        let usual = ConvPaddingLeak::default();
        let mean = |depth: usize| usual.profile(depth).iter().sum::<f64>() / 16.0;
        // One layer: 14 inner positions keep 1, the two outer ones 2/3.
        assert!((mean(1) - (14.0 + 4.0 / 3.0) / 16.0).abs() < 1e-15);
        // Eigenvalues of the tridiagonal matrix of thirds: (1 + 2 cos(πj/(H + 1)))/3, source: Toeplitz tridiagonal.
        let rate = (1.0 + 2.0 * (std::f64::consts::PI / 17.0).cos()) / 3.0;
        assert!((mean(401) / mean(400) - rate).abs() < 1e-9);
        assert_eq!(usual.shares()[..2], [2.0 / 3.0, 1.0]);
    }
}
