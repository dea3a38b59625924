//! Parsers for numbers that must lie in a range; infinities and NaN never do.

/// A number above 0, such as a learning rate.
pub fn positive(text: &str) -> Result<f64, String> {
    within(text, "above 0", |x| x > 0.0)
}

/// A number of at least 0, such as a weight decay.
pub fn not_negative(text: &str) -> Result<f64, String> {
    within(text, "of at least 0", |x| x >= 0.0)
}

/// A share of a whole, from 0 to 1.
pub fn share(text: &str) -> Result<f64, String> {
    within(text, "from 0 to 1", |x| (0.0..=1.0).contains(&x))
}

/// A share that leaves something on both sides: above 0 and below 1.
pub fn proper_share(text: &str) -> Result<f64, String> {
    within(text, "above 0 and below 1", |x| x > 0.0 && x < 1.0)
}

/// A share that something is multiplied by again and again: above 0, at most 1.
pub fn layer_decay(text: &str) -> Result<f64, String> {
    within(text, "above 0 and at most 1", |x| x > 0.0 && x <= 1.0)
}

/// A probability of leaving something out: at least 0 and below 1.
pub fn dropout(text: &str) -> Result<f64, String> {
    within(text, "of at least 0 and below 1", |x| (0.0..1.0).contains(&x))
}

/// The finite number in `text`, if it is `allowed`; the message names the range otherwise.
fn within(text: &str, range: &str, allowed: impl Fn(f64) -> bool) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(x) if x.is_finite() && allowed(x) => Ok(x),
        _ => Err(format!("expected a number {range}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_include_and_exclude_their_ends() {
        assert_eq!(positive("5e-5"), Ok(5e-5));
        assert_eq!(not_negative("0"), Ok(0.0));
        assert_eq!(share("1"), Ok(1.0));
        assert!(positive("0").is_err());
        assert!(not_negative("-1e-9").is_err());
        assert!(proper_share("1").is_err() && proper_share("0").is_err());
    }

    #[test]
    fn what_is_no_finite_number_is_refused() {
        for text in ["nan", "inf", "-inf", "1e999", "three", ""] {
            assert!(not_negative(text).is_err(), "{text}");
        }
    }
}
