//! Storing activations in 16 bits, and counting what becomes of them.

use candle_core::Tensor;
use half::{bf16, f16};

use super::half_precision::Format;
use crate::{Draw, Result};

/// How values are stored between layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// FP16 with gradual underflow.
    Ieee,
    /// FP16 that flushes results below the smallest normal number to zero.
    Ftz,
    /// bfloat16.
    Bf16,
}

impl Mode {
    /// All modes, with their names.
    pub const ALL: [(&'static str, Mode); 3] =
        [("ieee", Mode::Ieee), ("ftz", Mode::Ftz), ("bf16", Mode::Bf16)];

    /// The modes that a gain is measured with: flushing makes a difference below the normal range only.
    pub fn of(gain: f64) -> impl Iterator<Item = (&'static str, Mode)> {
        Mode::ALL.into_iter().filter(move |(_, mode)| gain <= 1.0 || *mode != Mode::Ftz)
    }

    /// The format, for predictions.
    pub fn format(self) -> Format {
        match self {
            Mode::Ieee => Format::F16,
            Mode::Ftz => Format { flush: true, ..Format::F16 },
            Mode::Bf16 => Format::BF16,
        }
    }

    /// The stored value: rounded first, then flushed.
    pub fn store(self, x: f32) -> f32 {
        match self {
            Mode::Ieee => f16::from_f32(x).to_f32(),
            Mode::Ftz => {
                let stored = f16::from_f32(x).to_f32();
                if stored.abs() < f16::MIN_POSITIVE.to_f32() { 0.0 } else { stored }
            }
            Mode::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }
}

/// The values, as they are in single precision.
pub(crate) fn singles(x: &Tensor) -> Result<Vec<f32>> {
    Ok(x.flatten_all()?.to_vec1()?)
}

/// The tensor as it comes back after it was stored.
pub(crate) fn store(x: &Tensor, mode: Mode) -> Result<Tensor> {
    let stored: Vec<f32> = singles(x)?.into_iter().map(|x| mode.store(x)).collect();
    Ok(Tensor::from_vec(stored, x.shape(), x.device())?)
}

/// What storing does to some values.
pub(crate) struct Counts {
    overflow: f64,
    zero: f64,
    subnormal: f64,
    square_error: f64,
}

impl Counts {
    /// Counts after rounding.
    pub fn of(exact: &[f32], mode: Mode) -> Counts {
        let mut counts = Counts { overflow: 0.0, zero: 0.0, subnormal: 0.0, square_error: 0.0 };
        let least = mode.format().least_normal() as f32;
        for &x in exact {
            let stored = mode.store(x);
            if stored.is_infinite() {
                counts.overflow += 1.0;
                continue;
            }
            if stored == 0.0 {
                counts.zero += 1.0;
            } else if stored.abs() < least {
                counts.subnormal += 1.0;
            }
            counts.square_error += (f64::from(stored) - f64::from(x)).powi(2);
        }
        let n = exact.len() as f64;
        Counts {
            overflow: counts.overflow / n,
            zero: counts.zero / n,
            subnormal: counts.subnormal / n,
            square_error: counts.square_error / n,
        }
    }

    /// Records shares, and the error relative to the exact values' standard deviation.
    pub fn record(&self, draw: &mut Draw<'_>, mode: &str, layer: usize, std: f64) -> Result<()> {
        draw.record(&format!("{mode}-overflow.{layer}"), self.overflow)?;
        draw.record(&format!("{mode}-zero.{layer}"), self.zero)?;
        draw.record(&format!("{mode}-subnormal.{layer}"), self.subnormal)?;
        draw.record(&format!("{mode}-error.{layer}"), self.square_error.sqrt() / std)
    }
}
