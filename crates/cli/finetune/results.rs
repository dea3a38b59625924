//! `results.json`, and what is printed at the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use serde::Serialize;
use xexp_heads::{HeadPlan, Uninformed};
use xexp_report::Table;

use super::args::Strategy;
use super::calibration::Calibration;
use super::data::Examples;
use super::lora::Adapters;
use super::rates::Measured;
use super::training::Trained;
use super::{Args, Plan};
use crate::args::Format;
use crate::failure::Failure;
use crate::scoring::Scores;
use crate::stdout;

/// The figures of a finished run.
#[derive(Debug, Serialize)]
pub struct Results {
    /// What was learned.
    pub task: &'static str,
    /// Which weights were trained.
    pub strategy: Strategy,
    /// Number of training examples.
    pub train_examples: usize,
    /// Passes over them.
    pub epochs: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// The step whose weights were kept.
    pub best_step: u64,
    /// Wall time of training, in seconds; of the last part, when it was resumed.
    pub seconds: f64,
    /// Training examples a second.
    pub examples_per_second: f64,
    /// Peak learning rates.
    pub lr: f64,
    /// Peak learning rate of the head.
    pub head_lr: f64,
    /// What `--lr auto` came to, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_auto: Option<Measured>,
    /// What the monitor found, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
    /// Scores on the validation examples.
    pub valid: Scores,
    /// Scores on the test examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<Scores>,
    /// How sure the model is, and how sure it should be; of classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Calibration>,
    /// From which probability on each label applies, as tuned on the validation examples; of a multi-label task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thresholds: Option<BTreeMap<String, f64>>,
    /// How the head began.
    pub head: Head,
    /// The adapters, where these were trained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lora: Option<Adapters>,
    /// What computed.
    pub device: String,
    /// Seed of everything random.
    pub seed: u64,
    /// SHA-256 of `model.safetensors`, or of an adapter's `adapter_model.safetensors`.
    pub weights_sha256: String,
}

/// How the head began.
#[derive(Debug, Serialize)]
pub struct Head {
    /// The rule.
    pub init: String,
    /// Why this rule, where it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Standard deviation of its weights.
    pub std: f64,
    /// From the features' moments.
    pub predicted_logit_variance: f64,
    /// Of the head as drawn.
    pub measured_logit_variance: f64,
    /// From the logits' law; null where it is beyond the formula.
    pub predicted_initial_loss: Option<f64>,
    /// Of the head as drawn.
    pub initial_loss: f64,
    /// Loss of a head that knows nothing.
    #[serde(flatten)]
    pub uninformed: Uninformed,
    /// Entropy of the labels, where the bias was set from their shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_entropy: Option<f64>,
}

impl Results {
    /// The results of a run.
    pub fn new(
        args: &Args,
        plan: &Plan,
        examples: &Examples,
        head: &HeadPlan,
        trained: &Trained,
        (valid, test, calibration): (Scores, Option<Scores>, Option<Calibration>),
        weights_sha256: String,
    ) -> Self {
        Results {
            task: examples.labels.task().problem_type(),
            strategy: args.training.strategy,
            train_examples: examples.train.samples.len(),
            epochs: trained.epochs,
            steps: trained.steps,
            best_step: trained.best_step,
            seconds: trained.seconds,
            examples_per_second: trained.examples_seen as f64 / trained.seconds.max(1e-9),
            lr: trained.lr.0,
            head_lr: trained.lr.1,
            lr_auto: trained.measured.clone(),
            warnings: trained.warnings.clone(),
            valid,
            test,
            calibration,
            thresholds: None,
            head: Head {
                init: head.init.clone(),
                reason: head.reason.clone(),
                std: head.std,
                predicted_logit_variance: head.predicted.logit_variance,
                measured_logit_variance: head.measured_logit_variance,
                predicted_initial_loss: head.predicted.initial_loss,
                initial_loss: head.initial_loss,
                uninformed: head.uninformed,
                label_entropy: head.label_entropy,
            },
            lora: None,
            device: plan.device.to_string(),
            seed: args.shared.seed,
            weights_sha256,
        }
    }

    /// The same of a run that trained adapters.
    pub fn with_adapters(self, lora: Option<Adapters>) -> Self {
        Results { lora, ..self }
    }

    /// The same with tuned thresholds.
    pub fn with_thresholds(self, thresholds: Option<BTreeMap<String, f64>>) -> Self {
        Results { thresholds, ..self }
    }

    /// The scores of each part that was scored, by its name.
    fn tables(&self) -> Result<Vec<(&'static str, Table)>, Failure> {
        let parts = [("validation", Some(&self.valid)), ("test", self.test.as_ref())];
        parts
            .into_iter()
            .filter_map(|(name, scores)| Some(scores?.table().map(|table| (name, table))))
            .collect()
    }

    /// The tables as Markdown and as LaTeX, for papers and notes: `results.md` and `results.tex`.
    ///
    /// # Errors
    /// None in practice: the tables are well formed.
    pub fn files(&self) -> Result<[(&'static str, String); 2], Failure> {
        let tables = self.tables()?;
        let all =
            |of: &dyn Fn(&(&str, Table)) -> String| tables.iter().map(of).collect::<Vec<_>>().join("\n");
        Ok([
            ("results.md", all(&|(name, table)| format!("## {name}\n\n{}", table.markdown()))),
            ("results.tex", all(&|(name, table)| format!("% {name}\n{}", table.latex()))),
        ])
    }

    /// Prints the results: for people a few lines, for programs the very object of `results.json`.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&self, format: Format, output: &Path) -> Result<(), Failure> {
        if format == Format::Json {
            return stdout::write(stdout::json(self)?.as_bytes());
        }
        let mut text = String::new();
        for (name, table) in self.tables()? {
            let _ = writeln!(text, "{name}\n{}", table.markdown());
        }
        let _ = writeln!(
            text,
            "{} steps in {:.1} s ({:.0} examples/s); best weights of step {}, in {}\nreport: {}",
            self.steps,
            self.seconds,
            self.examples_per_second,
            self.best_step,
            output.display(),
            output.join("report.html").display()
        );
        stdout::write(text.as_bytes())
    }
}
