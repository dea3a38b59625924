//! Numbers as text, the same under every locale.

/// How many digits of a number people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digits {
    /// Digits after the point: 0.5 with 3 is `0.500`.
    Decimals(u8),
    /// Digits from the first that is not zero: 0.0123456 with 3 is `0.0123`; very large and very small numbers
    /// get an exponent (`1.23e-7`). No number has less than one such digit, so 0 means 1.
    Significant(u8),
}

/// `value` rounded to nearest at the given digits. A result that rounds to zero carries no sign.
pub(crate) fn number(value: f64, digits: Digits) -> String {
    if !value.is_finite() {
        return if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "inf"
        } else {
            "-inf"
        }
        .to_owned();
    }
    let text = match digits {
        Digits::Decimals(decimals) => format!("{value:.*}", usize::from(decimals)),
        Digits::Significant(digits) => significant(value, usize::from(digits.max(1))),
    };
    match text.strip_prefix('-') {
        Some(bare) if bare.bytes().all(|byte| matches!(byte, b'0' | b'.')) => bare.to_owned(),
        _ => text,
    }
}

fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return format!("{:.*}", digits - 1, 0.0);
    }
    let scientific = format!("{value:.*e}", digits - 1);
    // The exponent after rounding: 9.996 with 3 digits is 10.0, not 10.00.
    let exponent: i32 = scientific.split_once('e').and_then(|(_, text)| text.parse().ok()).unwrap_or(0);
    if (-4..6).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        format!("{value:.decimals$}")
    } else {
        scientific
    }
}

#[cfg(test)]
mod tests {
    use super::Digits::{Decimals, Significant};
    use super::*;

    #[test]
    fn decimals_are_counted_after_the_point() {
        assert_eq!(number(0.98765, Decimals(3)), "0.988");
        assert_eq!(number(-12.0, Decimals(2)), "-12.00");
        assert_eq!(number(2.5, Decimals(0)), "2", "ties go to the even digit");
    }

    #[test]
    fn significant_digits_are_counted_from_the_first_one() {
        let shown = |value| number(value, Significant(3));
        assert_eq!(shown(0.0123456), "0.0123");
        assert_eq!(shown(9.996), "10.0");
        assert_eq!(shown(123456.0), "123456", "digits before the point are never replaced by zeros");
        assert_eq!(shown(1234567.0), "1.23e6");
        assert_eq!(shown(1.2345e-7), "1.23e-7");
        assert_eq!(shown(0.0), "0.00");
        assert_eq!(number(0.25, Significant(0)), "0.2");
    }

    #[test]
    fn zero_has_no_sign() {
        assert_eq!(number(-0.0001, Decimals(2)), "0.00");
        assert_eq!(number(-0.0, Significant(2)), "0.0");
    }

    #[test]
    fn what_is_not_finite_is_named() {
        assert_eq!(
            [f64::NAN, f64::INFINITY, f64::NEG_INFINITY].map(|x| number(x, Decimals(1))),
            ["NaN", "inf", "-inf"]
        );
    }

    #[test]
    fn the_extremes_of_f64_print() {
        for value in [f64::MAX, f64::MIN_POSITIVE, 5e-324] {
            assert!(number(value, Significant(255)).len() > 255);
            assert!(number(value, Decimals(255)).contains('.'));
        }
    }
}
