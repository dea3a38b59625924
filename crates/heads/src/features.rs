//! What a backbone really hands to its head.

use serde::{Deserialize, Serialize};
use xexp_kernels::sum_of_squares;

/// Features of some examples, `(rows, width)`.
pub struct Features {
    /// The values, row after row.
    pub values: Vec<f32>,
    /// Width of a row.
    pub width: usize,
}

/// Moments of features over examples and coordinates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Moments {
    /// Number of examples.
    pub examples: usize,
    /// Width of the features.
    pub width: usize,
    /// Mean over examples and coordinates.
    pub mean: f64,
    /// Mean over coordinates of the variance over examples.
    pub variance: f64,
    /// `E[φ²]` over examples and coordinates: what sets the logits' scale.
    pub second_moment: f64,
    /// Share of `E‖φ‖²` that lies in the mean vector, `‖E φ‖² / E‖φ‖²`: the part of the logits that is the same
    /// for every example.
    pub mean_share: f64,
}

impl Moments {
    /// Of `values (rows, width)`.
    pub fn of(values: &[f32], width: usize) -> Self {
        let rows = values.len() / width.max(1);
        let n = (rows as f64).max(1.0);
        let mut sums = vec![0f64; width];
        for row in values.chunks_exact(width.max(1)) {
            sums.iter_mut().zip(row).for_each(|(s, v)| *s += f64::from(*v));
        }
        let energy = sum_of_squares(values) / n;
        let common: f64 = sums.iter().map(|s| (s / n) * (s / n)).sum();
        Moments {
            examples: rows,
            width,
            mean: sums.iter().sum::<f64>() / (n * width.max(1) as f64),
            variance: (energy - common) / width.max(1) as f64,
            second_moment: energy / width.max(1) as f64,
            mean_share: if energy > 0.0 { common / energy } else { 0.0 },
        }
    }

    /// What the document says of a pretrained backbone's features: zero mean and unit variance, here within a
    /// tenth each.
    pub fn is_standard(&self) -> bool {
        self.mean.abs() < 0.1 && (self.variance - 1.0).abs() < 0.1 && self.mean_share < 0.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_of_a_small_table_are_those_by_hand() {
        // Columns (1, 3) and (2, 2): means 2 and 2, variances 1 and 0, E‖φ‖² = (5 + 13)/2 = 9, ‖μ‖² = 8.
        let m = Moments::of(&[1.0, 2.0, 3.0, 2.0], 2);
        assert_eq!((m.examples, m.mean, m.variance, m.second_moment), (2, 2.0, 0.5, 4.5));
        assert!((m.mean_share - 8.0 / 9.0).abs() < 1e-12);
        assert!(!m.is_standard());
    }
}
