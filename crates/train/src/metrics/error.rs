//! What can go wrong when predictions are scored.

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// Predictions that cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No example to score.
    #[error("expected at least one example to score, found none")]
    Empty,
    /// Two lists that belong together differ in length.
    #[error("{what}: expected {expected}, found {found}")]
    Count {
        /// What is counted.
        what: &'static str,
        /// The number that fits.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// A label that is no class.
    #[error("{what} of example {example}: expected a class below {classes}, found {found}")]
    Label {
        /// Whether it is the true or the predicted label.
        what: &'static str,
        /// Example, counted from 0.
        example: usize,
        /// Number of classes.
        classes: usize,
        /// The label.
        found: u32,
    },
    /// A logit that is infinite or not a number.
    #[error("logit of example {example}, class {class}: expected a finite number, found {found}")]
    NotFinite {
        /// Example, counted from 0.
        example: usize,
        /// Class, counted from 0.
        class: usize,
        /// The logit.
        found: f32,
    },
    /// The source of randomness broke its promise.
    #[error("random index: expected a number below {expected}, found {found}")]
    Draw {
        /// The bound that was asked for.
        expected: usize,
        /// The index that came.
        found: usize,
    },
    /// A temperature that is none.
    #[error("temperature: expected a positive number, found {found}")]
    Temperature {
        /// What was given.
        found: f64,
    },
    /// A statistic or a table that could not be made.
    #[error(transparent)]
    Report(#[from] xexp_report::Error),
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Empty => Some("give a data set with at least one labelled example".into()),
            Error::NotFinite { .. } => {
                Some("the model has diverged: try a smaller learning rate or a longer warm-up".into())
            }
            Error::Report(error) => error.hint(),
            Error::Count { .. } | Error::Label { .. } | Error::Draw { .. } | Error::Temperature { .. } => {
                None
            }
        }
    }

    /// Whether the machine refused to write.
    pub fn is_environment(&self) -> bool {
        matches!(self, Error::Report(error) if error.is_environment())
    }
}
