//! Root-mean-square normalization with a gain.

use crate::{Declarations, Grads, Origin, Params, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::{Buffer, Pool, rms_norm};

/// `y = x/√(mean(x²) + ε) · w` over `width` values at a time; see [`xexp_kernels::rms_norm`].
#[derive(Clone, Copy, Debug)]
pub struct RmsNorm {
    weight: WeightId,
    width: usize,
    eps: f32,
}

impl RmsNorm {
    /// Declares `path.weight` (1 when new).
    pub fn declare(declared: &mut Declarations, path: &str, width: usize, eps: f64, origin: Origin) -> Self {
        let layer = Layer::Vector { len: width };
        let weight = declared.weight(format!("{path}.weight"), layer, Init::Constant(1.0), origin);
        RmsNorm { weight, width, eps: eps as f32 }
    }

    /// `(y, stats)`; the statistics are what the backward pass needs beside `x`.
    pub fn forward(&self, params: &Params, x: &[f32], pool: &Pool) -> Result<(Buffer, Buffer)> {
        let (mut y, mut stats) = (pool.buffer(x.len()), pool.buffer(x.len() / self.width));
        rms_norm::forward(x, &params.values(self.weight)?, self.eps, &mut y, &mut stats);
        Ok((y, stats))
    }

    /// `dx`, and the gain's gradient added.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        dy: &[f32],
        (x, stats): (&[f32], &[f32]),
        pool: &Pool,
    ) -> Result<Buffer> {
        let mut dx = pool.buffer(x.len());
        let w = params.values(self.weight)?;
        rms_norm::backward(dy, x, &w, stats, &mut dx, grads.slot(self.weight));
        Ok(dx)
    }

    /// Its weight.
    pub fn ids(&self) -> [WeightId; 1] {
        [self.weight]
    }
}
