//! The flags of finetune, predict and evaluate alike.

use std::num::NonZeroUsize;

use clap::ValueHint;
use serde::Serialize;

use crate::device::{Device, Precision};

/// Which model runs where, in what batches, and how the answer is given.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Shared {
    /// The model: a folder in the Hugging Face layout, ORG/NAME or ORG/NAME@REVISION at the Hugging Face Hub, or
    /// bundled:NAME [default: finetune takes a bundled one, pretrain makes a new one; the others need one].
    #[arg(long, env = "XEXP_MODEL", value_name = "MODEL", value_hint = ValueHint::DirPath)]
    pub model: Option<String>,
    /// The folder to write into [default: runs/TIME-COMMAND for a command that trains, none otherwise].
    #[arg(long, env = "XEXP_OUTPUT", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: Option<String>,
    /// Writes into an output folder that is not empty.
    #[arg(long, env = "XEXP_OVERWRITE")]
    pub overwrite: bool,
    /// The device: auto, cpu, cuda or cuda:N.
    #[arg(long, env = "XEXP_DEVICE", value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    /// The number format that the model computes in.
    #[arg(long, env = "XEXP_PRECISION", value_name = "FORMAT", default_value = "f32")]
    pub precision: Precision,
    /// The seed of everything random.
    #[arg(long, env = "XEXP_SEED", value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// The number of examples in a batch. Where nothing is trained, short texts are put together up to 4,096 tokens.
    #[arg(long, env = "XEXP_BATCH_SIZE", value_name = "N", default_value = "32")]
    pub batch_size: NonZeroUsize,
    /// The most tokens kept of a text [default: the smaller of the model's limit and 256].
    #[arg(long, env = "XEXP_MAX_LENGTH", value_name = "TOKENS")]
    pub max_length: Option<NonZeroUsize>,
    /// The most memory for images in the model's size; those of a file or folder are kept when all fit, and decoded anew
    /// in every epoch when not.
    #[arg(long, env = "XEXP_IMAGE_CACHE", value_name = "MB", default_value_t = 1024)]
    pub image_cache: u32,
    /// Never uses the network.
    #[arg(long, env = "XEXP_OFFLINE")]
    pub offline: bool,
    /// The form of the result on stdout.
    #[arg(long, env = "XEXP_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub format: Format,
    /// Shows neither progress nor notes on stderr, only errors.
    #[arg(long, env = "XEXP_QUIET")]
    pub quiet: bool,
}

/// How models and data are fetched that are not on this machine.
#[derive(Debug, Clone, Copy)]
pub struct Access {
    /// The network is not used.
    pub offline: bool,
    /// Nothing is shown on the way.
    pub quiet: bool,
}

impl Shared {
    /// How models and data are fetched.
    pub fn access(&self) -> Access {
        Access { offline: self.offline, quiet: self.quiet }
    }
}

/// The form of what a command prints on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
}
