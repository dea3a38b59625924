//! Multi-head self-attention over packed sequences.
//!
//! Sequences lie end to end without padding: sequence `s` is the rows `offsets[s]..offsets[s+1]`. `qkv
//! (tokens, (heads + 2·kv_heads)·head_width)` holds queries, keys and values side by side, a head in `head_width` columns of
//! its part. Keys and values may have fewer heads than queries; each then serves a group of consecutive query heads
//! (Ainslie et al. 2023). `context (tokens that ask, heads·head_width)` is `dropout(softmax(q kᵀ · scale + bias)) v`, head by head.
//! Source: Vaswani et al. 2017, eq. 1. The probabilities are not kept: the backward pass recomputes them. They exist for a few
//! queries at a time and for the keys that these see: memory grows with the length of a sequence, not with its square, and under
//! a window so does the time.

#![allow(unsafe_code)]

mod logits;
mod place;
mod softmax;
mod sole;

pub use self::logits::LogitRow;
use self::place::{Place, Scratch};
pub(crate) use self::softmax::softmax;
pub use self::sole::KeyValue;
use crate::Dropout;
use crate::product::{Threads, View, multiply_into};
use rayon::prelude::*;
use std::ops::Range;

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Every key of its sequence.
    Full,
    /// Its own and the earlier ones.
    Causal,
    /// Those at most so many places away, on both sides.
    Near(usize),
    /// Its own and as many earlier ones as make this count together.
    Recent(usize),
}

impl Mask {
    /// The keys that query `i` of `n` sees.
    fn visible(self, i: usize, n: usize) -> Range<usize> {
        match self {
            Mask::Full => 0..n,
            Mask::Causal => 0..i + 1,
            Mask::Near(reach) => i.saturating_sub(reach)..n.min(i.saturating_add(reach).saturating_add(1)),
            Mask::Recent(count) => (i + 1).saturating_sub(count)..i + 1,
        }
    }
}

/// Which tokens of a sequence ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queries {
    /// Each of them.
    All,
    /// The first alone, where no other one's context is wanted: the queries of others, and their gradients, are neither read
    /// nor written.
    First,
}

/// Terms added to the scaled logits. A sequence of `m ≤ n` tokens takes the first `m` rows and columns of each matrix.
#[derive(Clone, Copy, Default)]
pub struct Bias<'a> {
    /// Rows and columns of a matrix.
    pub n: usize,
    /// One matrix a head, `(heads, n, n)`, the same for all sequences.
    pub heads: Option<&'a [f32]>,
    /// Matrices `(count, n, n)`, the same for all heads: sequence `s` takes number `s mod count`.
    pub sequences: Option<&'a [f32]>,
}

/// Shape and law of one attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Factor on the logits, usually `1/√head_width`.
    pub scale: f32,
    /// Visible keys.
    pub mask: Mask,
    /// Tokens that ask.
    pub queries: Queries,
}

/// A place in memory that several tasks write, each its own columns.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);
// SAFETY: tasks are given disjoint (sequence, head) pairs, hence disjoint elements.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// All of a slice.
    pub(crate) fn of(slice: &mut [f32]) -> Self {
        Shared(slice.as_mut_ptr())
    }

    /// What begins at a pointer.
    pub(crate) fn at_pointer(pointer: *mut f32) -> Self {
        Shared(pointer)
    }

    /// # Safety
    /// `offset` must lie within the allocation.
    pub(crate) unsafe fn at(&self, offset: usize) -> *mut f32 {
        // SAFETY: vouched for by the caller.
        unsafe { self.0.add(offset) }
    }
}

impl Attention {
    fn width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Columns of `qkv`.
    pub fn packed(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_width
    }

    /// Writes `context`. `dropout` acts on the probabilities.
    pub fn forward(
        &self,
        qkv: &[f32],
        offsets: &[usize],
        bias: Option<Bias<'_>>,
        dropout: Option<&Dropout>,
        context: &mut [f32],
    ) {
        let (width, head) = (self.width(), self.head_width);
        self.check(qkv.len(), offsets, context.len(), bias);
        let out = Shared::of(context);
        tasks(offsets, self.heads).for_each_init(Vec::new, |scores, (s, h)| {
            let (start, n) = (offsets[s], offsets[s + 1] - offsets[s]);
            for place in self.places((s, h), n) {
                let p = place.room(scores);
                self.probabilities(qkv, start, &place, bias, p);
                if let Some(dropout) = dropout {
                    place.drop(self, dropout, p);
                }
                let v = self.part(qkv, start, &place.keys, h, Part::Value);
                // SAFETY: rows of sequence s, columns of head h: no other task has this pair, and `check` has made sure that
                // they lie within `context`.
                unsafe {
                    let out = out.at(self.context_row(start, &place) * width + h * head);
                    multiply_into(out, width, place.matrix(p), v, false, Threads::One);
                }
            }
        });
    }

    /// Writes `dqkv` from the gradient of the context, and adds that of `bias.heads` to `dbias (heads, n, n)`.
    pub fn backward(
        &self,
        dcontext: &[f32],
        qkv: &[f32],
        offsets: &[usize],
        (bias, dbias): (Option<Bias<'_>>, Option<&mut [f32]>),
        dropout: Option<&Dropout>,
        dqkv: &mut [f32],
    ) {
        self.check(qkv.len(), offsets, dcontext.len(), bias);
        assert_eq!(dqkv.len(), qkv.len(), "attention: gradient length");
        let out = Shared::of(dqkv);
        let given = Given { qkv, dcontext, offsets, bias, dropout };
        let group = self.heads / self.kv_heads;
        match dbias {
            // The heads that share keys add to the same columns: one task has them all.
            None => tasks(offsets, self.kv_heads).for_each_init(Scratch::default, |scratch, (s, kv)| {
                for h in kv * group..(kv + 1) * group {
                    self.backward_of(&given, (s, h), scratch, None, out);
                }
            }),
            // The sequences of a head add to the same matrix, in their order.
            Some(dbias) => {
                let size = bias.map_or(0, |bias| bias.n * bias.n);
                assert_eq!(dbias.len(), self.heads * size, "attention: gradient of the bias");
                let groups = dbias.par_chunks_mut((group * size).max(1)).enumerate();
                groups.for_each_init(Scratch::default, |scratch, (kv, dbias)| {
                    for s in (0..offsets.len() - 1).filter(|&s| offsets[s + 1] > offsets[s]) {
                        for (i, dbias) in dbias.chunks_exact_mut(size).enumerate() {
                            self.backward_of(&given, (s, kv * group + i), scratch, Some(dbias), out);
                        }
                    }
                });
            }
        }
    }

    /// The first column of a head's part.
    fn column(&self, h: usize, part: Part) -> usize {
        let served = h / (self.heads / self.kv_heads);
        let head = match part {
            Part::Query => h,
            Part::Key => self.heads + served,
            Part::Value => self.heads + self.kv_heads + served,
        };
        head * self.head_width
    }

    /// The first row of a place's contexts, of the sequence that begins at row `start`.
    fn context_row(&self, start: usize, place: &Place) -> usize {
        match self.queries {
            Queries::All => start + place.rows.start,
            Queries::First => place.s,
        }
    }

    /// Some rows of the queries, keys or values of one head of the sequence that begins at `start`, `(rows, head_width)`.
    fn part<'a>(&self, qkv: &'a [f32], start: usize, rows: &Range<usize>, h: usize, part: Part) -> View<'a> {
        let packed = self.packed();
        let first = (start + rows.start) * packed + self.column(h, part);
        View::new(&qkv[first..], rows.len(), self.head_width, packed)
    }

    fn check(&self, qkv: usize, offsets: &[usize], context: usize, bias: Option<Bias<'_>>) {
        let tokens = offsets.last().copied().unwrap_or(0);
        assert!(offsets.windows(2).all(|w| w[0] <= w[1]), "attention: offsets must not fall");
        assert!(!offsets.is_empty() && offsets[0] == 0, "attention: offsets start at 0");
        assert!(self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads), "attention: heads");
        let asking = match self.queries {
            Queries::All => tokens,
            Queries::First => offsets.len() - 1,
        };
        assert!(qkv == tokens * self.packed() && context == asking * self.width(), "attention: lengths");
        if let Some(Bias { n, heads, sequences }) = bias {
            let longest = offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
            assert!(longest <= n, "attention: bias of {n} for a sequence of {longest}");
            assert!(heads.is_none_or(|all| all.len() == self.heads * n * n), "attention: bias by heads");
            let whole = |all: &[f32]| !all.is_empty() && all.len().is_multiple_of(n * n);
            assert!(n == 0 || sequences.is_none_or(whole), "attention: bias by sequences");
        }
    }
}

/// All (sequence, head) pairs of sequences that have tokens.
pub(crate) fn tasks(
    offsets: &[usize],
    heads: usize,
) -> impl ParallelIterator<Item = (usize, usize)> + use<'_> {
    (0..(offsets.len() - 1) * heads)
        .into_par_iter()
        .map(move |task| (task / heads, task % heads))
        .filter(|&(s, _)| offsets[s + 1] > offsets[s])
}

/// A part of `qkv`.
#[derive(Clone, Copy)]
enum Part {
    Query,
    Key,
    Value,
}

/// What a backward pass is given.
#[derive(Clone, Copy)]
struct Given<'a> {
    qkv: &'a [f32],
    dcontext: &'a [f32],
    offsets: &'a [usize],
    bias: Option<Bias<'a>>,
    dropout: Option<&'a Dropout>,
}

#[cfg(test)]
mod tests;
