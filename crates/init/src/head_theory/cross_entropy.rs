//! Expected cross-entropy of a head that knows nothing.

use core::f64::consts::PI;

use crate::error::{Result, demand};

/// Largest variance that [`initial_cross_entropy`] takes: logits of standard deviation 100. Its cost grows with the
/// variance, to about half a second there.
const LARGEST_VARIANCE: f64 = 1e4;

/// Expected cross-entropy over `classes` independent logits `z ~ N(0, variance)` and any label: `E[ln Σ_c e^{z_c}]`,
/// since `E[z_y] = 0`. In nats, to about 1e-10. `ln classes` at variance 0.
///
/// For a head on fixed features the variance is that of the logits *given* the sample, `Var(w) |φ|²`; where `|φ|²`
/// differs between samples, the mean of this function over samples is the loss, and the value at the mean variance is
/// close to it.
///
/// # Method
/// Frullani's integral `ln Z = ∫₀^∞ (e^{−u} − e^{−uZ})/u du`, averaged over the logits, factors into classes:
/// `E[ln Z] = ∫ (e^{−u} − M(u)^K)/u du` with `M(u) = E[exp(−u e^z)]`. Both integrals are done by the trapezoid rule, which
/// converges exponentially for analytic integrands on the line:
/// - outer, in `t = ln u`: `|M(e^{t+iy})| ≤ 1` for `|y| < π/2`, so that a step of 0.2 errs by about `e^{−2π·1.5/0.2}`;
/// - inner, over `z/s` on ±9, where `e^{−81/2}` of the mass is lost: shifting the line by `y ≤ π/(2s)` keeps
///   `exp(−u e^z)` bounded, so that a step of `1/(4 max(1, s))` errs by `e^{y²/2 − 8πy·max(1, s)} < e^{−30}`.
///
/// # Errors
/// Fewer than two classes, or a variance that is negative or above 10⁴.
///
/// Source: Frullani's integral (Jeffreys & Jeffreys 1956, section 12.16); Trefethen & Weideman 2014, theorem 5.1.
pub fn initial_cross_entropy(classes: usize, variance: f64) -> Result<f64> {
    check(classes, variance)?;
    const STEP: f64 = 0.2;
    let (k, s) = (classes as f64, variance.sqrt());
    let nodes = normal_nodes(s);
    // Left of `start`, the integrand is below u + K·min(E[u e^z], u e^{9s}) < e^{−38}; right of `end`, M(u) is below the
    // mass beyond 9 standard deviations plus e^{−u e^{−9s}} < e^{−e⁴}.
    let start = -(38.0 + k.ln() + (0.5 * variance).min(9.0 * s));
    let end = 9.0 * s + 4.0;
    let steps = ((end - start) / STEP).ceil() as u64;
    let mut sum = 0.0;
    for step in 0..=steps {
        let t = start + STEP * step as f64;
        // 1 − M rather than M, because the integrand is the difference of two numbers near 1 for small u.
        let missing: f64 = nodes.iter().map(|(z, weight)| -weight * libm::expm1(-libm::exp(t + z))).sum();
        // Rounding may carry the sum of the weights just past 1.
        let power = libm::expm1(k * libm::log1p(-missing.min(1.0)));
        sum += libm::expm1(-libm::exp(t)) - power;
    }
    Ok(sum * STEP)
}

/// The closed form of [`initial_cross_entropy`] to first order in `1/classes`,
/// `ln K + s²/2 − (e^{s²} − 1)/(2K)`; `None` outside its range `K ≥ 5 e^{s²}`.
///
/// It is low, most at the edge of the range: by 0.007 nats at `s² = 1`, 0.02 at 2 and 0.05 at 5.
///
/// # Errors
/// As for [`initial_cross_entropy`].
///
/// Source: `E[ln Z] = ln E[Z] − Var(Z)/(2 E[Z]²) + …` for the sum of `K` log-normal variables; the same expansion as the
/// annealed free energy of the random energy model (Derrida 1981) with its first finite-size term.
pub fn initial_cross_entropy_closed_form(classes: usize, variance: f64) -> Result<Option<f64>> {
    check(classes, variance)?;
    let k = classes as f64;
    if k < 5.0 * libm::exp(variance) {
        return Ok(None);
    }
    Ok(Some(k.ln() + 0.5 * variance - libm::expm1(variance) / (2.0 * k)))
}

/// Nodes `(s z, weight)` of the trapezoid rule under the standard normal density.
fn normal_nodes(s: f64) -> Vec<(f64, f64)> {
    let per_unit = (4.0 * s.max(1.0)).ceil();
    let half = (9.0 * per_unit) as i64;
    let node = |i: i64| {
        let z = i as f64 / per_unit;
        (s * z, libm::exp(-0.5 * z * z) / ((2.0 * PI).sqrt() * per_unit))
    };
    (-half..=half).map(node).collect()
}

fn check(classes: usize, variance: f64) -> Result<()> {
    demand("number of classes", classes as f64, classes >= 2, "at least 2")?;
    let valid = (0.0..=LARGEST_VARIANCE).contains(&variance);
    demand("logit variance", variance, valid, "a number between 0 and 10000")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Init, Layer, Seed};

    #[test]
    fn logits_of_zero_give_the_logarithm_of_the_classes() {
        for classes in [2, 6, 10, 150, 1000, 100_000] {
            let found = initial_cross_entropy(classes, 0.0).unwrap();
            assert!((found - (classes as f64).ln()).abs() < 1e-11, "{classes}: {found}");
            let closed = initial_cross_entropy_closed_form(classes, 0.0).unwrap();
            assert_eq!(closed, (classes >= 5).then(|| (classes as f64).ln()));
        }
    }

    #[test]
    fn two_classes_agree_with_the_mean_softplus() {
        // ln(e^a + e^b) − a = softplus(b − a), and b − a ~ N(0, 2s²): a one-dimensional integral, here by the midpoint
        // rule on ±12 with 200 000 cells, whose error is far below 1e-10.
        for variance in [0.01, 0.5, 1.994_805_194_805_194_8, 9.0, 100.0, 1e4] {
            let scale = (2.0_f64 * variance).sqrt();
            let (cells, mut sum) = (200_000, 0.0);
            let width = 24.0 / f64::from(cells);
            for i in 0..cells {
                let z = -12.0 + (f64::from(i) + 0.5) * width;
                let x = scale * z;
                let softplus = x.max(0.0) + (-x.abs()).exp().ln_1p();
                sum += softplus * (-0.5 * z * z).exp();
            }
            let expected = sum * width / (2.0 * PI).sqrt();
            let found = initial_cross_entropy(2, variance).unwrap();
            assert!(
                (found - expected).abs() < 1e-9 * expected.max(1.0),
                "{variance}: {found} against {expected}"
            );
        }
        // An independent quadrature for a Xavier head of 2 classes at width 768.
        let found = initial_cross_entropy(2, 1.994_805_194_805_194_8).unwrap();
        assert!((found - 1.066_927_450_672_469_7).abs() < 1e-9);
    }

    #[test]
    fn xavier_heads_at_width_768_start_where_simulations_do() {
        let variance = |classes: usize| {
            let layer = Layer::Linear { input: 768, output: classes };
            768.0 * Init::xavier_normal().std(&layer).unwrap().powi(2)
        };
        // A Monte Carlo estimate given to three decimals: 3.099; the closed form does not reach so few classes.
        assert!((initial_cross_entropy(10, variance(10)).unwrap() - 3.099).abs() < 3e-3);
        assert_eq!(initial_cross_entropy_closed_form(10, variance(10)), Ok(None));
        // ln K + σ²/2 − (e^{σ²} − 1)/2K = 7.341452 at K = 1000.
        let closed = initial_cross_entropy_closed_form(1000, variance(1000)).unwrap().unwrap();
        assert!((closed - 7.341_452_421_004).abs() < 1e-9);
        assert!((initial_cross_entropy(1000, variance(1000)).unwrap() - closed).abs() < 1e-4);
    }

    #[test]
    fn the_integral_agrees_with_drawn_logits() {
        for (classes, variance, draws) in
            [(2, 1.0, 40_000), (6, 0.1, 40_000), (10, 2.0, 40_000), (10, 25.0, 40_000)]
        {
            let mut stream = Seed(91).stream("logits");
            let scale = f64::sqrt(variance);
            let losses: Vec<f64> = (0..draws)
                .map(|_| {
                    let z: Vec<f64> = (0..classes).map(|_| scale * stream.normal()).collect();
                    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    top + z.iter().map(|z| (z - top).exp()).sum::<f64>().ln()
                })
                .collect();
            let mean = losses.iter().sum::<f64>() / f64::from(draws);
            let spread = losses.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(draws);
            let margin = 5.0 * (spread / f64::from(draws)).sqrt();
            let found = initial_cross_entropy(classes, variance).unwrap();
            assert!(
                (found - mean).abs() < margin,
                "{classes}, {variance}: {found} against {mean} ± {margin}"
            );
        }
    }

    #[test]
    fn the_closed_form_errs_by_no_more_than_its_next_order() {
        // E ln(1 + δ) = −E δ²/2 + E δ³/3 − E δ⁴/4 + …, with E δ³ < (e^{3s²} + 2)/K² and E δ⁴ about 3 (e^{s²} − 1)²/K².
        for (classes, variance) in [(10, 0.1), (10, 0.6), (20, 1.0), (150, 1.5), (1000, 2.0)] {
            let closed = initial_cross_entropy_closed_form(classes, variance).unwrap().unwrap();
            let exact = initial_cross_entropy(classes, variance).unwrap();
            let k = classes as f64;
            let bound = ((3.0 * variance).exp() + 2.0) / (3.0 * k * k) + (variance.exp_m1() / k).powi(2);
            assert!(
                (closed - exact).abs() < bound,
                "{classes}, {variance}: {closed} against {exact}, bound {bound}"
            );
        }
        // At the edge of its range, as documented.
        for (classes, variance, low) in [(14, 1.0, 0.007), (37, 2.0, 0.020), (743, 5.0, 0.051)] {
            let closed = initial_cross_entropy_closed_form(classes, variance).unwrap().unwrap();
            let exact = initial_cross_entropy(classes, variance).unwrap();
            assert!((exact - closed - low).abs() < 1e-3, "{classes}, {variance}: {closed} against {exact}");
        }
        assert_eq!(initial_cross_entropy_closed_form(13, 1.0), Ok(None));
    }

    #[test]
    fn extreme_logits_cost_their_expected_maximum() {
        // As s → ∞, E[ln Σ e^z] → s·E[max of K standard normals] + O(1/s): E max = 1.538753 for K = 10 (tables of normal
        // order statistics), 3/(2√π) for K = 3.
        let (s, k3) = (100.0, 1.5 / PI.sqrt());
        assert!((initial_cross_entropy(10, s * s).unwrap() / s - 1.538_752_7).abs() < 1e-3);
        assert!((initial_cross_entropy(3, s * s).unwrap() / s - k3).abs() < 1e-3);
    }

    #[test]
    fn arguments_without_meaning_are_refused() {
        for (classes, variance) in
            [(1, 1.0), (0, 1.0), (3, -0.1), (3, f64::NAN), (3, f64::INFINITY), (3, 1.1e4)]
        {
            assert!(initial_cross_entropy(classes, variance).is_err());
            assert!(initial_cross_entropy_closed_form(classes, variance).is_err());
        }
    }
}
