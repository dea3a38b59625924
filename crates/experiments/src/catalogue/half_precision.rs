//! What storing a normal variable in a 16-bit format does to it, in closed form.

use core::f64::consts::{FRAC_1_SQRT_2, PI};

/// A binary floating point format with gradual underflow, or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    /// Bits of the fraction.
    pub fraction: i32,
    /// Exponent of the smallest normal number.
    pub least: i32,
    /// Exponent of the largest number.
    pub most: i32,
    /// Whether results below the smallest normal number become zero.
    pub flush: bool,
}

/// `P(|z| < x)` for `z ~ N(0, 1)`.
fn within(x: f64) -> f64 {
    libm::erf(x * FRAC_1_SQRT_2)
}

/// `E[z²; |z| < x]` for `z ~ N(0, 1)`.
fn square_within(x: f64) -> f64 {
    // The two terms cancel at small x, where the integral is √(2/π) x³/3.
    if x < 1e-4 {
        return (2.0 / PI).sqrt() * x.powi(3) / 3.0;
    }
    within(x) - (2.0 / PI).sqrt() * x * libm::exp(-0.5 * x * x)
}

impl Format {
    /// IEEE binary16. Source: IEEE 754-2019, table 3.5.
    pub const F16: Format = Format { fraction: 10, least: -14, most: 15, flush: false };

    /// bfloat16: the upper half of a binary32.
    pub const BF16: Format = Format { fraction: 7, least: -126, most: 127, flush: false };

    /// The smallest normal number.
    pub fn least_normal(self) -> f64 {
        2.0f64.powi(self.least)
    }

    /// Distance between subnormal numbers: the smallest number above zero.
    fn quantum(self) -> f64 {
        2.0f64.powi(self.least - self.fraction)
    }

    /// Share of N(0, std²) that is stored as infinite: beyond half a step above the largest number, 65 520 for FP16.
    pub fn overflow(self, std: f64) -> f64 {
        let bound = 2.0f64.powi(self.most + 1) * (1.0 - 2.0f64.powi(-self.fraction - 2));
        libm::erfc(bound / std * FRAC_1_SQRT_2)
    }

    /// Share whose rounded value lies below the smallest normal number, zeros among them.
    pub fn below_normal(self, std: f64) -> f64 {
        within((self.least_normal() - 0.5 * self.quantum()) / std)
    }

    /// Share that is stored as zero.
    pub fn zero(self, std: f64) -> f64 {
        if self.flush { self.below_normal(std) } else { within(0.5 * self.quantum() / std) }
    }

    /// Root mean square of `stored − x` for `x ~ N(0, std²)`, relative to `std`, where nothing overflows.
    ///
    /// In a binade of step `h` the error is uniform, `h²/12`: the density varies over `std`, far more than a step,
    /// except among subnormal numbers near zero. Those are summed one by one where they are coarse.
    pub fn error(self, std: f64) -> f64 {
        let edge = (self.least_normal() - 0.5 * self.quantum()) / std;
        let h = self.quantum() / std;
        let mut square = if self.flush {
            square_within(edge)
        } else if h < 0.1 {
            within(edge) * h * h / 12.0
        } else {
            self.coarse(h)
        };
        for exponent in self.least..=self.most {
            let from = 2.0f64.powi(exponent) / std;
            // Nothing of weight lies beyond ten standard deviations.
            if from > 10.0 {
                break;
            }
            let step = from * 2.0f64.powi(-self.fraction);
            square += (within(2.0 * from) - within(from)) * step * step / 12.0;
        }
        square.sqrt()
    }

    /// `E[(k h − z)²]` over the cells of the subnormal grid of step `h`, in standard deviations.
    fn coarse(self, h: f64) -> f64 {
        let mut square = square_within(0.5 * h);
        let cells = ((10.0 / h).ceil() as i32).min(1 << self.fraction);
        let density = |z: f64| (2.0 / PI).sqrt() * libm::exp(-0.5 * z * z);
        for k in 1..=cells {
            // Simpson's rule on pieces that are short against a standard deviation.
            let from = (f64::from(k) - 0.5) * h;
            let pieces = 2 * ((h / 0.05).ceil() as i32).clamp(2, 400);
            let width = h.min(12.0) / f64::from(pieces);
            let value = |i: i32| {
                let z = from + f64::from(i) * width;
                (f64::from(k) * h - z).powi(2) * density(z)
            };
            let weight = |i: i32| if i == 0 || i == pieces { 1.0 } else { 2.0 + 2.0 * f64::from(i % 2) };
            square += (0..=pieces).map(|i| weight(i) * value(i)).sum::<f64>() * width / 3.0;
        }
        square
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::*;

    #[test]
    fn shares_are_those_of_an_independent_program() {
        for (found, expected) in [
            (Format::F16.overflow(1e5), 0.512_338_994_342_3),
            (Format::F16.overflow(1e6), 0.947_759_982_851_290_7),
            (Format::F16.zero(1e-5), 0.002_377_877_770_954_439_6),
            (Format::F16.zero(1e-8), 0.997_119_700_756_36),
            (Format { flush: true, ..Format::F16 }.zero(1e-5), 0.999_999_998_962_395_8),
            // 2⁻²⁴/(√12·1e-5), and measured where the step is coarser than the scale.
            (Format::F16.error(1e-5), 0.001_720_637_885),
        ] {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found} against {expected}");
        }
        // Measured at width 512, where the scale varies from input to input by 2L/n = 3 %.
        assert!((Format::F16.error(1e-8) - 0.9938).abs() < 2e-3);
    }

    #[test]
    fn errors_are_those_of_the_half_crate_on_a_dense_grid() {
        // The midpoint rule over ±8 standard deviations, at a spacing that no step's multiple is near to.
        for (format, store) in [
            (Format::F16, (|x| f16::from_f64(x).to_f64()) as fn(f64) -> f64),
            (Format::BF16, |x| bf16::from_f64(x).to_f64()),
        ] {
            for std in [1.0, 1e-3, 3e-7, 2e-8] {
                let cells = 1_000_003;
                let h = 16.0 / f64::from(cells);
                let term = |i: i32| {
                    let z = -8.0 + (f64::from(i) + 0.5) * h;
                    ((store(std * z) - std * z) / std).powi(2) * libm::exp(-0.5 * z * z) / (2.0 * PI).sqrt()
                };
                let dense = ((0..cells).map(term).sum::<f64>() * h).sqrt();
                let found = format.error(std);
                assert!((found / dense - 1.0).abs() < 1e-3, "{format:?} {std}: {found} against {dense}");
            }
        }
    }
}
