//! The contexts of queries that are the only ones of their sequences, without keys and values of the other tokens.
//!
//! Of a head with query `q`, `q·(W_k x + b_k) = (W_kᵀ q)·x + q·b_k`, where the last term is the same for all keys and leaves the
//! softmax as it is; and `Σ_j p_j (W_v x_j + b_v) = W_v Σ_j p_j x_j + b_v`. So two products a sequence take the place of two a token.

use super::{Attention, Mask, softmax};
use crate::product::{Start, Threads, View, multiply, multiply_at};
use crate::{Pool, Precision};
use rayon::prelude::*;

/// What makes keys and values of the tokens.
#[derive(Clone, Copy)]
pub struct KeyValue<'a> {
    /// `W_k (heads·head_width, width)`.
    pub key: &'a [f32],
    /// `W_v (heads·head_width, width)`.
    pub value: &'a [f32],
    /// `b_v (heads·head_width)`.
    pub value_bias: Option<&'a [f32]>,
}

impl Attention {
    /// Writes `context (batch, heads·head_width)` of queries `q`, of the same shape, over all tokens `x (tokens, width)` of their
    /// sequences: to rounding what [`Attention::forward`] makes of the projected keys and values. Every sequence has tokens, every
    /// query head keys of its own, and every key is seen.
    pub fn sole(
        &self,
        q: &[f32],
        x: &[f32],
        of: KeyValue<'_>,
        offsets: &[usize],
        context: &mut [f32],
        pool: &Pool,
    ) {
        let (heads, head, inner) = (self.heads, self.head_width, self.width());
        let batch = offsets.len().saturating_sub(1);
        if batch == 0 {
            return;
        }
        let width = of.key.len() / inner;
        assert!(
            self.kv_heads == heads && self.mask == Mask::Full,
            "attention: heads or mask of a sole query"
        );
        assert!(q.len() == batch * inner && context.len() == q.len(), "attention: lengths of sole queries");
        assert!(of.key.len() == inner * width && of.value.len() == of.key.len(), "attention: projections");
        assert!(x.len() == offsets[batch] * width, "attention: length of the tokens");
        // Of all heads of a sequence side by side: first what each compares the tokens with, then the mean of them that it takes.
        let mut means = pool.buffer(batch * heads * width);
        for h in 0..heads {
            let (q, key) = (View::new(&q[h * head..], batch, head, inner), rows(of.key, (h, head), width));
            multiply(&mut means[h * width..], heads * width, q, key, false, Threads::Pool);
        }
        means.par_chunks_mut(heads * width).enumerate().for_each_init(Vec::new, |scores, (s, means)| {
            let (start, n) = (offsets[s], offsets[s + 1] - offsets[s]);
            let x = View::new(&x[start * width..], n, width, width);
            scores.resize(heads * n, 0.0);
            multiply(scores, n, View::new(means, heads, width, width), x.t(), false, Threads::One);
            scores.chunks_exact_mut(n).for_each(|row| softmax(row, self.scale));
            multiply(means, width, View::new(scores, heads, n, n), x, false, Threads::One);
        });
        for h in 0..heads {
            let means = View::new(&means[h * width..], batch, width, heads * width);
            let value = rows(of.value, (h, head), width).t();
            let start = of.value_bias.map_or(Start::Zero, |bias| Start::Row(&bias[h * head..(h + 1) * head]));
            let out = &mut context[h * head..];
            multiply_at(Precision::F32, out, inner, means, value, start, Threads::Pool);
        }
    }
}

/// A head's rows of a projection, `(head_width, width)`.
fn rows(projection: &[f32], (h, head): (usize, usize), width: usize) -> View<'_> {
    View::new(&projection[h * head * width..], head, width, width)
}
