//! A model's scores on labelled samples.

use std::sync::atomic::AtomicBool;

use xexp_backbones::Seed;
use xexp_heads::Classifier;
use xexp_train::metrics::{Logits, Scores};
use xexp_train::{Sample, predict};

use crate::args::Shared;
use crate::failure::Failure;
use crate::progress::Progress;

/// A set's scores, and what they are made of.
pub struct Scored {
    /// The scores.
    pub scores: Scores,
    /// Logits `(examples, classes)`.
    pub logits: Vec<f32>,
    /// True labels.
    pub labels: Vec<u32>,
}

/// Scores with their intervals, or `None` when a signal came first. The intervals' resamples come from a stream
/// of their own, named by the split.
///
/// # Errors
/// Tokens that the model has no row for.
pub fn score(
    classifier: &Classifier,
    samples: &[Sample],
    names: &[String],
    shared: &Shared,
    split: &'static str,
    stop: &AtomicBool,
) -> Result<Option<Scored>, Failure> {
    let mut display = Progress::new(split, 0, samples.len() as u64, shared.quiet);
    let mut before = 0;
    let logits = predict::logits(classifier, samples, shared.batch_size.get(), stop, |done| {
        display.tick(done as u64, None, done - std::mem::replace(&mut before, done));
    })?;
    display.finish();
    let Some(logits) = logits else { return Ok(None) };
    let labels: Vec<u32> = samples.iter().map(|s| s.label).collect();
    let mut stream = Seed(shared.seed).stream(&format!("bootstrap/{split}"));
    let mut below = |n: usize| stream.below(n as u64) as usize;
    let scores = Scores::measure(&Logits::new(&logits, names.len())?, &labels, names, &mut below)?;
    Ok(Some(Scored { scores, logits, labels }))
}
