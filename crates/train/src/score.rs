//! Which of two evaluations chooses the weights.

use serde::{Deserialize, Serialize};
use xexp_report::Valid;

/// Scores this near are equal: sums of the same shares in another order.
const ROUNDING: f64 = 1e-9;
/// A correlation that is undefined, since predictions or values are all the same: below every other, so that among such the
/// loss decides.
const UNDEFINED: f64 = -2.0;

/// What an evaluation is worth: its score, and among equals its loss.
///
/// On a few dozen examples many evaluations have the same score, while the loss still tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Larger is better: macro-F1, of values Pearson's correlation, and where there is neither the loss, negative.
    pub value: f64,
    /// Smaller is better.
    pub loss: f64,
}

impl Score {
    /// Of an evaluation.
    pub fn of(scores: &Valid) -> Self {
        let value = match scores.rmse {
            Some(_) => scores.pearson.unwrap_or(UNDEFINED),
            None => scores.macro_f1.unwrap_or(-scores.loss),
        };
        Score { value, loss: scores.loss }
    }

    /// Whether it is better than another; of two that are alike in both, neither is.
    pub fn beats(self, other: Self) -> bool {
        let ahead = self.value - other.value;
        ahead > ROUNDING || (ahead >= -ROUNDING && self.loss < other.loss)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_counts_and_among_equals_the_loss() {
        let score = |value, loss| Score { value, loss };
        assert!(score(0.9, 2.0).beats(score(0.8, 1.0)));
        assert!(!score(0.8, 1.0).beats(score(0.9, 2.0)));
        // One confusion table, summed in two orders.
        let (one, other) = (score(0.986_013_986_013_986_2, 0.05), score(0.986_013_986_013_985_9, 0.04));
        assert!(other.beats(one) && !one.beats(other));
        assert!(!one.beats(one));
        // Without classes the loss decides alone, however small the difference.
        assert!(score(-1.0, 1.0).beats(score(-1.0 - 1e-12, 1.0 + 1e-12)));
    }

    #[test]
    fn values_are_chosen_by_correlation_and_by_loss_where_there_is_none() {
        let of = |pearson, loss| Score::of(&Valid { loss, pearson, rmse: Some(1.0), ..Default::default() });
        assert!(of(Some(0.5), 3.0).beats(of(Some(0.4), 1.0)));
        assert!(of(Some(-1.0), 9.0).beats(of(None, 0.1)) && !of(None, 0.1).beats(of(Some(-1.0), 9.0)));
        assert!(of(None, 0.1).beats(of(None, 0.2)) && !of(None, 0.2).beats(of(None, 0.1)));
    }
}
