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

/// Whether a tensor of these sizes holds something, and not more than memory does.
pub(crate) fn fits(sizes: &[usize]) -> bool {
    let count = sizes.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
    count.is_some_and(|count| (1..=crate::draw::MOST).contains(&count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_hold_nothing_or_too_much_do_not_fit() {
        assert!(fits(&[3, 5]) && fits(&[1 << 14, 1 << 14]));
        assert!(!fits(&[0, 5]) && !fits(&[usize::MAX, 2]) && !fits(&[1 << 20, 1 << 20]));
    }
}
