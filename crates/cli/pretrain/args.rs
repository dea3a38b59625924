//! The flags of `xexp pretrain`.

use std::num::{NonZeroU32, NonZeroUsize};

use clap::ValueHint;
use serde::Serialize;

use crate::args::{Corpus, Course, Reading, Shared, number};

/// What to pretrain, on which texts, and how. A model to go on from is given with --model; without one a new BERT
/// encoder of the sizes below is drawn.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// Which texts, and how weights are saved.
    #[command(flatten)]
    #[serde(flatten)]
    pub corpus: Corpus,
    /// How the files are read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
    /// The new encoder.
    #[command(flatten)]
    #[serde(flatten)]
    pub sizes: Sizes,
    /// The number of passes over the texts.
    #[arg(long, env = "XEXP_EPOCHS", value_name = "N", default_value = "10", help_heading = "Training")]
    pub epochs: NonZeroU32,
    /// The learning rate.
    #[arg(long, env = "XEXP_LR", value_name = "X", default_value = "5e-4", value_parser = number::positive, help_heading = "Training")]
    pub lr: f64,
    /// The share of a text's words that are hidden.
    #[arg(long, env = "XEXP_MASK", value_name = "FRACTION", default_value = "0.15", value_parser = number::proper_share, help_heading = "Training")]
    pub mask: f64,
    /// How the steps go.
    #[command(flatten)]
    #[serde(flatten)]
    pub course: Course,
}

/// The new encoder; without meaning, and refused, beside --model.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "New encoder")]
pub struct Sizes {
    /// A tokenizer.json to use [default: one is learned from the texts].
    #[arg(long, env = "XEXP_TOKENIZER", value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "model")]
    pub tokenizer: Option<String>,
    /// The number of entries of the vocabulary that is learned.
    #[arg(long, env = "XEXP_VOCABULARY", value_name = "N", default_value = "8000")]
    pub vocabulary: NonZeroUsize,
    /// Keeps capitals apart in the vocabulary that is learned.
    #[arg(long, env = "XEXP_CASED")]
    pub cased: bool,
    /// Width of the stream.
    #[arg(long, env = "XEXP_WIDTH", value_name = "N", default_value = "256")]
    pub width: NonZeroUsize,
    /// Number of blocks.
    #[arg(long, env = "XEXP_LAYERS", value_name = "N", default_value = "4")]
    pub layers: NonZeroUsize,
    /// Number of attention heads; divides the width.
    #[arg(long, env = "XEXP_HEADS", value_name = "N", default_value = "4")]
    pub heads: NonZeroUsize,
    /// Width of the feed-forward layers [default: four times the width].
    #[arg(long, env = "XEXP_HIDDEN", value_name = "N")]
    pub hidden: Option<NonZeroUsize>,
    /// Longest text, in tokens.
    #[arg(long, env = "XEXP_POSITIONS", value_name = "N", default_value = "256")]
    pub positions: NonZeroUsize,
    /// Dropout of streams and attention.
    #[arg(long, env = "XEXP_DROPOUT", value_name = "P", default_value = "0.1", value_parser = number::dropout)]
    pub dropout: f64,
}
