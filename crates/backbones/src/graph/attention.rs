//! Multi-head attention over queries, keys and values that earlier operations have made.

use super::{Descent, Graph, Place, Var};
use crate::{Attended, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::attention::{Attention, Bias};
use xexp_kernels::{Buffer, add};

/// Shape and law of an attention, and what is dropped.
pub struct AttentionSpec<'a> {
    /// Heads, scale and mask.
    pub law: Attention,
    /// Probability of dropping an attention weight.
    pub dropout: f64,
    /// Names the dropout stream.
    pub place: &'a str,
}

/// Terms added to the scaled logits. Sequences have at most `n` tokens; a shorter one takes the first rows and columns.
#[derive(Clone)]
pub struct AttentionBias {
    /// Rows and columns of a matrix.
    pub n: usize,
    /// A matrix a head, `(heads·n, n)`, the same for all sequences.
    pub heads: Option<Var>,
    /// Matrices `(count, n, n)`, the same for all heads: sequence `s` takes number `s mod count`.
    pub sequences: Option<Arc<Vec<f32>>>,
}

impl AttentionBias {
    fn values(&self) -> Bias<'_> {
        Bias {
            n: self.n,
            heads: self.heads.as_ref().map(|var| &var.values()[..]),
            sequences: self.sequences.as_ref().map(|all| &all[..]),
        }
    }
}

impl Graph<'_, '_> {
    /// Terms of the logits `(heads·n, n)` from a learned table `(count, heads)`: query `i` and key `j` of head `h` have
    /// `table[rows[i·n + j], h]`. The rows lie within the table.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn table_bias(&mut self, table: WeightId, heads: usize, rows: Vec<u32>, n: usize) -> Result<Var> {
        let mut terms = self.pass.buffer(heads * n * n);
        let values = self.params.values(table)?;
        for (h, terms) in terms.chunks_exact_mut((n * n).max(1)).enumerate() {
            terms.iter_mut().zip(&rows).for_each(|(term, &row)| *term = values[row as usize * heads + h]);
        }
        drop(values);
        let wanted = self.wants(&[], [table]);
        Ok(self.record(terms, n, wanted, move |descent, dterms| {
            if let Some(slot) = descent.grads.slot(table) {
                for (h, dterms) in dterms.chunks_exact((n * n).max(1)).enumerate() {
                    for (dterm, &row) in dterms.iter().zip(&rows) {
                        slot[row as usize * heads + h] += dterm;
                    }
                }
            }
            Ok(())
        }))
    }

    /// The contexts `(tokens, heads·head_width)` of `q (tokens, heads·head_width)`, `k` and `v (tokens,
    /// kv_heads·head_width)`; sequence `s` is the rows `offsets[s]..offsets[s + 1]`. See [`xexp_kernels::attention`].
    pub fn attention(
        &mut self,
        spec: &AttentionSpec<'_>,
        [q, k, v]: [&Var; 3],
        offsets: &Arc<Vec<usize>>,
        bias: Option<&AttentionBias>,
    ) -> Var {
        let law = spec.law;
        let qkv = self.side_by_side([q, k, v]);
        let dropout = self.pass.dropout(spec.place, spec.dropout);
        let width = law.heads * law.head_width;
        let mut context = self.pass.buffer(q.rows() * width);
        let values = bias.map(AttentionBias::values);
        law.forward(&qkv, offsets, values, dropout.as_ref(), &mut context);
        self.pass.tell(|tap| {
            tap.attention(Attended::plain(spec.place, law, &qkv, offsets, &|of, visit| {
                law.rows(&qkv, offsets, values, of, visit)
            }))
        });

        let learned = bias.and_then(|bias| bias.heads.as_ref());
        let inputs: Vec<&Var> = [q, k, v].into_iter().chain(learned).collect();
        let wanted = self.wants(&inputs, []);
        let parts = [q, k, v].map(|part| (part.place(), part.width()));
        let to_bias = learned.map(Var::place);
        let (offsets, bias) = (offsets.clone(), bias.cloned());
        self.record(context, width, wanted, move |descent, dcontext| {
            let mut dqkv = descent.pass.buffer(qkv.len());
            let mut dbias = to_bias.and_then(|place| descent.open_zeroed(place));
            let terms = (bias.as_ref().map(AttentionBias::values), dbias.as_deref_mut());
            law.backward(&dcontext, &qkv, &offsets, terms, dropout.as_ref(), &mut dqkv);
            if let Some(place) = to_bias {
                descent.close(place, dbias);
            }
            descent.give_columns(parts, &dqkv);
            Ok(())
        })
    }

    /// `[q, k, v]`, row by row.
    pub(super) fn side_by_side(&self, parts: [&Var; 3]) -> Buffer {
        let packed: usize = parts.iter().map(|part| part.width()).sum();
        let mut all = self.pass.buffer(parts[0].rows() * packed);
        let mut start = 0;
        for part in parts {
            for (row, part) in all.chunks_exact_mut(packed).zip(part.values().chunks_exact(part.width())) {
                row[start..start + part.len()].copy_from_slice(part);
            }
            start += part.width();
        }
        all
    }
}

impl Descent<'_, '_> {
    /// Adds the gradient of what [`Graph::side_by_side`] gave to its parts, of these widths.
    pub(super) fn give_columns(&mut self, parts: [(Place, usize); 3], gradient: &[f32]) {
        let packed: usize = parts.iter().map(|(_, width)| width).sum();
        let mut start = 0;
        for (place, width) in parts {
            let mut slot = self.open_zeroed(place);
            if let Some(slot) = &mut slot {
                for (slot, row) in slot.chunks_exact_mut(width).zip(gradient.chunks_exact(packed)) {
                    add(slot, &row[start..start + width]);
                }
            }
            self.close(place, slot);
            start += width;
        }
    }
}
