//! Random orthogonal matrices.

use crate::Layer;
use crate::error::{Error, Result};
use crate::stream::Stream;

/// The matrices that a weight consists of, one after the other in memory: what is orthogonalised on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Blocks {
    /// Number of matrices.
    pub count: usize,
    /// Rows of each.
    pub rows: usize,
    /// Columns of each.
    pub columns: usize,
}

impl Blocks {
    /// One matrix for each group of a convolution and each gate of a recurrent layer; they share no input-output pair
    /// or no output, so that orthogonality across them means nothing, and normalising across groups starves a
    /// depthwise convolution as a fan without groups does. `None` for vectors.
    pub fn of(layer: &Layer) -> Option<Self> {
        layer.check().ok()?;
        let shape = layer.shape();
        let count = match layer {
            Layer::Conv { groups, .. } | Layer::TransposedConv { groups, .. } => *groups,
            Layer::Recurrent { gates, .. } => *gates,
            Layer::Linear { .. } | Layer::Transposed { .. } | Layer::Embedding { .. } => 1,
            Layer::Tokens { .. }
            | Layer::Channels { .. }
            | Layer::Statistic { .. }
            | Layer::Count
            | Layer::Vector { .. } => return None,
        };
        let columns = shape[1..].iter().try_fold(1usize, |columns, size| columns.checked_mul(*size))?;
        Some(Self { count, rows: shape[0] / count, columns })
    }

    /// Entries of one block.
    pub fn size(self) -> usize {
        self.rows * self.columns
    }

    /// Root mean square of the entries at gain 1: the shorter side's vectors are unit vectors of the longer length.
    pub fn rms(self) -> f64 {
        1.0 / (self.rows.max(self.columns) as f64).sqrt()
    }
}

/// A `rows × columns` matrix, row-major, drawn uniformly (by Haar measure) from those whose rows are orthonormal, or
/// whose columns are where there are more rows than columns.
///
/// Gram–Schmidt on Gaussian vectors is the QR decomposition with a positive diagonal of R, which is the sign
/// convention that makes Q uniform (Mezzadri 2007) and that Saxe's and PyTorch's `orthogonal_` restore afterwards.
/// Each vector is projected twice, which keeps orthogonality at rounding level ("twice is enough").
///
/// Source: Saxe, McClelland & Ganguli 2014; Giraud, Langou & Rozložník 2005 for the second pass.
pub(crate) fn orthogonal(rows: usize, columns: usize, stream: &mut Stream) -> Result<Vec<f64>> {
    let (count, len) = (rows.min(columns), rows.max(columns));
    let mut q: Vec<f64> = Vec::new();
    q.try_reserve_exact(rows * columns).map_err(|_| Error::TooLarge { shape: vec![rows, columns] })?;
    let mut vector = vec![0.0; len];
    for _ in 0..count {
        loop {
            vector.iter_mut().for_each(|x| *x = stream.normal());
            let before = dot(&vector, &vector);
            for _ in 0..2 {
                for basis in q.chunks_exact(len) {
                    let projection = dot(basis, &vector);
                    vector.iter_mut().zip(basis).for_each(|(x, b)| *x -= projection * b);
                }
            }
            let after = dot(&vector, &vector);
            // A draw inside the span of the earlier ones has no direction left; it has probability zero in exact
            // arithmetic, and the next draw replaces it.
            if after > 1e-20 * before {
                let scale = 1.0 / after.sqrt();
                q.extend(vector.iter().map(|x| x * scale));
                break;
            }
        }
    }
    if rows <= columns {
        return Ok(q);
    }
    Ok((0..rows * columns).map(|i| q[(i % columns) * len + i / columns]).collect())
}

/// Inner product with eight partial sums, in an order of its own that no compiler flag changes.
fn dot(x: &[f64], y: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<8>(), y.as_chunks::<8>());
    for (x, y) in x.iter().zip(y) {
        for lane in 0..8 {
            sums[lane] += x[lane] * y[lane];
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn the_shorter_sides_vectors_are_orthonormal_to_rounding() {
        for (rows, columns) in [(1, 1), (5, 5), (3, 40), (40, 3), (128, 128), (100, 128)] {
            let q = orthogonal(rows, columns, &mut Seed(31).stream("orthogonal")).unwrap();
            let (count, len) = (rows.min(columns), rows.max(columns));
            let entry = |vector: usize, i: usize| {
                if rows <= columns { q[vector * columns + i] } else { q[i * columns + vector] }
            };
            for a in 0..count {
                for b in 0..=a {
                    let product: f64 = (0..len).map(|i| entry(a, i) * entry(b, i)).sum();
                    let expected = if a == b { 1.0 } else { 0.0 };
                    // Two passes leave a few ε per entry: √len·ε is 3e-15 here.
                    assert!((product - expected).abs() < 2e-14, "{rows}×{columns}: ({a}, {b}) {product}");
                }
            }
        }
    }

    #[test]
    fn the_matrix_is_drawn_without_a_preferred_sign_or_place() {
        // Haar on O(3): every entry has mean 0 and mean square 1/3, and E q⁴ = 3/(n(n+2)) = 1/5.
        let draws = 20_000;
        let mut stream = Seed(32).stream("haar");
        let (mut mean, mut square) = ([0.0; 9], [0.0; 9]);
        for _ in 0..draws {
            for (i, x) in orthogonal(3, 3, &mut stream).unwrap().into_iter().enumerate() {
                mean[i] += x / f64::from(draws);
                square[i] += x * x / f64::from(draws);
            }
        }
        let root = f64::from(draws).sqrt();
        for i in 0..9 {
            // Five standard errors: √(1/3), and √(1/5 − 1/9) for the squares.
            assert!(mean[i].abs() < 5.0 * (1.0f64 / 3.0).sqrt() / root, "mean {i} {}", mean[i]);
            assert!(
                (square[i] - 1.0 / 3.0).abs() < 5.0 * (4.0f64 / 45.0).sqrt() / root,
                "square {i} {}",
                square[i]
            );
        }
    }

    #[test]
    fn blocks_follow_groups_and_gates() {
        let conv = Layer::Conv { input: 8, output: 16, kernel: vec![3, 3], stride: vec![1, 1], groups: 4 };
        assert_eq!(Blocks::of(&conv), Some(Blocks { count: 4, rows: 4, columns: 18 }));
        let recurrent = Layer::Recurrent { input: 5, hidden: 7, gates: 4 };
        assert_eq!(Blocks::of(&recurrent), Some(Blocks { count: 4, rows: 7, columns: 5 }));
        let up = Layer::TransposedConv { input: 8, output: 6, kernel: vec![4], stride: vec![2], groups: 2 };
        assert_eq!(Blocks::of(&up), Some(Blocks { count: 2, rows: 4, columns: 12 }));
        assert_eq!(Blocks::of(&Layer::Vector { len: 3 }), None);
    }
}
