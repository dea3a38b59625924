//! Layer normalization with weight and bias.

use crate::{Declarations, Grads, Origin, Params, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::{Buffer, Pool, layer_norm};

/// `y = (x − mean)/√(var + ε) · w + b` over the last dimension; see [`xexp_kernels::layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    weight: WeightId,
    bias: WeightId,
    width: usize,
    eps: f32,
}

impl LayerNorm {
    /// Declares `path.weight` (1 when new) and `path.bias` (0 when new).
    pub fn declare(declared: &mut Declarations, path: &str, width: usize, eps: f64, origin: Origin) -> Self {
        let mut vector = |name: &str, value: f64| {
            let layer = Layer::Vector { len: width };
            declared.weight(format!("{path}.{name}"), layer, Init::Constant(value), origin)
        };
        LayerNorm { weight: vector("weight", 1.0), bias: vector("bias", 0.0), width, eps: eps as f32 }
    }

    /// `(y, stats)`; the statistics are what the backward pass needs beside `x`.
    pub fn forward(&self, params: &Params, x: &[f32], pool: &Pool) -> Result<(Buffer, Buffer)> {
        let (mut y, mut stats) = (pool.buffer(x.len()), pool.buffer(2 * x.len() / self.width));
        let (w, b) = (params.values(self.weight)?, params.values(self.bias)?);
        layer_norm::forward(x, &w, &b, self.eps, &mut y, &mut stats);
        Ok((y, stats))
    }

    /// `dx`, and the weights' gradients added.
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
        let slots = grads.pair(self.weight, self.bias);
        layer_norm::backward(dy, x, &w, stats, &mut dx, slots);
        Ok(dx)
    }

    /// Its weights.
    pub fn ids(&self) -> [WeightId; 2] {
        [self.weight, self.bias]
    }
}
