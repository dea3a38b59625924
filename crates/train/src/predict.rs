//! Logits and features of many samples.

use crate::Result;
use crate::loader::batches;
use crate::sample::{Sample, pack};
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_backbones::{Mode, Pass};
use xexp_heads::{Classifier, Features};
use xexp_kernels::Pool;

/// Logits `(samples, classes)`, or `None` when interrupted. `done` hears the number of samples so far.
///
/// # Errors
/// Tokens that the backbone has no row for, an image that cannot be read any more.
pub fn logits(
    classifier: &Classifier,
    samples: &[Sample],
    batch: usize,
    interrupted: &AtomicBool,
    mut done: impl FnMut(usize),
) -> Result<Option<Vec<f32>>> {
    let pool = Pool::default();
    let mut all = Vec::with_capacity(samples.len() * classifier.classes());
    let mut seen = 0;
    for input in batches(samples, batch) {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let input = input?;
        all.extend_from_slice(&classifier.forward(&input, &mut Pass::new(&pool, Mode::Eval))?.values);
        seen += input.batch();
        done(seen);
    }
    Ok(Some(all))
}

/// Logits `(samples, classes)` of samples that make one batch.
///
/// # Errors
/// As [`logits`]; texts and images together.
pub fn of_batch(classifier: &Classifier, samples: &[Sample], pool: &Pool) -> Result<Vec<f32>> {
    let (input, _) = pack(samples.iter())?;
    Ok(classifier.forward(&input, &mut Pass::new(pool, Mode::Eval))?.values.to_vec())
}

/// The backbone's features of all samples, run once and kept; `None` when interrupted.
///
/// # Errors
/// As [`logits`].
pub fn features(
    classifier: &Classifier,
    samples: &[Sample],
    batch: usize,
    interrupted: &AtomicBool,
    mut done: impl FnMut(usize),
) -> Result<Option<Features>> {
    let pool = Pool::default();
    let mut features = Features { values: vec![], width: classifier.backbone.width() };
    let mut seen = 0;
    for input in batches(samples, batch) {
        if interrupted.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let input = input?;
        classifier.collect_features(&input, &pool, &mut features)?;
        seen += input.batch();
        done(seen);
    }
    Ok(Some(features))
}
