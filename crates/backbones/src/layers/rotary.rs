//! Which frequencies a rotary position embedding turns by.

use crate::{Input, Result};
use std::f64::consts::TAU;
use std::sync::Arc;
use xexp_kernels::rotary::Angles;

/// How the frequencies of a longer context follow from those trained first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RotaryScaling {
    /// As they are.
    None,
    /// All divided by a factor. Source: Chen et al. 2023, eq. 3.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Low ones divided by a factor, high ones left, those between interpolated.
    /// Source: Dubey et al. 2024, section 3.2; the interpolation is that of Meta's `apply_scaling`.
    Llama3 {
        /// The factor.
        factor: f64,
        /// Wavelengths above `context / low` are divided.
        low: f64,
        /// Wavelengths below `context / high` are left.
        high: f64,
        /// Length of the context trained first.
        context: f64,
    },
}

/// A rotary position embedding of heads of one width.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    frequencies: Arc<Vec<f32>>,
    head: usize,
}

/// The angles of a batch, and what they turn.
#[derive(Clone)]
pub struct Turn {
    /// Of all positions of the batch.
    pub angles: Arc<Angles>,
    /// Width of a head.
    pub head: usize,
    /// Position of each token.
    pub positions: Arc<Vec<u32>>,
}

impl Rotary {
    /// Frequencies `theta^(−2j/head)`, `j < head/2`, scaled. Source: Su et al. 2021, eq. 15.
    pub fn new(head: usize, theta: f64, scaling: RotaryScaling) -> Self {
        let frequency = |j: usize| scaling.apply(theta.powf(-2.0 * j as f64 / head as f64)) as f32;
        Rotary { frequencies: Arc::new((0..head / 2).map(frequency).collect()), head }
    }

    /// The angles of a batch's positions.
    ///
    /// # Errors
    /// [`crate::Error::Input`] for images.
    pub fn turn(&self, input: &Input) -> Result<Turn> {
        let positions = input.words()?.positions.clone();
        let count = positions.iter().max().map_or(0, |last| *last as usize + 1);
        let angles = Arc::new(Angles::new(&self.frequencies, count));
        Ok(Turn { angles, head: self.head, positions: Arc::new(positions) })
    }
}

impl RotaryScaling {
    fn apply(self, frequency: f64) -> f64 {
        match self {
            RotaryScaling::None => frequency,
            RotaryScaling::Linear { factor } => frequency / factor,
            RotaryScaling::Llama3 { factor, low, high, context } => {
                // Periods of this frequency that fit in the old context.
                let periods = context * frequency / TAU;
                if periods < low {
                    frequency / factor
                } else if periods > high {
                    frequency
                } else {
                    let share = (periods - low) / (high - low);
                    (1.0 - share) * frequency / factor + share * frequency
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_those_of_transformers() {
        // ROPE_INIT_FUNCTIONS of transformers 5.23, heads of width 8, theta 500 (llama3: factor 8, low 1, high 4, context
        // 256), printed with six digits.
        let llama3 = RotaryScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, context: 256.0 };
        for (scaling, expected) in [
            (RotaryScaling::None, [1.0, 0.211474, 0.0447214, 0.00945742]),
            (RotaryScaling::Linear { factor: 4.0 }, [0.25, 0.0528686, 0.0111803, 0.00236435]),
            (llama3, [1.0, 0.211474, 0.0163136, 0.00118218]),
        ] {
            let rotary = Rotary::new(8, 500.0, scaling);
            for (found, expected) in rotary.frequencies.iter().zip(expected) {
                assert!(
                    (f64::from(*found) / expected - 1.0).abs() < 1e-5,
                    "{scaling:?}: {found}, {expected}"
                );
            }
        }
    }
}
