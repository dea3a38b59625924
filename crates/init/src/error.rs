//! What can be wrong with a layer, an initializer or an argument.

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A layer, an initializer or an argument that has no meaning.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A layer's sizes contradict each other.
    #[error("{kind} layer: {field} is {found}, expected {expected}")]
    Layer {
        /// Kind of the layer, as in [`Layer::kind`](crate::Layer::kind).
        kind: &'static str,
        /// Field that is wrong.
        field: &'static str,
        /// What it holds.
        found: String,
        /// What it should hold.
        expected: String,
    },
    /// An initializer that scales by fans, or that needs a matrix, met a layer without them.
    #[error("{init} initialization needs a matrix, and a {kind} layer is none")]
    NoFan {
        /// Name of the initializer.
        init: &'static str,
        /// Kind of the layer.
        kind: &'static str,
    },
    /// A number outside its domain.
    #[error("{name} is {found}, expected {expected}")]
    Argument {
        /// Name of the argument.
        name: &'static str,
        /// Its value.
        found: f64,
        /// Its domain.
        expected: &'static str,
    },
    /// A weight with more elements than memory can hold.
    #[error("a weight of shape {shape:?} does not fit into memory")]
    TooLarge {
        /// Shape of the weight.
        shape: Vec<usize>,
    },
    /// A value that is finite in f64 and not in f32.
    #[error("initial value {value} at index {index} is outside the range of f32")]
    OutOfRange {
        /// Index of the value in the flat weight.
        index: usize,
        /// The value.
        value: f64,
    },
}

impl Error {
    /// What to do next, where there is something to say beyond the message.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Layer { .. } | Self::Argument { .. } => None,
            Self::NoFan { .. } => Some(
                "give biases and norm gains a constant or a normal distribution of stated std".to_owned(),
            ),
            Self::TooLarge { .. } => {
                Some("check the layer's sizes; a dimension is probably wrong".to_owned())
            }
            Self::OutOfRange { .. } => Some("lower the standard deviation or the gain".to_owned()),
        }
    }

    /// Whether the machine rather than the input is at fault: never, here.
    pub fn is_environment(&self) -> bool {
        false
    }
}

/// Refuses a number outside its domain; NaN fails every `valid`, since comparisons with it are false.
pub(crate) fn demand(name: &'static str, found: f64, valid: bool, expected: &'static str) -> Result<()> {
    if valid { Ok(()) } else { Err(Error::Argument { name, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_say_what_was_found_and_what_was_expected() {
        let error = Error::Layer {
            kind: "conv",
            field: "groups",
            found: "3".to_owned(),
            expected: "a divisor of 64 input channels".to_owned(),
        };
        assert_eq!(error.to_string(), "conv layer: groups is 3, expected a divisor of 64 input channels");
        assert!(error.hint().is_none() && !error.is_environment());
        let error = Error::NoFan { init: "scaled", kind: "vector" };
        assert_eq!(error.to_string(), "scaled initialization needs a matrix, and a vector layer is none");
        assert!(error.hint().is_some());
    }
}
