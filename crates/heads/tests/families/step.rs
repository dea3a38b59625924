//! A training step on a fixture, held against PyTorch's.

use std::collections::{BTreeMap, BTreeSet};

use xexp_backbones::{Grads, Mode, Pass, Seed};
use xexp_kernels::{Pool, cross_entropy, sum_of_squares};

use crate::fixture::Fixture;

/// What a training step makes of a fixture.
struct Step {
    logits: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    statistics: BTreeMap<String, Vec<f32>>,
}

/// How far a family is from transformers' on a fixture. The bounds are those of `tests/parity/compare.py`: logits to 1e-4;
/// a gradient to 1e-3 of its norm and 1e-6 of the model's largest, for those that are zero but for rounding; running
/// statistics to 1e-5 of their size.
pub struct Apart {
    /// Largest difference of a logit.
    pub logits: f64,
    /// Largest difference of a gradient, by norms, as a share of its bound.
    pub gradients: f64,
    /// Number of tensors with a gradient.
    pub tensors: usize,
    /// Largest difference of a running statistic, as a share of the largest of its tensor or of 1; `None` of a family
    /// without.
    pub statistics: Option<f64>,
    /// What is beyond its bound.
    pub failures: Vec<String>,
}

fn step(fixture: &Fixture) -> Step {
    let (mut classifier, input) = (fixture.classifier(), fixture.input());
    if classifier.family.frozen {
        let head = classifier.family.head.path;
        classifier.params.train_only(|name| name.starts_with(head));
    }
    let pool = Pool::default();
    let mut pass = Pass::new(&pool, Mode::Train { seed: Seed(1), step: 0 });
    let output = classifier.forward(&input, &mut pass).unwrap();
    let mut dlogits = pool.buffer(output.values.len());
    let weight = 1.0 / fixture.labels.len() as f64;
    cross_entropy::forward_backward(&output.values, &fixture.labels, weight, &mut dlogits);
    let (mut grads, mut tape) = (Grads::new(&classifier.params), output.tape.unwrap());
    let name = |id| classifier.params.weight(id).name.clone();
    let statistics = tape.statistics().into_iter().map(|(id, values)| (name(id), values));
    // Counts of batches are whole numbers, which fixtures leave out.
    let statistics = statistics.filter(|(name, _)| !name.ends_with("num_batches_tracked")).collect();
    classifier.backward(&mut grads, &dlogits, tape, &input, &pass).unwrap();
    let reached = classifier.params.iter().filter(|(id, _)| grads.reached(*id));
    let gradients = reached.filter_map(|(id, w)| Some((w.name.clone(), grads.get(id)?.to_vec()))).collect();
    Step { logits: output.values.to_vec(), gradients, statistics }
}

/// The largest difference of two lists.
pub fn worst(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

fn names(tensors: &BTreeMap<String, Vec<f32>>) -> BTreeSet<&String> {
    tensors.keys().collect()
}

/// A step of ours against PyTorch's.
pub fn apart(fixture: &Fixture) -> Apart {
    let (case, step) = (&fixture.case, step(fixture));
    let mut failures = vec![];
    let logits = worst(&step.logits, &fixture.tensors["logits"]);
    if logits.is_nan() || logits > 1e-4 {
        failures.push(format!("{case}: logits differ by {logits:.1e}"));
    }
    let theirs = fixture.under("grad:");
    for name in names(&step.gradients).symmetric_difference(&names(&theirs)) {
        let who = if theirs.contains_key(*name) { "PyTorch" } else { "xexp" };
        failures.push(format!("{case}: {name} has a gradient in {who} alone"));
    }
    let norm = |values: &[f32]| sum_of_squares(values).sqrt();
    let largest = theirs.values().map(|values| norm(values)).fold(0.0, f64::max);
    let mut gradients = 0f64;
    for (name, theirs) in &theirs {
        let Some(ours) = step.gradients.get(name) else { continue };
        assert_eq!(ours.len(), theirs.len(), "{case}: {name}");
        let difference: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
        let (found, size) = (norm(&difference), norm(theirs));
        let share = found / (1e-3 * size + 1e-6 * largest);
        if share.is_nan() || share > 1.0 {
            failures.push(format!("{case}: the gradient of {name} is {found:.1e} apart, of {size:.1e}"));
        }
        gradients = gradients.max(share);
    }
    let theirs_statistics = fixture.under("stat:");
    assert_eq!(names(&step.statistics), names(&theirs_statistics), "{case}: running statistics");
    let mut statistics: Option<f64> = None;
    for (name, theirs) in &theirs_statistics {
        // As a share of the values, which in a variance may be large.
        let largest = theirs.iter().fold(1f32, |largest, v| largest.max(v.abs()));
        let apart = worst(&step.statistics[name], theirs) / f64::from(largest);
        if apart.is_nan() || apart > 1e-5 {
            failures.push(format!("{case}: {name} differs by {apart:.1e}"));
        }
        statistics = Some(statistics.unwrap_or(0.0).max(apart));
    }
    Apart { logits, gradients, tensors: theirs.len(), statistics, failures }
}
