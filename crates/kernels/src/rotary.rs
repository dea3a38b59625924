//! Rotary position embeddings: pairs of a head's columns turned by angles that grow with the position.
//!
//! With `a = table[p]` the angles of position `p`, columns `j` and `j + half` of each head become
//! `(x_j cos a_j − x_{j+half} sin a_j, x_{j+half} cos a_j + x_j sin a_j)`; columns from `2·half` on stay. Dot products of
//! turned queries and keys depend on differences of positions alone. Source: Su et al. 2021, eq. 34, with the halves
//! paired instead of neighbours. A rotation's transpose is its inverse, so the backward pass turns back.

use rayon::prelude::*;

/// Rows a task takes.
const ROWS: usize = 32;

/// Cosines and sines of the angles of the positions 0, 1, ….
pub struct Angles {
    /// `(positions, 2 · half)`: the cosines of a position, then its sines.
    table: Vec<f32>,
    half: usize,
}

impl Angles {
    /// The angles `position · frequency`, for the positions below `count`. Products are of 32 bits, as in the models that
    /// were trained with them.
    pub fn new(frequencies: &[f32], count: usize) -> Self {
        let half = frequencies.len();
        let mut table = vec![0.0; count * 2 * half];
        table.par_chunks_mut((2 * half).max(1)).enumerate().for_each(|(position, row)| {
            let (cos, sin) = row.split_at_mut(half);
            for ((cos, sin), frequency) in cos.iter_mut().zip(sin).zip(frequencies) {
                (*sin, *cos) = (position as f32 * frequency).sin_cos();
            }
        });
        Angles { table, half }
    }

    /// Turns every head of `x (tokens, heads · head)` by the angles of its token's position, or back when `inverse`.
    ///
    /// # Panics
    /// For heads narrower than the table, or a position beyond it.
    pub fn turn(&self, x: &mut [f32], head: usize, positions: &[u32], inverse: bool) {
        let (half, tokens) = (self.half, positions.len());
        if tokens == 0 || half == 0 {
            return;
        }
        let width = x.len() / tokens;
        assert!(
            x.len() == tokens * width && width.is_multiple_of(head) && 2 * half <= head,
            "rotary: lengths"
        );
        let sign = if inverse { -1.0 } else { 1.0 };
        x.par_chunks_mut(width * ROWS).zip(positions.par_chunks(ROWS)).for_each(|(x, positions)| {
            for (row, &position) in x.chunks_exact_mut(width).zip(positions) {
                let angles = &self.table[position as usize * 2 * half..(position as usize + 1) * 2 * half];
                let (cos, sin) = angles.split_at(half);
                for head in row.chunks_exact_mut(head) {
                    let (low, high) = head[..2 * half].split_at_mut(half);
                    for j in 0..half {
                        let (a, b, s) = (low[j], high[j], sign * sin[j]);
                        (low[j], high[j]) = (a * cos[j] - b * s, b * cos[j] + a * s);
                    }
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7 + 0.3).sin()).collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    #[test]
    fn pairs_turn_as_complex_numbers_and_the_rest_stays() {
        let (frequencies, head, positions) = ([1.0f32, 0.25], 5, [0u32, 3, 40]);
        let x = wave(3 * 2 * head);
        let mut y = x.clone();
        Angles::new(&frequencies, 41).turn(&mut y, head, &positions, false);
        for (t, position) in positions.iter().enumerate() {
            for h in 0..2 {
                let at = |j: usize| t * 2 * head + h * head + j;
                for (j, frequency) in frequencies.iter().enumerate() {
                    // (a + ib) e^{iφ}, in f64; a few roundings of numbers of size one.
                    let (s, c) = (f64::from(*position) * f64::from(*frequency)).sin_cos();
                    let (a, b) = (f64::from(x[at(j)]), f64::from(x[at(j + 2)]));
                    assert!((f64::from(y[at(j)]) - (a * c - b * s)).abs() < 1e-6);
                    assert!((f64::from(y[at(j + 2)]) - (a * s + b * c)).abs() < 1e-6);
                }
                assert_eq!(y[at(4)], x[at(4)]);
            }
        }
    }

    #[test]
    fn turning_back_is_the_transpose_and_the_inverse() {
        let (head, positions) = (6, [5u32, 0, 2, 9]);
        let angles = Angles::new(&[1.0, 0.3, 0.01], 10);
        let (x, d) = (wave(4 * 12), wave(8 * 12)[4 * 12..].to_vec());
        let (mut y, mut back) = (x.clone(), d.clone());
        angles.turn(&mut y, head, &positions, false);
        angles.turn(&mut back, head, &positions, true);
        // ⟨R x, d⟩ = ⟨x, Rᵀ d⟩: 48 products of size one, each rounded to 2⁻²⁴.
        assert!((dot(&y, &d) - dot(&x, &back)).abs() < 1e-5);
        angles.turn(&mut y, head, &positions, true);
        assert!(x.iter().zip(&y).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn products_of_turned_rows_depend_on_the_distance_alone() {
        let head = 4;
        let angles = Angles::new(&[1.0, 0.1], 40);
        let (q, k) = (wave(head), wave(2 * head)[head..].to_vec());
        let score = |i: u32, j: u32| {
            let (mut q, mut k) = (q.clone(), k.clone());
            angles.turn(&mut q, head, &[i], false);
            angles.turn(&mut k, head, &[j], false);
            dot(&q, &k)
        };
        // Angles up to 40 are known to 40 · 2⁻²⁴ = 2e-6.
        assert!((score(7, 3) - score(36, 32)).abs() < 2e-5);
        assert!((score(7, 3) - score(7, 4)).abs() > 1e-2);
    }
}
