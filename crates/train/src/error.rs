//! What can stop a training run.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The backward pass has not come to a tensor that is to be trained.
    #[error("step {step}: trainable tensor {name} received no gradient")]
    NoGradient {
        /// Optimiser step.
        step: u64,
        /// The tensor.
        name: String,
    },
    /// A gradient that is not a number.
    #[error("step {step}: the gradient of {name} is not finite")]
    NonFiniteGradient {
        /// Optimiser step.
        step: u64,
        /// The first such tensor.
        name: String,
    },
    /// A loss that is not a number.
    #[error("step {step}: the loss is {loss}, expected a finite number")]
    NonFiniteLoss {
        /// Optimiser step.
        step: u64,
        /// The loss.
        loss: f64,
    },
    /// A setting out of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        found: String,
    },
    /// `--resume` where there is nothing to resume.
    #[error("{path} holds no checkpoint to resume from")]
    NoCheckpoint {
        /// The output folder.
        path: PathBuf,
    },
    /// `--resume` with other settings than the run began with.
    #[error("cannot resume from {path}: {what} was {then}, and is now {now}")]
    OtherRun {
        /// The checkpoint.
        path: PathBuf,
        /// What differs.
        what: String,
        /// What the checkpoint says.
        then: String,
        /// What this run says.
        now: String,
    },
    /// A checkpoint that does not hold what it must.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that can no longer be read.
    #[error("image {name}: {message}")]
    Image {
        /// Its name or path.
        name: String,
        /// What is wrong with it.
        message: String,
    },
    /// A file operation that failed.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// Labels and logits that do not fit.
    #[error(transparent)]
    Metrics(#[from] crate::metrics::Error),
    /// A schedule that is none.
    #[error(transparent)]
    Schedule(#[from] crate::schedule::Error),
    /// A learning rate that no formula gives.
    #[error(transparent)]
    Init(#[from] xexp_init::Error),
    /// The model's error.
    #[error(transparent)]
    Head(#[from] xexp_heads::Error),
    /// A table or file that could not be written.
    #[error(transparent)]
    Report(#[from] xexp_report::Error),
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::NonFiniteLoss { .. } | Error::NonFiniteGradient { .. } => {
                "lower --lr, or set --clip; the last checkpoint is whole".to_string()
            }
            Error::NoGradient { .. } => {
                "this is a defect of a layer's backward pass: please report it".to_string()
            }
            Error::NoCheckpoint { .. } => "start the run without --resume".to_string(),
            Error::OtherRun { .. } => {
                "resume with the settings of the first run, or start anew with --overwrite".to_string()
            }
            Error::Image { .. } => {
                "it could be read when the run began: was it moved or changed since?".to_string()
            }
            Error::Head(error) => return error.hint(),
            Error::Report(error) => return error.hint(),
            Error::Metrics(error) => return error.hint(),
            Error::Schedule(error) => return error.hint(),
            _ => return None,
        })
    }

    /// Whether the environment is at fault rather than the input.
    pub fn is_environment(&self) -> bool {
        match self {
            Error::File { .. } => true,
            Error::Report(error) => error.is_environment(),
            _ => false,
        }
    }
}

impl From<xexp_backbones::Error> for Error {
    fn from(error: xexp_backbones::Error) -> Self {
        Error::Head(error.into())
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
