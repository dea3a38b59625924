//! Logits as a classifier gives them, their probabilities and their loss.

use super::{Error, Result};

/// Logits of shape `(examples, classes)`, row by row; every one a finite number.
#[derive(Clone, Copy, Debug)]
pub struct Logits<'a> {
    values: &'a [f32],
    classes: usize,
}

impl<'a> Logits<'a> {
    /// The logits in `values`, which holds `classes` of them for each example.
    ///
    /// # Errors
    /// [`Error::Empty`] without examples or classes, [`Error::Count`] if the last row is not full,
    /// [`Error::NotFinite`] for a logit that is infinite or not a number.
    pub fn new(values: &'a [f32], classes: usize) -> Result<Logits<'a>> {
        if values.is_empty() || classes == 0 {
            return Err(Error::Empty);
        }
        if !values.len().is_multiple_of(classes) {
            let expected = values.len().div_ceil(classes) * classes;
            return Err(Error::Count { what: "logits", expected, found: values.len() });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(i) => Err(Error::NotFinite { example: i / classes, class: i % classes, found: values[i] }),
            None => Ok(Logits { values, classes }),
        }
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.values.len() / self.classes
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The logits of each example, `(classes,)`.
    pub fn rows(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.classes)
    }

    /// The class with the largest logit of each example; the first of equals, as `argmax` has it in NumPy.
    pub fn predictions(&self) -> Vec<u32> {
        self.rows().map(|row| argmax(row) as u32).collect()
    }

    /// Mean of `-ln p(true class)`, in nats.
    ///
    /// # Errors
    /// [`Error::Count`] unless there is a label for each example, [`Error::Label`] for one that is no class.
    pub fn cross_entropy(&self, labels: &[u32]) -> Result<f64> {
        if labels.len() != self.examples() {
            return Err(Error::Count { what: "labels", expected: self.examples(), found: labels.len() });
        }
        let mut sum = 0.0;
        for (example, (row, label)) in self.rows().zip(labels).enumerate() {
            let logit = row.get(*label as usize).ok_or(Error::Label {
                what: "true label",
                example,
                classes: self.classes,
                found: *label,
            })?;
            sum += log_sum_exp(row) - f64::from(*logit);
        }
        Ok(sum / labels.len() as f64)
    }
}

/// `ln p` of each class: `z - ln Σ exp(z)`, in `f64`.
pub fn log_softmax(row: &[f32]) -> Vec<f64> {
    let norm = log_sum_exp(row);
    row.iter().map(|logit| f64::from(*logit) - norm).collect()
}

pub(super) fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, logit) in row.iter().enumerate() {
        if *logit > row[best] {
            best = class;
        }
    }
    best
}

/// The probability of the predicted class, from `1/classes` to 1.
pub(super) fn largest_probability(row: &[f32]) -> f64 {
    let (_, sum) = scaled_sum(row);
    1.0 / sum
}

/// `ln Σ exp(z)`.
fn log_sum_exp(row: &[f32]) -> f64 {
    let (largest, sum) = scaled_sum(row);
    largest + sum.ln()
}

/// The largest logit and `Σ exp(z - largest)`, which is at least 1 and cannot overflow.
fn scaled_sum(row: &[f32]) -> (f64, f64) {
    let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    (largest, row.iter().map(|logit| (f64::from(*logit) - largest).exp()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_the_one_of_scipy() {
        // z = [[2,-1,.5], [.125,.25,.375], [-3,4,1], [1.5,1.25,-.75], [80,-90,0], [0,0,0]]; y = [0,1,1,2,0,2];
        // python: -scipy.special.log_softmax(z, axis=1)[range(6), y].mean()
        let z = [
            2.0, -1.0, 0.5, 0.125, 0.25, 0.375, -3.0, 4.0, 1.0, 1.5, 1.25, -0.75, 80.0, -90.0, 0.0, 0.0, 0.0,
            0.0,
        ];
        let loss = Logits::new(&z, 3).unwrap().cross_entropy(&[0, 1, 1, 2, 0, 2]).unwrap();
        assert!((loss - 0.8961160637145915).abs() < 1e-14, "{loss}");
    }

    #[test]
    fn equal_logits_lose_the_logarithm_of_the_classes() {
        for level in [0.0, 1e30, -1e30] {
            let loss = Logits::new(&[level; 10], 5).unwrap().cross_entropy(&[0, 4]).unwrap();
            // The level costs its own rounding; at zero the result is exact to the last digits.
            let tolerance = 1e-15 + f64::from(level).abs() * 1e-15;
            assert!((loss - 5f64.ln()).abs() <= tolerance, "{level}: {loss}");
        }
    }

    #[test]
    fn huge_logits_neither_overflow_nor_lose_their_loss() {
        let loss = Logits::new(&[3e38, -3e38], 2).unwrap().cross_entropy(&[1]).unwrap();
        assert!((loss / 6e38 - 1.0).abs() < 1e-6, "{loss}");
    }

    #[test]
    fn probabilities_sum_to_one() {
        let sum: f64 = log_softmax(&[700.0, 1.0, -800.0, 699.0]).into_iter().map(f64::exp).sum();
        // Four terms, and one rounding of numbers near 700 in the exponent.
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn the_first_of_equal_logits_is_predicted() {
        let logits = [0.0, 1.0, 1.0, -1.0, -2.0, -1.0];
        assert_eq!(Logits::new(&logits, 3).unwrap().predictions(), [1, 0]);
    }

    #[test]
    fn what_cannot_be_scored_is_refused_with_its_place() {
        assert!(matches!(Logits::new(&[], 3), Err(Error::Empty)));
        assert!(matches!(Logits::new(&[1.0], 0), Err(Error::Empty)));
        assert!(matches!(Logits::new(&[1.0; 7], 3), Err(Error::Count { expected: 9, found: 7, .. })));
        let nan = Logits::new(&[0.0, 0.0, 0.0, f32::NAN], 2);
        assert!(matches!(nan, Err(Error::NotFinite { example: 1, class: 1, .. })));
        let logits = Logits::new(&[0.0; 4], 2).unwrap();
        assert!(matches!(logits.cross_entropy(&[0]), Err(Error::Count { expected: 2, found: 1, .. })));
        assert!(matches!(logits.cross_entropy(&[0, 2]), Err(Error::Label { example: 1, found: 2, .. })));
    }
}
