//! What a head that has learned nothing makes of features, predicted and measured.

use xexp_heads::{Features, Moments};
use xexp_init::{Init, Layer, head_theory};
use xexp_kernels::linear::{self, GradColumns};
use xexp_kernels::{cross_entropy, sum_of_squares};

use crate::{Error, Result};

/// A softmax is saturated when one class has more than this.
const SATURATED: f64 = 0.99;
/// Places at which the expected loss is integrated; between them it is a straight line.
const NODES: usize = 17;

/// Features that heads are drawn on, and what they belong to.
pub struct Given {
    /// The features.
    pub features: Features,
    /// Their labels.
    pub labels: Vec<u32>,
    /// Their moments.
    pub moments: Moments,
    /// Number of classes.
    pub classes: usize,
    /// The law of `hf`.
    pub hf: Init,
}

impl Given {
    /// Features with their labels.
    pub fn new(features: Features, labels: Vec<u32>, (classes, hf): (usize, Init)) -> Self {
        let moments = Moments::of(&features.values, features.width);
        Given { features, labels, moments, classes, hf }
    }

    /// The head as a layer.
    pub fn layer(&self) -> Layer {
        Layer::Linear { input: self.features.width, output: self.classes }
    }
}

/// What is predicted in the mean over heads.
pub struct Predicted {
    /// `E[z²] = d·Var(w)·E[φ²]`.
    pub logits: f64,
    /// Mean over examples of `E[ln Σ e^z]`.
    pub loss: f64,
    /// `E‖Wᵀ(p − y)‖²`, the square of an example's gradient at the features.
    pub gradient: f64,
}

impl Predicted {
    /// For normal heads of standard deviation `std`.
    ///
    /// `Wᵀ(p − y)` has `d − 1` coordinates across `φ`, which are independent of the logits and hence of `p`, and one along
    /// it; so its square is `d·Var(w)·E‖p − y‖²` to about `1/d`. With `F(s²)` the expected loss, integration by parts over
    /// the normal logits gives `F′ = (1 − E Σ p²)/2`, and therefore `E‖p − y‖² = 1 − 2/K + E Σ p² = 2(1 − 1/K − F′)`.
    ///
    /// # Errors
    /// Logits whose variance is beyond what the expected loss is integrated for.
    pub fn new(given: &Given, std: f64) -> Result<Self> {
        let (width, classes) = (given.features.width, given.classes);
        let variances: Vec<f64> =
            given.features.values.chunks_exact(width).map(|row| std * std * sum_of_squares(row)).collect();
        let least = variances.iter().copied().fold(f64::INFINITY, f64::min);
        let most = variances.iter().copied().fold(0.0, f64::max);
        let loss = |variance: f64| head_theory::initial_cross_entropy(classes, variance).map_err(Error::from);
        let node = |i: usize| -> Result<(f64, f64)> {
            let variance = least + (most - least) * i as f64 / (NODES - 1) as f64;
            let step = 1e-3 * variance;
            Ok((loss(variance)?, (loss(variance + step)? - loss(variance - step)?) / (2.0 * step)))
        };
        let nodes: Vec<(f64, f64)> = (0..NODES).map(node).collect::<Result<_>>()?;
        let at = |variance: f64| {
            let place = if most > least { (variance - least) / (most - least) } else { 0.0 };
            let place = place * (NODES - 1) as f64;
            let left = (place as usize).min(NODES - 2);
            let share = place - left as f64;
            let between = |(a, b): (f64, f64)| a + share * (b - a);
            (between((nodes[left].0, nodes[left + 1].0)), between((nodes[left].1, nodes[left + 1].1)))
        };
        let n = variances.len() as f64;
        let (mut total, mut slope) = (0.0, 0.0);
        for &variance in &variances {
            let (loss, derivative) = at(variance);
            total += loss / n;
            slope += derivative / n;
        }
        let spread = 2.0 * (1.0 - 1.0 / classes as f64 - slope);
        Ok(Predicted {
            logits: variances.iter().sum::<f64>() / n,
            loss: total,
            gradient: width as f64 * std * std * spread,
        })
    }
}

/// What one head makes of the features.
pub struct Signals {
    /// Mean square of the logits.
    pub logits: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Share of examples with a saturated softmax.
    pub saturated: f64,
    /// Mean square of an example's gradient at its features.
    pub gradient: f64,
    /// Norm of the gradient of the mean loss at the head's weights.
    pub head_gradient: f64,
}

impl Signals {
    /// Of a head `(classes, width)` without bias.
    pub fn of(given: &Given, head: &[f32]) -> Self {
        let (x, classes, n) = (&given.features.values, given.classes, given.labels.len() as f64);
        let mut z = vec![0.0; given.labels.len() * classes];
        linear::forward(x, head, None, &mut z);
        let mut dz = vec![0.0; z.len()];
        let loss = cross_entropy::forward_backward(&z, &given.labels, 1.0, &mut dz) / n;
        let columns = GradColumns::all(&dz, classes);
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; head.len()]);
        linear::backward_input(columns, head, &mut dx, false);
        linear::backward_weight(columns, x, &mut dw);
        let saturated = |row: &&[f32]| {
            let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            1.0 / row.iter().map(|z| f64::from(z - most).exp()).sum::<f64>() > SATURATED
        };
        Signals {
            logits: sum_of_squares(&z) / z.len() as f64,
            loss,
            saturated: z.chunks_exact(classes).filter(saturated).count() as f64 / n,
            gradient: sum_of_squares(&dx) / n,
            head_gradient: sum_of_squares(&dw).sqrt() / n,
        }
    }
}
