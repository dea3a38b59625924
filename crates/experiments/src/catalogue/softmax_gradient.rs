//! The expected gradient of a softmax head with random weights.

use core::f64::consts::PI;

use super::teacher::Teacher;

/// `E[p²]` of one of `classes` probabilities, the softmax of independent logits `N(0, variance)`.
///
/// `1/Z² = ∫ u e^{−uZ} du` factors the mean into classes: `∫ u E[e^{2z} exp(−u e^z)] E[exp(−u e^z)]^{K−1} du`, in
/// `t = ln u` by the trapezoid rule, as is the inner mean.
pub(crate) fn mean_square_probability(classes: usize, variance: f64) -> f64 {
    const STEP: f64 = 0.1;
    let s = variance.sqrt();
    let per_unit = (4.0 * s.max(1.0)).ceil();
    let half = (9.0 * per_unit) as i64;
    let nodes: Vec<(f64, f64)> = (-half..=half)
        .map(|i| {
            let z = i as f64 / per_unit;
            (s * z, libm::exp(-0.5 * z * z) / ((2.0 * PI).sqrt() * per_unit))
        })
        .collect();
    let start = -(20.0 + (classes as f64).ln() + 9.0 * s);
    let steps = ((9.0 * s + 5.0 - start) / STEP).ceil() as u64;
    let term = |step: u64| {
        let t = start + STEP * step as f64;
        let (mut own, mut other) = (0.0, 0.0);
        for (z, weight) in &nodes {
            let u = libm::exp(t + z);
            own += weight * libm::exp(2.0 * (t + z) - u);
            other += weight * libm::exp(-u);
        }
        own * other.powf(classes as f64 - 1.0)
    };
    STEP * (0..=steps).map(term).sum::<f64>()
}

/// Expected squared length of the gradient of a head's weights, the mean over `count` examples of `(p − y) xᵀ`, for
/// independent weights of standard deviation `std`.
///
/// Features are normal with independent components of mean variance 1, the sum of whose squares is `squares`; the
/// teacher reads them whitened. The mean over inputs is `E[p xᵀ] − E[y xᵀ]`, orthogonal in expectation. By Stein's lemma
/// the first is `A W Σ` with `A = E[∂p/∂z] = α (I − 11ᵀ/K)` and `α = K/(K − 1) · E[p(1 − p)]`; sampling adds
/// `E|p − y|² d/count`.
pub(crate) fn squared_gradient(teacher: &Teacher, std: f64, squares: f64, count: usize) -> f64 {
    let (k, d, n) = (teacher.classes as f64, teacher.width as f64, count as f64);
    let square = mean_square_probability(teacher.classes, d * std * std);
    let alpha = k / (k - 1.0) * (1.0 / k - square);
    let mean = teacher.signal() + alpha * alpha * (k - 1.0) * squares * std * std;
    let residual = k * square - 2.0 / k + 1.0;
    mean * (1.0 - 1.0 / n) + residual * d / n
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    #[test]
    fn probabilities_have_their_limits_and_those_of_drawn_logits() {
        assert!((mean_square_probability(10, 0.0) - 0.01).abs() < 1e-9);
        // A winner takes all but where two are close, about 1 in s: E[p²] → 1/K.
        let found = mean_square_probability(4, 1e4);
        assert!((found - 0.25).abs() < 5e-3, "{found}");
        let mut stream = Seed(8).stream("p");
        let draws = 40_000;
        let sum: f64 = (0..draws)
            .map(|_| {
                let e: Vec<f64> = (0..5).map(|_| (1.4 * stream.normal()).exp()).collect();
                (e[0] / e.iter().sum::<f64>()).powi(2)
            })
            .sum();
        // The standard deviation of p² is about 0.15: 0.0008 over the draws.
        assert!((sum / f64::from(draws) - mean_square_probability(5, 1.96)).abs() < 4e-3);
    }

    #[test]
    fn at_zero_the_gradient_is_that_of_a_head_that_knows_nothing() {
        let teacher = Teacher { width: 30, classes: 6, noise: 0.3 };
        let (found, expected) = (squared_gradient(&teacher, 0.0, 30.0, 40), teacher.gradient_at_zero(40));
        assert!((found / expected - 1.0).abs() < 1e-9);
    }
}
