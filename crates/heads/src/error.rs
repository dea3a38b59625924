//! What can be wrong with a head.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `--head-init` that we do not know.
    #[error(
        "unknown head initialization {found:?}; expected xavier, he, lecun, zero, normal:STD, orthogonal, calibrated or hf"
    )]
    UnknownInit {
        /// What was given.
        found: String,
    },
    /// A number out of its range.
    #[error("{what}: expected {expected}, found {found}")]
    Range {
        /// Which number.
        what: &'static str,
        /// Its range.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
    /// A bias for a head that has none.
    #[error("the head of a {model} model has no bias")]
    NoBias {
        /// The family.
        model: &'static str,
    },
    /// Calibration without features, or on features that are all zero.
    #[error("calibrated initialization needs features with a positive second moment, found {found}")]
    Calibration {
        /// What there was.
        found: String,
    },
    /// A checkpoint whose head or labels cannot be used.
    #[error("{path}: {reason}")]
    Labels {
        /// The configuration.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An adapter that cannot be opened.
    #[error("{path}: {reason}")]
    Adapter {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Layers to adapt that the model has not.
    #[error("{model}: {what}; the endings of its dense layers are {}", if known.is_empty() { "none at all" } else { known.as_str() })]
    Targets {
        /// The family.
        model: &'static str,
        /// What was asked for.
        what: String,
        /// The endings that there are.
        known: String,
    },
    /// A student's weight that the teacher cannot lend.
    #[error("{name}: expected the teacher's to be of shape {expected:?}, found {found:?}")]
    Shape {
        /// The weight.
        name: String,
        /// The student's shape.
        expected: Vec<usize>,
        /// The teacher's.
        found: Vec<usize>,
    },
    /// A way of pooling that we do not know.
    #[error("unknown pooling {found:?}; expected mean, first or features")]
    UnknownPooling {
        /// What was given.
        found: String,
    },
    /// A family that has no masked-language-modelling head.
    #[error("model_type {family:?} has no masked-language-modelling head")]
    NoMaskedLm {
        /// The family.
        family: &'static str,
    },
    /// The backbone's error.
    #[error(transparent)]
    Backbone(#[from] xexp_backbones::Error),
    /// The initializer's error.
    #[error(transparent)]
    Init(#[from] xexp_init::Error),
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Backbone(error) => error.hint(),
            Error::Labels { .. } => {
                Some("predict and evaluate need a model that finetune has saved".to_string())
            }
            Error::NoBias { .. } => Some("leave --head-bias away".to_string()),
            Error::Range { expected, .. } => Some(format!("give a number in the range: {expected}")),
            Error::Adapter { .. } => {
                Some("plain LoRA adapters open, as finetune --strategy lora and PEFT save them".to_string())
            }
            Error::Targets { known, .. } if known.is_empty() => {
                Some("train another way: --strategy full, probe or lp-ft".to_string())
            }
            Error::Targets { .. } => Some("name some of them: --lora-targets A,B, or all-linear".to_string()),
            Error::Shape { .. } => Some("draw the student anew: --begin random".to_string()),
            _ => None,
        }
    }

    /// Whether the environment is at fault; nothing here writes, so never.
    pub fn is_environment(&self) -> bool {
        false
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
