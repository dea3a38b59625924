//! Largest singular values of weights as they lie in memory, and of what queries and keys make together.

use rayon::prelude::*;
use xexp_experiments::catalogue::spectrum::{largest_eigenvalue, wishart_edge};

/// Rows that one task multiplies: the sums are cut there whatever the number of threads is.
const ROWS: usize = 128;

/// `W v` and `Wᵀ u` of a matrix `(rows, columns)` of f32, in double precision.
struct Wide<'a> {
    matrix: &'a [f32],
    columns: usize,
}

impl Wide<'_> {
    fn rows(&self) -> usize {
        self.matrix.len() / self.columns.max(1)
    }

    fn times(&self, v: &[f64], out: &mut [f64]) {
        let of_row = |row: &[f32]| row.iter().zip(v).map(|(w, v)| f64::from(*w) * v).sum::<f64>();
        let parts = self.matrix.par_chunks(ROWS * self.columns).zip(out.par_chunks_mut(ROWS));
        parts.for_each(|(rows, out)| {
            out.iter_mut().zip(rows.chunks_exact(self.columns)).for_each(|(o, row)| *o = of_row(row));
        });
    }

    fn back(&self, u: &[f64], out: &mut [f64]) {
        let parts = self.matrix.par_chunks(ROWS * self.columns).zip(u.par_chunks(ROWS));
        let sums: Vec<Vec<f64>> = parts
            .map(|(rows, u)| {
                let mut sum = vec![0.0; self.columns];
                for (row, u) in rows.chunks_exact(self.columns).zip(u) {
                    sum.iter_mut().zip(row).for_each(|(s, w)| *s += u * f64::from(*w));
                }
                sum
            })
            .collect();
        out.fill(0.0);
        for sum in sums {
            out.iter_mut().zip(&sum).for_each(|(o, s)| *o += s);
        }
    }
}

/// Largest singular value of `matrix (rows, columns)`: the root of the largest eigenvalue of `WᵀW`, by Lanczos.
pub fn norm(matrix: &[f32], columns: usize) -> f64 {
    let wide = Wide { matrix, columns };
    if wide.rows() == 0 || matrix.iter().any(|w| !w.is_finite()) {
        return f64::NAN;
    }
    let mut image = vec![0.0; wide.rows()];
    let top = largest_eigenvalue(columns, |v, out| {
        wide.times(v, &mut image);
        wide.back(&image, out);
    });
    top.max(0.0).sqrt()
}

/// Largest singular value of `QᵀK`, both `(rows, columns)`.
pub fn norm_of_pair(q: &[f32], k: &[f32], columns: usize) -> f64 {
    let (q, k) = (Wide { matrix: q, columns }, Wide { matrix: k, columns });
    if q.rows() == 0 || [q.matrix, k.matrix].iter().any(|all| all.iter().any(|w| !w.is_finite())) {
        return f64::NAN;
    }
    let (mut a, mut b) = (vec![0.0; q.rows()], vec![0.0; columns]);
    let top = largest_eigenvalue(columns, |v, out| {
        k.times(v, &mut a);
        q.back(&a, &mut b);
        q.times(&b, &mut a);
        k.back(&a, out);
    });
    top.max(0.0).sqrt()
}

/// Mean and standard deviation of the largest singular value of `rows × columns` independent values of standard deviation
/// 1: the edge of the Marchenko–Pastur law with the Tracy–Widom law's mean and its standard deviation of 1.268.
///
/// Source: Johnstone 2001, theorem 1.1; moments from Bejan 2005, table 2.
pub fn expected(rows: usize, columns: usize) -> (f64, f64) {
    let edge = wishart_edge(rows, columns);
    let (a, b) = ((rows.max(columns) as f64 - 1.0).max(1.0).sqrt(), (rows.min(columns) as f64).sqrt());
    let width = (a + b) * (1.0 / a + 1.0 / b).cbrt();
    (edge.sqrt(), 1.268 * width / (2.0 * edge.sqrt()))
}

/// The largest singular value of `QᵀK` over `√(E QQᵀ · E KKᵀ)`, for `(rows, columns)` matrices of independent values, at
/// large sizes: the edge of the free product of two Marchenko–Pastur laws of ratio `c = rows/columns`,
/// `√((1 + z)(1 + cz)²/z)` at `2cz² + cz = 1`.
///
/// The S-transform of one law is `1/(1 + cz)`, that of the product its square, and the edge lies where the derivative of
/// `(1 + z)/(z S(z)²)` vanishes. At `c = 1` it is `√(27/4)`, that of two square Gaussian matrices.
/// Source: Voiculescu 1987, theorem 2.6.
pub fn expected_of_pair(rows: usize, columns: usize) -> f64 {
    let c = rows as f64 / columns as f64;
    let z = ((c * c + 8.0 * c).sqrt() - c) / (4.0 * c);
    ((1.0 + z) * (1.0 + c * z).powi(2) / z).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    fn normal(name: &str, count: usize) -> Vec<f32> {
        let mut stream = Seed(8).stream(name);
        (0..count).map(|_| stream.normal() as f32).collect()
    }

    #[test]
    fn norms_known_beforehand_are_found() {
        // diag(3, −4) beside zeros, and a rank of one.
        assert!((norm(&[3.0, 0.0, 0.0, 0.0, -4.0, 0.0], 3) - 4.0).abs() < 1e-9);
        assert!((norm(&[1.0, 2.0, 2.0, 4.0], 2) - 5.0).abs() < 1e-6);
        // QᵀK = (1, 2)ᵀ(3, 4): √5 · 5.
        assert!((norm_of_pair(&[1.0, 2.0], &[3.0, 4.0], 2) - 5.0 * 5f64.sqrt()).abs() < 1e-6);
        assert!(norm(&[f32::NAN], 1).is_nan());
    }

    #[test]
    fn drawn_matrices_have_the_expected_norm_and_spread() {
        let (rows, columns) = (120, 60);
        let tops: Vec<f64> =
            (0..40).map(|i| norm(&normal(&format!("one {i}"), rows * columns), columns)).collect();
        let (mean, deviation) = expected(rows, columns);
        let found = tops.iter().sum::<f64>() / 40.0;
        let spread = (tops.iter().map(|t| (t - found).powi(2)).sum::<f64>() / 39.0).sqrt();
        // Forty draws: the mean errs by 0.16 deviations, the spread by an ninth of itself; the law is that of large sizes.
        assert!((found - mean).abs() < 0.7 * deviation, "{found} {mean} {deviation}");
        assert!((spread / deviation - 1.0).abs() < 0.4, "{spread} {deviation}");
    }

    #[test]
    fn drawn_pairs_have_the_edge_of_the_free_product() {
        assert!((expected_of_pair(9, 9).powi(2) - 27.0 / 4.0).abs() < 1e-12);
        for (rows, columns) in [(32, 384), (64, 256), (64, 64)] {
            let pair = |i: usize| {
                let [q, k] = ["q", "k"].map(|part| normal(&format!("{part} {i} {rows}"), rows * columns));
                norm_of_pair(&q, &k, columns)
            };
            let found = (0..8).map(pair).sum::<f64>() / 8.0 / columns as f64;
            let edge = expected_of_pair(rows, columns);
            // Finite matrices stay below the edge, by about rows^{−2/3}.
            let below = 1.0 - found / edge;
            assert!((-0.01..1.2 * (rows as f64).powf(-2.0 / 3.0)).contains(&below), "{rows}: {found} {edge}");
        }
    }
}
