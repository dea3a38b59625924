//! Slopes of a loss by finite differences, held against the gradients of a backward pass.

use xexp_backbones::{Grads, Params, Seed};

/// Step, as a share of a weight's own size.
///
/// The loss is computed in f32 and read to about `δ = 3e-7` (a few units of 2⁻²⁴ on values of order 1, averaged
/// over rows); the five-point rule passes on `1.1 δ/h = 2e-5` of it. Its own error is `h⁴/30·|f⁽⁵⁾|`. A loss of
/// order 1 that is smooth on the scale of half a weight's size has `|f⁽⁵⁾|` of about `5!·2⁵ = 4e3`, which makes
/// `8e-6`. A smaller step would lose more to rounding than it gains.
const STEP: f64 = 1.0 / 64.0;

/// Largest difference between a slope and the gradient along its direction: some four times the estimate at [`STEP`].
pub const TOLERANCE: f64 = 1e-4;

/// Directions tried in each tensor.
const DIRECTIONS: u32 = 3;

/// `f'(0)` by the five-point central difference. Source: Abramowitz and Stegun 25.3.6.
pub fn slope(mut f: impl FnMut(f64) -> f64) -> f64 {
    let h = STEP;
    (8.0 * (f(h) - f(-h)) - (f(2.0 * h) - f(-2.0 * h))) / (12.0 * h)
}

/// A normally distributed direction as large as `values` are, drawn from the stream `name`.
pub fn direction(values: &[f32], name: &str) -> Vec<f64> {
    let square: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
    // A new bias is zero; a tenth is what trained ones have.
    let size = (square / values.len() as f64).sqrt().max(0.1);
    let mut stream = Seed(7).stream(name);
    values.iter().map(|_| size * stream.normal()).collect()
}

/// `values + t·direction`.
pub fn moved(values: &[f32], direction: &[f64], t: f64) -> Vec<f32> {
    values.iter().zip(direction).map(|(v, d)| (f64::from(*v) + t * d) as f32).collect()
}

/// The gradient's own answer: `⟨gradient, direction⟩`.
pub fn along(gradient: &[f32], direction: &[f64]) -> f64 {
    gradient.iter().zip(direction).map(|(g, d)| f64::from(*g) * d).sum()
}

/// Holds the gradient of every trainable weight against slopes of `loss`, and returns for each weight its name and
/// the steepest slope met, so that callers can see that the tolerance is small beside it.
pub fn check(params: &Params, grads: &Grads, loss: impl Fn() -> f64) -> Vec<(String, f64)> {
    let mut steepest = vec![];
    for (id, weight) in params.iter() {
        let Some(gradient) = grads.get(id) else { continue };
        let values = params.values(id).unwrap().to_vec();
        let mut most = 0f64;
        for turn in 0..DIRECTIONS {
            let direction = direction(&values, &format!("{}/{turn}", weight.name));
            let measured = slope(|t| {
                params.set(id, &moved(&values, &direction, t)).unwrap();
                loss()
            });
            let claimed = along(gradient, &direction);
            let name = &weight.name;
            assert!(
                (measured - claimed).abs() < TOLERANCE,
                "{name}: slope {measured}, gradient says {claimed}"
            );
            most = most.max(claimed.abs());
        }
        params.set(id, &values).unwrap();
        steepest.push((weight.name.clone(), most));
    }
    steepest
}
