//! The softmax of a row of independent Gaussian logits: what its entropy and its concentration are on average.
//!
//! With `Z = Σ e^{σzⱼ}` and `p = e^{σz}/Z` the powers of `1/Z` are integrals over exponentials,
//! `Γ(k) Z⁻ᵏ = ∫ tᵏ⁻¹ e^{−tZ} dt`, in which the terms of the row are independent. With `t = eᵘ` everything is made of the
//! smooth functions `φ(u) = E[exp(−e^{u+σz})]` and `γₖ(u) = E[e^{k(u+σz)} exp(−e^{u+σz})]`:
//!
//! - `E Σpᵏ = n/Γ(k) ∫ γₖ φⁿ⁻¹ du` (which for `k = 1` is 1),
//! - `E ln Z = ∫ (exp(−eᵘ) − φⁿ) du`, and `E H = E ln Z − E Σ p σz`.
//!
//! This is exact for every `n` and `σ`. The closed forms of the two phases of the random energy model, which such a row is,
//! stand beside it.

use core::f64::consts::PI;

use statrs::function::gamma::digamma;

/// The largest `u` and `z` beyond which Gaussian mass and doubly exponential tails are below rounding.
const REACH: f64 = 9.5;

/// Standard deviations beyond which the law is taken from its limits.
const SMALL: f64 = 0.01;
const LARGE: f64 = 64.0;

/// Means over the rows of `n` independent `N(0, σ²)` logits.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowLaw {
    /// `E H`, in nats.
    pub entropy: f64,
    /// `E Σp²`: one over the number of keys that take part.
    pub participation: f64,
    /// `E Σp³`.
    pub cubes: f64,
    /// `E (Σp²)²`.
    pub squares: f64,
}

impl RowLaw {
    /// The law for `n` logits of this variance.
    ///
    /// Below a standard deviation of 0.01 it is the series in σ² to first order, good to 1e-8; above 64, where one key takes
    /// nearly all, its distance from one key falls like 1/σ.
    pub fn new(n: usize, variance: f64) -> RowLaw {
        let sigma = variance.max(0.0).sqrt();
        let count = n as f64;
        if n < 2 || sigma < SMALL {
            let (share, spread) = (1.0 / count, variance.max(0.0) * (1.0 - 1.0 / count));
            return RowLaw {
                entropy: count.ln() - spread / 2.0,
                participation: share * (1.0 + spread),
                cubes: share * share * (1.0 + 3.0 * spread),
                squares: share * share * (1.0 + 2.0 * spread),
            };
        }
        if sigma > LARGE {
            let (near, factor) = (RowLaw::new(n, LARGE * LARGE), LARGE / sigma);
            let towards_one = |value: f64| 1.0 - factor * (1.0 - value);
            return RowLaw {
                entropy: factor * near.entropy,
                participation: towards_one(near.participation),
                cubes: towards_one(near.cubes),
                squares: towards_one(near.squares),
            };
        }
        // Trapezoid rule in u, and in z = (x − u)/σ on the same grid. The integrands are analytic and bounded for
        // |Im u| < π/2: it errs by e^{−π²/h} = 1e-17 in u and by e^{−2π²σ²/h²} = 1e-34 in z.
        // Source: Trefethen & Weideman 2014, theorem 5.1.
        let h = f64::min(0.25, 0.5 * sigma);
        let reach = (REACH * sigma / h).ceil() as i64;
        let kernel: Vec<(f64, f64)> = (-reach..=reach)
            .map(|j| {
                let z = j as f64 * h / sigma;
                (z, (-0.5 * z * z).exp() * h / sigma / (2.0 * PI).sqrt())
            })
            .collect();
        let first = -((40.0 + count.ln() + REACH * sigma) / h).ceil() as i64;
        let last = ((REACH * sigma + 6.0) / h).ceil() as i64;
        // exp(−eˣ) and e^{kx}exp(−eˣ) over all x = u + σz.
        let bells: Vec<[f64; 5]> = (first - reach..=last + reach)
            .map(|i| {
                let x = i as f64 * h;
                let power = x.min(700.0).exp();
                [0.0, 1.0, 2.0, 3.0, 4.0].map(|k| (k * x - power).exp())
            })
            .collect();
        let (mut log_z, mut energy) = (0.0, 0.0);
        let (mut second, mut third, mut squares) = (0.0, 0.0, 0.0);
        for (index, window) in bells.windows(kernel.len()).enumerate() {
            let mut mean = [0.0; 5];
            let mut lift = 0.0;
            for (bell, (z, weight)) in window.iter().zip(&kernel) {
                for (mean, bell) in mean.iter_mut().zip(bell) {
                    *mean += weight * bell;
                }
                lift += weight * z * bell[1];
            }
            let [phi, _, two, three, four] = mean;
            let alone = bells[index + reach as usize][0];
            let others = phi.powf(count - 1.0);
            log_z += alone - phi * others;
            energy += count * sigma * lift * others;
            second += count * two * others;
            third += count * three * others / 2.0;
            squares += count * (four * others + (count - 1.0) * two * two * phi.powf(count - 2.0)) / 6.0;
        }
        RowLaw {
            entropy: h * (log_z - energy),
            participation: h * second,
            cubes: h * third,
            squares: h * squares,
        }
    }

    /// The law for rows whose variances differ: `variance·g` with `g = χ²_k/k`, `k` not necessarily whole.
    ///
    /// A query of `d_k` components makes such rows, with `k = d_k` for independent keys of fixed length.
    pub fn mixed(n: usize, variance: f64, k: f64) -> RowLaw {
        let mut sum = RowLaw::default();
        for (g, share) in chi_squared(k) {
            let law = RowLaw::new(n, variance * g);
            sum.entropy += share * law.entropy;
            sum.participation += share * law.participation;
            sum.cubes += share * law.cubes;
            sum.squares += share * law.squares;
        }
        sum
    }

    /// `E[Σp² − 2Σp³ + (Σp²)²]`: how strongly the softmax's output answers to its logits,
    /// `E Σⱼ pⱼ²|vⱼ − Σpv|²` for values of unit size.
    pub fn response(&self) -> f64 {
        self.participation - 2.0 * self.cubes + self.squares
    }
}

/// Values of `χ²_k/k` with their shares: the trapezoid rule in `ln g`, whose density `e^{k(y − eʸ)/2}` is smooth and falls
/// off on both sides, in steps of at most one of its standard deviations.
fn chi_squared(k: f64) -> impl Iterator<Item = (f64, f64)> {
    let step = (2.0 / k).sqrt().min(0.25);
    let weigh = |i: i32| {
        let y = f64::from(i) * step;
        (y.exp(), (0.5 * k * (y - y.exp_m1())).exp())
    };
    // What is left out weighs less than 1e-9 of the peak, which is at 0.
    let points: Vec<(f64, f64)> = (-400..=400).map(weigh).filter(|(_, weight)| *weight > 1e-9).collect();
    let whole: f64 = points.iter().map(|(_, weight)| weight).sum();
    points.into_iter().map(move |(g, weight)| (g, weight / whole))
}

/// `E H` in the liquid phase, `σ² ≪ 2 ln n`, to first order in `1/n`:
/// `ln n − σ²/2 + [σ²e^{σ²} − (e^{σ²} − 1)/2]/n`.
///
/// From `E ln Z = ln n + σ²/2 − (e^{σ²} − 1)/2n` and `H = (1 − σ∂_σ) ln Z`. It holds while `σ²e^{σ²}/n` is below 0.1.
pub fn liquid_entropy(n: usize, variance: f64) -> f64 {
    let (n, e) = (n as f64, variance.exp());
    n.ln() - variance / 2.0 + (variance * e - (e - 1.0) / 2.0) / n
}

/// Whether [`liquid_entropy`] is within its range.
pub fn is_liquid(n: usize, variance: f64) -> bool {
    variance * variance.exp() / (n as f64) < 0.1
}

/// `E Σp²` in the liquid phase for `n → ∞`: `e^{σ²}/n`. It condenses at half the temperature: `σ² ≪ ln(n)/2`.
pub fn liquid_participation(n: usize, variance: f64) -> f64 {
    variance.exp() / n as f64
}

/// `√(2 ln n)`: the σ at which the row freezes for `n → ∞`.
pub fn critical_sigma(n: usize) -> f64 {
    (2.0 * (n as f64).ln()).sqrt()
}

/// `b_n`, about the expected largest of `n` standard normal values. Source: extreme value theory, Leadbetter et al. 1983,
/// theorem 1.5.3.
pub fn largest(n: usize) -> f64 {
    let a = critical_sigma(n);
    a - ((n as f64).ln().ln() + (4.0 * PI).ln()) / (2.0 * a)
}

/// `E Σp²` in the frozen phase, `1 − b_n/σ`: few keys take nearly all, with Poisson-Dirichlet weights of parameter
/// `b_n/σ`. Source: Derrida 1981; with `b_n` in place of `√(2 ln n)`, which is its limit for `n → ∞`.
pub fn frozen_participation(sigma: f64, largest: f64) -> f64 {
    1.0 - largest / sigma
}

/// `E H` in the frozen phase: `ψ(1) − ψ(1 − m)` with `m = b_n/σ`, the entropy of Poisson-Dirichlet weights.
pub fn frozen_entropy(sigma: f64, largest: f64) -> f64 {
    digamma(1.0) - digamma(1.0 - largest / sigma)
}

/// Entropy and `Σp²` of the softmax of one row.
pub fn of_row(logits: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let most = logits.clone().fold(f64::NEG_INFINITY, f64::max);
    let (mut z, mut squares, mut energy) = (0.0, 0.0, 0.0);
    for s in logits {
        let e = (s - most).exp();
        z += e;
        squares += e * e;
        // What underflows has no share: 0 · (−∞) counts as 0.
        energy += if e > 0.0 { e * (s - most) } else { 0.0 };
    }
    (z.ln() - energy / z, squares / (z * z))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two logits: `p = 1/(1 + e^{−√2σz})`, one integral over a normal variable.
    #[test]
    fn two_logits_are_one_integral() {
        for sigma in [0.05, 1.0, 6.0] {
            let (mut h, mut square, mut cube, mut fourth) = (0.0, 0.0, 0.0, 0.0);
            let cells = 40_000;
            let width = 20.0 / f64::from(cells);
            for i in 0..cells {
                let z = -10.0 + (f64::from(i) + 0.5) * width;
                let weight = (-0.5 * z * z).exp() / (2.0 * PI).sqrt() * width;
                let (entropy, squares) = of_row([0.0, 2f64.sqrt() * sigma * z].into_iter());
                let p = 1.0 / (1.0 + (-(2f64.sqrt()) * sigma * z).exp());
                h += weight * entropy;
                square += weight * squares;
                cube += weight * (p.powi(3) + (1.0 - p).powi(3));
                fourth += weight * squares * squares;
            }
            let law = RowLaw::new(2, sigma * sigma);
            for (found, expected) in
                [(law.entropy, h), (law.participation, square), (law.cubes, cube), (law.squares, fourth)]
            {
                assert!((found - expected).abs() < 1e-9, "{sigma}: {found} and {expected}");
            }
        }
    }

    /// Independent simulations of 20,000 rows and more, within three standard errors.
    #[test]
    fn simulated_rows_agree() {
        for (n, variance, entropy, of_entropy, participation, of_participation) in [
            (64, 1.0, 3.684_176, 0.000_942, 0.038_878, 0.000_104),
            (64, 4.16, 2.604_300, 0.003_519, 0.166_946, 0.000_882),
            (64, 18.714_973_875, 1.192_343, 0.004_434, 0.492_980, 0.001_793),
            (512, 6.24, 3.639_824, 0.010_100, 0.101_895, 0.001_729),
        ] {
            let law = RowLaw::new(n, variance);
            assert!((law.entropy - entropy).abs() < 3.0 * of_entropy, "{n} {variance}: {law:?}");
            assert!((law.participation - participation).abs() < 3.0 * of_participation, "{law:?}");
        }
    }

    #[test]
    fn both_phases_are_limits_of_the_exact_law() {
        // Liquid: the next order is (σ²e^{σ²}/n)² and less.
        for (n, variance) in [(512, 0.25), (4096, 0.5), (65_536, 1.0)] {
            let small = (variance * f64::exp(2.0 * variance) / n as f64).powi(2).max(1e-9);
            assert!((RowLaw::new(n, variance).entropy - liquid_entropy(n, variance)).abs() < 10.0 * small);
        }
        // Frozen: corrections fall like 1/(ln n)².
        for n in [64, 4096] {
            let sigma = 4.0 * critical_sigma(n);
            let law = RowLaw::new(n, sigma * sigma);
            let frozen = frozen_participation(sigma, largest(n));
            assert!((law.participation / frozen - 1.0).abs() < 0.02, "{law:?} {frozen}");
        }
        // The two ends, each a little inside the range that is integrated; the next order is (b_n/σ)² = 4e-3 at σ = 32.
        for (n, sigma) in [(2, SMALL), (64, SMALL), (2, 0.5 * LARGE), (64, 0.5 * LARGE)] {
            let inside = RowLaw::new(n, (1.001 * sigma).powi(2));
            let limit = if sigma == SMALL {
                RowLaw::new(n, (0.999 * sigma).powi(2))
            } else {
                RowLaw::new(n, (2.0 * sigma).powi(2))
            };
            let scale = if sigma == SMALL { 1.0 } else { 2.0 };
            assert!((inside.entropy - scale * limit.entropy).abs() < 5e-3, "{inside:?} {limit:?}");
            assert!((inside.response() - scale * limit.response()).abs() < 5e-3, "{inside:?} {limit:?}");
        }
        assert_eq!(RowLaw::new(7, 0.0).entropy, 7f64.ln());
        assert_eq!(RowLaw::new(1, 3.0).participation, 1.0);
    }

    #[test]
    fn a_mixture_of_narrow_spread_is_the_row_itself_and_its_mean_variance_is_kept() {
        let (row, mixed) = (RowLaw::new(32, 1.0), RowLaw::mixed(32, 1.0, 1e8));
        assert!((row.entropy - mixed.entropy).abs() < 1e-6);
        for k in [4.0, 64.0] {
            let mean: f64 = chi_squared(k).map(|(g, share)| g * share).sum();
            assert!((mean - 1.0).abs() < 1e-6, "{k}: {mean}");
        }
    }
}
