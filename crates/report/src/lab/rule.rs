//! What a measured quantity is held against.

use serde::{Deserialize, Serialize};

use crate::Verdict;

/// A prediction that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Rule {
    /// The quantity is `value`, give or take `tolerance` (absolute, in the quantity's unit).
    Near {
        /// What is predicted.
        value: f64,
        /// How far the truth may be off for finite sizes; argued before the run.
        tolerance: f64,
    },
    /// The quantity is at most `value`.
    AtMost {
        /// The bound.
        value: f64,
    },
    /// The quantity is at least `value`.
    AtLeast {
        /// The bound.
        value: f64,
    },
}

impl Rule {
    /// `value`, give or take the share `relative` of it.
    pub fn about(value: f64, relative: f64) -> Rule {
        Rule::Near { value, tolerance: relative * value.abs() }
    }

    /// The predicted value or the bound.
    pub fn value(&self) -> f64 {
        match *self {
            Rule::Near { value, .. } | Rule::AtMost { value } | Rule::AtLeast { value } => value,
        }
    }

    /// How far beyond [`Rule::value`] the quantity may lie: 0 for bounds.
    pub fn tolerance(&self) -> f64 {
        match *self {
            Rule::Near { tolerance, .. } => tolerance,
            Rule::AtMost { .. } | Rule::AtLeast { .. } => 0.0,
        }
    }

    /// The sign before the value in tables: `≈`, `≤` or `≥`.
    pub fn sign(&self) -> &'static str {
        match self {
            Rule::Near { .. } => "≈",
            Rule::AtMost { .. } => "≤",
            Rule::AtLeast { .. } => "≥",
        }
    }

    /// Least and most that the rule allows.
    pub fn range(&self) -> (f64, f64) {
        match *self {
            Rule::Near { value, tolerance } => (value - tolerance, value + tolerance),
            Rule::AtMost { value } => (f64::NEG_INFINITY, value),
            Rule::AtLeast { value } => (value, f64::INFINITY),
        }
    }

    /// What an interval says about the rule: confirmed if it lies within the range, refuted if it lies outside, else
    /// inconclusive. An interval with an end that is not a number says nothing.
    ///
    /// Source: Schuirmann 1987, two one-sided tests; for bounds, one of them.
    pub fn judge(&self, (low, high): (f64, f64)) -> Verdict {
        let (least, most) = self.range();
        if low >= least && high <= most {
            Verdict::Confirmed
        } else if high < least || low > most {
            Verdict::Refuted
        } else {
            Verdict::Inconclusive
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_interval_decides() {
        use Verdict::{Confirmed, Inconclusive, Refuted};
        for (rule, interval, expected) in [
            (Rule::about(2.0, 0.1), (1.9, 2.1), Confirmed),
            (Rule::about(-2.0, 0.1), (-2.1, -1.9), Confirmed),
            (Rule::about(2.0, 0.1), (1.7, 2.0), Inconclusive),
            (Rule::about(2.0, 0.1), (2.3, 2.4), Refuted),
            (Rule::AtMost { value: 4.0 }, (3.0, 4.0), Confirmed),
            (Rule::AtMost { value: 4.0 }, (3.0, 4.1), Inconclusive),
            (Rule::AtMost { value: 4.0 }, (4.1, 9.0), Refuted),
            (Rule::AtLeast { value: 4.0 }, (4.0, f64::INFINITY), Confirmed),
            (Rule::AtLeast { value: 4.0 }, (1.0, 3.9), Refuted),
            (Rule::AtMost { value: 4.0 }, (f64::NAN, f64::NAN), Inconclusive),
        ] {
            assert_eq!(rule.judge(interval), expected, "{rule:?} {interval:?}");
        }
    }
}
