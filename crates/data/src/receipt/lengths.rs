//! Lengths of texts in tokens, and what truncation costs.

use serde::{Deserialize, Serialize};

use crate::tokenizer::Encoded;

/// Lengths in tokens, special tokens included, before truncation. All zero when there is no text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lengths {
    /// The shortest.
    pub min: usize,
    /// The mean.
    pub mean: f64,
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The smallest length that at least 95 % of the texts do not exceed (nearest rank).
    pub p95: usize,
    /// The longest.
    pub max: usize,
}

impl Lengths {
    pub(crate) fn of(encoded: &[Encoded]) -> Self {
        let mut lengths: Vec<usize> = encoded.iter().map(|encoded| encoded.full_length).collect();
        lengths.sort_unstable();
        let n = lengths.len();
        if n == 0 {
            return Lengths { min: 0, mean: 0.0, median: 0.0, p95: 0, max: 0 };
        }
        Lengths {
            min: lengths[0],
            mean: lengths.iter().sum::<usize>() as f64 / n as f64,
            median: (lengths[(n - 1) / 2] + lengths[n / 2]) as f64 / 2.0,
            p95: lengths[(95 * n).div_ceil(100) - 1],
            max: lengths[n - 1],
        }
    }
}

/// What was cut off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Truncation {
    /// Texts that were cut.
    pub texts: u64,
    /// Their share of all texts.
    pub share: f64,
    /// Tokens that were dropped.
    pub tokens: u64,
    /// Their share of all tokens.
    pub token_share: f64,
}

impl Truncation {
    pub(crate) fn of(encoded: &[Encoded]) -> Self {
        let share = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let dropped = encoded.iter().map(|encoded| encoded.full_length - encoded.ids.len());
        let texts = dropped.clone().filter(|&tokens| tokens > 0).count();
        let tokens: usize = dropped.sum();
        let all = encoded.iter().map(|encoded| encoded.full_length).sum();
        Truncation {
            texts: texts as u64,
            share: share(texts, encoded.len()),
            tokens: tokens as u64,
            token_share: share(tokens, all),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::tests::encoded;

    #[test]
    fn quantiles_have_their_textbook_values() {
        // 1..=20: median 10.5, nearest rank of 95 % is the 19th; 1..=21: median 11, rank ⌈19.95⌉ = 20.
        let lengths = |n: usize| Lengths::of(&encoded(&(1..=n).rev().collect::<Vec<_>>(), 100));
        assert_eq!(lengths(20), Lengths { min: 1, mean: 10.5, median: 10.5, p95: 19, max: 20 });
        assert_eq!(lengths(21), Lengths { min: 1, mean: 11.0, median: 11.0, p95: 20, max: 21 });
        assert_eq!(lengths(1), Lengths { min: 1, mean: 1.0, median: 1.0, p95: 1, max: 1 });
        assert_eq!(lengths(0).max, 0);
    }

    #[test]
    fn truncation_counts_texts_and_tokens() {
        let truncation = Truncation::of(&encoded(&[10, 4, 8, 18], 8));
        assert_eq!(truncation, Truncation { texts: 2, share: 0.5, tokens: 12, token_share: 0.3 });
        assert_eq!(Truncation::of(&[]).share, 0.0);
    }
}
