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

    /// Multiplies one row by the mask of place (`row`, `group`).
    pub(crate) fn apply_row(&self, x: &mut [f32], row: u32, group: u32) {
        let keep = (1.0 / (1.0 - self.p)) as f32;
        // A uniform 32-bit word is below this with probability p to within 2⁻³².
        let threshold = (self.p * 4_294_967_296.0) as u32;
        for (block, four) in x.chunks_mut(4).enumerate() {
            let words = philox4x32_10(self.key, [block as u32, row, group, self.step]);
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
