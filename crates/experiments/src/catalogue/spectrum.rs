//! Largest eigenvalues and singular values, and where random matrix theory expects them.

/// Steps of the Lanczos iteration: its error falls as `e^{−4 k √gap}`, and edges of random spectra have relative gaps
/// of about `n^{−2/3}`, 0.02 at 512.
const STEPS: usize = 80;

/// Largest eigenvalue of a symmetric positive map of dimension `n`, given by `apply(v, out)`: Lanczos with full
/// reorthogonalization.
///
/// Source: Golub & Van Loan, "Matrix Computations", section 10.1.
pub fn largest_eigenvalue(n: usize, mut apply: impl FnMut(&[f64], &mut [f64])) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    // Any fixed vector that no eigenvector is likely to be orthogonal to.
    let mut v: Vec<f64> = (0..n).map(|i| 1.0 + libm::cos(1.7 * (i * i) as f64)).collect();
    let mut basis: Vec<Vec<f64>> = vec![];
    let (mut diagonal, mut beside) = (vec![], vec![]);
    let mut out = vec![0.0; n];
    let mut scale = 0.0f64;
    for _ in 0..STEPS.min(n) {
        let length = dot(&v, &v).sqrt();
        // What is left is rounding: the space is exhausted.
        if length <= 1e-12 * scale || length == 0.0 {
            break;
        }
        if !basis.is_empty() {
            beside.push(length);
        }
        v.iter_mut().for_each(|x| *x /= length);
        apply(&v, &mut out);
        diagonal.push(dot(&v, &out));
        scale = scale.max(dot(&out, &out).sqrt());
        basis.push(std::mem::replace(&mut v, out.clone()));
        for _ in 0..2 {
            for b in &basis {
                let along = dot(b, &v);
                v.iter_mut().zip(b).for_each(|(x, b)| *x -= along * b);
            }
        }
    }
    largest_of_tridiagonal(&diagonal, &beside)
}

/// Largest eigenvalue of a symmetric tridiagonal matrix, by bisection on the count of negative pivots.
fn largest_of_tridiagonal(diagonal: &[f64], beside: &[f64]) -> f64 {
    let radius = |i: usize| {
        let side = |j: Option<usize>| j.and_then(|j| beside.get(j)).map_or(0.0, |b| b.abs());
        side(i.checked_sub(1)) + side(Some(i))
    };
    let ends = |sign: f64| diagonal.iter().enumerate().map(move |(i, d)| d + sign * radius(i));
    let (mut low, mut high) =
        (ends(-1.0).fold(f64::INFINITY, f64::min), ends(1.0).fold(f64::NEG_INFINITY, f64::max));
    // All eigenvalues lie below x if and only if every pivot of T − x is negative.
    let all_below = |x: f64| {
        let mut pivot = 0.0;
        diagonal.iter().enumerate().all(|(i, d)| {
            let carried = if i == 0 { 0.0 } else { beside[i - 1] * beside[i - 1] / pivot };
            pivot = d - x - carried;
            pivot < 0.0
        })
    };
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if all_below(middle) { high = middle } else { low = middle }
    }
    high
}

/// `E[φ φᵀ]` of rows of `width` values, `(width, width)`.
pub fn second_moments(rows: &[f32], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0; width * width];
    let mut wide = vec![0.0; width];
    for row in rows.chunks_exact(width) {
        wide.iter_mut().zip(row).for_each(|(w, v)| *w = f64::from(*v));
        for (a, line) in wide.iter().zip(sums.chunks_exact_mut(width)) {
            line.iter_mut().zip(&wide).for_each(|(s, b)| *s += a * b);
        }
    }
    let count = (rows.len() / width).max(1) as f64;
    sums.iter_mut().for_each(|s| *s /= count);
    sums
}

/// `out = matrix · v` for a square matrix.
pub fn times(matrix: &[f64], v: &[f64], out: &mut [f64]) {
    for (o, line) in out.iter_mut().zip(matrix.chunks_exact(v.len())) {
        // Eight sums side by side, which the compiler keeps in vector registers.
        let mut lanes = [0.0; 8];
        let (lines, values) = (line.chunks_exact(8), v.chunks_exact(8));
        let rest: f64 = lines.remainder().iter().zip(values.remainder()).map(|(a, b)| a * b).sum();
        for (a, b) in lines.zip(values) {
            for j in 0..8 {
                lanes[j] += a[j] * b[j];
            }
        }
        *o = lanes.iter().sum::<f64>() + rest;
    }
}

/// Largest eigenvalue of a symmetric positive matrix `(n, n)`.
pub fn largest_of(matrix: &[f64], n: usize) -> f64 {
    largest_eigenvalue(n, |v, out| times(matrix, v, out))
}

/// Largest singular value of `matrix (rows, columns)`.
pub fn spectral_norm(matrix: &[f32], columns: usize) -> f64 {
    let wide: Vec<f64> = matrix.iter().map(|v| f64::from(*v)).collect();
    let rows = wide.len() / columns;
    let mut image = vec![0.0; rows];
    let top = largest_eigenvalue(columns, |v, out| {
        times(&wide, v, &mut image);
        out.fill(0.0);
        for (a, line) in image.iter().zip(wide.chunks_exact(columns)) {
            out.iter_mut().zip(line).for_each(|(o, w)| *o += a * w);
        }
    });
    top.sqrt()
}

/// Mean of the largest eigenvalue of `AᵀA` for an `n × p` matrix `A` of independent standard normals: the edge
/// `(√n + √p)²` with its correction for finite sizes, `−1.2065` times the width of the edge's fluctuations.
///
/// Source: Johnstone 2001, theorem 1.1; the mean of the Tracy–Widom law of order 1 from Bejan 2005, table 2.
pub fn wishart_edge(n: usize, p: usize) -> f64 {
    let (a, b) = ((n.max(p) as f64 - 1.0).sqrt(), (n.min(p) as f64).sqrt());
    if a == 0.0 {
        return 1.0;
    }
    (a + b).powi(2) - 1.206_533_6 * (a + b) * (1.0 / a + 1.0 / b).cbrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    #[test]
    fn eigenvalues_known_beforehand_are_found() {
        // Second differences on n points: 2 − 2 cos(kπ/(n+1)), the largest at k = n.
        let n = 60;
        let mut matrix = vec![0.0; n * n];
        for i in 0..n {
            matrix[i * n + i] = 2.0;
            if i + 1 < n {
                matrix[i * n + i + 1] = -1.0;
                matrix[(i + 1) * n + i] = -1.0;
            }
        }
        let expected = 2.0 - 2.0 * (n as f64 * std::f64::consts::PI / (n as f64 + 1.0)).cos();
        assert!((largest_of(&matrix, n) - expected).abs() < 1e-9);
        // A rank of one ends the iteration early: (3, 4)ᵀ(3, 4) has the eigenvalue 25, the norm of the row is 5.
        assert!((largest_of(&[9.0, 12.0, 12.0, 16.0], 2) - 25.0).abs() < 1e-9);
        assert!((spectral_norm(&[3.0, 4.0], 2) - 5.0).abs() < 1e-9);
        assert!((spectral_norm(&[0.0; 6], 2)).abs() < 1e-12);
        // Rows (1, 0) and (0, 2): moments ½ and 2 on the diagonal.
        assert_eq!(second_moments(&[1.0, 0.0, 0.0, 2.0], 2), [0.5, 0.0, 0.0, 2.0]);
    }

    #[test]
    fn the_edge_is_that_of_drawn_matrices() {
        // The law's standard deviation is 1.268 widths of the edge, 0.018 of 150 here: ten draws err by 0.006 of it.
        let (n, p) = (90, 40);
        let mut stream = Seed(4).stream("edge");
        let tops: Vec<f64> = (0..10)
            .map(|_| {
                let a: Vec<f32> = (0..n * p).map(|_| stream.normal() as f32).collect();
                spectral_norm(&a, p).powi(2)
            })
            .collect();
        let mean = tops.iter().sum::<f64>() / 10.0;
        assert!((mean / wishart_edge(n, p) - 1.0).abs() < 0.04, "{mean} {}", wishart_edge(n, p));
    }
}
