//! One tanh layer with Gaussian pre-activations: saturation and gains.

use core::f64::consts::{LN_2, PI, SQRT_2};

/// `E[f(z)]` for `z ~ N(0, 1)` and even `f`, by the trapezoid rule in `ln z`, which resolves a peak of any width at zero.
/// Source: Trefethen & Weideman 2014, theorem 5.1.
pub(crate) fn mean_even(f: impl Fn(f64) -> f64) -> f64 {
    const PER_UNIT: f64 = 16.0;
    let term = |i: i32| {
        let z = libm::exp(f64::from(i) / PER_UNIT);
        f(z) * z * libm::exp(-0.5 * z * z)
    };
    (2.0 / PI).sqrt() * (-640..=48).map(term).sum::<f64>() / PER_UNIT
}

/// `1/cosh² x`, the derivative of tanh.
pub(crate) fn slope(x: f64) -> f64 {
    let tanh = libm::tanh(x);
    // 1 − tanh² loses all digits at large x.
    if x.abs() < 1.0 { 1.0 - tanh * tanh } else { 1.0 / libm::cosh(x).powi(2) }
}

/// `P(|tanh(g z)| > level)`: the share of saturated units.
pub(crate) fn saturated(gain: f64, level: f64) -> f64 {
    libm::erfc(libm::atanh(level) / (SQRT_2 * gain))
}

/// Share of units whose f32 derivative `1 − tanh²` is exactly zero: `2 e^{−2|a|} < 2^{−25}`, half the distance from 1 to
/// the next smaller f32, so `|a| > 13 ln 2`.
pub(crate) fn without_slope(gain: f64) -> f64 {
    libm::erfc(13.0 * LN_2 / (SQRT_2 * gain))
}

/// Gain of the gradient's second moment through the layer, for inputs ±1, square normal weights of variance `g²/n` and
/// an independent gradient above: `g² E[sech⁴(g z)]`, which tends to `0.532 g`.
///
/// Exact at every width: a weight's square correlates with the unit's own derivative, which takes `1/n` of the weight's
/// variance into the direction of the pre-activation: `E[w² φ'²] = g²/n·[(1 − 1/n) E φ'² + E[z² φ'²]/n]`.
pub(crate) fn backward_gain(gain: f64, width: usize) -> f64 {
    let n = width as f64;
    let plain = mean_even(|z| slope(gain * z).powi(2));
    let along = mean_even(|z| (z * slope(gain * z)).powi(2));
    gain * gain * ((1.0 - 1.0 / n) * plain + along / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_is_as_simulated_elsewhere() {
        // g² E[sech⁴(g z)] to 16 digits at infinite width, and the two shares at gains 3, 10 and 100.
        for (gain, expected) in
            [(1.0, 0.464_402_902_444), (10.0, 5.310_678_774_862), (100.0, 53.191_446_440_9)]
        {
            assert!((backward_gain(gain, 1 << 40) / expected - 1.0).abs() < 1e-9, "{gain}");
        }
        assert!((saturated(3.0, 0.99) - 0.377_659_215_944).abs() < 1e-9);
        assert!((without_slope(10.0) - 0.367_539_759_787).abs() < 1e-9);
        assert!((without_slope(100.0) - 0.928_200_491_287).abs() < 1e-9);
        // ∫ sech⁴ = 4/3, so the slope of the asymptote is 4/3 · φ(0).
        assert!((backward_gain(1e5, 1 << 40) / 1e5 - 4.0 / 3.0 / (2.0 * PI).sqrt()).abs() < 1e-8);
        assert!((mean_even(|z| z * z) - 1.0).abs() < 1e-13);
    }
}
