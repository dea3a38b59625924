//! The flags of `xexp serve`.

use std::num::{NonZeroU64, NonZeroUsize};

use clap::ValueHint;
use serde::Serialize;

use crate::args::{Access, Temperature};
use crate::device::{Device, Precision};

/// The arguments of `xexp serve`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The saved model: a folder that `xexp finetune` or transformers wrote, or ORG/NAME at the Hugging Face Hub; an adapter is
    /// opened with the model that it names.
    #[arg(long, env = "XEXP_MODEL", value_name = "MODEL", value_hint = ValueHint::DirPath)]
    pub model: Option<String>,
    /// The address to listen at. There is neither encryption nor a password: 0.0.0.0 is for networks where all may ask.
    #[arg(long, env = "XEXP_HOST", value_name = "HOST", default_value = "127.0.0.1")]
    pub host: String,
    /// The port to listen at; 0 takes any that is free. The first line on stdout says which.
    #[arg(long, env = "XEXP_PORT", value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// What logits are divided by before they become probabilities: a number, or `fitted` for the temperature that the model's
    /// results.json holds. Labels and logits stay.
    #[arg(long, env = "XEXP_TEMPERATURE", value_name = "X", default_value = "1")]
    pub temperature: Temperature,
    /// The most tokens of a text [default: the smaller of the model's limit and 256].
    #[arg(long, env = "XEXP_MAX_LENGTH", value_name = "TOKENS")]
    pub max_length: Option<NonZeroUsize>,
    /// Cuts longer texts where a request does not say otherwise, and says so in the answer; without it they are refused.
    #[arg(long, env = "XEXP_TRUNCATE")]
    pub truncate: bool,
    /// Takes images as they are stored, without turning them upright as their EXIF orientation says.
    #[arg(long, env = "XEXP_IGNORE_EXIF")]
    pub ignore_exif: bool,
    /// The device: auto, cpu, cuda or cuda:N.
    #[arg(long, env = "XEXP_DEVICE", value_name = "DEVICE", default_value = "auto")]
    pub device: Device,
    /// The number format that the model computes in.
    #[arg(long, env = "XEXP_PRECISION", value_name = "FORMAT", default_value = "f32")]
    pub precision: Precision,
    /// The most tokens computed at once, of all requests that wait; a longer text is computed alone. Of images at most 32.
    #[arg(
        long,
        env = "XEXP_MAX_BATCH_TOKENS",
        value_name = "TOKENS",
        default_value = "4096",
        help_heading = "Batches"
    )]
    pub max_batch_tokens: NonZeroUsize,
    /// How long an idle model waits for company after a request has come. While it computes, others gather anyway.
    #[arg(long, env = "XEXP_MAX_WAIT", value_name = "MS", default_value_t = 0, help_heading = "Batches")]
    pub max_wait: u64,
    /// The most inputs that wait for the model; a request beyond them is answered with 503.
    #[arg(long, env = "XEXP_QUEUE", value_name = "N", default_value = "1024", help_heading = "Limits")]
    pub queue: NonZeroUsize,
    /// The most inputs of one request.
    #[arg(long, env = "XEXP_MAX_INPUTS", value_name = "N", default_value = "64", help_heading = "Limits")]
    pub max_inputs: NonZeroUsize,
    /// The most bytes of a request's body. All 256 connections together may need 256 times as many.
    #[arg(
        long,
        env = "XEXP_MAX_BODY",
        value_name = "BYTES",
        default_value = "4000000",
        help_heading = "Limits"
    )]
    pub max_body: NonZeroUsize,
    /// The most seconds for each of these: that a client sends its headers, that it sends its body, that it is answered.
    #[arg(long, env = "XEXP_TIMEOUT", value_name = "SECONDS", default_value = "30", help_heading = "Limits")]
    pub timeout: NonZeroU64,
    /// Never uses the network to fetch a model.
    #[arg(long, env = "XEXP_OFFLINE")]
    pub offline: bool,
    /// Shows no notes on stderr, only errors.
    #[arg(long, env = "XEXP_QUIET")]
    pub quiet: bool,
}

impl Args {
    /// How the model is fetched.
    pub fn access(&self) -> Access {
        Access { offline: self.offline, quiet: self.quiet }
    }
}
