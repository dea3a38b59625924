//! What a run minimises.

use crate::sample::{Sample, pack};
use crate::step::StepSettings;
use crate::validate::validate;
use crate::{Error, Result, predict};
use std::sync::atomic::AtomicBool;
use xexp_backbones::{Grads, Mode, Params, Pass};
use xexp_heads::Classifier;
use xexp_kernels::{Pool, cross_entropy};
use xexp_report::Valid;

/// A loss over examples that are known by number, and the weights that it depends on. What it draws at random comes
/// from streams named by step and example, so that a resumed run repeats it.
pub trait Objective {
    /// The weights.
    fn params(&self) -> &Params;

    /// Number of training examples.
    fn examples(&self) -> usize;

    /// Whether a weight follows the head's learning rate rather than the backbone's.
    fn in_head(&self, name: &str) -> bool;

    /// Adds the gradient of the mean loss over the `chosen` examples, however they are cut into micro-batches, and
    /// returns that loss.
    ///
    /// # Errors
    /// A loss that is not finite.
    fn gradients(
        &self,
        chosen: &[usize],
        settings: &StepSettings,
        grads: &mut Grads,
        pool: &Pool,
    ) -> Result<f64>;

    /// Scores the weights on examples that are not trained on, in batches of `batch`.
    ///
    /// # Errors
    /// As the forward pass.
    fn evaluate(&self, batch: usize, interrupted: &AtomicBool) -> Result<Evaluation>;
}

/// What came of an evaluation.
pub enum Evaluation {
    /// There is nothing to evaluate on: the last weights are kept.
    Nothing,
    /// A signal came first.
    Interrupted,
    /// Scores, and the one number by which the best weights are chosen; more is better.
    Scored(Valid, f64),
}

/// Cross-entropy of a classifier on labelled samples; the best weights are those of the highest macro-F1.
pub struct Supervised<'a> {
    /// Backbone and head.
    pub classifier: &'a Classifier,
    /// Examples to train on.
    pub train: &'a [Sample],
    /// Examples that choose the best weights; may be empty.
    pub valid: &'a [Sample],
}

impl Objective for Supervised<'_> {
    fn params(&self) -> &Params {
        &self.classifier.params
    }

    fn examples(&self) -> usize {
        self.train.len()
    }

    fn in_head(&self, name: &str) -> bool {
        self.classifier.in_head(name)
    }

    fn gradients(
        &self,
        chosen: &[usize],
        settings: &StepSettings,
        grads: &mut Grads,
        pool: &Pool,
    ) -> Result<f64> {
        let samples: Vec<&Sample> = chosen.iter().map(|&i| &self.train[i]).collect();
        gradients(self.classifier, &samples, settings, grads, pool)
    }

    fn evaluate(&self, batch: usize, interrupted: &AtomicBool) -> Result<Evaluation> {
        if self.valid.is_empty() {
            return Ok(Evaluation::Nothing);
        }
        let logits = predict::logits(self.classifier, self.valid, batch, interrupted, |_| ())?;
        let Some(logits) = logits else { return Ok(Evaluation::Interrupted) };
        let labels: Vec<u32> = self.valid.iter().map(|s| s.label).collect();
        let scores = validate(&logits, &labels, self.classifier.classes())?;
        Ok(Evaluation::Scored(scores, scores.macro_f1.unwrap_or(-scores.loss)))
    }
}

/// Adds up the gradients of all samples, each weighted by one over their true number, so that micro-batches of
/// any sizes give the gradient of the one large batch; but for batch norms, which see a micro-batch at a time, and whose
/// running statistics move with each. Returns the mean loss.
///
/// # Errors
/// A loss that is not finite.
pub fn gradients(
    classifier: &Classifier,
    samples: &[&Sample],
    settings: &StepSettings,
    grads: &mut Grads,
    pool: &Pool,
) -> Result<f64> {
    let weight = 1.0 / samples.len() as f64;
    let mut loss = 0.0;
    for (turn, part) in samples.chunks(settings.micro_batch).enumerate() {
        let (input, labels) = pack(part.iter().copied())?;
        let mode = Mode::Train { seed: settings.seed, step: settings.pass(turn) };
        let mut pass = Pass::new(pool, mode);
        let logits = classifier.forward(&input, &mut pass)?;
        let mut dlogits = pool.buffer(logits.values.len());
        loss += cross_entropy::forward_backward(&logits.values, &labels, weight, &mut dlogits);
        if !loss.is_finite() {
            return Err(Error::NonFiniteLoss { step: settings.step, loss });
        }
        if let Some(mut tape) = logits.tape {
            let statistics = tape.statistics();
            classifier.backward(grads, &dlogits, tape, &input, &pass)?;
            // Each micro-batch moves the running statistics from where the one before has left them, as in PyTorch.
            for (id, values) in statistics {
                classifier.params.set(id, &values)?;
            }
        }
    }
    Ok(loss)
}
