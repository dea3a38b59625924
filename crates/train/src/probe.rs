//! `--strategy probe`: the backbone run once, its features kept, the head trained on them.
//!
//! The problem is convex. Features are standardised first, which raises the safe learning rate by the square of
//! their mean over their spread; the head found is folded back onto the raw features. Full-batch steps follow
//! Nesterov's accelerated scheme with restart, from whatever head `--head-init` drew.
//! Source: Nesterov 1983; O'Donoghue and Candès 2015, §3.2 (restart when the loss rises).

use crate::counting::Counting;
use crate::validate::validate;
use crate::{Error, Result, Score};
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_heads::{Classifier, Features, Truth};
use xexp_init::head_theory;
use xexp_kernels::linear::{self, GradColumns};
use xexp_kernels::sum_of_squares;
use xexp_report::Valid;

/// Settings of a probe.
#[derive(Clone, Copy, Debug)]
pub struct ProbeSettings {
    /// Most passes over the kept features; each is one full-batch step.
    pub passes: u32,
    /// Learning rate of plain gradient descent; `None` for its guaranteed limit, [`rate_factor`] times `4/λ_max`.
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

/// The guaranteed limit of the learning rate in terms of cross-entropy's `4/λ_max`: two over the loss's largest curvature, which
/// is `λ_max/2` of cross-entropy, `λ_max/4K` of binary cross-entropy averaged over `K` labels, and `2 λ_max` of squared error.
///
/// Source: Böhning 1992 (cross-entropy); the logistic function's slope is at most 1/4.
pub fn rate_factor(truth: &Truth, outputs: usize) -> f64 {
    match truth {
        Truth::Classes(_) => 1.0,
        Truth::Labels(_) => 2.0 * outputs as f64,
        Truth::Values(_) => 0.25,
    }
}

/// What a probe learns from: features and their truth, to train and to validate on, and how classes count in training.
#[derive(Clone, Copy)]
pub struct Lesson<'a> {
    /// To train on.
    pub train: (&'a Features, &'a Truth),
    /// To choose the best head by; may be of no examples.
    pub valid: (&'a Features, &'a Truth),
    /// How classes and labels count.
    pub counting: &'a Counting,
}

/// Hears of each pass: its number, the learning rate, the training loss, and at an evaluation the scores.
pub type Heard<'a> = &'a mut dyn FnMut(u32, f64, f64, Option<Valid>) -> Result<()>;

/// Trains the classifier's head on features. `None` when interrupted.
///
/// # Errors
/// A loss that is not finite.
pub fn fit(
    classifier: &mut Classifier,
    Lesson { train: (train, truth), valid: (valid, valid_truth), counting }: Lesson<'_>,
    settings: &ProbeSettings,
    interrupted: &AtomicBool,
    heard: Heard<'_>,
) -> Result<Option<Probed>> {
    let (weight, bias) = (classifier.head.weight, classifier.head.bias);
    let outputs = classifier.classes();
    let course = Course::new(truth, counting, outputs);
    let scale = Standard::of(train, bias.is_some(), &course.rows);
    let (x, v) = (scale.apply(train), scale.apply(valid));
    let lambda_max = course.lambda_max(&x, train.width);
    let limit = head_theory::guaranteed_learning_rate(lambda_max)? * rate_factor(truth, outputs);
    let lr = settings.lr.unwrap_or(limit);
    // Acceleration needs one over the curvature, half of what plain descent may take.
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
        let (loss, dw, mut db) = look.gradient(&x, &course);
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
        if valid_truth.examples(outputs) == 0 {
            heard(passes, lr, loss, None)?;
            continue;
        }
        let scores = validate(&head.logits(&v), valid_truth, outputs)?;
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

/// What is minimised over all examples at once.
struct Course<'a> {
    truth: &'a Truth,
    counting: &'a Counting,
    outputs: usize,
    /// One over what the examples count together.
    share: f64,
    /// What each example counts, with a mean of about 1.
    rows: Vec<f64>,
}

impl<'a> Course<'a> {
    fn new(truth: &'a Truth, counting: &'a Counting, outputs: usize) -> Self {
        let examples = truth.examples(outputs);
        let (mut share, mut rows) = (1.0 / examples as f64, vec![1.0; examples]);
        if let (Truth::Classes(labels), Some(weights)) = (truth, &counting.class_weights) {
            share = 1.0 / labels.iter().map(|label| f64::from(weights[*label as usize])).sum::<f64>();
            let costs = counting.costs(labels, outputs);
            let count =
                |row: &[f32]| row.iter().map(|c| f64::from(*c)).sum::<f64>() * share * examples as f64;
            rows = costs.chunks_exact(outputs).map(count).collect();
        }
        Course { truth, counting, outputs, share, rows }
    }

    /// Largest eigenvalue of the second moments of the features and the bias's column, each example as it counts. The column
    /// is orthogonal to centred features and adds an eigenvalue of its own.
    fn lambda_max(&self, x: &[f32], width: usize) -> f64 {
        let column = self.rows.iter().sum::<f64>() / self.rows.len() as f64;
        if self.rows.iter().all(|row| *row == 1.0) {
            return lambda_max(x, width).max(column);
        }
        let scaled = |(row, count): (&[f32], &f64)| {
            let factor = count.sqrt() as f32;
            row.iter().map(|v| v * factor).collect::<Vec<f32>>()
        };
        let scaled: Vec<f32> = x.chunks_exact(width).zip(&self.rows).flat_map(scaled).collect();
        lambda_max(&scaled, width).max(column)
    }
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

    fn gradient(&self, x: &[f32], course: &Course<'_>) -> (f64, Vec<f32>, Vec<f32>) {
        let z = self.logits(x);
        let mut dz = vec![0.0; z.len()];
        let loss = course.counting.loss(course.truth, &z, course.outputs, course.share, &mut dz);
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

/// Mean and spread of each coordinate, each example as it counts; without `centred` the mean is taken as zero, since a head without a bias cannot
/// make up for another.
struct Standard {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Standard {
    fn of(features: &Features, centred: bool, rows: &[f64]) -> Self {
        let width = features.width;
        let (mut sum, mut square) = (vec![0f64; width], vec![0f64; width]);
        for (row, count) in features.values.chunks_exact(width).zip(rows) {
            for (j, &v) in row.iter().enumerate() {
                sum[j] += count * f64::from(v);
                square[j] += count * (f64::from(v) * f64::from(v));
            }
        }
        let n = rows.iter().sum::<f64>();
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

/// Largest eigenvalue of `XᵀX/n` for `x (rows, width)`, by power iteration.
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
        let scale = Standard::of(&features, true, &[1.0; 200]);
        let (w, b) = (vec![0.3, -2.0, 0.1, 1.0, 0.5, -0.2], vec![0.1, -0.4]);
        let head = scale.standardise(&w, &b);
        let raw = Linear { w, b };
        let (ours, theirs) = (head.logits(&scale.apply(&features)), raw.logits(&features.values));
        // Values of a hundred in f32: 100 · 2⁻²³ · a few.
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4));
        let folded = scale.fold(&head);
        assert!(folded.w.iter().zip(&raw.w).all(|(a, b)| (a - b).abs() < 1e-5));
        // Without a mean there is nothing for a bias to make up for.
        let scale = Standard::of(&features, false, &[1.0; 200]);
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
        // Descent in each step is the bound on the loss's curvature, and the rate is two over it.
        let features = features();
        let signal = |i: usize| (i as f32).sin();
        let rare = |i: usize| u32::from(signal(i) > 0.95);
        let labels = Truth::Classes((0..200).map(|i| u32::from(signal(i) > 0.3)).collect());
        let both = |i: usize| [signal(i), -signal(i)].map(|v| f32::from(u8::from(v > 0.3)));
        let weights = Counting { class_weights: Some(vec![0.25, 9.0]), label_smoothing: 0.1 };
        let plain = Counting::default();
        let cases = [
            (labels, &plain, 0.5),
            (Truth::Classes((0..200).map(rare).collect()), &weights, 0.5),
            (Truth::Labels((0..200).flat_map(both).collect()), &plain, 0.5),
            (Truth::Values((0..200).map(|i| 3.0 * signal(i) - 1.0).collect()), &plain, 1e-3),
        ];
        for (truth, counting, left) in cases {
            let outputs = if matches!(truth, Truth::Values(_)) { 1 } else { 2 };
            let course = Course::new(&truth, counting, outputs);
            let scale = Standard::of(&features, true, &course.rows);
            let x = scale.apply(&features);
            let limit = head_theory::guaranteed_learning_rate(course.lambda_max(&x, 3)).unwrap();
            let limit = limit * rate_factor(&truth, outputs);
            let losses = |rate: f64| {
                let (w, b) = ([0.3, -2.0, 0.1, 1.0, 0.5, -0.2], [3.0, -3.0]);
                let mut head = scale.standardise(&w[..3 * outputs], &b[..outputs]);
                let step = |_| {
                    let (loss, dw, db) = head.gradient(&x, &course);
                    head = head.stepped(&dw, &db, rate as f32);
                    loss
                };
                (0..200).map(step).collect::<Vec<f64>>()
            };
            for rate in [limit, limit / 2.0] {
                let found = losses(rate);
                // Rounding of the weights in f32 may undo what a step has gained near the end.
                let bound = 1e-7 + 1e-6 * found[0];
                assert!(found.windows(2).all(|pair| pair[1] <= pair[0] + bound), "{rate}: {found:?}");
            }
            // At its very limit a square keeps what lies along the steepest direction; at half of it nothing stays.
            let found = losses(limit / 2.0);
            assert!(found[199] < left * found[0], "{found:?}");
            if matches!(truth, Truth::Values(_)) {
                let beyond = losses(1.1 * limit);
                assert!(beyond[199] > beyond[0], "the limit is exact: {beyond:?}");
            }
        }
    }
}
