//! Sums whose order is fixed, whatever the number of threads.

use crate::wide::widest;
use rayon::prelude::*;

/// Elements a task of an element-wise pass takes.
pub(crate) const CHUNK: usize = 1 << 14;

/// Sum of `f(i, a[i])` in sixteen interleaved lanes, which the compiler keeps in one vector register.
#[inline(always)]
pub(crate) fn lane_sum(a: &[f32], mut f: impl FnMut(usize, f32) -> f32) -> f32 {
    let mut lanes = [0f32; 16];
    let chunks = a.chunks_exact(16);
    let rest = chunks.remainder();
    let done = a.len() - rest.len();
    for (c, chunk) in chunks.enumerate() {
        for j in 0..16 {
            lanes[j] += f(c * 16 + j, chunk[j]);
        }
    }
    let mut sum: f32 = lanes.iter().sum();
    for (j, &v) in rest.iter().enumerate() {
        sum += f(done + j, v);
    }
    sum
}

/// Adds the sum over rows of `x`, shape `(rows, width)`, to `sums`, shape `(width)`: the gradient of a bias.
pub fn column_sums(x: &[f32], sums: &mut [f32]) {
    let width = sums.len();
    if width == 0 {
        return;
    }
    // 128 rows a part: the parts are fixed by the shape, so the order of additions is too.
    let parts: Vec<Vec<f32>> = x
        .par_chunks(width * 128)
        .map(|rows| {
            let mut part = vec![0f32; width];
            add_rows(&mut part, rows);
            part
        })
        .collect();
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(s, v)| *s += v);
    }
}

widest! {
    /// Adds rows to their sum.
    fn add_rows(sum: &mut [f32], rows: &[f32]) = rows_added;
    /// `Σ x²` of a chunk, in eight interleaved lanes.
    fn squares(x: &[f32], lanes: &mut [f64; 8]) = squared;
}

#[inline(always)]
fn rows_added(sum: &mut [f32], rows: &[f32]) {
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(s, v)| *s += v);
    }
}

#[inline(always)]
fn squared(x: &[f32], lanes: &mut [f64; 8]) {
    for piece in x.chunks_exact(8) {
        for j in 0..8 {
            lanes[j] += f64::from(piece[j]) * f64::from(piece[j]);
        }
    }
}

/// `Σ x²` in double precision: for gradient norms and moments.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let parts: Vec<f64> = x
        .par_chunks(CHUNK)
        .map(|chunk| {
            let mut lanes = [0f64; 8];
            let rest = chunk.chunks_exact(8).remainder();
            let rest: f64 = rest.iter().map(|&v| f64::from(v) * f64::from(v)).sum();
            squares(chunk, &mut lanes);
            lanes.iter().sum::<f64>() + rest
        })
        .collect();
    parts.iter().sum()
}

/// `x *= factor`.
pub fn scale(x: &mut [f32], factor: f32) {
    x.par_chunks_mut(CHUNK).for_each(|chunk| chunk.iter_mut().for_each(|v| *v *= factor));
}

/// `x += y`.
pub fn add(x: &mut [f32], y: &[f32]) {
    x.par_chunks_mut(CHUNK)
        .zip(y.par_chunks(CHUNK))
        .for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(a, b)| *a += b));
}

/// `y = a·x + b·y`: a weighted residual sum.
pub fn combine(x: &[f32], a: f32, y: &mut [f32], b: f32) {
    y.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y = a * x + b * *y));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_sums_add_to_what_is_there() {
        let x: Vec<f32> = (0..600).map(|v| (v % 7) as f32).collect();
        let mut sums = vec![1.0, 2.0, 3.0];
        column_sums(&x, &mut sums);
        for (c, sum) in sums.iter().enumerate() {
            // Small whole numbers: exact in f32 in any order.
            let expected: usize = (0..200).map(|r| (r * 3 + c) % 7).sum::<usize>() + c + 1;
            assert_eq!(*sum, expected as f32);
        }
    }

    #[test]
    fn sum_of_squares_is_exact_on_whole_numbers() {
        let x: Vec<f32> = (0..40_003).map(|v| (v % 11) as f32).collect();
        let expected: u64 = (0..40_003u64).map(|v| (v % 11) * (v % 11)).sum();
        assert_eq!(sum_of_squares(&x), expected as f64);
    }
}
