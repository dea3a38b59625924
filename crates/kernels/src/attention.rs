//! Multi-head self-attention over packed sequences.
//!
//! Sequences lie end to end without padding: sequence `s` is the rows `offsets[s]..offsets[s+1]`. `qkv
//! (tokens, (heads + 2·kv_heads)·head_width)` holds queries, keys and values side by side, a head in `head_width` columns of
//! its part. Keys and values may have fewer heads than queries; each then serves a group of consecutive query heads
//! (Ainslie et al. 2023). `context (tokens, heads·head_width)` is `dropout(softmax(q kᵀ · scale + bias)) v`, head by head.
//! Source: Vaswani et al. 2017, eq. 1. The probabilities are not kept: the backward pass recomputes them.

#![allow(unsafe_code)]

use crate::Dropout;
use crate::activation::exp;
use crate::product::{Threads, View, multiply, multiply_into};
use crate::reduce::lane_sum;
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

impl Bias<'_> {
    /// Adds the terms of head `h` and sequence `s` to `logits (m, m)`.
    fn add(&self, logits: &mut [f32], m: usize, s: usize, h: usize) {
        let size = self.n * self.n;
        let of_sequence = |all: &[f32]| s % (all.len() / size);
        let matrices = [
            self.heads.map(|all| &all[h * size..(h + 1) * size]),
            self.sequences.map(|all| &all[of_sequence(all) * size..][..size]),
        ];
        for matrix in matrices.into_iter().flatten() {
            for (logits, row) in logits.chunks_exact_mut(m).zip(matrix.chunks_exact(self.n)) {
                logits.iter_mut().zip(row).for_each(|(z, b)| *z += b);
            }
        }
    }
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
            scores.resize(n * n, 0.0);
            self.probabilities(qkv, (start, n), (s, h), bias, scores);
            if let Some(dropout) = dropout {
                self.drop_rows(dropout, scores, n, s, h);
            }
            let v = self.part(qkv, start, n, h, Part::Value);
            // SAFETY: rows start..start+n, columns of head h: no other task has this pair, and `check` has
            // made sure that they lie within `context`.
            unsafe {
                let out = out.at(start * width + h * head);
                multiply_into(out, width, View::new(scores, n, n, n), v, false, Threads::One);
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

    /// The backward pass of one head of one sequence.
    fn backward_of(
        &self,
        given: &Given<'_>,
        (s, h): (usize, usize),
        Scratch { p, dropped, g }: &mut Scratch,
        dbias: Option<&mut [f32]>,
        out: Shared,
    ) {
        let Given { qkv, dcontext, offsets, bias, dropout } = *given;
        let (width, head, packed) = (self.width(), self.head_width, self.packed());
        let (start, n) = (offsets[s], offsets[s + 1] - offsets[s]);
        for scratch in [&mut *p, &mut *dropped, &mut *g] {
            scratch.resize(n * n, 0.0);
        }
        self.probabilities(qkv, (start, n), (s, h), bias, p);
        dropped.copy_from_slice(p);
        let dc = View::new(&dcontext[start * width + h * head..], n, head, width);
        let [q, k, v] = [Part::Query, Part::Key, Part::Value].map(|part| self.part(qkv, start, n, h, part));
        multiply(g, n, dc, v.t(), false, Threads::One);
        if let Some(dropout) = dropout {
            self.drop_rows(dropout, dropped, n, s, h);
            self.drop_rows(dropout, g, n, s, h);
        }
        for (p, g) in p.chunks_exact(n).zip(g.chunks_exact_mut(n)) {
            let dot = lane_sum(p, |j, v| v * g[j]);
            g.iter_mut().for_each(|g| *g -= dot);
        }
        // d softmax: p (g − ⟨p, g⟩); where a key is hidden p is 0, and so is the gradient.
        if let (Some(dbias), Some(bias)) = (dbias, bias) {
            let rows = dbias.chunks_exact_mut(bias.n).zip(p.chunks_exact(n).zip(g.chunks_exact(n)));
            for (sum, (p, g)) in rows {
                sum.iter_mut().zip(p.iter().zip(g)).for_each(|(sum, (p, g))| *sum += p * g);
            }
        }
        g.iter_mut().zip(&*p).for_each(|(g, p)| *g *= self.scale * p);
        let (ps, gs) = (View::new(dropped, n, n, n), View::new(g, n, n, n));
        let place = |part: Part| start * packed + self.column(h, part);
        // Keys and values of a group are written by its first head, and added to by the others.
        let again = !h.is_multiple_of(self.heads / self.kv_heads);
        // SAFETY: rows start..start+n; the query's columns belong to this head alone and the others to its group, which
        // one task works on, head by head. `check` has made sure that they lie within `dqkv`.
        unsafe {
            multiply_into(out.at(place(Part::Query)), packed, gs, k, false, Threads::One);
            multiply_into(out.at(place(Part::Key)), packed, gs.t(), q, again, Threads::One);
            multiply_into(out.at(place(Part::Value)), packed, ps.t(), dc, again, Threads::One);
        }
    }

    /// Writes the probabilities `(n, n)` of head `h` of sequence `s`, which is in the `n` rows from `start`.
    pub fn probabilities(
        &self,
        qkv: &[f32],
        (start, n): (usize, usize),
        (s, h): (usize, usize),
        bias: Option<Bias<'_>>,
        out: &mut [f32],
    ) {
        let [q, k] = [Part::Query, Part::Key].map(|part| self.part(qkv, start, n, h, part));
        multiply(out, n, q, k.t(), false, Threads::One);
        let mut scale = self.scale;
        if let Some(bias) = bias {
            out.iter_mut().for_each(|z| *z *= scale);
            bias.add(out, n, s, h);
            scale = 1.0;
        }
        for (i, row) in out.chunks_exact_mut(n).enumerate() {
            let visible = self.mask.visible(i, n);
            row[..visible.start].fill(0.0);
            row[visible.end..].fill(0.0);
            softmax(&mut row[visible], scale);
        }
    }

    fn drop_rows(&self, dropout: &Dropout, x: &mut [f32], n: usize, s: usize, h: usize) {
        if dropout.p > 0.0 {
            for (i, row) in x.chunks_exact_mut(n).enumerate() {
                dropout.apply_row(row, i as u32, (s * self.heads + h) as u32);
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

    /// Queries, keys or values of one head of one sequence, `(n, head_width)`.
    fn part<'a>(&self, qkv: &'a [f32], start: usize, n: usize, h: usize, part: Part) -> View<'a> {
        let packed = self.packed();
        View::new(&qkv[start * packed + self.column(h, part)..], n, self.head_width, packed)
    }

    fn check(&self, qkv: usize, offsets: &[usize], context: usize, bias: Option<Bias<'_>>) {
        let tokens = offsets.last().copied().unwrap_or(0);
        assert!(offsets.windows(2).all(|w| w[0] <= w[1]), "attention: offsets must not fall");
        assert!(!offsets.is_empty() && offsets[0] == 0, "attention: offsets start at 0");
        assert!(self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads), "attention: heads");
        assert!(qkv == tokens * self.packed() && context == tokens * self.width(), "attention: lengths");
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

/// Matrices `(n, n)` of a task: probabilities, the same dropped, and their gradient.
#[derive(Default)]
struct Scratch {
    p: Vec<f32>,
    dropped: Vec<f32>,
    g: Vec<f32>,
}

/// `x = softmax(scale · x)` in place, the maximum taken out first.
pub(crate) fn softmax(x: &mut [f32], scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut chunks = x.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for j in 0..16 {
            chunk[j] *= scale;
            lanes[j] = lanes[j].max(chunk[j]);
        }
    }
    for v in chunks.into_remainder() {
        *v *= scale;
        lanes[0] = lanes[0].max(*v);
    }
    let max = lanes.into_iter().fold(f32::NEG_INFINITY, f32::max);
    x.iter_mut().for_each(|v| *v = exp(*v - max));
    let inverse = 1.0 / lane_sum(x, |_, v| v);
    x.iter_mut().for_each(|v| *v *= inverse);
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, IndexOp, Tensor, Var};

    fn wave(n: usize, k: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * k + 0.3).sin()).collect()
    }

    /// What is composed from candle's operations, one sequence and head at a time.
    struct Composed<'a> {
        a: &'a Attention,
        offsets: &'a [usize],
        /// `(heads, n, n)`
        by_head: Option<&'a Tensor>,
        /// `(count, n, n)`
        by_sequence: Option<&'a Tensor>,
        masks: &'a [Tensor],
    }

    impl Composed<'_> {
        fn context(&self, qkv: &Tensor) -> Tensor {
            let (a, d) = (self.a, self.a.head_width);
            let mut rows = vec![];
            for s in 0..self.offsets.len() - 1 {
                let n = self.offsets[s + 1] - self.offsets[s];
                if n == 0 {
                    continue;
                }
                let mut columns = vec![];
                for h in 0..a.heads {
                    let part = |head: usize| {
                        let rows = self.offsets[s]..self.offsets[s + 1];
                        qkv.i((rows, head * d..(head + 1) * d)).unwrap().contiguous().unwrap()
                    };
                    let served = h * a.kv_heads / a.heads;
                    let (k, v) = (part(a.heads + served), part(a.heads + a.kv_heads + served));
                    let mut z = (part(h).matmul(&k.t().unwrap()).unwrap() * f64::from(a.scale)).unwrap();
                    if let Some(bias) = self.by_head {
                        z = z.add(&bias.i((h, ..n, ..n)).unwrap()).unwrap();
                    }
                    if let Some(bias) = self.by_sequence {
                        let count = bias.dims()[0];
                        z = z.add(&bias.i((s % count, ..n, ..n)).unwrap()).unwrap();
                    }
                    let hide: Vec<f32> = (0..n * n)
                        .map(|k| if a.sees(k / n, k % n) { 0.0 } else { f32::NEG_INFINITY })
                        .collect();
                    z = z.add(&Tensor::from_vec(hide, (n, n), &Device::Cpu).unwrap()).unwrap();
                    let p = candle_nn::ops::softmax(&z, D::Minus1).unwrap();
                    let p = p.mul(&self.masks[s * a.heads + h]).unwrap();
                    columns.push(p.matmul(&v).unwrap());
                }
                rows.push(Tensor::cat(&columns, 1).unwrap());
            }
            Tensor::cat(&rows, 0).unwrap()
        }
    }

    impl Attention {
        /// Whether a query sees a key, by the words of [`Mask`].
        fn sees(&self, query: usize, key: usize) -> bool {
            match self.mask {
                Mask::Full => true,
                Mask::Causal => key <= query,
                Mask::Near(reach) => key.abs_diff(query) <= reach,
                Mask::Recent(count) => key <= query && query - key < count,
            }
        }
    }

    /// Values and gradients against autograd, with and without a bias.
    fn held_against_autograd(a: &Attention, p: f64, biased: bool) {
        let offsets = [0, 5, 5, 24, 25];
        let (tokens, width, n) = (25, a.width(), 20);
        let (qkv, dc) = (wave(tokens * a.packed(), 0.7), wave(tokens * width, 0.31));
        let (by_head, by_sequence) = (wave(a.heads * n * n, 0.17), wave(3 * n * n, 0.53));
        let dropout = Dropout { p, key: [7, 8], step: 2 };
        // The mask itself, read off by applying it to ones.
        let masks: Vec<Tensor> = (0..4 * a.heads)
            .map(|t| {
                let n = offsets[t / a.heads + 1] - offsets[t / a.heads];
                let mut ones = vec![1.0; n * n];
                if n > 0 {
                    a.drop_rows(&dropout, &mut ones, n, t / a.heads, t % a.heads);
                }
                Tensor::from_vec(ones, (n, n), &Device::Cpu).unwrap()
            })
            .collect();
        let cpu = &Device::Cpu;
        let var = Var::from_slice(&qkv, (tokens, a.packed()), cpu).unwrap();
        let heads = Var::from_slice(&by_head, (a.heads, n, n), cpu).unwrap();
        let sequences = Tensor::from_slice(&by_sequence, (3, n, n), cpu).unwrap();
        let composed = Composed {
            a,
            offsets: &offsets,
            by_head: biased.then_some(heads.as_tensor()),
            by_sequence: biased.then_some(&sequences),
            masks: &masks,
        };
        let theirs = composed.context(var.as_tensor());
        let weight = Tensor::from_slice(&dc, (tokens, width), cpu).unwrap();
        let grads = theirs.mul(&weight).unwrap().sum_all().unwrap().backward().unwrap();

        let bias = biased.then_some(Bias { n, heads: Some(&by_head[..]), sequences: Some(&by_sequence[..]) });
        let (mut context, mut dqkv) = (vec![0.0; tokens * width], vec![0.0; qkv.len()]);
        let mut dbias = vec![0.0; by_head.len()];
        a.forward(&qkv, &offsets, bias, Some(&dropout), &mut context);
        let slot = biased.then_some(&mut dbias[..]);
        a.backward(&dc, &qkv, &offsets, (bias, slot), Some(&dropout), &mut dqkv);
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut pairs = vec![(&context, flat(&theirs)), (&dqkv, flat(grads.get(&var).unwrap()))];
        if biased {
            pairs.push((&dbias, flat(grads.get(&heads).unwrap())));
        }
        for (ours, theirs) in pairs {
            // Some twenty terms of size one, 20 · 2⁻²³ ≈ 2e-6 a sum, over three products.
            let near = ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 2e-5);
            assert!(near && ours.len() == theirs.len(), "{a:?}, dropout {p}, bias {biased}");
        }
        // The gradient of a bias that nobody wants changes nothing else.
        let mut alone = vec![0.0; qkv.len()];
        a.backward(&dc, &qkv, &offsets, (bias, None), Some(&dropout), &mut alone);
        assert_eq!(alone, dqkv);
    }

    #[test]
    fn forward_and_gradients_are_those_of_the_composed_form() {
        for mask in [Mask::Full, Mask::Causal, Mask::Near(2), Mask::Recent(3)] {
            for (heads, kv_heads) in [(3, 3), (4, 2), (4, 1)] {
                for (p, biased) in [(0.0, false), (0.4, false), (0.4, true)] {
                    let a = Attention { heads, kv_heads, head_width: 4, scale: 0.5, mask };
                    held_against_autograd(&a, p, biased);
                }
            }
        }
    }
}
