//! Multi-head self-attention with its four projections.

use crate::layers::Linear;
use crate::{Grads, Input, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::Buffer;
use xexp_kernels::attention::Attention;
use xexp_kernels::linear::{Columns, GradColumns};

/// Queries, keys and values from `x`, attention head by head, and the projection of the heads' outputs.
#[derive(Clone)]
pub struct SelfAttention {
    /// Heads, scale and mask.
    pub law: Attention,
    /// Projection to queries.
    pub query: Linear,
    /// Projection to keys.
    pub key: Linear,
    /// Projection to values.
    pub value: Linear,
    /// Projection of the context.
    pub output: Linear,
    /// Probability of dropping an attention weight.
    pub dropout: f64,
    /// Names the dropout stream and the taps.
    pub place: String,
}

/// What the backward pass needs.
pub struct SelfAttentionTape {
    x: Arc<Buffer>,
    qkv: Buffer,
    context: Buffer,
}

impl SelfAttention {
    fn projections(&self) -> [&Linear; 3] {
        [&self.query, &self.key, &self.value]
    }

    /// `(tokens, width)` from `(tokens, width)`.
    pub fn forward(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        input: &Input,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, SelfAttentionTape)> {
        let (tokens, width) = (input.tokens(), self.query.output);
        let mut qkv = pass.buffer(tokens * 3 * width);
        for (third, projection) in self.projections().into_iter().enumerate() {
            let mut columns = Columns { data: &mut qkv, stride: 3 * width, start: third * width, width };
            projection.forward_into(params, x, &mut columns, pass)?;
        }
        pass.show(&self.place, "qkv", &qkv, 3 * width);
        let dropout = pass.dropout(&self.place, self.dropout);
        let mut context = pass.buffer(tokens * width);
        self.law.forward(&qkv, &input.offsets, None, dropout.as_ref(), &mut context);
        pass.show(&self.place, "context", &context, width);
        let mut y = pass.buffer(tokens * self.output.output);
        self.output.forward(params, &context, &mut y, pass)?;
        Ok((y, SelfAttentionTape { x: x.clone(), qkv, context }))
    }

    /// Writes (or adds, with `accumulate`) the gradient of `x` to `dx`.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        dy: &[f32],
        tape: SelfAttentionTape,
        input: &Input,
        (dx, mut accumulate): (&mut [f32], bool),
        pass: &Pass<'_>,
    ) -> Result<()> {
        let width = self.query.output;
        let mut dcontext = pass.buffer(tape.context.len());
        let dy = GradColumns::all(dy, self.output.output);
        self.output.backward(params, grads, &tape.context, dy, Some((&mut dcontext, false)), pass)?;
        let mut dqkv = pass.buffer(tape.qkv.len());
        let dropout = pass.dropout(&self.place, self.dropout);
        self.law.backward(&dcontext, &tape.qkv, &input.offsets, (None, None), dropout.as_ref(), &mut dqkv);
        for (third, projection) in self.projections().into_iter().enumerate() {
            let all = GradColumns::all(&dqkv, 3 * width);
            let columns = GradColumns { start: third * width, width, ..all };
            projection.backward(params, grads, &tape.x, columns, Some((dx, accumulate)), pass)?;
            accumulate = true;
        }
        Ok(())
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        self.projections().into_iter().chain([&self.output]).flat_map(|l| l.ids())
    }
}
