//! The flags of every training run: how its steps go.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};

use serde::Serialize;
use serde_json::{Value, json};
use xexp_backbones::Seed;
use xexp_train::Settings;
use xexp_train::schedule::Shape;

use crate::args::number;

/// How the steps of a training run go.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Training")]
pub struct Course {
    /// Ends after this many optimiser steps, even within an epoch [default: when the epochs are over].
    #[arg(long, env = "XEXP_MAX_STEPS", value_name = "STEPS")]
    pub max_steps: Option<NonZeroU64>,
    /// The share of all steps over which the learning rate rises from 0.
    #[arg(
        long,
        env = "XEXP_WARMUP",
        value_name = "FRACTION",
        default_value = "0.1",
        value_parser = number::share
    )]
    pub warmup: f64,
    /// How the learning rate goes on after the warm-up.
    #[arg(long, env = "XEXP_SCHEDULE", value_name = "SCHEDULE", default_value = "linear")]
    pub schedule: Schedule,
    /// AdamW's decoupled decay of all weights but biases and norms.
    #[arg(
        long,
        env = "XEXP_WEIGHT_DECAY",
        value_name = "X",
        default_value = "0.01",
        value_parser = number::not_negative
    )]
    pub weight_decay: f64,
    /// The largest norm of the whole gradient; 0 leaves it as it is.
    #[arg(
        long,
        env = "XEXP_CLIP",
        value_name = "NORM",
        default_value = "1",
        value_parser = number::not_negative
    )]
    pub clip: f64,
    /// The number of batches whose gradients make one step, weighted by their examples.
    #[arg(long, env = "XEXP_ACCUMULATE", value_name = "N", default_value = "1")]
    pub accumulate: NonZeroUsize,
    /// Ends after this many epochs without a better score on the validation data [default: never].
    #[arg(long, env = "XEXP_PATIENCE", value_name = "EPOCHS")]
    pub patience: Option<NonZeroU32>,
    /// The number of steps between two checkpoints [default: one at the end of each epoch].
    #[arg(long, env = "XEXP_CHECKPOINT_EVERY", value_name = "STEPS")]
    pub checkpoint_every: Option<NonZeroU64>,
    /// The number of steps between two rows of metrics.csv.
    #[arg(long, env = "XEXP_LOG_EVERY", value_name = "STEPS", default_value = "10")]
    pub log_every: NonZeroU64,
}

/// How the learning rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Straight down to 0 at the last step.
    Linear,
    /// Half a cosine down to 0 at the last step.
    Cosine,
    /// As it is.
    Constant,
}

impl Course {
    /// The settings of a run with these rates.
    pub fn settings(&self, epochs: u32, (lr, head_lr): (f64, f64), batch_size: usize, seed: u64) -> Settings {
        Settings {
            epochs,
            max_steps: self.max_steps.map(u64::from),
            batch_size,
            accumulate: self.accumulate.get(),
            lr,
            head_lr,
            schedule: match self.schedule {
                Schedule::Linear => Shape::Linear,
                Schedule::Cosine => Shape::Cosine,
                Schedule::Constant => Shape::Constant,
            },
            warmup: self.warmup,
            weight_decay: self.weight_decay,
            clip: self.clip,
            seed: Seed(seed),
            log_every: self.log_every.get(),
            checkpoint_every: self.checkpoint_every.map(u64::from),
            patience: self.patience.map(u32::from),
            average: None,
        }
    }
}

/// What of the settings must be the same for a resumed run to be the same run.
pub fn identity(s: &Settings) -> [(&'static str, Value); 13] {
    [
        ("epochs", json!(s.epochs)),
        ("max-steps", json!(s.max_steps)),
        ("batch-size", json!(s.batch_size)),
        ("accumulate", json!(s.accumulate)),
        ("lr", json!(s.lr)),
        ("head-lr", json!(s.head_lr)),
        ("schedule", json!(s.schedule)),
        ("warmup", json!(s.warmup)),
        ("weight-decay", json!(s.weight_decay)),
        ("clip", json!(s.clip)),
        ("seed", json!(s.seed.0)),
        ("log-every", json!(s.log_every)),
        ("patience", json!(s.patience)),
    ]
}
