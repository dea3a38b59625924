//! Layer normalization with a weight, and with or without a bias.

use crate::{Declarations, Grads, Origin, Params, Pass, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::{Buffer, Pool, layer_norm};

/// `y = (x − mean)/√(var + ε) · w + b` over the last dimension; see [`xexp_kernels::layer_norm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNorm {
    weight: WeightId,
    bias: Option<WeightId>,
    width: usize,
    eps: f32,
}

impl LayerNorm {
    /// Declares `path.weight` (1 when new) and `path.bias` (0 when new).
    pub fn declare(declared: &mut Declarations, path: &str, width: usize, eps: f64, origin: Origin) -> Self {
        let mut norm = Self::declare_without_bias(declared, path, width, eps, origin);
        let (layer, zero) = (Layer::Vector { len: width }, Init::Constant(0.0));
        norm.bias = Some(declared.weight(format!("{path}.bias"), layer, zero, origin));
        norm
    }

    /// [`LayerNorm::declare`] of a norm without a bias.
    pub fn declare_without_bias(
        declared: &mut Declarations,
        path: &str,
        width: usize,
        eps: f64,
        origin: Origin,
    ) -> Self {
        let (layer, one) = (Layer::Vector { len: width }, Init::Constant(1.0));
        let weight = declared.weight(format!("{path}.weight"), layer, one, origin);
        LayerNorm { weight, bias: None, width, eps: eps as f32 }
    }

    /// `(y, stats)`; the statistics are what the backward pass needs beside `x`.
    pub fn forward(&self, params: &Params, x: &[f32], pool: &Pool) -> Result<(Buffer, Buffer)> {
        let (mut y, mut stats) = (pool.buffer(x.len()), pool.buffer(2 * x.len() / self.width));
        let w = params.values(self.weight)?;
        match self.bias {
            Some(bias) => layer_norm::forward(x, &w, &params.values(bias)?, self.eps, &mut y, &mut stats),
            None => layer_norm::forward(x, &w, &pool.zeros(self.width), self.eps, &mut y, &mut stats),
        }
        Ok((y, stats))
    }

    /// Tells the pass's tap, if there is one.
    pub fn show(&self, pass: &Pass<'_>) {
        pass.tell(|tap| tap.norm(self.weight));
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
        let mut unused = pool.zeros(self.width);
        let slots = match self.bias {
            Some(bias) => grads.pair(self.weight, bias),
            None => grads.slot(self.weight).map(|slot| (slot, &mut unused[..])),
        };
        layer_norm::backward(dy, x, &w, stats, &mut dx, slots);
        Ok(dx)
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + use<> {
        [Some(self.weight), self.bias].into_iter().flatten()
    }
}
