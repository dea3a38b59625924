//! Inverted dropout whose mask is a function of (key, step, place), never stored.
//!
//! A kept value is multiplied by `1/(1−p)`. Source: Srivastava et al. 2014, §10 (the inverted form). The mask
//! comes from the counter-based generator, so the backward pass draws it again instead of keeping it, and a
//! resumed run draws what the uninterrupted one would have drawn.

use rayon::prelude::*;
use xexp_init::philox::philox4x32_10;

/// One layer's dropout at one step.
#[derive(Clone, Copy, Debug)]
pub struct Dropout {
    /// Probability of dropping a value, in [0, 1).
    pub p: f64,
    /// Key of the layer's stream.
    pub key: [u32; 2],
    /// Counts the forward passes of the run.
    pub step: u32,
}

impl Dropout {
    /// Multiplies each row of `x (rows, width)` by its mask, in place: the forward pass, and the backward pass too.
    pub fn apply(&self, x: &mut [f32], width: usize) {
        if self.p == 0.0 || width == 0 {
            return;
        }
        let rows = 32;
        x.par_chunks_mut(width * rows).enumerate().for_each(|(chunk, x)| {
            for (r, row) in x.chunks_exact_mut(width).enumerate() {
                self.apply_row(row, (chunk * rows + r) as u32, 0);
            }
        });
    }

    /// [`Dropout::apply`] to some rows of a matrix: row `i` of `x` is multiplied by the mask of row `rows[i]`.
    pub fn apply_at(&self, x: &mut [f32], width: usize, rows: &[usize]) {
        if self.p == 0.0 || width == 0 {
            return;
        }
        assert_eq!(x.len(), rows.len() * width, "dropout: rows");
        x.par_chunks_mut(width)
            .with_min_len(32)
            .zip(rows)
            .for_each(|(x, &row)| self.apply_row(x, row as u32, 0));
    }

    /// Multiplies the part of a row that begins at column `first` by the mask of place (`row`, `group`).
    pub(crate) fn apply_from(&self, first: usize, x: &mut [f32], row: u32, group: u32) {
        // Masks are drawn four columns at a time.
        let (whole, before) = (first / 4 * 4, first % 4);
        let split = if before == 0 { 0 } else { (4 - before).min(x.len()) };
        let (head, x) = x.split_at_mut(split);
        if !head.is_empty() {
            let mut four = [0.0; 4];
            four[before..before + split].copy_from_slice(head);
            self.apply_blocks(whole / 4, &mut four, row, group);
            head.copy_from_slice(&four[before..before + split]);
        }
        self.apply_blocks((first + split) / 4, x, row, group);
    }

    /// Multiplies one row by the mask of place (`row`, `group`).
    pub(crate) fn apply_row(&self, x: &mut [f32], row: u32, group: u32) {
        self.apply_blocks(0, x, row, group);
    }

    /// Multiplies the part of a row that begins with column `4·first`.
    fn apply_blocks(&self, first: usize, x: &mut [f32], row: u32, group: u32) {
        let keep = (1.0 / (1.0 - self.p)) as f32;
        // A uniform 32-bit word is below this with probability p to within 2⁻³².
        let threshold = (self.p * 4_294_967_296.0) as u32;
        for (block, four) in x.chunks_mut(4).enumerate() {
            let words = philox4x32_10(self.key, [(first + block) as u32, row, group, self.step]);
            for (v, word) in four.iter_mut().zip(words) {
                *v *= if word < threshold { 0.0 } else { keep };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_dropped_is_p_and_the_rest_is_scaled() {
        let (n, p) = (400_000, 0.3);
        let mut x = vec![1.0; n];
        Dropout { p, key: [1, 2], step: 3 }.apply(&mut x, 100);
        let dropped = x.iter().filter(|&&v| v == 0.0).count() as f64;
        // Five standard deviations of a binomial share.
        let sd = (n as f64 * p * (1.0 - p)).sqrt();
        assert!((dropped - p * n as f64).abs() < 5.0 * sd);
        assert!(x.iter().all(|&v| v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-6));
    }

    #[test]
    fn a_part_of_a_row_has_the_mask_of_its_place() {
        let dropout = Dropout { p: 0.5, key: [1, 2], step: 3 };
        let mut whole = vec![1.0; 37];
        dropout.apply_row(&mut whole, 5, 6);
        for (first, end) in [(0, 37), (4, 37), (1, 2), (3, 11), (6, 37), (36, 37), (5, 5)] {
            let mut part = vec![1.0; end - first];
            dropout.apply_from(first, &mut part, 5, 6);
            assert_eq!(part, whole[first..end], "columns {first}..{end}");
        }
    }

    #[test]
    fn some_rows_have_the_masks_of_their_places() {
        let dropout = Dropout { p: 0.5, key: [1, 2], step: 3 };
        let (width, rows) = (6, [0, 3, 40]);
        let mut all = vec![1.0; 41 * width];
        dropout.apply(&mut all, width);
        let mut some = vec![1.0; rows.len() * width];
        dropout.apply_at(&mut some, width, &rows);
        for (row, some) in rows.into_iter().zip(some.chunks_exact(width)) {
            assert_eq!(some, &all[row * width..(row + 1) * width], "row {row}");
        }
    }

    #[test]
    fn masks_repeat_for_the_same_place_and_differ_for_another_step_or_key() {
        let mask = |key, step| {
            let mut x = vec![1.0; 4096];
            Dropout { p: 0.5, key, step }.apply(&mut x, 64);
            x
        };
        assert_eq!(mask([1, 2], 3), mask([1, 2], 3));
        for other in [mask([1, 2], 4), mask([1, 3], 3)] {
            let same = mask([1, 2], 3).iter().zip(&other).filter(|(a, b)| a == b).count() as f64;
            // Independent fair masks agree in half the places: 2048 ± 5·32.
            assert!((same - 2048.0).abs() < 160.0);
        }
    }
}
