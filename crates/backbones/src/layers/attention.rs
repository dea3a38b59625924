//! Multi-head self-attention with its four projections.

use crate::layers::{Linear, first_rows};
use crate::{Attended, Grads, Input, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::attention::{Attention, KeyValue, Mask, Queries};
use xexp_kernels::linear::{Columns, GradColumns};
use xexp_kernels::{Buffer, Precision};

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
    /// The rows of `x` that ask, where not all do.
    first: Option<Buffer>,
    qkv: Buffer,
    context: Buffer,
}

impl SelfAttention {
    fn projections(&self) -> [&Linear; 3] {
        [&self.query, &self.key, &self.value]
    }

    /// `(tokens, width)` from `(tokens, width)`; of each sequence's first token alone, `(batch, width)`, where
    /// only these are wanted.
    pub fn forward(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        input: &Input,
        queries: Queries,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, SelfAttentionTape)> {
        if self.spares_keys(params, queries, pass) {
            return self.sole(params, x, input, pass);
        }
        let (tokens, width) = (input.tokens(), self.query.output);
        let mut qkv = pass.buffer(tokens * 3 * width);
        let mut project = |third: usize, projection: &Linear| {
            let mut columns = Columns { data: &mut qkv, stride: 3 * width, start: third * width, width };
            projection.forward_into(params, x, &mut columns, pass)
        };
        project(1, &self.key)?;
        project(2, &self.value)?;
        let first = match queries {
            Queries::All => {
                project(0, &self.query)?;
                None
            }
            Queries::First => {
                let first = first_rows::take(x, self.query.input, input, pass.pool);
                let mut q = pass.buffer(input.batch() * width);
                self.query.forward(params, &first, &mut q, pass)?;
                for (q, &start) in q.chunks_exact(width).zip(input.starts()) {
                    qkv[start * 3 * width..][..width].copy_from_slice(q);
                }
                Some(first)
            }
        };
        pass.show(&self.place, "qkv", &qkv, 3 * width);
        if pass.tap.is_some() {
            for (third, projection) in self.projections().into_iter().enumerate() {
                let rows = qkv.chunks_exact(3 * width);
                let y: Vec<f32> =
                    rows.flat_map(|row| row[third * width..][..width].iter().copied()).collect();
                projection.show(x, &y, pass);
            }
        }
        let dropout = pass.dropout(&self.place, self.dropout);
        let asking = if first.is_some() { input.batch() } else { tokens };
        let mut context = pass.buffer(asking * width);
        let law = Attention { queries, ..self.law };
        law.forward(&qkv, &input.offsets, None, dropout.as_ref(), &mut context);
        pass.tell(|tap| {
            let rows: &crate::tap::Rows<'_> = &|of, visit| law.rows(&qkv, &input.offsets, None, of, visit);
            tap.attention(Attended::plain(&self.place, law, &qkv, &input.offsets, rows));
        });
        pass.show(&self.place, "context", &context, width);
        let mut y = pass.buffer(asking * self.output.output);
        self.output.forward(params, &context, &mut y, pass)?;
        self.output.show(&context, &y, pass);
        Ok((y, SelfAttentionTape { x: x.clone(), first, qkv, context }))
    }

    /// Whether keys and values need not be made: one query a sequence asks, and nobody wants to see them or their gradients.
    fn spares_keys(&self, params: &Params, queries: Queries, pass: &Pass<'_>) -> bool {
        let plain = |projection: &Linear| {
            params.adapter(projection.weight).is_none()
                && params.weight(projection.weight).precision == Precision::F32
        };
        let law = &self.law;
        queries == Queries::First
            && !(pass.trains() || pass.tap.is_some())
            && (law.mask == Mask::Full && law.kv_heads == law.heads)
            && (plain(&self.key) && plain(&self.value))
    }

    /// [`SelfAttention::forward`] of first tokens, without keys and values; no backward pass can follow.
    fn sole(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        input: &Input,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, SelfAttentionTape)> {
        let inner = input.batch() * self.query.output;
        let first = first_rows::take(x, self.query.input, input, pass.pool);
        let (mut q, mut context) = (pass.buffer(inner), pass.buffer(inner));
        self.query.forward(params, &first, &mut q, pass)?;
        let (key, value) = (params.values(self.key.weight)?, params.values(self.value.weight)?);
        let bias = self.value.bias.map(|bias| params.values(bias)).transpose()?;
        let of = KeyValue { key: &key, value: &value, value_bias: bias.as_deref() };
        self.law.sole(&q, x, of, &input.offsets, &mut context, pass.pool);
        let mut y = pass.buffer(input.batch() * self.output.output);
        self.output.forward(params, &context, &mut y, pass)?;
        let qkv = pass.buffer(0);
        Ok((y, SelfAttentionTape { x: x.clone(), first: Some(first), qkv, context }))
    }

    /// Writes (or adds, with `accumulate`) the gradient of `x` to `dx`, which has the rows of all tokens.
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
        let queries = if tape.first.is_some() { Queries::First } else { Queries::All };
        let law = Attention { queries, ..self.law };
        law.backward(&dcontext, &tape.qkv, &input.offsets, (None, None), dropout.as_ref(), &mut dqkv);
        let all = GradColumns::all(&dqkv, 3 * width);
        for (third, projection) in self.projections().into_iter().enumerate() {
            if third == 0 && tape.first.is_some() {
                continue;
            }
            let columns = GradColumns { start: third * width, width, ..all };
            projection.backward(params, grads, &tape.x, columns, Some((dx, accumulate)), pass)?;
            accumulate = true;
        }
        if let Some(first) = &tape.first {
            let dq = first_rows::take(&dqkv, 3 * width, input, pass.pool);
            let dq = GradColumns { start: 0, width, ..GradColumns::all(&dq, 3 * width) };
            let mut dfirst = pass.buffer(first.len());
            self.query.backward(params, grads, first, dq, Some((&mut dfirst, false)), pass)?;
            first_rows::add_back(&dfirst, self.query.input, input, dx);
        }
        Ok(())
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        self.projections().into_iter().chain([&self.output]).flat_map(|l| l.ids())
    }
}
