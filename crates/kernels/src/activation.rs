//! Element-wise nonlinearities and their derivatives.

use crate::reduce::CHUNK;
use crate::wide::widest;
use rayon::prelude::*;

/// A nonlinearity of a feed-forward sub-layer or a head, by the names that `config.json` uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Φ(x)`. Source: Hendrycks and Gimpel 2016. (`gelu`)
    Gelu,
    /// `x/2 (1 + tanh(√(2/π)(x + 0.044715 x³)))`, the same paper's approximation. (`gelu_new`,
    /// `gelu_pytorch_tanh`, `gelu_fast`)
    GeluTanh,
    /// `max(0, x)`; its derivative at 0 is taken as 0, as PyTorch does. (`relu`)
    Relu,
    /// `min(max(0, x), 6)`; its derivative at 0 and at 6 is taken as 0, as PyTorch does. (`relu6`)
    Relu6,
    /// `x / (1 + e⁻ˣ)`. (`silu`, `swish`)
    Silu,
    /// `tanh x`. (`tanh`)
    Tanh,
}

impl Activation {
    /// The nonlinearity that a `config.json` calls `name`, or `None` for an unknown one.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
            "relu" => Activation::Relu,
            "relu6" => Activation::Relu6,
            "silu" | "swish" => Activation::Silu,
            "tanh" => Activation::Tanh,
            _ => return None,
        })
    }

    /// `y = φ(x)`, element by element.
    pub fn forward(self, x: &[f32], y: &mut [f32]) {
        match self {
            Activation::Gelu => chunks(y, x, gelu),
            Activation::GeluTanh => map(x, y, |v| 0.5 * v * (1.0 + tanh_argument(v).tanh())),
            Activation::Relu => map(x, y, |v| v.max(0.0)),
            Activation::Relu6 => map(x, y, |v| v.clamp(0.0, 6.0)),
            Activation::Silu => map(x, y, |v| v * sigmoid(v)),
            Activation::Tanh => map(x, y, f32::tanh),
        }
    }

    /// `dx *= φ'(x)`, in place: `dx` holds the gradient of the output when called.
    pub fn backward(self, x: &[f32], dx: &mut [f32]) {
        match self {
            Activation::Gelu => chunks(dx, x, gelu_slope),
            Activation::GeluTanh => slope(x, dx, |v| {
                let t = tanh_argument(v).tanh();
                0.5 * (1.0 + t) + 0.5 * v * (1.0 - t * t) * SQRT_2_OVER_PI * (1.0 + 3.0 * 0.044715 * v * v)
            }),
            Activation::Relu => slope(x, dx, |v| if v > 0.0 { 1.0 } else { 0.0 }),
            Activation::Relu6 => slope(x, dx, |v| if v > 0.0 && v < 6.0 { 1.0 } else { 0.0 }),
            Activation::Silu => slope(x, dx, |v| {
                let s = sigmoid(v);
                s * (1.0 + v * (1.0 - s))
            }),
            Activation::Tanh => slope(x, dx, |v| {
                let t = v.tanh();
                1.0 - t * t
            }),
        }
    }
}

widest! {
    /// `y = x Φ(x)`.
    fn gelu(y: &mut [f32], x: &[f32]) = gelu_values;
    /// `dx *= Φ(x) + x φ(x)`.
    fn gelu_slope(dx: &mut [f32], x: &[f32]) = gelu_slopes;
}

#[inline(always)]
fn gelu_values(y: &mut [f32], x: &[f32]) {
    for (y, &v) in y.iter_mut().zip(x) {
        *y = v * normal(v).0;
    }
}

#[inline(always)]
fn gelu_slopes(dx: &mut [f32], x: &[f32]) {
    for (g, &v) in dx.iter_mut().zip(x) {
        let (cdf, pdf) = normal(v);
        *g *= cdf + v * pdf;
    }
}

/// `work` on chunks of both, in parallel.
fn chunks(out: &mut [f32], x: &[f32], work: fn(&mut [f32], &[f32])) {
    assert_eq!(x.len(), out.len(), "activation: lengths");
    out.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(out, x)| work(out, x));
}

const SQRT_2_OVER_PI: f32 = 0.797_884_6;

fn tanh_argument(v: f32) -> f32 {
    SQRT_2_OVER_PI * (v + 0.044715 * v * v * v)
}

fn sigmoid(v: f32) -> f32 {
    1.0 / (1.0 + (-v).exp())
}

#[inline(always)]
fn map(x: &[f32], y: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    assert_eq!(x.len(), y.len(), "activation: lengths");
    y.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, &v)| *y = f(v)));
}

#[inline(always)]
fn slope(x: &[f32], dx: &mut [f32], f: impl Fn(f32) -> f32 + Sync) {
    assert_eq!(x.len(), dx.len(), "activation: lengths");
    dx.par_chunks_mut(CHUNK)
        .zip(x.par_chunks(CHUNK))
        .for_each(|(g, x)| g.iter_mut().zip(x).for_each(|(g, &v)| *g *= f(v)));
}

/// `eˣ` to 2 ulp for `x` in [−87, 88], in arithmetic that vectorises; beyond, the value at the end.
///
/// Range reduction by a two-part `ln 2` and a degree-5 polynomial on [−ln 2/2, ln 2/2].
/// Source: Moshier, Cephes `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.0, 88.0);
    // Adding 1.5·2²³ rounds to the nearest whole number in the low mantissa bits.
    const SHIFT: f32 = 12_582_912.0;
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let n = shifted - SHIFT;
    let r = x - n * 0.693_359_4 - n * -2.121_944_4e-4;
    let mut p = 1.987_569_2e-4f32;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // `n` from those bits: a conversion that saturates would be done one number at a time.
    let n = shifted.to_bits().wrapping_sub(SHIFT.to_bits());
    p * f32::from_bits(n.wrapping_add(127) << 23)
}

/// The standard normal's distribution function and density at `x`; the former to 1.5e-7 absolute.
/// Source: Abramowitz and Stegun 7.1.26, on `erf(x/√2)`.
#[inline(always)]
fn normal(x: f32) -> (f32, f32) {
    let e = exp(-0.5 * x * x);
    let a = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * a);
    let poly = ((((1.061_405_4 * t - 1.453_152) * t + 1.421_413_7) * t - 0.284_496_74) * t + 0.254_829_6) * t;
    let erf = (1.0 - poly * e).copysign(x);
    (0.5 * (1.0 + erf), 0.398_942_3 * e)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor, Var};

    const ALL: [Activation; 6] = [
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Relu,
        Activation::Relu6,
        Activation::Silu,
        Activation::Tanh,
    ];

    fn grid() -> Vec<f32> {
        (0..4001).map(|i| (i as f32 - 2000.0) / 250.0 + 1e-3).collect()
    }

    #[test]
    fn values_and_slopes_are_those_of_autograd() {
        for activation in ALL {
            let x = grid();
            let var = Var::from_slice(&x, x.len(), &Device::Cpu).unwrap();
            let y: Tensor = match activation {
                Activation::Gelu => var.gelu_erf(),
                Activation::GeluTanh => var.gelu(),
                Activation::Relu => var.relu(),
                Activation::Relu6 => var.clamp(0f32, 6f32),
                Activation::Silu => var.silu(),
                Activation::Tanh => var.tanh(),
            }
            .unwrap();
            let grads = y.sum_all().unwrap().backward().unwrap();
            let (mut ours, mut slopes) = (vec![0.0; x.len()], vec![1.0; x.len()]);
            activation.forward(&x, &mut ours);
            activation.backward(&x, &mut slopes);
            let y = y.to_vec1::<f32>().unwrap();
            let g = grads.get(&var).unwrap().to_vec1::<f32>().unwrap();
            // x·Φ(x) with Φ to 1.5e-7 and |x| ≤ 8, and f32 rounding of values up to 8.
            assert!(ours.iter().zip(&y).all(|(a, b)| (a - b).abs() < 3e-6), "{activation:?}");
            assert!(slopes.iter().zip(&g).all(|(a, b)| (a - b).abs() < 3e-6), "{activation:?}");
        }
    }

    #[test]
    fn slopes_are_central_differences_of_the_values() {
        let (x, h) = (grid(), 1e-2f32);
        for activation in ALL {
            let shifted = |d: f32| {
                let x: Vec<f32> = x.iter().map(|v| v + d).collect();
                let mut y = vec![0.0; x.len()];
                activation.forward(&x, &mut y);
                y
            };
            let (up, down) = (shifted(h), shifted(-h));
            let mut slopes = vec![1.0; x.len()];
            activation.backward(&x, &mut slopes);
            for (i, s) in slopes.iter().enumerate() {
                let bends: &[f32] = match activation {
                    Activation::Relu => &[0.0],
                    Activation::Relu6 => &[0.0, 6.0],
                    _ => &[],
                };
                if bends.iter().any(|bend| (x[i] - bend).abs() < h) {
                    continue;
                }
                // h²/6·|φ'''| ≤ 2e-5 of truncation, 2·8·2⁻²⁴/h ≤ 1e-4 of rounding.
                assert!(((up[i] - down[i]) / (2.0 * h) - s).abs() < 2e-4, "{activation:?} at {}", x[i]);
            }
        }
    }

    #[test]
    fn exp_keeps_seven_digits() {
        for i in -8600..8700 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            assert!((f64::from(exp(x)) / exact - 1.0).abs() < 3e-7, "at {x}");
        }
    }
}
