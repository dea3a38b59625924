//! The flags of `xexp finetune`.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::ValueHint;
use serde::Serialize;

use super::beginning::{HeadBias, HeadRule};
use super::layers::Layers;
use super::lora::Lora;
use super::rates::Rate;
use super::task::Tasks;
use crate::args::{Augmentation, Course, Reading, SaveDtype, Shared, number};

/// What to fine-tune, on what, and how.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// A TOML file of flags; flags and environment variables win over it.
    #[arg(long, env = "XEXP_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<String>,
    /// Goes on from the newest checkpoint in the output folder.
    #[arg(long, env = "XEXP_RESUME")]
    pub resume: bool,

    /// Trains so many models, with the seeds from --seed on, each in a folder of the output, and reports means with intervals;
    /// a seed whose model says the same of every example is named.
    #[arg(long, env = "XEXP_SEEDS", value_name = "N", default_value = "1")]
    pub seeds: NonZeroU32,

    /// Measures a typical and the longest step, prints the time, memory and disk that the run will take, and ends without
    /// writing anything.
    #[arg(long, env = "XEXP_PLAN")]
    #[serde(skip)]
    pub plan: bool,

    /// Uploads the finished model to the Hugging Face Hub, to ORG/NAME, ORG/NAME@BRANCH, or NAME below the user's own name;
    /// what is missing there is made, as a private repository. With --resume a finished run is uploaded as it is.
    #[arg(long, env = "XEXP_PUSH", value_name = "ORG/NAME")]
    pub push: Option<String>,

    /// The number format of the saved weights; scores are those of the weights as saved.
    #[arg(long, env = "XEXP_SAVE_DTYPE", value_name = "FORMAT", default_value = "f32")]
    pub save_dtype: SaveDtype,

    /// The training data: a file, a folder of class folders or of Parquet files, bundled:SET, or a data set of the Hub as
    /// hub:ORG/NAME, in full hub:ORG/NAME:CONFIGURATION/SPLIT@REVISION; a folder may hold each split [default: the bundled set of the model's kind].
    #[arg(long, env = "XEXP_TRAIN", value_name = "DATA", value_hint = ValueHint::AnyPath, help_heading = "Data")]
    pub train: Option<String>,
    /// The validation data [default: that of the set, folder or data set, else a part of the training data, stratified by class].
    #[arg(long, env = "XEXP_VALID", value_name = "DATA", value_hint = ValueHint::AnyPath, help_heading = "Data")]
    pub valid: Option<String>,
    /// The test data, scored once with the best checkpoint [default: that of the set, folder or data set, else none].
    #[arg(long, env = "XEXP_TEST", value_name = "DATA", value_hint = ValueHint::AnyPath, help_heading = "Data")]
    pub test: Option<String>,
    /// The share of the training data that validates when --valid is not given.
    #[arg(
        long,
        env = "XEXP_SPLIT",
        value_name = "FRACTION",
        default_value = "0.1",
        value_parser = number::proper_share,
        conflicts_with = "valid",
        help_heading = "Data"
    )]
    pub split: f64,
    /// Trains on at most this many examples [default: all].
    #[arg(long, env = "XEXP_LIMIT_TRAIN", value_name = "N", help_heading = "Data")]
    pub limit_train: Option<NonZeroUsize>,
    /// What to do with a label of validation or test data that training lacks.
    #[arg(
        long,
        env = "XEXP_UNSEEN_LABELS",
        value_name = "ACTION",
        default_value = "error",
        help_heading = "Data"
    )]
    pub unseen_labels: UnseenLabels,
    /// How the files are read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
    /// How images are changed.
    #[command(flatten)]
    #[serde(flatten)]
    pub augmentation: Augmentation,
    /// What is to be said of an example.
    #[command(flatten)]
    #[serde(flatten)]
    pub tasks: Tasks,
    /// How the head begins.
    #[command(flatten)]
    #[serde(flatten)]
    pub head: Head,
    /// How the weights are trained.
    #[command(flatten)]
    #[serde(flatten)]
    pub training: Training,
    /// What the layers do, each for itself.
    #[command(flatten)]
    #[serde(flatten)]
    pub layers: Layers,
    /// The adapters, if these are trained.
    #[command(flatten)]
    #[serde(flatten)]
    pub lora: Lora,
}

/// How the new head begins.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Head")]
pub struct Head {
    /// xavier, he, lecun, zero, normal:STD, orthogonal, calibrated, hf for transformers' own, or auto, which chooses by what is
    /// trained and says why.
    #[arg(long, env = "XEXP_HEAD_INIT", value_name = "INIT", default_value = "xavier")]
    pub head_init: HeadRule,
    /// The head's bias: zeros, or the logarithms of the classes' shares among the training labels, from which a head of zeros
    /// begins at the labels' entropy [default: prior under --head-init auto, else zero, or what hf draws].
    #[arg(long, env = "XEXP_HEAD_BIAS", value_name = "BIAS")]
    pub head_bias: Option<HeadBias>,
    /// A factor on the head's initial weights.
    #[arg(
        long,
        env = "XEXP_HEAD_SCALE",
        value_name = "X",
        default_value = "1",
        value_parser = number::positive
    )]
    pub head_scale: f64,
}

/// How the weights are trained.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Training")]
pub struct Training {
    /// Which weights are trained: the head alone, on features computed once, or all; under `lp-ft` first the one, then the
    /// other; under `lora` adapters of low rank and the head, whose output is theirs alone, in PEFT's format. The steps of a probe are full-batch and accelerated; warm-up, schedule, decay, clipping and accumulation do
    /// not apply to it, and under `lp-ft` no flag does.
    #[arg(long, env = "XEXP_STRATEGY", value_name = "STRATEGY", default_value = "full")]
    pub strategy: Strategy,
    /// What the backbone's weights begin as: as pretrained, or drawn anew, to see what pretraining is worth.
    #[arg(long, env = "XEXP_BACKBONE", value_name = "BEGINNING", default_value = "pretrained")]
    pub backbone: Backbone,
    /// The number of passes over the training data [default: 3, or what a bundled model recommends; under `probe`, 300 full-batch passes over
    /// the kept features].
    #[arg(long, env = "XEXP_EPOCHS", value_name = "N")]
    pub epochs: Option<NonZeroU32>,
    /// The learning rate, or auto: under `probe` the guaranteed limit of the measured features, else a share of the step that
    /// lowers the loss most along the first updates of AdamW [default: 5e-5, or what a bundled model recommends; ten times that under `lora`; under `probe`, the guaranteed limit of the measured features].
    #[arg(long, env = "XEXP_LR", value_name = "X")]
    pub lr: Option<Rate>,
    /// The head's own learning rate [default: that of --lr].
    #[arg(long, env = "XEXP_HEAD_LR", value_name = "X", value_parser = number::positive)]
    pub head_lr: Option<f64>,
    /// Whether batch norms go by each batch and learn, or stay as pretrained, statistics included; the latter suits small
    /// batches and few examples.
    #[arg(long, env = "XEXP_BATCH_NORM", value_name = "MODE", default_value = "train")]
    pub batch_norm: BatchNorm,
    /// Watches gradients, updates and outputs by part of the network, in monitor.csv, and says at the end what was wrong, where,
    /// and what to do.
    #[arg(long, env = "XEXP_MONITOR")]
    pub monitor: bool,
    /// How the steps go.
    #[command(flatten)]
    #[serde(flatten)]
    pub course: Course,
}

/// Which weights are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The head alone, on features that the backbone computes once.
    Probe,
    /// All weights.
    Full,
    /// A probe, and from the head that it found all weights: the backbone is not moved by a head that knows nothing.
    ///
    /// Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution".
    LpFt,
    /// Low-rank adapters and the head, over weights that stay.
    ///
    /// Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models".
    Lora,
}

/// What batch norms do in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNorm {
    /// They normalise by the batch, and their running statistics follow it.
    Train,
    /// They are the fixed functions that they are in evaluation.
    Frozen,
}

/// What the backbone's weights begin as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Backbone {
    /// As the checkpoint has them.
    Pretrained,
    /// Drawn anew by the family's initializers; the model gives its configuration alone.
    Random,
}

/// What becomes of a label that the training data lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnseenLabels {
    /// It ends the command.
    Error,
    /// It gets a class of its own, without training examples.
    Union,
}
