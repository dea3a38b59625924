//! What can go wrong when a tensor is lent to a kernel.

/// A tensor that a kernel cannot work on, or a failure inside candle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The tensor's element type is not the one the kernels compute in.
    #[error("expected a tensor of f32 on the CPU, found {found} on {device}")]
    Storage {
        /// Element type found.
        found: String,
        /// Device found.
        device: String,
    },
    /// The tensor is a strided view; kernels read contiguous rows.
    #[error("expected a contiguous tensor, found shape {shape:?} with other strides")]
    Strided {
        /// Shape of the view.
        shape: Vec<usize>,
    },
    /// candle's own error.
    #[error(transparent)]
    Candle(#[from] candle_core::Error),
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
