//! What can go wrong while a checkpoint is measured.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A checkpoint, an input or a formula that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint, its configuration, or an input of another kind than it takes.
    #[error(transparent)]
    Backbone(#[from] xexp_backbones::Error),
    /// The head of a saved classifier.
    #[error(transparent)]
    Head(#[from] xexp_heads::Error),
    /// An image that cannot be read.
    #[error(transparent)]
    Train(#[from] xexp_train::Error),
    /// A size without meaning.
    #[error(transparent)]
    Init(#[from] xexp_init::Error),
    /// A table or a page.
    #[error(transparent)]
    Report(#[from] xexp_report::Error),
}
