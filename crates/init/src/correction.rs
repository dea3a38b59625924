//! Factors for places where a network is not a chain of linear maps.
//!
//! Each function gives the factor on a *standard deviation* (of weights) or on a *signal* that undoes what the structure
//! does to second moments. They hold for second moments `E[x²]`; the conditions are said one by one.

use core::f64::consts::PI;

use crate::Fan;
use crate::error::{Result, demand};

/// Factor on a signal that keeps the second moment of `x + f(x)` for an uncorrelated branch of equal second moment:
/// `(x + f(x)) / √2`.
///
/// It has a price: each block forgets, and the correlation of the stream with its input falls to `2^{−L/2}` over `L`
/// blocks. A normalised branch does not double the stream in the first place; see also [`residual_scale`].
///
/// Source: De & Smith 2020, section 3.
pub const RESIDUAL: f64 = core::f64::consts::FRAC_1_SQRT_2;

/// Weight factor behind dropout that does *not* rescale at training time: `1/√(1 − p)`.
///
/// Zeroing a share `p` multiplies `E[x²]` by `1 − p`, whatever the mean; forward and backward alike, so one factor
/// serves both.
///
/// # Errors
/// `p` is outside `[0, 1)`.
///
/// Source: `E[(m x)²] = (1 − p) E[x²]` for `m ~ Bernoulli(1 − p)`.
pub fn dropout_classical(p: f64) -> Result<f64> {
    Ok(1.0 / keep(p)?.sqrt())
}

/// Weight factor behind inverted dropout, the kind that every current library has: `√(1 − p)`.
///
/// Dividing the survivors by `1 − p` keeps the mean and multiplies `E[x²]` by `1/(1 − p)`: the factor goes the other way
/// than [`dropout_classical`]'s.
///
/// # Errors
/// `p` is outside `[0, 1)`.
///
/// Source: `E[(m x / (1 − p))²] = E[x²] / (1 − p)` for `m ~ Bernoulli(1 − p)`.
pub fn dropout_inverted(p: f64) -> Result<f64> {
    Ok(keep(p)?.sqrt())
}

/// Factor on the sum of `count` branches: `1/√count`. Exact for branches of zero mean and equal second moment with
/// independent weights.
///
/// # Errors
/// `count` is 0.
///
/// Source: `E[(Σ yᵢ)²] = Σ E[yᵢ²]` where `E[yᵢ yⱼ] = 0`.
pub fn branches(count: usize) -> Result<f64> {
    Ok(1.0 / at_least_one("count", count)?.sqrt())
}

/// Factor on the sum of `count` branches that each end in a ReLU after a Gaussian pre-activation:
/// `1/√(N ((1 − 1/π) + N/π))`.
///
/// Such branches have means, and means add coherently: after `1/√N` alone, the second moment still grows as `N/π`.
///
/// # Errors
/// `count` is 0.
///
/// Source: for `r = max(z, 0)` with `E[r²] = v`, `E[r]² = v/π`, so that `E[(Σ r)²] = N v + N (N − 1) v/π`.
pub fn relu_branches(count: usize) -> Result<f64> {
    let n = at_least_one("count", count)?;
    Ok(1.0 / (n * ((1.0 - 1.0 / PI) + n / PI)).sqrt())
}

/// Factor on each of `blocks` residual branches that bounds the stream's growth by a constant: `1/√L`.
///
/// `(1 + 1/L)^L → e`, and the correlation of the stream with its input stays above `e^{−1/2}`.
///
/// # Errors
/// `blocks` is 0.
///
/// Source: Hayou et al. 2021, "Stable ResNet"; Noci et al. 2022, section 3.
pub fn residual_scale(blocks: usize) -> Result<f64> {
    Ok(1.0 / at_least_one("blocks", blocks)?.sqrt())
}

/// Factor by which a Xavier-initialized layer multiplies second moments, `2 fan_in / (fan_in + fan_out)`; behind a
/// concatenation of two equal parts mapped back to the width of one, 4/3.
///
/// The correlation of the parts plays no role, since their weights are independent: it is the widened fan-in alone.
///
/// Source: `fan_in · Var(w)` with Glorot & Bengio 2010, eq. 12.
pub fn xavier_gain(fan: Fan) -> f64 {
    fan.input / fan.average()
}

/// Weight factor that makes a Xavier-initialized layer keep second moments, `√((fan_in + fan_out) / (2 fan_in))`: √3/2
/// behind the concatenation of [`xavier_gain`]. The result is fan-in scaling.
///
/// Source: as for [`xavier_gain`].
pub fn concatenation(fan: Fan) -> f64 {
    (fan.average() / fan.input).sqrt()
}

fn keep(p: f64) -> Result<f64> {
    demand("dropout probability", p, (0.0..1.0).contains(&p), "a number in [0, 1)")?;
    Ok(1.0 - p)
}

fn at_least_one(name: &'static str, count: usize) -> Result<f64> {
    demand(name, count as f64, count > 0, "at least 1")?;
    Ok(count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Activation, Init, Layer, Seed, Stream};

    const WIDTH: usize = 32;

    /// Mean of `square` over draws, with five standard errors of it.
    fn mean_and_margin(draws: usize, mut square: impl FnMut() -> f64) -> (f64, f64) {
        let values: Vec<f64> = (0..draws).map(|_| square()).collect();
        let mean = values.iter().sum::<f64>() / draws as f64;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws as f64;
        (mean, 5.0 * (variance / draws as f64).sqrt())
    }

    fn assert_restores_one(draws: usize, square: impl FnMut() -> f64) {
        let (mean, margin) = mean_and_margin(draws, square);
        // The margin itself is held small, so that agreement means something.
        assert!(margin < 0.05 && (mean - 1.0).abs() < margin, "{mean} ± {margin}");
    }

    /// One output of a fresh unit-gain row on `x`.
    fn project(x: &[f64], std: f64, stream: &mut Stream) -> f64 {
        x.iter().map(|x| x * std * stream.normal()).sum()
    }

    #[test]
    fn dropout_factors_restore_the_second_moment_at_any_mean() {
        for (p, mean) in [(0.2, 0.0), (0.5, 1.0)] {
            for inverted in [false, true] {
                let mut stream = Seed(61).stream("dropout");
                let factor = if inverted { dropout_inverted(p) } else { dropout_classical(p) }.unwrap();
                let std = factor / (WIDTH as f64 * (1.0 + mean * mean)).sqrt();
                assert_restores_one(60_000, || {
                    let survivor = if inverted { 1.0 / (1.0 - p) } else { 1.0 };
                    let x: Vec<f64> = (0..WIDTH)
                        .map(|_| {
                            let x = mean + stream.normal();
                            if stream.uniform() < p { 0.0 } else { x * survivor }
                        })
                        .collect();
                    project(&x, std, &mut stream).powi(2)
                });
            }
        }
    }

    #[test]
    fn the_two_dropout_factors_go_opposite_ways() {
        assert!((dropout_classical(0.5).unwrap() - 2.0_f64.sqrt()).abs() < 1e-15);
        assert!((dropout_inverted(0.5).unwrap() - 0.5_f64.sqrt()).abs() < 1e-15);
        assert_eq!((dropout_classical(0.0), dropout_inverted(0.0)), (Ok(1.0), Ok(1.0)));
        for p in [-0.1, 1.0, f64::NAN] {
            assert!(dropout_classical(p).is_err() && dropout_inverted(p).is_err());
        }
    }

    #[test]
    fn branch_factors_restore_the_second_moment_of_a_sum() {
        let x = [1.0; 4];
        for count in [1, 2, 4, 8] {
            let mut stream = Seed(62).stream("linear branches");
            let (factor, std) = (branches(count).unwrap(), 0.25_f64.sqrt());
            assert_restores_one(60_000, || {
                let sum: f64 = (0..count).map(|_| project(&x, std, &mut stream)).sum();
                (factor * sum).powi(2)
            });
            let mut stream = Seed(62).stream("relu branches");
            let (factor, std) = (relu_branches(count).unwrap(), 0.5_f64.sqrt());
            assert_restores_one(200_000, || {
                let sum: f64 = (0..count).map(|_| project(&x, std, &mut stream).max(0.0)).sum();
                (factor * sum).powi(2)
            });
        }
        // What 1/√N alone leaves behind for four ReLU branches: 1.955.
        let left = (branches(4).unwrap() / relu_branches(4).unwrap()).powi(2);
        assert!((left - 1.955).abs() < 5e-4);
        assert!(branches(0).is_err() && relu_branches(0).is_err());
    }

    #[test]
    fn residual_factors_hold_the_stream() {
        let (blocks, std) = (6, (1.0 / WIDTH as f64).sqrt());
        let run = |branch: f64, whole: f64, draws: usize| {
            let mut stream = Seed(63).stream("residual");
            mean_and_margin(draws, || {
                let mut x = vec![1.0; WIDTH];
                for _ in 0..blocks {
                    let f: Vec<f64> = (0..WIDTH).map(|_| project(&x, std, &mut stream)).collect();
                    x.iter_mut().zip(f).for_each(|(x, f)| *x = whole * (*x + branch * f));
                }
                x.iter().map(|x| x * x).sum::<f64>() / WIDTH as f64
            })
        };
        let close = |(mean, margin): (f64, f64), expected: f64| {
            assert!(
                margin < 0.1 * expected && (mean - expected).abs() < margin,
                "{mean} ± {margin}: {expected}"
            );
        };
        close(run(1.0, 1.0, 2_000), 64.0); // 2⁶ without a factor
        close(run(1.0, RESIDUAL, 2_000), 1.0);
        close(run(residual_scale(blocks).unwrap(), 1.0, 2_000), (7.0_f64 / 6.0).powi(6));
        assert!(residual_scale(0).is_err());
    }

    #[test]
    fn a_concatenation_under_xavier_gains_four_thirds_until_corrected() {
        let layer = Layer::Linear { input: 2 * WIDTH, output: WIDTH };
        let fan = layer.fan().unwrap();
        assert!((xavier_gain(fan) - 4.0 / 3.0).abs() < 1e-15);
        assert!((concatenation(fan) - 3.0_f64.sqrt() / 2.0).abs() < 1e-15);
        let square = |init: Init, stream: &mut Stream| {
            let w = init.fill(&layer, stream).unwrap();
            // The skip is identical to the decoder's part: correlation does not matter.
            let part: Vec<f64> = (0..WIDTH).map(|_| stream.normal()).collect();
            let x = [part.clone(), part].concat();
            let y = w
                .chunks_exact(x.len())
                .map(|row| row.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum::<f64>());
            y.map(|y| y * y).sum::<f64>() / WIDTH as f64
        };
        let mut stream = Seed(64).stream("concatenation");
        let (mean, margin) = mean_and_margin(3_000, || square(Init::xavier_normal(), &mut stream));
        assert!(margin < 0.06 && (mean - 4.0 / 3.0).abs() < margin, "{mean} ± {margin}");
        assert_restores_one(3_000, || square(Init::xavier_normal().times(concatenation(fan)), &mut stream));
        // The corrected standard deviation is LeCun's.
        let corrected = Init::xavier_normal().times(concatenation(fan)).std(&layer).unwrap();
        assert!((corrected - Init::lecun().std(&layer).unwrap()).abs() < 1e-15);
    }

    #[test]
    fn relu_branches_use_the_mean_that_relu_has() {
        // E[r]²/E[r²] = 1/π: from E max(z,0) = 1/√(2π) and the exact second moment ½.
        let second = Activation::Relu.second_moment(1.0).unwrap();
        assert!((1.0 / (2.0 * PI) / second - 1.0 / PI).abs() < 1e-14);
    }
}
