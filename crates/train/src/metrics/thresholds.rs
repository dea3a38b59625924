//! From which probability on a label is said to apply.

use super::multi_label::checked;
use super::{Logits, Result};
use xexp_kernels::binary_cross_entropy::sigmoid;

/// The threshold where nothing is tuned: a label applies when it is as likely as not.
pub const HALF: f64 = 0.5;

/// The threshold of each label that gives it the best F1 on these examples: one between two neighbouring probabilities, and
/// of equally good ones the nearest to a half, which stays where nothing is better, as it does for a label without examples.
///
/// Source: Lipton, Elkan and Narayanaswamy 2014, "Optimal thresholding of classifiers to maximize F1 measure".
///
/// # Errors
/// A number of `truth` other than that of the logits.
pub fn tuned_thresholds(logits: &Logits, truth: &[f32]) -> Result<Vec<f64>> {
    checked(logits, truth)?;
    let labels = logits.classes();
    Ok((0..labels)
        .map(|label| {
            let row = |(row, truth): (&[f32], &[f32])| (sigmoid(f64::from(row[label])), truth[label] > 0.5);
            best(logits.rows().zip(truth.chunks_exact(labels)).map(row).collect())
        })
        .collect())
}

/// The best threshold for one label's probabilities and truths.
fn best(mut examples: Vec<(f64, bool)>) -> f64 {
    let positives = examples.iter().filter(|example| example.1).count();
    let f1 = |hits: usize, said: usize| 2.0 * hits as f64 / (said + positives).max(1) as f64;
    examples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let at = |threshold: f64| {
        let said = examples.iter().take_while(|example| example.0 >= threshold);
        let (said, hits) = said.fold((0, 0), |(said, hits), e| (said + 1, hits + usize::from(e.1)));
        f1(hits, said)
    };
    let (mut found, mut score, mut hits) = (HALF, at(HALF), 0);
    for (index, &(p, truth)) in examples.iter().enumerate() {
        hits += usize::from(truth);
        let next = examples.get(index + 1).map_or(0.0, |example| example.0);
        if next == p {
            continue;
        }
        let middle = f64::midpoint(p, next);
        // Between two neighbours of one rounding there is no middle.
        let threshold = if middle > next { middle } else { p };
        let value = f1(hits, index + 1);
        let nearer = (threshold - HALF).abs() < (found - HALF).abs();
        if value > score || (value == score && nearer) {
            (found, score) = (threshold, value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_threshold_is_better_than_the_tuned_one() {
        // Pseudo-random probabilities, some tied; every cut is tried by brute force.
        for case in 0..40u64 {
            let mut state = case * 77 + 5;
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as f64 / (1u64 << 24) as f64
            };
            let examples: Vec<(f64, bool)> =
                (0..25).map(|_| ((next() * 12.0).round() / 13.0, next() < 0.3)).collect();
            let f1 = |threshold: f64| {
                let hits = examples.iter().filter(|e| e.0 >= threshold && e.1).count() as f64;
                let said = examples.iter().filter(|e| e.0 >= threshold).count() as f64;
                let true_ones = examples.iter().filter(|e| e.1).count() as f64;
                if said + true_ones == 0.0 { 0.0 } else { 2.0 * hits / (said + true_ones) }
            };
            let tuned = best(examples.clone());
            for cut in 0..=130 {
                let threshold = f64::from(cut) / 130.0 + 0.001;
                assert!(f1(threshold) <= f1(tuned) + 1e-12, "{case}: {threshold} against {tuned}");
            }
            assert!(f1(tuned) > f1(HALF) || tuned == HALF, "{case}: {tuned} is no better than a half");
        }
    }

    #[test]
    fn a_label_without_examples_keeps_the_half() {
        assert_eq!(best(vec![(0.9, false), (0.2, false)]), HALF);
        // One above all others: halfway between it and the next.
        assert_eq!(best(vec![(0.3, true), (0.2, false), (0.1, false)]), 0.25);
        assert_eq!(best(vec![(0.25, true)]), 0.125);
    }
}
