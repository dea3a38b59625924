//! AdamW and gradient descent with momentum, over slices.

use serde::{Deserialize, Serialize};
use xexp_kernels::adamw::AdamW;
use xexp_train::OptimizerSettings;

/// How weights follow their gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimiser {
    /// AdamW with the constants that fine-tuning has.
    Adamw,
    /// Gradient descent with momentum 0.9, without weight decay.
    Sgd,
}

/// Share of the last move that momentum keeps.
const MOMENTUM: f32 = 0.9;

impl Optimiser {
    /// The word in names of set-ups.
    pub fn name(self) -> &'static str {
        match self {
            Optimiser::Adamw => "adamw",
            Optimiser::Sgd => "sgd",
        }
    }

    /// What it remembers of `len` weights before the first update.
    pub fn memory(self, len: usize) -> Memory {
        let second = if self == Optimiser::Adamw { len } else { 0 };
        Memory { optimiser: self, first: vec![0.0; len], second: vec![0.0; second] }
    }
}

/// What an optimiser remembers of some weights.
pub struct Memory {
    optimiser: Optimiser,
    /// First moment, or the sum of gradients that momentum keeps.
    first: Vec<f32>,
    /// Second moment.
    second: Vec<f32>,
}

/// One update.
#[derive(Clone, Copy)]
pub struct Update {
    /// Learning rate.
    pub rate: f64,
    /// Whether AdamW's weight decay applies.
    pub decays: bool,
    /// Number of the update, from 1.
    pub step: u64,
    /// What the gradient is multiplied by.
    pub scale: f32,
}

impl Memory {
    /// Moves `weights` by their `gradient`.
    pub fn update(&mut self, weights: &mut [f32], gradient: &[f32], update: Update) {
        let Update { rate, decays, step, scale } = update;
        match self.optimiser {
            Optimiser::Adamw => {
                let OptimizerSettings { beta1, beta2, eps, weight_decay } = OptimizerSettings::default();
                let weight_decay = if decays { weight_decay } else { 0.0 };
                AdamW { lr: rate, beta1, beta2, eps, weight_decay, step }.update(
                    weights,
                    &mut self.first,
                    &mut self.second,
                    gradient,
                    scale,
                );
            }
            // Source: PyTorch's SGD with momentum, dampening 0.
            Optimiser::Sgd => {
                for ((w, m), g) in weights.iter_mut().zip(&mut self.first).zip(gradient) {
                    *m = MOMENTUM * *m + g * scale;
                    *w -= rate as f32 * *m;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn momentum_sums_past_gradients() {
        let mut memory = Optimiser::Sgd.memory(1);
        let mut w = [1.0f32];
        let update = Update { rate: 0.5, decays: true, step: 1, scale: 2.0 };
        memory.update(&mut w, &[0.25], update);
        assert_eq!(w, [0.75]);
        // 0.9·0.5 + 0.5 = 0.95, times 0.5.
        memory.update(&mut w, &[0.25], update);
        assert!((w[0] - 0.275).abs() < 1e-6);
    }
}
