//! Two images and their labels in one: mixup and cutmix.
//!
//! Sources: Zhang et al. 2018, eq. 1 (mixup); Yun et al. 2019, §3.1 (cutmix).

use std::sync::Arc;
use xexp_backbones::layers::ImageShape;
use xexp_init::Stream;

/// How images are mixed. The share of the first comes from Beta(α, α), which is even for α = 1 and lets one image
/// prevail for less.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mixing {
    /// α of mixup: every value is the mean of both images, weighted by the share. 0 switches it off.
    pub mixup: f64,
    /// α of cutmix: a piece of one image lies in the other, so large as the share says. 0 switches it off.
    pub cutmix: f64,
}

/// An image out of two, and what the first has to say in its label.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// The values, `(channels, height, width)`.
    pub pixels: Arc<[f32]>,
    /// Share of the first image; that of the second is what is left.
    pub share: f64,
}

impl Mixing {
    /// Whether nothing is mixed.
    pub fn is_none(&self) -> bool {
        *self == Mixing::default()
    }

    /// Mixes the second image into the first, as `stream` has it; of both kinds, if both are on, one as often as the
    /// other.
    pub fn apply(&self, first: &Arc<[f32]>, second: &[f32], shape: ImageShape, stream: &mut Stream) -> Mixed {
        let cut = match (self.mixup > 0.0, self.cutmix > 0.0) {
            (false, false) => return Mixed { pixels: first.clone(), share: 1.0 },
            (mixup, cutmix) => cutmix && (!mixup || stream.uniform() < 0.5),
        };
        let share = beta(if cut { self.cutmix } else { self.mixup }, stream);
        if cut { patched(first, second, share, shape.size, stream) } else { blended(first, second, share) }
    }
}

fn blended(first: &[f32], second: &[f32], share: f64) -> Mixed {
    let of_both = |(&a, &b): (&f32, &f32)| (f64::from(a) * share + f64::from(b) * (1.0 - share)) as f32;
    Mixed { pixels: first.iter().zip(second).map(of_both).collect(), share }
}

/// A rectangle of the image's proportions around a point drawn evenly, cut off at the edges; the share is that of what
/// is left of the first image.
fn patched(first: &[f32], second: &[f32], share: f64, size: usize, stream: &mut Stream) -> Mixed {
    let edge = (size as f64 * (1.0 - share).sqrt()) as usize;
    let mut side = || {
        let centre = stream.below(size as u64) as usize;
        (centre.saturating_sub(edge / 2), (centre + edge - edge / 2).min(size))
    };
    let ((top, bottom), (left, right)) = (side(), side());
    let mut pixels = first.to_vec();
    for (plane, other) in pixels.chunks_exact_mut(size * size).zip(second.chunks_exact(size * size)) {
        for y in top..bottom {
            let row = y * size + left..y * size + right;
            plane[row.clone()].copy_from_slice(&other[row]);
        }
    }
    let area = ((bottom - top) * (right - left)) as f64;
    Mixed { pixels: pixels.into(), share: 1.0 - area / (size * size) as f64 }
}

/// A value of Beta(α, α), as the share of one of two values of a gamma law.
fn beta(alpha: f64, stream: &mut Stream) -> f64 {
    let (a, b) = (gamma(alpha, stream), gamma(alpha, stream));
    // Both vanish only where α is so small that either image prevails.
    if a + b > 0.0 { a / (a + b) } else { f64::from(u8::from(stream.uniform() < 0.5)) }
}

/// A value of Gamma(α, 1).
///
/// Source: Marsaglia and Tsang 2000, §6 (the loop) and §8 (α below one).
fn gamma(alpha: f64, stream: &mut Stream) -> f64 {
    if alpha < 1.0 {
        let larger = gamma(alpha + 1.0, stream);
        return larger * libm::pow(stream.uniform(), 1.0 / alpha);
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = stream.normal();
        let v = 1.0 + c * x;
        let v = v * v * v;
        let u = stream.uniform();
        if v > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_backbones::Seed;

    const SHAPE: ImageShape = ImageShape { channels: 2, size: 8, tokens: 5 };

    fn images() -> (Arc<[f32]>, Vec<f32>) {
        (vec![1.0; 128].into(), vec![3.0; 128])
    }

    #[test]
    fn shares_follow_the_beta_law() {
        for alpha in [0.2, 1.0, 2.5] {
            let mut stream = Seed(1).stream("beta");
            let shares: Vec<f64> = (0..20_000).map(|_| beta(alpha, &mut stream)).collect();
            let mean = shares.iter().sum::<f64>() / 2e4;
            let variance = shares.iter().map(|s| (s - 0.5).powi(2)).sum::<f64>() / 2e4;
            // Beta(α, α) has mean 1/2 and variance 1/(4(2α + 1)), at most 0.18; six standard errors of either.
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((mean - 0.5).abs() < 6.0 * (expected / 2e4).sqrt(), "{alpha}: {mean}");
            assert!((variance - expected).abs() < 6.0 * 0.12 / 2e4f64.sqrt(), "{alpha}: {variance}");
        }
    }

    #[test]
    fn the_share_is_that_of_the_values_that_come_from_the_first() {
        let (first, second) = images();
        for mixing in [Mixing { mixup: 0.4, cutmix: 0.0 }, Mixing { mixup: 0.0, cutmix: 1.0 }] {
            let mut stream = Seed(2).stream("mix");
            for _ in 0..200 {
                let mixed = mixing.apply(&first, &second, SHAPE, &mut stream);
                let mean = mixed.pixels.iter().map(|&v| f64::from(v)).sum::<f64>() / 128.0;
                // Values 1 and 3: the mean tells the share; f32 rounds it at 3 · 2⁻²⁴.
                assert!((mean - (3.0 - 2.0 * mixed.share)).abs() < 1e-6, "{mean} {}", mixed.share);
                assert!((0.0..=1.0).contains(&mixed.share));
            }
        }
    }

    #[test]
    fn both_kinds_take_turns_and_none_changes_nothing() {
        let (first, second) = images();
        let mut stream = Seed(3).stream("mix");
        let nothing = Mixing::default();
        assert!(nothing.is_none());
        assert_eq!(
            nothing.apply(&first, &second, SHAPE, &mut stream),
            Mixed { pixels: first.clone(), share: 1.0 }
        );
        let both = Mixing { mixup: 1.0, cutmix: 1.0 };
        let cut = (0..400)
            .filter(|_| {
                both.apply(&first, &second, SHAPE, &mut stream).pixels.iter().all(|v| v.fract() == 0.0)
            })
            .count();
        // A binomial count: six standard deviations are 60.
        assert!(cut.abs_diff(200) < 60, "{cut}");
    }
}
