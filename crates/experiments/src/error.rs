//! What can go wrong in the laboratory.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A parameter, a formula or a computation that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter outside its domain.
    #[error("{experiment}: {parameter} is {found}, expected {expected}")]
    Parameter {
        /// Id of the experiment.
        experiment: &'static str,
        /// The parameter.
        parameter: &'static str,
        /// Its value.
        found: String,
        /// Its domain.
        expected: &'static str,
    },
    /// Parameters that are no set of parameters of the experiment.
    #[error("{experiment}: {found}")]
    Parameters {
        /// Id of the experiment.
        experiment: &'static str,
        /// What is wrong.
        found: String,
    },
    /// Two rows of one name, or a draw that records twice.
    #[error("{experiment}: `{name}` is there twice")]
    Twice {
        /// Id of the experiment.
        experiment: String,
        /// The name.
        name: String,
    },
    /// A draw that recorded no finite number.
    #[error("{experiment}, {setup}, draw {draw}: `{name}` is {found}, expected a finite number")]
    NotFinite {
        /// Id of the experiment.
        experiment: String,
        /// The set-up.
        setup: String,
        /// Number of the draw.
        draw: usize,
        /// Name of the measured quantity.
        name: String,
        /// What came out.
        found: f64,
    },
    /// An initializer or a formula refused its argument.
    #[error(transparent)]
    Init(#[from] xexp_init::Error),
    /// A table or an estimate could not be made.
    #[error(transparent)]
    Report(#[from] xexp_report::Error),
    /// A tensor operation failed.
    #[error("tensor operation failed")]
    Tensor(#[from] candle_core::Error),
    /// A layer or a checkpoint failed.
    #[error(transparent)]
    Backbone(#[from] xexp_backbones::Error),
    /// A head or a classifier failed.
    #[error(transparent)]
    Head(#[from] xexp_heads::Error),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] xexp_train::Error),
    /// Data failed.
    #[error(transparent)]
    Data(#[from] xexp_data::Error),
    /// An iteration that did not end.
    #[error("draw {draw}: the {what} did not converge")]
    Diverged {
        /// What was sought.
        what: &'static str,
        /// Number of the draw.
        draw: usize,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}
