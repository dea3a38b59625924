//! What can be wrong with a checkpoint, a configuration or an input.

use std::path::PathBuf;

/// An error of this crate: what was expected, what was found, where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the model folder is missing.
    #[error("{path} is missing: not a Hugging Face model folder, or not a whole one")]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// An adapter where a whole model is needed.
    #[error("{path} holds an adapter, not a whole model")]
    Adapter {
        /// The folder.
        path: PathBuf,
    },
    /// Only pickled weights are there.
    #[error("{path} is a pickle, which can run code when read; expected model.safetensors beside it")]
    Pickle {
        /// The pickle.
        path: PathBuf,
    },
    /// A file could not be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A safetensors file that is cut short or not one.
    #[error("{path} is not a whole safetensors file: {reason}")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What the format's reader found.
        reason: String,
    },
    /// An index of several safetensors files that does not say where the tensors are.
    #[error("{path}: {reason}")]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `config.json` lacks a field, or has one that we cannot use.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Which field, what was expected, what was found.
        reason: String,
    },
    /// A family that we do not have.
    #[error("{path}: unknown model_type {found:?}; expected one of {known}")]
    UnknownFamily {
        /// The configuration.
        path: PathBuf,
        /// Its `model_type`.
        found: String,
        /// The families that we have.
        known: String,
    },
    /// Tensors that the configuration calls for and the checkpoint lacks.
    #[error("{path} lacks {count} tensor(s) that its config.json calls for: {names}")]
    MissingTensors {
        /// The checkpoint.
        path: PathBuf,
        /// How many.
        count: usize,
        /// The first few names.
        names: String,
    },
    /// Tensors of another shape than the configuration says.
    #[error("{path}: tensor {name}: expected shape {expected:?}, found {found:?}{}", and_more(*.others))]
    Shape {
        /// The checkpoint.
        path: PathBuf,
        /// The first such tensor.
        name: String,
        /// Shape from the configuration.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
        /// How many more there are.
        others: usize,
    },
    /// A tensor of whole numbers, or of a float kind that we do not read.
    #[error("{path}: tensor {name}: expected F32, F16, BF16, F64 or a count up to 2²⁴, found {found}")]
    DType {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its type.
        found: String,
    },
    /// Weights that are not numbers.
    #[error("{path}: tensor {name} holds NaN or infinite values")]
    NotFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor.
        name: String,
    },
    /// A token id beyond the vocabulary of the weights.
    #[error("token id {id} is outside the model's {what} of {count}")]
    TokenId {
        /// The id.
        id: u32,
        /// Which table.
        what: &'static str,
        /// Its rows.
        count: usize,
    },
    /// Ids, type ids or a mask that do not fit together.
    #[error("batch: {reason}")]
    Input {
        /// What does not fit.
        reason: String,
    },
    /// A weight that is to be trained, of a family that is computed without gradients.
    #[error("{family} is computed without gradients, and {weight} is to be trained")]
    Frozen {
        /// The family.
        family: &'static str,
        /// The first such weight.
        weight: String,
    },
    /// Tensors that make no file.
    #[error("safetensors: {reason}")]
    Serialize {
        /// What is wrong with them.
        reason: String,
    },
    /// An initializer that cannot be drawn.
    #[error(transparent)]
    Init(#[from] xexp_init::Error),
    /// A tensor that a kernel cannot take.
    #[error(transparent)]
    Kernel(#[from] xexp_kernels::Error),
}

fn and_more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(", and {others} more tensor(s) of another shape") }
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Missing { .. } => {
                "a model folder holds config.json, model.safetensors, and tokenizer.json or preprocessor_config.json".to_string()
            }
            Error::Adapter { path } => format!(
                "put it into its model first: xexp merge {} --output MODEL; predict and evaluate open it as it is",
                path.display()
            ),
            Error::Pickle { .. } => "convert it once, in Python: from transformers import AutoModel; \
                 AutoModel.from_pretrained('DIR').save_pretrained('NEW_DIR', safe_serialization=True)"
                .to_string(),
            Error::Corrupt { .. } | Error::Index { .. } => "fetch the file again, and compare its size and checksum".to_string(),
            Error::MissingTensors { .. } | Error::Shape { .. } => {
                "config.json and model.safetensors must come from the same model".to_string()
            }
            Error::TokenId { .. } => {
                "tokenizer.json and config.json must come from the same model".to_string()
            }
            Error::Frozen { .. } => "train a head on its features: --strategy probe".to_string(),
            _ => return None,
        })
    }

    /// Whether the environment is at fault rather than the input; nothing here writes, so never.
    pub fn is_environment(&self) -> bool {
        false
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Error::Kernel(error.into())
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
