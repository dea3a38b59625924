//! The flags of the commands that learn from texts without labels.

use clap::{ArgAction, ValueHint};
use serde::Serialize;

use crate::args::{SaveDtype, number};

/// Which texts, and what becomes of the weights.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Corpus {
    /// Goes on from the newest checkpoint in the output folder.
    #[arg(long, env = "XEXP_RESUME")]
    pub resume: bool,
    /// A TOML file of flags; flags and environment variables win over it.
    #[arg(long, env = "XEXP_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<String>,
    /// The number format of the saved weights.
    #[arg(long, env = "XEXP_SAVE_DTYPE", value_name = "FORMAT", default_value = "f32")]
    pub save_dtype: SaveDtype,
    /// The texts to learn from: files and bundled sets, by commas or by repeating the flag. Repeated texts count once.
    #[arg(long, env = "XEXP_TRAIN", value_name = "DATA", action = ArgAction::Append, value_delimiter = ',', value_hint = ValueHint::FilePath, help_heading = "Data")]
    pub train: Vec<String>,
    /// The texts to choose the best weights by [default: a part of the training texts].
    #[arg(long, env = "XEXP_VALID", value_name = "DATA", value_hint = ValueHint::FilePath, help_heading = "Data")]
    pub valid: Option<String>,
    /// The share of the training texts that validates when --valid is not given.
    #[arg(
        long,
        env = "XEXP_SPLIT",
        value_name = "FRACTION",
        default_value = "0.02",
        value_parser = number::proper_share,
        conflicts_with = "valid",
        help_heading = "Data"
    )]
    pub split: f64,
}
