//! The logits themselves, for whoever watches.

use super::place::Place;
use super::{Attention, Bias, Part};
use crate::product::{Threads, multiply};

/// What one query makes of the keys that it sees.
#[derive(Clone, Copy, Debug)]
pub struct LogitRow<'a> {
    /// The query's place in its sequence.
    pub query: usize,
    /// The places of the keys that it sees.
    pub keys: &'a [usize],
    /// The logits on these, with all terms.
    pub logits: &'a [f32],
    /// Those of queries on keys alone, without terms of places.
    pub content: &'a [f32],
}

/// A term below this is a mask: no key that it stands for is seen. Softmax makes `e^{−50}` of it, less than rounding.
const HIDDEN: f32 = -50.0;

impl Attention {
    /// Calls `visit` with the logits of one head of one sequence, `of = (sequence, head)`, query by query. Keys that the mask
    /// hides, or a term of the sequence far below all others, are left out.
    ///
    /// What is given is as for [`Attention::forward`].
    pub fn rows(
        &self,
        qkv: &[f32],
        offsets: &[usize],
        bias: Option<Bias<'_>>,
        (s, h): (usize, usize),
        visit: &mut dyn FnMut(LogitRow<'_>),
    ) {
        let (start, n) = (offsets[s], offsets[s + 1] - offsets[s]);
        let (mut memory, mut with_terms) = (vec![], vec![]);
        for place in self.places((s, h), n) {
            let content = place.room(&mut memory);
            let q = self.part(qkv, start, &place.rows, h, Part::Query);
            let k = self.part(qkv, start, &place.keys, h, Part::Key);
            multiply(content, place.keys.len(), q, k.t(), false, Threads::One);
            content.iter_mut().for_each(|z| *z *= self.scale);
            with_terms.clear();
            with_terms.extend_from_slice(content);
            if let Some(bias) = bias {
                bias.add(&mut with_terms, &place);
            }
            let hidden = bias.and_then(|bias| bias.of_sequence(&place));
            let count = place.keys.len();
            for (index, query) in place.rows.clone().enumerate() {
                let visible = self.mask.visible(query, n);
                let seen =
                    |key: &usize| hidden.as_ref().is_none_or(|t| t[index][key - place.keys.start] > HIDDEN);
                let keys: Vec<usize> = visible.filter(seen).collect();
                let row = |of: &[f32]| -> Vec<f32> {
                    keys.iter().map(|key| of[index * count + key - place.keys.start]).collect()
                };
                visit(LogitRow { query, keys: &keys, logits: &row(&with_terms), content: &row(content) });
            }
        }
    }
}

impl Bias<'_> {
    /// The sequence's own terms, for each query of a place those of its keys.
    fn of_sequence(&self, place: &Place) -> Option<Vec<Vec<f32>>> {
        let (all, size) = (self.sequences?, self.n * self.n);
        let whole = &all[place.s % (all.len() / size) * size..][..size];
        Some(place.rows.clone().map(|query| whole[query * self.n..][place.keys.clone()].to_vec()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Mask, Queries};
    use super::*;

    /// Softmax of the logits, applied to the values, is the context that the forward pass makes.
    #[test]
    fn the_rows_are_those_that_the_context_is_made_of() {
        let wave = |n: usize, k: f32| (0..n).map(|i| (i as f32 * k + 0.3).sin()).collect::<Vec<f32>>();
        let (offsets, n) = ([0, 5, 9], 5);
        let (by_head, mut by_sequence) = (wave(2 * n * n, 0.9), vec![0.0; 2 * n * n]);
        // The second sequence's last key is hidden from its first query.
        by_sequence[n * n + 3] = -100.0;
        let bias = Bias { n, heads: Some(&by_head), sequences: Some(&by_sequence) };
        for (mask, bias) in
            [(Mask::Full, None), (Mask::Causal, None), (Mask::Near(1), None), (Mask::Full, Some(bias))]
        {
            let law =
                Attention { heads: 2, kv_heads: 1, head_width: 3, scale: 0.7, mask, queries: Queries::All };
            let qkv = wave(9 * law.packed(), 0.37);
            let mut context = vec![0.0; 9 * 6];
            law.forward(&qkv, &offsets, bias, None, &mut context);
            for (s, h) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                let mut seen = 0;
                law.rows(&qkv, &offsets, bias, (s, h), &mut |row| {
                    let weights: Vec<f32> = row.logits.iter().map(|z| z.exp()).collect();
                    let sum: f32 = weights.iter().sum();
                    for c in 0..3 {
                        let value = |j: usize| qkv[(offsets[s] + row.keys[j]) * law.packed() + 9 + c];
                        let mixed: f32 = weights.iter().enumerate().map(|(j, w)| w / sum * value(j)).sum();
                        let found = context[(offsets[s] + row.query) * 6 + h * 3 + c];
                        assert!((mixed - found).abs() < 1e-6, "{mask:?} {s} {h}: {mixed} {found}");
                    }
                    if bias.is_none() {
                        assert_eq!(row.logits, row.content);
                    }
                    seen += 1;
                });
                assert_eq!(seen, offsets[s + 1] - offsets[s]);
            }
        }
    }
}
