//! Sums whose order is fixed, whatever the number of threads.

use crate::wide::widest;
use rayon::prelude::*;
use std::ops::Range;

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
    let mut sum = folded(lanes, |a, b| a + b);
    for (j, &v) in rest.iter().enumerate() {
        sum += f(done + j, v);
    }
    sum
}

/// Sixteen values made one, half of them with the other half each time: no long chain of operations that wait for each other.
#[inline(always)]
pub(crate) fn folded(lanes: [f32; 16], together: impl Fn(f32, f32) -> f32) -> f32 {
    let eight: [f32; 8] = std::array::from_fn(|j| together(lanes[j], lanes[j + 8]));
    let four: [f32; 4] = std::array::from_fn(|j| together(eight[j], eight[j + 4]));
    together(together(four[0], four[2]), together(four[1], four[3]))
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
    sum_of_squares_where(x, |_| true)
}

/// [`sum_of_squares`], to the bit, of values that are all zero wherever `some` denies that a range holds others: these are
/// not read.
pub fn sum_of_squares_where(x: &[f32], some: impl Fn(Range<usize>) -> bool + Sync) -> f64 {
    let parts: Vec<f64> = x
        .par_chunks(CHUNK)
        .enumerate()
        .filter(|(turn, chunk)| some(turn * CHUNK..turn * CHUNK + chunk.len()))
        .map(|(_, chunk)| {
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

    #[test]
    fn zeros_that_are_not_read_change_no_bit() {
        // Three chunks of thirds, zeros between them.
        let full = |i: usize| (i / CHUNK).is_multiple_of(2);
        let x: Vec<f32> =
            (0..5 * CHUNK - 7).map(|i| if full(i) { 1.0 / (i % 9 + 3) as f32 } else { 0.0 }).collect();
        assert_eq!(sum_of_squares_where(&x, |range| full(range.start)), sum_of_squares(&x));
        assert!(sum_of_squares_where(&x, |range| range.start == 0) < sum_of_squares(&x));
    }
}
