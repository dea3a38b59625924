//! Zero-mean distributions of unit variance, scaled to a weight's standard deviation.

use core::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

use crate::error::{Error, Result, demand};
use crate::stream::Stream;

/// Shape of a weight's distribution; the standard deviation comes from elsewhere and is exact for each of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Dist {
    /// Normal.
    Normal,
    /// Uniform on `±√3` standard deviations.
    Uniform,
    /// Normal, cut off on both sides, and widened so that its standard deviation *after* the cut is the one asked for.
    TruncatedNormal {
        /// Place of the cut, in standard deviations of the normal before the cut; 2 is customary.
        cut: f64,
    },
}

impl Dist {
    /// Largest magnitude of a draw, in units of its standard deviation; infinite for the normal.
    ///
    /// # Errors
    /// The cut is not positive and finite.
    pub fn bound(self) -> Result<f64> {
        match self {
            Self::Normal => Ok(f64::INFINITY),
            Self::Uniform => Ok(3.0_f64.sqrt()),
            Self::TruncatedNormal { cut } => Ok(cut / truncated_std(cut)?),
        }
    }

    /// `count` draws from `stream` as f32, the `i`-th of standard deviation `std(i)`.
    pub(crate) fn fill(
        self,
        count: usize,
        std: impl Fn(usize) -> f64,
        stream: &mut Stream,
    ) -> Result<Vec<f32>> {
        match self {
            Self::Normal => collect(count, |i| std(i) * stream.normal()),
            Self::Uniform => {
                let width = 2.0 * 3.0_f64.sqrt();
                collect(count, |i| std(i) * width * (stream.uniform() - 0.5))
            }
            Self::TruncatedNormal { cut } => {
                let unit = 1.0 / truncated_std(cut)?;
                collect(count, |i| std(i) * unit * truncated_normal(cut, stream))
            }
        }
    }
}

/// `count` values as f32; memory that cannot be had and values beyond f32 are errors.
pub(crate) fn collect(count: usize, mut value: impl FnMut(usize) -> f64) -> Result<Vec<f32>> {
    let mut values = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Error::TooLarge { shape: vec![count] })?;
    for index in 0..count {
        let value = value(index);
        let single = value as f32;
        if !single.is_finite() {
            return Err(Error::OutOfRange { index, value });
        }
        values.push(single);
    }
    Ok(values)
}

/// Standard deviation of a standard normal cut off at `±cut`.
///
/// `√(1 − 2c φ(c) / (2Φ(c) − 1))`; below `c = 1`, where the difference cancels, from the power series of
/// `∫z²φ / ∫φ`.
///
/// Source: Johnson, Kotz & Balakrishnan 1994, *Continuous Univariate Distributions* 1, section 13.10.1.
pub(crate) fn truncated_std(cut: f64) -> Result<f64> {
    demand("cut", cut, cut > 0.0 && cut.is_finite(), "a positive number of standard deviations")?;
    if cut >= 1.0 {
        let mass = libm::erf(cut / SQRT_2);
        let density = FRAC_2_SQRT_PI / (2.0 * SQRT_2) * libm::exp(-0.5 * cut * cut);
        return Ok((1.0 - 2.0 * cut * density / mass).sqrt());
    }
    // ∫₀ᶜ z^m e^{−z²/2} dz = c^{m+1} Σ (−c²/2)ᵏ / (k! (2k + m + 1)): 20 terms reach 1e-24 at c = 1.
    let (mut term, mut mass, mut moment) = (1.0, 0.0, 0.0);
    for k in 0..20 {
        let order = f64::from(2 * k);
        mass += term / (order + 1.0);
        moment += term / (order + 3.0);
        term *= -0.5 * cut * cut / f64::from(k + 1);
    }
    Ok(cut * (moment / mass).sqrt())
}

/// A standard normal conditioned on `|z| ≤ cut`.
fn truncated_normal(cut: f64, stream: &mut Stream) -> f64 {
    // Rejection from the normal keeps 0.68 of the draws or more from cut 1 on; below, rejection from the uniform
    // keeps 0.85 or more. Both are exact.
    loop {
        if cut >= 1.0 {
            let z = stream.normal();
            if z.abs() <= cut {
                return z;
            }
        } else {
            let z = cut * (2.0 * stream.uniform() - 1.0);
            if stream.uniform() < libm::exp(-0.5 * z * z) {
                return z;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// `√(∫z²φ / ∫φ)` on `[0, cut]` by the midpoint rule, whose error is about `cut²/(24·steps²)`, relatively.
    fn truncated_std_by_integration(cut: f64) -> f64 {
        let steps = 200_000;
        let (mut mass, mut moment) = (0.0, 0.0);
        for i in 0..steps {
            let z = cut * (i as f64 + 0.5) / steps as f64;
            let density = (-0.5 * z * z).exp();
            mass += density;
            moment += z * z * density;
        }
        (moment / mass).sqrt()
    }

    #[test]
    fn the_truncated_std_is_that_of_integration_and_of_jax() {
        for cut in [1e-3, 0.3, 0.999, 1.0, 1.5, 2.0, 3.0, 6.0] {
            let expected = truncated_std_by_integration(cut);
            let found = truncated_std(cut).unwrap();
            assert!((found - expected).abs() < 1e-9 * expected, "cut {cut}: {found} against {expected}");
        }
        // The constant in `jax.nn.initializers.variance_scaling`, scipy's truncnorm.std(-2, 2).
        assert!((truncated_std(2.0).unwrap() - 0.879_625_661_034_239_8).abs() < 1e-14);
        // A cut far inside leaves a uniform distribution, of std cut/√3; a cut far outside leaves everything.
        assert!((truncated_std(1e-9).unwrap() * 3.0_f64.sqrt() / 1e-9 - 1.0).abs() < 1e-14);
        assert!((truncated_std(40.0).unwrap() - 1.0).abs() < 1e-14);
        for cut in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(truncated_std(cut).is_err());
        }
    }

    #[test]
    fn every_distribution_has_the_std_it_was_asked_for_and_keeps_its_bound() {
        let n = 200_000;
        let std = 0.02;
        for (dist, kurtosis) in [
            // E z⁴ / (E z²)²: 3 for the normal, 9/5 for the uniform, less than 3 for every truncation.
            (Dist::Normal, 3.0),
            (Dist::Uniform, 1.8),
            (Dist::TruncatedNormal { cut: 2.0 }, 3.0),
            (Dist::TruncatedNormal { cut: 0.5 }, 3.0),
        ] {
            let values = dist.fill(n, |_| std, &mut Seed(21).stream("dist")).unwrap();
            let mean = values.iter().map(|w| f64::from(*w)).sum::<f64>() / n as f64;
            let variance = values.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>() / n as f64;
            // Five standard errors: the mean's is std/√n, the variance's std²·√((kurtosis − 1)/n).
            assert!(mean.abs() < 5.0 * std / (n as f64).sqrt(), "{dist:?}: mean {mean}");
            let relative = variance / (std * std) - 1.0;
            assert!(
                relative.abs() < 5.0 * ((kurtosis - 1.0) / n as f64).sqrt(),
                "{dist:?}: variance off by {relative}"
            );
            let bound = (dist.bound().unwrap() * std) as f32;
            let largest = values.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
            assert!(largest <= bound, "{dist:?}: {largest} beyond {bound}");
            // With 200 000 draws the bound is nearly reached where there is one.
            assert!(!bound.is_finite() || largest > 0.999 * bound, "{dist:?}: {largest} far from {bound}");
        }
    }

    #[test]
    fn values_beyond_f32_are_errors() {
        let found = collect(3, |i| if i == 2 { 1e39 } else { 0.0 });
        assert_eq!(found, Err(Error::OutOfRange { index: 2, value: 1e39 }));
        assert!(matches!(collect(usize::MAX, |_| 0.0), Err(Error::TooLarge { .. })));
    }
}
