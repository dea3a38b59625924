//! The temperature at which probabilities are as sure as they should be.

use super::logits::log_softmax;
use super::{Error, Logits, Result};

/// Inverse temperatures within which the best one is looked for.
const RANGE: (f64, f64) = (1.0 / 64.0, 64.0);
/// Halvings of the range in logarithms: `ln(64²)·2⁻⁴⁰ < 1e-11` is left of it.
const HALVINGS: usize = 40;

impl Logits<'_> {
    /// The temperature `T` for which `softmax(z/T)` has the least cross-entropy on these labels; `None` if it lies beyond 1/64 and 64,
    /// as it does where every example is labelled right, or where logits say nothing.
    ///
    /// The loss is convex in `1/T`, and its slope there is the mean of `E_p[z] − z_true`.
    /// Source: Guo et al. 2017, "On calibration of modern neural networks", §4.2.
    ///
    /// # Errors
    /// As [`Logits::cross_entropy`].
    pub fn temperature(&self, labels: &[u32]) -> Result<Option<f64>> {
        self.cross_entropy(labels)?;
        let slope = |inverse: f64| -> f64 {
            let of = |(row, &label): (&[f32], &u32)| {
                let scaled: Vec<f32> = row.iter().map(|&z| (f64::from(z) * inverse) as f32).collect();
                let p = log_softmax(&scaled).into_iter().map(f64::exp);
                p.zip(row).map(|(p, &z)| p * f64::from(z)).sum::<f64>() - f64::from(row[label as usize])
            };
            self.rows().zip(labels).map(of).sum()
        };
        let (mut low, mut high) = RANGE;
        if slope(low) >= 0.0 || slope(high) <= 0.0 {
            return Ok(None);
        }
        for _ in 0..HALVINGS {
            let middle = (low * high).sqrt();
            if slope(middle) < 0.0 {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(Some(1.0 / (low * high).sqrt()))
    }
}

/// The logits divided by a temperature.
///
/// # Errors
/// [`Error::Temperature`] for one that is not positive and finite.
pub fn cooled(logits: &[f32], temperature: f64) -> Result<Vec<f32>> {
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::Temperature { found: temperature });
    }
    Ok(logits.iter().map(|&z| (f64::from(z) / temperature) as f32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits `(±level, 0)` of which a share is right: the best probability of the sure class is that share.
    fn sure(level: f32, right: usize, wrong: usize) -> (Vec<f32>, Vec<u32>) {
        let count = right + wrong;
        let labels = (0..count).map(|i| u32::from(i >= right)).collect();
        ((0..count).flat_map(|_| [level, 0.0]).collect(), labels)
    }

    #[test]
    fn the_temperature_is_the_one_of_the_closed_form() {
        // σ(level/T) = right/count, so T = level / ln(right/wrong).
        for (level, right, wrong) in [(4.0, 9, 1), (0.5, 3, 1), (10.0, 55, 45)] {
            let (z, labels) = sure(level, right, wrong);
            let found = Logits::new(&z, 2).unwrap().temperature(&labels).unwrap().unwrap();
            let expected = f64::from(level) / (right as f64 / wrong as f64).ln();
            // Scaled logits are rounded to 24 bits.
            assert!((found / expected - 1.0).abs() < 1e-5, "{found}, {expected}");
        }
    }

    #[test]
    fn there_is_none_where_all_is_right_or_nothing_known() {
        for (level, right, wrong) in [(3.0, 10, 0), (3.0, 1, 1), (3.0, 1, 9), (0.0, 3, 1)] {
            let (z, labels) = sure(level, right, wrong);
            assert_eq!(Logits::new(&z, 2).unwrap().temperature(&labels).unwrap(), None, "{right}, {wrong}");
        }
    }

    #[test]
    fn the_loss_is_least_there() {
        let z: Vec<f32> = (0..600).map(|i| ((i * 7919) % 211) as f32 / 21.0).collect();
        // The largest logit is right three times of four: less often than logits of this size claim.
        let guesses = Logits::new(&z, 3).unwrap().predictions();
        let wrong_at = |i: usize| u32::from(i.is_multiple_of(4));
        let labels: Vec<u32> =
            guesses.iter().enumerate().map(|(i, guess)| (guess + wrong_at(i)) % 3).collect();
        let best = Logits::new(&z, 3).unwrap().temperature(&labels).unwrap().unwrap();
        let loss = |t: f64| Logits::new(&cooled(&z, t).unwrap(), 3).unwrap().cross_entropy(&labels).unwrap();
        assert!([0.5, 0.9, 1.1, 2.0].into_iter().all(|factor| loss(best) < loss(best * factor)), "{best}");
    }

    #[test]
    fn a_temperature_that_is_none_is_refused() {
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(cooled(&[1.0], wrong), Err(Error::Temperature { .. })), "{wrong}");
        }
    }
}
