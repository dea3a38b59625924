//! Refusal of parameters without meaning.

use std::fmt::Debug;

use crate::{Error, Result};

/// Refuses `found` for the parameter, unless `valid`.
pub(crate) fn demand(
    experiment: &'static str,
    parameter: &'static str,
    found: impl Debug,
    valid: bool,
    expected: &'static str,
) -> Result<()> {
    if valid {
        return Ok(());
    }
    Err(Error::Parameter { experiment, parameter, found: format!("{found:?}"), expected })
}

/// Whether a number is finite and above zero.
pub(crate) fn positive(x: f64) -> bool {
    x.is_finite() && x > 0.0
}
