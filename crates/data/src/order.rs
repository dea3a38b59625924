//! Natural order of names.

use std::cmp::Ordering;

/// Natural order: numbers by value and before all other names; other names piece by piece, runs of digits by value
/// (`file2` before `file10`), the rest by code point. Equal only for equal names.
///
/// A number is an optional sign, digits, and optionally a point and digits. Runs of digits have no size limit.
pub fn natural_order(a: &str, b: &str) -> Ordering {
    let by_value = match (number(a), number(b)) {
        (Some(x), Some(y)) => x.total_cmp(&y),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    };
    by_value.then_with(|| by_pieces(a, b)).then_with(|| a.cmp(b))
}

/// Value of a name that is a plain decimal number. Names like `nan`, `inf` or `1e5` stay names.
fn number(name: &str) -> Option<f64> {
    let unsigned = name.strip_prefix(['-', '+']).unwrap_or(name);
    let (whole, part) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Adding zero turns -0 into 0, so that `-0` and `0` differ by name only.
    (digits(whole) && digits(part)).then(|| name.parse().ok()).flatten().map(|value: f64| value + 0.0)
}

fn by_pieces(mut a: &str, mut b: &str) -> Ordering {
    loop {
        let (x, y) = (piece(a), piece(b));
        if x.is_empty() || y.is_empty() {
            return x.len().cmp(&y.len());
        }
        let both_digits = x.as_bytes()[0].is_ascii_digit() && y.as_bytes()[0].is_ascii_digit();
        let order = if both_digits {
            let (p, q) = (x.trim_start_matches('0'), y.trim_start_matches('0'));
            p.len().cmp(&q.len()).then_with(|| p.cmp(q))
        } else {
            x.cmp(y)
        };
        if order.is_ne() {
            return order;
        }
        (a, b) = (&a[x.len()..], &b[y.len()..]);
    }
}

/// The leading run of digits, or else the one leading character.
fn piece(text: &str) -> &str {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits > 0 { &text[..digits] } else { &text[..text.chars().next().map_or(0, char::len_utf8)] }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted<'a>(names: &[&'a str]) -> Vec<&'a str> {
        let mut names = names.to_vec();
        names.sort_by(|a, b| natural_order(a, b));
        names
    }

    #[test]
    fn digits_inside_names_count_by_value() {
        assert_eq!(sorted(&["file10", "file2", "file1"]), ["file1", "file2", "file10"]);
        assert_eq!(sorted(&["v1.10", "v1.9", "v1"]), ["v1", "v1.9", "v1.10"]);
        assert_eq!(sorted(&["a", "B", "ab", ""]), ["", "B", "a", "ab"]);
    }

    #[test]
    fn numbers_come_first_and_by_value() {
        assert_eq!(sorted(&["10", "2", "x", "-1", "0.5", "1"]), ["-1", "0.5", "1", "2", "10", "x"]);
        assert_eq!(sorted(&["inf", "1e5", "7"]), ["7", "1e5", "inf"]);
        assert_eq!(
            sorted(&["9007199254740993", "9007199254740992"]),
            ["9007199254740992", "9007199254740993"]
        );
    }

    #[test]
    fn order_is_total_and_only_equal_names_are_equal() {
        let names = [
            "1", "01", "1.0", "+1", "-0", "0", "a1", "a01", "a", "", "é2", "é10", "-", ".", "1a", "a1b",
            "a01c", "10",
        ];
        for a in names {
            for b in names {
                assert_eq!(natural_order(a, b), natural_order(b, a).reverse(), "{a} {b}");
                assert_eq!(natural_order(a, b).is_eq(), a == b, "{a} {b}");
                for c in names {
                    if natural_order(a, b).is_lt() && natural_order(b, c).is_lt() {
                        assert!(natural_order(a, c).is_lt(), "{a} {b} {c}");
                    }
                }
            }
        }
    }
}
