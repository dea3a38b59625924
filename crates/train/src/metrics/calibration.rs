//! Calibration: whether a classifier is right as often as it is sure.

use xexp_report::plot::Bin;

use super::logits::{argmax, largest_probability};
use super::{Error, Logits, Result};

/// Number of bins of confidence, of equal width.
///
/// Source: Guo et al. 2017, "On calibration of modern neural networks", §3 (their tables use 15).
pub const BINS: usize = 15;

/// The [`BINS`] bins of confidence `((m-1)/15, m/15]`, from low to high.
///
/// The confidence of an example is the probability of its predicted class.
///
/// # Errors
/// [`Error::Count`] unless there is a label for each example.
pub fn reliability(logits: &Logits, labels: &[u32]) -> Result<Vec<Bin>> {
    if labels.len() != logits.examples() {
        return Err(Error::Count { what: "labels", expected: logits.examples(), found: labels.len() });
    }
    let edge = |m: usize| m as f64 / BINS as f64;
    let mut sums = [(0u64, 0.0, 0u64); BINS];
    for (row, label) in logits.rows().zip(labels) {
        let predicted = argmax(row);
        let confidence = largest_probability(row);
        let bin = (1..BINS).find(|m| confidence <= edge(*m)).unwrap_or(BINS) - 1;
        let (count, sum, hits) = &mut sums[bin];
        *count += 1;
        *sum += confidence;
        *hits += u64::from(predicted == *label as usize);
    }
    let share = |sum: f64, count: u64| if count == 0 { 0.0 } else { sum / count as f64 };
    let bin = |(i, (count, sum, hits)): (usize, (u64, f64, u64))| Bin {
        low: edge(i),
        high: edge(i + 1),
        count,
        confidence: share(sum, count),
        accuracy: share(hits as f64, count),
    };
    Ok(sums.into_iter().enumerate().map(bin).collect())
}

/// Mean distance between confidence and accuracy, over bins weighted by their examples; 0 without examples.
///
/// Source: Guo et al. 2017, eq. 3.
pub fn expected_calibration_error(bins: &[Bin]) -> f64 {
    let total: u64 = bins.iter().map(|bin| bin.count).sum();
    let gap = |bin: &Bin| bin.count as f64 * (bin.accuracy - bin.confidence).abs();
    if total == 0 { 0.0 } else { bins.iter().map(gap).sum::<f64>() / total as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ece(logits: &[f32], classes: usize, labels: &[u32]) -> f64 {
        expected_calibration_error(&reliability(&Logits::new(logits, classes).unwrap(), labels).unwrap())
    }

    #[test]
    fn the_error_is_the_one_of_numpy() {
        // q = softmax(z); c = q.max(1); hit = q.argmax(1) == y; b = np.linspace(0, 1, 16);
        // sum(abs(c[m].mean() - hit[m].mean()) * m.mean() for lo, hi in zip(b, b[1:]) if (m := (c > lo) & (c <= hi)).any())
        // with z and y as below
        let z = [
            2.0, -1.0, 0.5, 0.125, 0.25, 0.375, -3.0, 4.0, 1.0, 1.5, 1.25, -0.75, 80.0, -90.0, 0.0, 0.0, 0.0,
            0.0,
        ];
        assert!((ece(&z, 3, &[0, 1, 1, 2, 0, 2]) - 0.25041244152155817).abs() < 1e-14);
    }

    #[test]
    fn a_confidence_on_an_edge_belongs_to_the_bin_below() {
        // 1/3 is 5/15, the upper end of the fifth bin; 1/5 is 3/15, that of the third.
        for (classes, bin) in [(3, 4), (5, 2)] {
            let bins = reliability(&Logits::new(&vec![0.7; classes], classes).unwrap(), &[0]).unwrap();
            assert_eq!(bins.iter().position(|bin| bin.count == 1), Some(bin));
        }
    }

    #[test]
    fn certain_and_right_is_no_error_certain_and_wrong_is_one() {
        assert_eq!(ece(&[200.0, 0.0, 0.0, 200.0], 2, &[0, 1]), 0.0);
        assert_eq!(ece(&[200.0, 0.0, 0.0, 200.0], 2, &[1, 0]), 1.0);
    }

    #[test]
    fn a_coin_that_says_a_half_is_calibrated() {
        assert!(ece(&[0.0; 8], 2, &[0, 1, 0, 1]).abs() < 1e-15);
    }

    #[test]
    fn two_examples_of_one_bin_share_it() {
        // Confidences 0.96 and 0.98 (logits ln 24 and ln 49 against 0) lie in (14/15, 1]; one is right:
        // |1/2 - 0.97| = 0.47. Each alone would give 0.04 and 0.98.
        let z = [24f32.ln(), 0.0, 49f32.ln(), 0.0];
        let bins = reliability(&Logits::new(&z, 2).unwrap(), &[0, 1]).unwrap();
        assert_eq!(bins.len(), BINS);
        assert_eq!(bins.iter().map(|bin| bin.count).collect::<Vec<_>>()[12..], [0, 0, 2]);
        // f32 logits carry 1e-7.
        assert!((bins[14].confidence - 0.97).abs() < 1e-7 && bins[14].accuracy == 0.5);
        assert!((expected_calibration_error(&bins) - 0.47).abs() < 1e-7);
    }

    #[test]
    fn the_order_of_examples_does_not_matter() {
        let z: Vec<f32> = (0..300).map(|i| ((i * 7919) % 101) as f32 / 25.0).collect();
        let labels: Vec<u32> = (0..100).map(|i| i * 31 % 3).collect();
        let backward: Vec<f32> = z.chunks(3).rev().flatten().copied().collect();
        let back_labels: Vec<u32> = labels.iter().rev().copied().collect();
        // Sums of 100 confidences in another order.
        assert!((ece(&z, 3, &labels) - ece(&backward, 3, &back_labels)).abs() < 1e-13);
    }

    #[test]
    fn a_missing_label_is_refused() {
        let logits = Logits::new(&[0.0; 4], 2).unwrap();
        assert!(matches!(reliability(&logits, &[0]), Err(Error::Count { expected: 2, found: 1, .. })));
    }
}
