//! Activations and the factor by which they change the second moment of a signal.

use core::f64::consts::{PI, SQRT_2};

use crate::error::{Result, demand};

/// Scale of SELU. Source: Klambauer et al. 2017, eq. 14.
const SELU_SCALE: f64 = 1.050_700_987_355_480_5;

/// Height of SELU's negative branch before scaling. Source: Klambauer et al. 2017, eq. 14.
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// An elementwise nonlinearity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`.
    Relu,
    /// `x` for positive `x`, `slope · x` for negative.
    LeakyRelu {
        /// Slope on the negative side, finite.
        slope: f64,
    },
    /// `x Φ(x)`, exact. Source: Hendrycks & Gimpel 2016.
    Gelu,
    /// GELU by the tanh approximation. Source: Hendrycks & Gimpel 2016, section 2.
    GeluTanh,
    /// `x / (1 + e^{−x})`, also called swish. Source: Elfwing et al. 2017.
    Silu,
    /// `tanh x`.
    Tanh,
    /// `1 / (1 + e^{−x})`.
    Sigmoid,
    /// Scaled exponential linear unit. Source: Klambauer et al. 2017, eq. 2.
    Selu,
}

impl Activation {
    /// `φ(x)`.
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Identity => x,
            Self::Relu => x.max(0.0),
            Self::LeakyRelu { slope } => {
                if x > 0.0 {
                    x
                } else {
                    slope * x
                }
            }
            Self::Gelu => 0.5 * x * libm::erfc(-x / SQRT_2),
            Self::GeluTanh => 0.5 * x * (1.0 + libm::tanh((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x))),
            Self::Silu => x / (1.0 + libm::exp(-x)),
            Self::Tanh => libm::tanh(x),
            Self::Sigmoid => 1.0 / (1.0 + libm::exp(-x)),
            Self::Selu => SELU_SCALE * if x > 0.0 { x } else { SELU_ALPHA * libm::expm1(x) },
        }
    }

    /// Second moment after the activation, `E[φ(√q z)²]` for `z ~ N(0, 1)`, for a Gaussian pre-activation of second
    /// moment `q`; iterated with a layer's gain, it is the mean-field map of a deep network.
    ///
    /// # Errors
    /// `q` is negative or not finite.
    ///
    /// Source: Poole et al. 2016, eq. 3.
    pub fn second_moment(self, q: f64) -> Result<f64> {
        demand(
            "second moment of the pre-activation",
            q,
            q >= 0.0 && q.is_finite(),
            "a finite number, zero or more",
        )?;
        Ok(self.mean_square(q.sqrt()))
    }

    /// Weight gain that keeps the second moment of unit Gaussian pre-activations through the activation and the next
    /// layer: `gain² = 1 / E[φ(z)²]`.
    ///
    /// It is exact for one layer. For a saturating activation it does not make deep stacks critical, which needs the
    /// slope at a fixed point as well.
    ///
    /// Source: He et al. 2015, eq. 10, where `E[φ(z)²] = ½`.
    pub fn gain(self) -> f64 {
        1.0 / self.mean_square(1.0).sqrt()
    }

    /// The value that PyTorch's `calculate_gain` returns, where its table has one: a recommendation, which for tanh
    /// (5/3 against the exact 1.592) and sigmoid (1 against 1.846) is not the exact gain.
    ///
    /// Source: `torch/nn/init.py`, `calculate_gain`.
    pub fn table_gain(self) -> Option<f64> {
        match self {
            Self::Identity | Self::Sigmoid => Some(1.0),
            Self::Relu => Some(SQRT_2),
            Self::LeakyRelu { slope } => Some((2.0 / (1.0 + slope * slope)).sqrt()),
            Self::Tanh => Some(5.0 / 3.0),
            Self::Selu => Some(0.75),
            Self::Gelu | Self::GeluTanh | Self::Silu => None,
        }
    }

    /// `E[φ(scale · z)²]`, the two signs of `z` folded onto one.
    fn mean_square(self, scale: f64) -> f64 {
        mean_over_half_normal(|z| {
            let (plus, minus) = (self.apply(scale * z), self.apply(-scale * z));
            0.5 * (plus * plus + minus * minus)
        })
    }
}

/// `E[f(|z|)]` for `z ~ N(0, 1)`, by the trapezoid rule in `t = ln z`.
///
/// The substitution puts the kink that ReLU and its kin have at zero out of reach, and is blind to scale: a boundary
/// layer of any width at zero is resolved as well as the Gaussian. For the integrands here, analytic and bounded by
/// polynomials in the sector `|arg z| < π/4` (the nearest poles, of tanh, sigmoid and SiLU, lie on the imaginary
/// axis), the rule errs by about `e^{−2π(π/4)/h} = e^{−79}`; what remains is rounding. `e^{−40}` of the mass lies
/// below the range, `e^{−e^{6}/2}` above.
///
/// Source: Trefethen & Weideman 2014, "The exponentially convergent trapezoidal rule", theorem 5.1.
fn mean_over_half_normal(f: impl Fn(f64) -> f64) -> f64 {
    const STEPS_PER_UNIT: i32 = 16;
    let mut sum = 0.0;
    for step in -40 * STEPS_PER_UNIT..=3 * STEPS_PER_UNIT {
        let z = libm::exp(f64::from(step) / f64::from(STEPS_PER_UNIT));
        sum += f(z) * z * libm::exp(-0.5 * z * z);
    }
    sum * (2.0 / PI).sqrt() / f64::from(STEPS_PER_UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// Rounding over some 700 terms.
    const EXACT: f64 = 1e-14;

    #[test]
    fn second_moments_are_the_closed_forms() {
        for q in [1e-6, 0.3, 1.0, 2.0, 1e4] {
            let near = |activation: Activation, expected: f64| {
                let found = activation.second_moment(q).unwrap();
                assert!(
                    (found / expected - 1.0).abs() < EXACT,
                    "{activation:?} at {q}: {found} against {expected}"
                );
            };
            near(Activation::Identity, q);
            near(Activation::Relu, 0.5 * q);
            near(Activation::LeakyRelu { slope: 0.1 }, 0.5 * 1.01 * q);
            // E[x²Φ(x)²] for x ~ N(0, q), by Stein's lemma: with s = q/(1+q),
            // q·[1/4 + asin(s)/(2π)] + q²/(π(1+q)√(1+2q)).
            let s = q / (1.0 + q);
            let gelu = q * (0.25 + s.asin() / (2.0 * PI)) + q * q / (PI * (1.0 + q) * (1.0 + 2.0 * q).sqrt());
            near(Activation::Gelu, gelu);
            // SELU: λ²/2·q for x > 0; λ²α²·E[(eˣ − 1)²; x < 0] with E[e^{ax}; x < 0] = e^{a²q/2} Φ(−a√q). The closed
            // form cancels at small q and overflows at large q, the quadrature does neither.
            if (0.1..10.0).contains(&q) {
                let part = |a: f64| (0.5 * a * a * q).exp() * 0.5 * libm::erfc(a * q.sqrt() / SQRT_2);
                let negative = SELU_ALPHA * SELU_ALPHA * (part(2.0) - 2.0 * part(1.0) + 0.5);
                near(Activation::Selu, SELU_SCALE * SELU_SCALE * (0.5 * q + negative));
            }
        }
        assert_eq!(Activation::Relu.second_moment(0.0), Ok(0.0));
        assert!((Activation::Sigmoid.second_moment(0.0).unwrap() - 0.25).abs() < EXACT);
        assert!(
            Activation::Relu.second_moment(-1.0).is_err()
                && Activation::Relu.second_moment(f64::NAN).is_err()
        );
    }

    #[test]
    fn tanh_has_its_series_at_small_and_its_saturation_at_large_scale() {
        // tanh² x = x² − 2x⁴/3 + 17x⁶/45 − …, so E = q − 2q² + 17q³/3 − …; the next term, −62·105/315 q⁴, is 2e-11 here.
        let q: f64 = 1e-3;
        let series = q - 2.0 * q * q + 17.0 / 3.0 * q.powi(3);
        assert!((Activation::Tanh.second_moment(q).unwrap() - series).abs() < 3e-11);
        // At large scale 1 − E[tanh²] → ∫sech²(g z)φ dz → φ(0)·2/g.
        let found = 1.0 - Activation::Tanh.second_moment(1e6).unwrap();
        assert!((found / (2.0 / 1e3 / (2.0 * PI).sqrt()) - 1.0).abs() < 1e-5);
    }

    #[test]
    fn second_moments_without_a_closed_form_are_those_of_a_dense_riemann_sum() {
        // The midpoint rule on [−12, 12] with 480 000 cells: the integrands are smooth, its error is far below 1e-10.
        for activation in [Activation::GeluTanh, Activation::Silu, Activation::Tanh, Activation::Sigmoid] {
            let cells = 480_000;
            let width = 24.0 / f64::from(cells);
            let sum: f64 = (0..cells)
                .map(|i| -12.0 + (f64::from(i) + 0.5) * width)
                .map(|z| activation.apply(z).powi(2) * (-0.5 * z * z).exp())
                .sum();
            let expected = sum * width / (2.0 * PI).sqrt();
            let found = activation.second_moment(1.0).unwrap();
            assert!((found - expected).abs() < 1e-11, "{activation:?}: {found} against {expected}");
            assert!((activation.gain() - 1.0 / expected.sqrt()).abs() < 1e-10);
        }
    }

    #[test]
    fn second_moments_are_those_of_drawn_signals() {
        let n = 200_000;
        let mut stream = Seed(51).stream("activation");
        let draws: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        for activation in [
            Activation::Relu,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
            Activation::Tanh,
            Activation::Sigmoid,
            Activation::Selu,
        ] {
            let squares: Vec<f64> = draws.iter().map(|z| activation.apply(1.3 * z).powi(2)).collect();
            let mean = squares.iter().sum::<f64>() / f64::from(n);
            let variance = squares.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
            let expected = activation.second_moment(1.69).unwrap();
            assert!((mean - expected).abs() < 5.0 * (variance / f64::from(n)).sqrt(), "{activation:?}");
        }
    }

    #[test]
    fn gains_are_exact_and_the_table_is_pytorchs() {
        assert!((Activation::Relu.gain() - SQRT_2).abs() < EXACT);
        assert!((Activation::Identity.gain() - 1.0).abs() < EXACT);
        // torch.nn.init.calculate_gain: 'linear', 'relu', ('leaky_relu', 0.2), 'tanh', 'sigmoid', 'selu'.
        assert_eq!(Activation::Identity.table_gain(), Some(1.0));
        assert_eq!(Activation::Relu.table_gain(), Some(SQRT_2));
        assert_eq!(Activation::LeakyRelu { slope: 0.2 }.table_gain(), Some(1.386_750_490_563_072_8));
        assert_eq!(Activation::Tanh.table_gain(), Some(1.666_666_666_666_666_7));
        assert_eq!(Activation::Sigmoid.table_gain(), Some(1.0));
        assert_eq!(Activation::Selu.table_gain(), Some(0.75));
        assert_eq!(Activation::Gelu.table_gain(), None);
        // E tanh² = 0.3943 at unit variance.
        assert!((Activation::Tanh.gain() - 1.592_5).abs() < 1e-3);
        assert!((Activation::Sigmoid.gain() - 1.846).abs() < 1e-3);
    }

    #[test]
    fn activations_have_their_known_values() {
        // torch.nn.functional at 1 and −1: gelu, gelu(approximate='tanh'), silu, selu.
        for (activation, plus, minus) in [
            (Activation::Gelu, 0.841_344_746_068_542_9, -0.158_655_253_931_457_07),
            (Activation::GeluTanh, 0.841_191_990_608_276_8, -0.158_808_009_391_723_2),
            (Activation::Silu, 0.731_058_578_630_004_9, -0.268_941_421_369_995_1),
            (Activation::Selu, 1.050_700_987_355_480_5, -1.111_330_737_812_562_6),
            (Activation::LeakyRelu { slope: 0.1 }, 1.0, -0.1),
        ] {
            assert!((activation.apply(1.0) - plus).abs() < 1e-15, "{activation:?}");
            assert!((activation.apply(-1.0) - minus).abs() < 1e-15, "{activation:?}");
        }
        assert_eq!(Activation::Gelu.apply(-60.0), 0.0);
        assert_eq!(Activation::Silu.apply(-1000.0), 0.0);
    }
}
