//! The transformer block: written once, for every family and for the experiments.

use crate::layers::{
    LayerNorm, Linear, Mlp, MlpTape, Placement, Residual, ResidualTape, SelfAttention, SelfAttentionTape,
};
use crate::{Declarations, Grads, Input, Origin, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_init::Init;
use xexp_kernels::attention::{Attention, Mask};
use xexp_kernels::{Activation, Buffer};

/// What a block is.
#[derive(Clone, Debug)]
pub struct BlockSpec {
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Number of heads.
    pub heads: usize,
    /// Factor on the attention logits.
    pub attention_scale: f64,
    /// Visible keys.
    pub mask: Mask,
    /// Nonlinearity of the feed-forward layer.
    pub activation: Activation,
    /// Where the norms stand.
    pub norm: Placement,
    /// ε of the norms.
    pub norm_eps: f64,
    /// Factors on skip and branch of each sum; (1, 1) is the plain residual.
    pub residual_scale: (f64, f64),
    /// Dropout on each branch.
    pub dropout: f64,
    /// Dropout on the attention weights.
    pub attention_dropout: f64,
    /// How a new block's matrices are drawn.
    pub init: Init,
}

/// A family's names for a block's parts, relative to the block.
#[derive(Clone, Copy, Debug)]
pub struct BlockNames {
    /// Projection to queries.
    pub query: &'static str,
    /// Projection to keys.
    pub key: &'static str,
    /// Projection to values.
    pub value: &'static str,
    /// Projection of the context.
    pub attention_output: &'static str,
    /// Norm of the attention sub-layer.
    pub attention_norm: &'static str,
    /// First feed-forward matrix.
    pub up: &'static str,
    /// Second feed-forward matrix.
    pub down: &'static str,
    /// Norm of the feed-forward sub-layer.
    pub mlp_norm: &'static str,
}

/// Attention and feed-forward sub-layers, each with its residual sum and norm.
pub struct Block {
    attention: SelfAttention,
    attention_sum: Residual,
    mlp: Mlp,
    mlp_sum: Residual,
    width: usize,
    place: String,
}

/// What the backward pass needs.
pub struct BlockTape {
    attention: SelfAttentionTape,
    attention_norm: Option<ResidualTape>,
    mlp: MlpTape,
    mlp_norm: Option<ResidualTape>,
}

impl Block {
    /// Declares the weights under `path`.
    pub fn declare(declared: &mut Declarations, path: &str, names: &BlockNames, spec: &BlockSpec) -> Self {
        let linear = |declared: &mut Declarations, name: &str, sizes| {
            Linear::declare(declared, &format!("{path}.{name}"), sizes, spec.init, Origin::Checkpoint)
        };
        let width = spec.width;
        let sum = |declared: &mut Declarations, norm: &str, place: &str| Residual {
            norm: LayerNorm::declare(
                declared,
                &format!("{path}.{norm}"),
                width,
                spec.norm_eps,
                Origin::Checkpoint,
            ),
            placement: spec.norm,
            skip: spec.residual_scale.0 as f32,
            branch: spec.residual_scale.1 as f32,
            dropout: spec.dropout,
            place: format!("{path}.{place}"),
        };
        let head_width = width / spec.heads;
        let scale = spec.attention_scale as f32;
        let square = (width, width);
        Block {
            attention: SelfAttention {
                law: Attention { heads: spec.heads, head_width, scale, mask: spec.mask },
                query: linear(declared, names.query, square),
                key: linear(declared, names.key, square),
                value: linear(declared, names.value, square),
                output: linear(declared, names.attention_output, square),
                dropout: spec.attention_dropout,
                place: format!("{path}.attention"),
            },
            attention_sum: sum(declared, names.attention_norm, "attention.output"),
            mlp: Mlp {
                up: linear(declared, names.up, (width, spec.hidden)),
                down: linear(declared, names.down, (spec.hidden, width)),
                activation: spec.activation,
            },
            mlp_sum: sum(declared, names.mlp_norm, "output"),
            width,
            place: path.to_string(),
        }
    }

    /// `(tokens, width)` from `(tokens, width)`, and the tape.
    pub fn forward(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        input: &Input,
        pass: &mut Pass<'_>,
    ) -> Result<(Arc<Buffer>, BlockTape)> {
        let (h, before) = self.attention_sum.before(params, x, pass)?;
        pass.show(&self.place, "attention.input", &h, self.width);
        let (f, attention) = self.attention.forward(params, &h, input, pass)?;
        pass.show(&self.place, "attention.branch", &f, self.width);
        let (y, after) = self.attention_sum.after(params, x, f, self.width, pass)?;
        let attention_norm = before.or(after);

        let y = Arc::new(y);
        let (h, before) = self.mlp_sum.before(params, &y, pass)?;
        let (f, mlp) = self.mlp.forward(params, &h, pass)?;
        pass.show(&self.place, "mlp.branch", &f, self.width);
        let (z, after) = self.mlp_sum.after(params, &y, f, self.width, pass)?;
        pass.show(&self.place, "", &z, self.width);
        let mlp_norm = before.or(after);
        Ok((Arc::new(z), BlockTape { attention, attention_norm, mlp, mlp_norm }))
    }

    /// The gradient of `x` from that of the output.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        dy: Buffer,
        tape: BlockTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<Buffer> {
        let BlockTape { attention, attention_norm, mlp, mlp_norm } = tape;
        let dy = self.sublayer(&self.mlp_sum, (params, grads), dy, mlp_norm, pass, |grads, df, dx| {
            self.mlp.backward((params, grads), df, mlp, dx, pass)
        })?;
        self.sublayer(&self.attention_sum, (params, grads), dy, attention_norm, pass, |grads, df, dx| {
            self.attention.backward((params, grads), df, attention, input, dx, pass)
        })
    }

    /// Backward through one sum, around the branch's own backward.
    fn sublayer(
        &self,
        sum: &Residual,
        (params, grads): (&Params, &mut Grads),
        dy: Buffer,
        tape: Option<ResidualTape>,
        pass: &Pass<'_>,
        branch: impl FnOnce(&mut Grads, &[f32], (&mut [f32], bool)) -> Result<()>,
    ) -> Result<Buffer> {
        let after = tape.as_ref().filter(|_| sum.placement == Placement::Post);
        let (mut dx, df) = sum.backward_after(params, grads, dy, after, self.width, pass)?;
        match tape.filter(|_| sum.placement == Placement::Pre) {
            // The norm stands between the stream and the branch: the branch's gradient goes through it first.
            Some(tape) => {
                let mut dinput = pass.buffer(dx.len());
                branch(grads, &df, (&mut dinput, false))?;
                sum.backward_before(params, grads, &dinput, &mut dx, &tape, pass.pool)?;
            }
            None => branch(grads, &df, (&mut dx, true))?,
        }
        Ok(dx)
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        let sums = self.attention_sum.ids().into_iter().chain(self.mlp_sum.ids());
        self.attention.ids().chain(self.mlp.ids()).chain(sums)
    }
}
