//! `--strategy probe`: the backbone run once, its features kept, the head trained on them.
//!
//! The problem is convex. Features are standardised first, which raises the safe learning rate by the square of
//! their mean over their spread; the head found is folded back onto the raw features. Full-batch steps follow
//! Nesterov's accelerated scheme with restart, from whatever head `--head-init` drew.
//! Source: Nesterov 1983; O'Donoghue and Candès 2015, §3.2 (restart when the loss rises).

use crate::validate::validate;
use crate::{Error, Result, Score};
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_heads::{Classifier, Features};
use xexp_init::head_theory;
use xexp_kernels::linear::{self, GradColumns};
use xexp_kernels::{cross_entropy, sum_of_squares};
use xexp_report::Valid;

/// Settings of a probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSettings {
    /// Most passes over the kept features; each is one full-batch step.
    pub passes: u32,
    /// Learning rate of plain gradient descent; `None` for its guaranteed limit, `4/λ_max`.
    pub lr: Option<f64>,
    /// Stops after so many evaluations without a better one; there is one every [`EVALUATE_EVERY`] passes.
    pub patience: Option<u32>,
}

/// Passes between evaluations.
pub const EVALUATE_EVERY: u32 = 10;

/// What a probe found.
#[derive(Clone, Debug, PartialEq)]
pub struct Probed {
    /// Passes made.
    pub passes: u32,
    /// Pass of the best evaluation, whose head is kept.
    pub best_pass: u32,
    /// Largest eigenvalue of the standardised features' second-moment matrix, with the bias's column.
    pub lambda_max: f64,
    /// Learning rate used, as of plain gradient descent.
    pub lr: f64,
}

/// Hears of each pass: its number, the learning rate, the training loss, and at an evaluation the scores.
pub type Heard<'a> = &'a mut dyn FnMut(u32, f64, f64, Option<Valid>) -> Result<()>;

/// Trains the classifier's head on features. `None` when interrupted.
///
/// # Errors
/// A loss that is not finite.
pub fn fit(
    classifier: &mut Classifier,
    (train, labels): (&Features, &[u32]),
    (valid, valid_labels): (&Features, &[u32]),
    settings: &ProbeSettings,
    interrupted: &AtomicBool,
    heard: Heard<'_>,
) -> Result<Option<Probed>> {
    let (weight, bias) = (classifier.head.weight, classifier.head.bias);
    let scale = Standard::of(train, bias.is_some());
    let (x, v) = (scale.apply(train), scale.apply(valid));
    let lambda_max = lambda_max(&x, train.width).max(1.0);
    let limit = head_theory::guaranteed_learning_rate(lambda_max)?;
    let lr = settings.lr.unwrap_or(limit);
    // Acceleration needs 1/L with L = λ_max/2, half of what plain descent may take.
    let rate = (lr / 2.0) as f32;
    let raw_b = match bias {
        Some(bias) => classifier.params.values(bias)?.to_vec(),
        None => vec![0.0; classifier.classes()],
    };
    let mut head = scale.standardise(&classifier.params.values(weight)?, &raw_b);
    let mut look = head.clone();
    let (mut momentum, mut before) = (1.0f64, f64::INFINITY);
    let mut best: Option<(u32, Score, Linear)> = None;
    let mut passes = 0;
    while passes < settings.passes {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let (loss, dw, mut db) = look.gradient(&x, labels);
        if bias.is_none() {
            db.fill(0.0);
        }
        if !loss.is_finite() {
            return Err(Error::NonFiniteLoss { step: u64::from(passes), loss });
        }
        if loss > before {
            momentum = 1.0;
        }
        before = loss;
        let next = look.stepped(&dw, &db, rate);
        let grown = (1.0 + (1.0 + 4.0 * momentum * momentum).sqrt()) / 2.0;
        look = next.beyond(&head, ((momentum - 1.0) / grown) as f32);
        (head, momentum) = (next, grown);
        passes += 1;
        if passes % EVALUATE_EVERY != 0 && passes != settings.passes {
            heard(passes, lr, loss, None)?;
            continue;
        }
        if valid_labels.is_empty() {
            heard(passes, lr, loss, None)?;
            continue;
        }
        let scores = validate(&head.logits(&v), valid_labels, classifier.classes())?;
        heard(passes, lr, loss, Some(scores))?;
        let score = Score::of(&scores);
        if best.as_ref().is_none_or(|(_, best, _)| score.beats(*best)) {
            best = Some((passes, score, head.clone()));
        }
        let waited = best.as_ref().map_or(0, |(at, _, _)| (passes - at) / EVALUATE_EVERY);
        if settings.patience.is_some_and(|patience| waited >= patience) {
            break;
        }
    }
    // Without validation examples the last head is taken.
    let (best_pass, chosen) = best.map_or((passes, head), |(pass, _, best)| (pass, best));
    let folded = scale.fold(&chosen);
    classifier.params.set(weight, &folded.w)?;
    if let Some(bias) = bias {
        classifier.params.set(bias, &folded.b)?;
    }
    Ok(Some(Probed { passes, best_pass, lambda_max, lr }))
}

/// A head in memory, `w (classes, width)`, `b (classes)`.
#[derive(Clone)]
struct Linear {
    w: Vec<f32>,
    b: Vec<f32>,
}

impl Linear {
    fn logits(&self, x: &[f32]) -> Vec<f32> {
        let width = self.w.len() / self.b.len();
        let mut z = vec![0.0; x.len() / width * self.b.len()];
        if !z.is_empty() {
            linear::forward(x, &self.w, Some(&self.b), &mut z);
        }
        z
    }

    fn gradient(&self, x: &[f32], labels: &[u32]) -> (f64, Vec<f32>, Vec<f32>) {
        let z = self.logits(x);
        let mut dz = vec![0.0; z.len()];
        let loss = cross_entropy::forward_backward(&z, labels, 1.0 / labels.len() as f64, &mut dz);
        let (mut dw, mut db) = (vec![0.0; self.w.len()], vec![0.0; self.b.len()]);
        let dz = GradColumns::all(&dz, self.b.len());
        linear::backward_weight(dz, x, &mut dw);
        linear::backward_bias(dz, &mut db);
        (loss, dw, db)
    }

    fn stepped(&self, dw: &[f32], db: &[f32], rate: f32) -> Linear {
        let step = |v: &[f32], d: &[f32]| v.iter().zip(d).map(|(v, d)| v - rate * d).collect();
        Linear { w: step(&self.w, dw), b: step(&self.b, db) }
    }

    /// `self + factor·(self − from)`.
    fn beyond(&self, from: &Linear, factor: f32) -> Linear {
        let go = |v: &[f32], f: &[f32]| v.iter().zip(f).map(|(v, f)| v + factor * (v - f)).collect();
        Linear { w: go(&self.w, &from.w), b: go(&self.b, &from.b) }
    }
}

/// Mean and spread of each coordinate; without `centred` the mean is taken as zero, since a head without a bias cannot
/// make up for another.
struct Standard {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Standard {
    fn of(features: &Features, centred: bool) -> Self {
        let (width, rows) = (features.width, features.values.len() / features.width);
        let (mut sum, mut square) = (vec![0f64; width], vec![0f64; width]);
        for row in features.values.chunks_exact(width) {
            for (j, &v) in row.iter().enumerate() {
                sum[j] += f64::from(v);
                square[j] += f64::from(v) * f64::from(v);
            }
        }
        let n = rows as f64;
        let mean: Vec<f64> = sum.iter().map(|s| if centred { s / n } else { 0.0 }).collect();
        // A coordinate that never varies carries nothing; a spread of 1 leaves its zeros zero.
        let spread = |(s, m): (&f64, &f64)| (s / n - m * m).max(0.0).sqrt();
        let std =
            square.iter().zip(&mean).map(spread).map(|s| if s > 1e-6 { s as f32 } else { 1.0 }).collect();
        Standard { mean: mean.into_iter().map(|m| m as f32).collect(), std }
    }

    fn apply(&self, features: &Features) -> Vec<f32> {
        let rows = features.values.chunks_exact(features.width);
        let row = |row: &[f32]| {
            let z = row.iter().zip(&self.mean).zip(&self.std).map(|((v, m), s)| (v - m) / s);
            z.collect::<Vec<f32>>()
        };
        rows.flat_map(row).collect()
    }

    /// The head on standardised features that gives the logits of `w`, `b` on raw ones.
    fn standardise(&self, w: &[f32], b: &[f32]) -> Linear {
        let rows = w.chunks_exact(self.mean.len());
        let shift =
            |row: &[f32]| row.iter().zip(&self.mean).map(|(w, m)| f64::from(w * m)).sum::<f64>() as f32;
        let b = rows.clone().zip(b).map(|(row, b)| b + shift(row)).collect();
        let w =
            rows.flat_map(|row| row.iter().zip(&self.std).map(|(w, s)| w * s).collect::<Vec<_>>()).collect();
        Linear { w, b }
    }

    /// The inverse of [`Standard::standardise`].
    fn fold(&self, head: &Linear) -> Linear {
        let w: Vec<f32> = head
            .w
            .chunks_exact(self.mean.len())
            .flat_map(|row| row.iter().zip(&self.std).map(|(w, s)| w / s).collect::<Vec<_>>())
            .collect();
        let shift =
            |row: &[f32]| row.iter().zip(&self.mean).map(|(w, m)| f64::from(w * m)).sum::<f64>() as f32;
        let b = w.chunks_exact(self.mean.len()).zip(&head.b).map(|(row, b)| b - shift(row)).collect();
        Linear { w, b }
    }
}

/// Largest eigenvalue of `XᵀX/n` for centred `x (rows, width)`, by power iteration. The bias's column is
/// orthogonal to centred features and adds the eigenvalue 1.
fn lambda_max(x: &[f32], width: usize) -> f64 {
    let rows = x.len() / width;
    let mut second = vec![0.0; width * width];
    linear::backward_weight(GradColumns::all(x, width), x, &mut second);
    // A start with some of every direction; 200 rounds are far beyond what a bound used with a margin needs.
    let mut v: Vec<f32> = (0..width).map(|j| 1.0 + ((j * 7 + 3) % 11) as f32 / 11.0).collect();
    let mut value = 0.0;
    for _ in 0..200 {
        let mut next = vec![0.0; width];
        linear::forward(&v, &second, None, &mut next);
        let norm = sum_of_squares(&next).sqrt();
        if norm == 0.0 {
            return 0.0;
        }
        value = norm / sum_of_squares(&v).sqrt();
        v = next.iter().map(|n| (f64::from(*n) / norm) as f32).collect();
    }
    value / rows as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Features {
        // Two coordinates of very different scale and mean, and one that never varies.
        let row = |i: usize| [100.0 + (i as f32).sin(), 0.01 * (i as f32 * 0.7).cos(), 5.0];
        Features { values: (0..200).flat_map(row).collect(), width: 3 }
    }

    #[test]
    fn folding_back_gives_the_same_logits() {
        let features = features();
        let scale = Standard::of(&features, true);
        let (w, b) = (vec![0.3, -2.0, 0.1, 1.0, 0.5, -0.2], vec![0.1, -0.4]);
        let head = scale.standardise(&w, &b);
        let raw = Linear { w, b };
        let (ours, theirs) = (head.logits(&scale.apply(&features)), raw.logits(&features.values));
        // Values of a hundred in f32: 100 · 2⁻²³ · a few.
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4));
        let folded = scale.fold(&head);
        assert!(folded.w.iter().zip(&raw.w).all(|(a, b)| (a - b).abs() < 1e-5));
        // Without a mean there is nothing for a bias to make up for.
        let scale = Standard::of(&features, false);
        let unbiased = scale.fold(&scale.standardise(&raw.w, &[0.0; 2]));
        assert_eq!(unbiased.b, [0.0; 2]);
    }

    #[test]
    fn the_largest_eigenvalue_is_that_of_a_known_matrix() {
        // Rows (3, 1), (−3, −1), (1, −3), (−1, 3): XᵀX/4 = diag(5, 5) after rotation; stretch one axis by 2.
        let x: Vec<f32> = [(3.0, 1.0), (-3.0, -1.0), (1.0, -3.0), (-1.0, 3.0)]
            .into_iter()
            .flat_map(|(a, b): (f32, f32)| [2.0 * a, b])
            .collect();
        assert!((lambda_max(&x, 2) - 20.0).abs() < 1e-4);
    }

    #[test]
    fn plain_descent_at_the_guaranteed_rate_never_rises() {
        // Descent in each step is Böhning's bound: the loss curves by at most λ_max/2, and the rate is 4/λ_max.
        let features = features();
        let labels: Vec<u32> = (0..200).map(|i| u32::from((i as f32).sin() > 0.3)).collect();
        let scale = Standard::of(&features, true);
        let x = scale.apply(&features);
        let rate = head_theory::guaranteed_learning_rate(lambda_max(&x, 3).max(1.0)).unwrap() as f32;
        let mut head = scale.standardise(&[0.3, -2.0, 0.1, 1.0, 0.5, -0.2], &[3.0, -3.0]);
        let mut losses = vec![];
        for _ in 0..100 {
            let (loss, dw, db) = head.gradient(&x, &labels);
            losses.push(loss);
            head = head.stepped(&dw, &db, rate);
        }
        // Rounding of the weights in f32 may undo what a step has gained near the end.
        assert!(losses.windows(2).all(|pair| pair[1] <= pair[0] + 1e-7), "{losses:?}");
        assert!(losses[99] < 0.5 * losses[0], "{losses:?}");
    }
}
