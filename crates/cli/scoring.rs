//! A model's scores on labelled samples.

use std::sync::atomic::AtomicBool;

use serde::Serialize;
use xexp_backbones::Seed;
use xexp_data::Labels;
use xexp_heads::{Classifier, Truth};
use xexp_report::Table;
use xexp_train::metrics::{self, Logits, MultiLabelScores, OutOfScope, RegressionScores};
use xexp_train::{Sample, predict, truth};

use crate::args::Shared;
use crate::failure::Failure;
use crate::progress::Progress;

/// The scores of a task, each with its own names.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Scores {
    /// Of classes.
    SingleLabel(metrics::Scores),
    /// Of labels of which several may apply.
    MultiLabel(MultiLabelScores),
    /// Of values.
    Regression(RegressionScores),
}

/// A set's scores, and what they are made of.
pub struct Scored {
    /// The scores.
    pub scores: Scores,
    /// Logits `(examples, outputs)`.
    pub logits: Vec<f32>,
    /// What should have been said.
    pub truth: Truth,
}

impl Scores {
    /// A row a score.
    ///
    /// # Errors
    /// None in practice: the table is well formed.
    pub fn table(&self) -> Result<Table, Failure> {
        Ok(match self {
            Scores::SingleLabel(scores) => scores.table()?,
            Scores::MultiLabel(scores) => scores.table()?,
            Scores::Regression(scores) => scores.table()?,
        })
    }

    /// A row a class or label; none of values.
    ///
    /// # Errors
    /// None in practice: the table is well formed.
    pub fn class_table(&self) -> Result<Option<Table>, Failure> {
        Ok(match self {
            Scores::SingleLabel(scores) => Some(scores.class_table()?),
            Scores::MultiLabel(scores) => Some(scores.label_table()?),
            Scores::Regression(_) => None,
        })
    }
}

impl Scored {
    /// The same with the scores of the class out of scope, by its id and name.
    ///
    /// # Errors
    /// None in practice: the set has been scored.
    pub fn with_out_of_scope(mut self, class: Option<&(usize, String)>) -> Result<Self, Failure> {
        if let (Some((id, name)), Truth::Classes(truth), Scores::SingleLabel(scores)) =
            (class, &self.truth, &mut self.scores)
        {
            let logits = Logits::new(&self.logits, scores.per_class.len())?;
            scores.out_of_scope = Some(OutOfScope::measure(&logits, truth, (*id, name))?);
        }
        Ok(self)
    }
}

/// Logits of all samples, or `None` when a signal came first.
///
/// # Errors
/// Tokens that the model has no row for.
pub fn logits(
    classifier: &Classifier,
    samples: &[Sample],
    shared: &Shared,
    what: &'static str,
    stop: &AtomicBool,
) -> Result<Option<Vec<f32>>, Failure> {
    let mut display = Progress::new(what, 0, samples.len() as u64, shared.quiet);
    let mut before = 0;
    let logits = predict::logits(classifier, samples, shared.batch_size.get(), stop, |done| {
        display.tick(done as u64, None, done - std::mem::replace(&mut before, done));
    })?;
    display.finish();
    Ok(logits)
}

/// Scores with their intervals. The intervals' resamples come from a stream of their own, named by the split; `thresholds` are
/// those of a multi-label task, where they are tuned.
///
/// # Errors
/// Logits that are no numbers.
pub fn score(
    logits: Vec<f32>,
    samples: &[Sample],
    labels: &Labels,
    thresholds: Option<&[f64]>,
    (seed, split): (u64, &'static str),
) -> Result<Scored, Failure> {
    let mut stream = Seed(seed).stream(&format!("bootstrap/{split}"));
    let mut below = |n: usize| stream.below(n as u64) as usize;
    let (truth, names) = (truth(samples.iter())?, labels.names());
    let scores = match &truth {
        Truth::Classes(classes) => {
            let logits = Logits::new(&logits, names.len())?;
            Scores::SingleLabel(metrics::Scores::measure(&logits, classes, names, &mut below)?)
        }
        Truth::Labels(truth) => {
            let logits = Logits::new(&logits, names.len())?;
            let scores = MultiLabelScores::measure(&logits, truth, names, thresholds, &mut below)?;
            Scores::MultiLabel(scores)
        }
        Truth::Values(values) => Scores::Regression(RegressionScores::measure(&logits, values, &mut below)?),
    };
    Ok(Scored { scores, logits, truth })
}
