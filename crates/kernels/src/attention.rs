//! Multi-head self-attention over packed sequences.
//!
//! Sequences lie end to end without padding: sequence `s` is the rows `offsets[s]..offsets[s+1]`. `qkv
//! (tokens, 3·width)` holds queries, keys and values side by side, head `h` in columns
//! `h·head_width..(h+1)·head_width` of each third. `context (tokens, width)` is
//! `dropout(softmax(q kᵀ · scale)) v`, head by head.
//! Source: Vaswani et al. 2017, eq. 1. The probabilities are not kept: the backward pass recomputes them.

#![allow(unsafe_code)]

use crate::Dropout;
use crate::activation::exp;
use crate::product::{Threads, View, multiply, multiply_into};
use crate::reduce::lane_sum;
use rayon::prelude::*;

/// Which keys a query sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Every key of its sequence.
    Full,
    /// Its own and the earlier ones.
    Causal,
}

/// Shape and law of one attention.
#[derive(Clone, Copy, Debug)]
pub struct Attention {
    /// Number of heads.
    pub heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Factor on the logits, usually `1/√head_width`.
    pub scale: f32,
    /// Visible keys.
    pub mask: Mask,
}

/// A place in memory that several tasks write, each its own columns.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: tasks are given disjoint (sequence, head) pairs, hence disjoint elements.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// # Safety
    /// `offset` must lie within the allocation.
    unsafe fn at(&self, offset: usize) -> *mut f32 {
        // SAFETY: vouched for by the caller.
        unsafe { self.0.add(offset) }
    }
}

impl Attention {
    fn width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Writes `context`. `dropout` acts on the probabilities.
    pub fn forward(&self, qkv: &[f32], offsets: &[usize], dropout: Option<&Dropout>, context: &mut [f32]) {
        let (width, head) = (self.width(), self.head_width);
        self.check(qkv.len(), offsets, context.len());
        let out = Shared(context.as_mut_ptr());
        self.tasks(offsets).for_each_init(Vec::new, |scores, (s, h)| {
            let (start, n) = (offsets[s], offsets[s + 1] - offsets[s]);
            scores.resize(n * n, 0.0);
            self.probabilities(qkv, start, n, h, scores);
            if let Some(dropout) = dropout {
                self.drop_rows(dropout, scores, n, s, h);
            }
            let v = self.third(qkv, start, n, h, 2);
            // SAFETY: rows start..start+n, columns of head h: no other task has this pair, and `check` has
            // made sure that they lie within `context`.
            unsafe {
                let out = out.at(start * width + h * head);
                multiply_into(out, width, View::new(scores, n, n, n), v, false, Threads::One);
            }
        });
    }

    /// Writes `dqkv` from the gradient of the context.
    pub fn backward(
        &self,
        dcontext: &[f32],
        qkv: &[f32],
        offsets: &[usize],
        dropout: Option<&Dropout>,
        dqkv: &mut [f32],
    ) {
        let (width, head) = (self.width(), self.head_width);
        self.check(qkv.len(), offsets, dcontext.len());
        assert_eq!(dqkv.len(), qkv.len(), "attention: gradient length");
        let out = Shared(dqkv.as_mut_ptr());
        let new = || (Vec::new(), Vec::new(), Vec::new());
        self.tasks(offsets).for_each_init(new, |(p, dropped, g), (s, h)| {
            let (start, n) = (offsets[s], offsets[s + 1] - offsets[s]);
            for scratch in [&mut *p, &mut *dropped, &mut *g] {
                scratch.resize(n * n, 0.0);
            }
            self.probabilities(qkv, start, n, h, p);
            dropped.copy_from_slice(p);
            let dc = View::new(&dcontext[start * width + h * head..], n, head, width);
            let [q, k, v] = [0, 1, 2].map(|third| self.third(qkv, start, n, h, third));
            multiply(g, n, dc, v.t(), false, Threads::One);
            if let Some(dropout) = dropout {
                self.drop_rows(dropout, dropped, n, s, h);
                self.drop_rows(dropout, g, n, s, h);
            }
            for (p, g) in p.chunks_exact(n).zip(g.chunks_exact_mut(n)) {
                // d softmax: p (g − ⟨p, g⟩); where a key is hidden p is 0, and so is the gradient.
                let dot = lane_sum(p, |j, v| v * g[j]);
                for (g, p) in g.iter_mut().zip(p) {
                    *g = self.scale * p * (*g - dot);
                }
            }
            let (ps, gs) = (View::new(dropped, n, n, n), View::new(g, n, n, n));
            let place = start * 3 * width + h * head;
            // SAFETY: as in `forward`, with the three thirds of a row disjoint by `width`.
            unsafe {
                multiply_into(out.at(place), 3 * width, gs, k, false, Threads::One);
                multiply_into(out.at(place + width), 3 * width, gs.t(), q, false, Threads::One);
                multiply_into(out.at(place + 2 * width), 3 * width, ps.t(), dc, false, Threads::One);
            }
        });
    }

    /// Writes the probabilities `(n, n)` of one head of the sequence in rows `start..start+n`.
    pub fn probabilities(&self, qkv: &[f32], start: usize, n: usize, h: usize, out: &mut [f32]) {
        let (q, k) = (self.third(qkv, start, n, h, 0), self.third(qkv, start, n, h, 1));
        multiply(out, n, q, k.t(), false, Threads::One);
        for (i, row) in out.chunks_exact_mut(n).enumerate() {
            let visible = if self.mask == Mask::Causal { i + 1 } else { n };
            let (seen, hidden) = row.split_at_mut(visible);
            softmax(seen, self.scale);
            hidden.fill(0.0);
        }
    }

    fn drop_rows(&self, dropout: &Dropout, x: &mut [f32], n: usize, s: usize, h: usize) {
        if dropout.p > 0.0 {
            for (i, row) in x.chunks_exact_mut(n).enumerate() {
                dropout.apply_row(row, i as u32, (s * self.heads + h) as u32);
            }
        }
    }

    /// Queries (0), keys (1) or values (2) of one head of one sequence, `(n, head_width)`.
    fn third<'a>(&self, qkv: &'a [f32], start: usize, n: usize, h: usize, third: usize) -> View<'a> {
        let width = self.width();
        View::new(
            &qkv[start * 3 * width + third * width + h * self.head_width..],
            n,
            self.head_width,
            3 * width,
        )
    }

    /// All (sequence, head) pairs of sequences that have tokens.
    fn tasks<'a>(&self, offsets: &'a [usize]) -> impl ParallelIterator<Item = (usize, usize)> + use<'a> {
        let heads = self.heads;
        (0..(offsets.len() - 1) * heads)
            .into_par_iter()
            .map(move |task| (task / heads, task % heads))
            .filter(|&(s, _)| offsets[s + 1] > offsets[s])
    }

    fn check(&self, qkv: usize, offsets: &[usize], context: usize) {
        let tokens = offsets.last().copied().unwrap_or(0);
        assert!(offsets.windows(2).all(|w| w[0] <= w[1]), "attention: offsets must not fall");
        assert!(!offsets.is_empty() && offsets[0] == 0, "attention: offsets start at 0");
        assert!(qkv == tokens * 3 * self.width() && context == tokens * self.width(), "attention: lengths");
    }
}

/// `x = softmax(scale · x)` in place, the maximum taken out first.
fn softmax(x: &mut [f32], scale: f32) {
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

    /// The same attention from candle's composed operations, one sequence and head at a time.
    fn composed(a: &Attention, qkv: &Tensor, offsets: &[usize], masks: Option<&[Tensor]>) -> Tensor {
        let (width, d) = (a.heads * a.head_width, a.head_width);
        let mut rows = vec![];
        for s in 0..offsets.len() - 1 {
            let n = offsets[s + 1] - offsets[s];
            let mut columns = vec![];
            for h in 0..a.heads {
                let part = |t: usize| {
                    let from = t * width + h * d;
                    qkv.i((offsets[s]..offsets[s + 1], from..from + d)).unwrap().contiguous().unwrap()
                };
                let mut z = (part(0).matmul(&part(1).t().unwrap()).unwrap() * f64::from(a.scale)).unwrap();
                if a.mask == Mask::Causal {
                    let hide: Vec<f32> =
                        (0..n * n).map(|k| if k % n > k / n { f32::NEG_INFINITY } else { 0.0 }).collect();
                    z = z.add(&Tensor::from_vec(hide, (n, n), &Device::Cpu).unwrap()).unwrap();
                }
                let mut p = candle_nn::ops::softmax(&z, D::Minus1).unwrap();
                if let Some(masks) = masks {
                    p = p.mul(&masks[s * a.heads + h]).unwrap();
                }
                columns.push(p.matmul(&part(2)).unwrap());
            }
            rows.push(Tensor::cat(&columns, 1).unwrap());
        }
        Tensor::cat(&rows, 0).unwrap()
    }

    #[test]
    fn forward_and_gradients_are_those_of_the_composed_form() {
        for (mask, p) in [(Mask::Full, 0.0), (Mask::Causal, 0.0), (Mask::Full, 0.4), (Mask::Causal, 0.4)] {
            let a = Attention { heads: 3, head_width: 4, scale: 0.5, mask };
            let offsets = [0, 5, 5, 24, 25];
            let (tokens, width) = (25, 12);
            let (qkv, dc) = (wave(tokens * 3 * width, 0.7), wave(tokens * width, 0.31));
            let dropout = Dropout { p, key: [7, 8], step: 2 };
            // The mask itself, read off by applying it to ones.
            let masks: Vec<Tensor> = (0..4 * a.heads)
                .filter(|t| offsets[t / a.heads + 1] > offsets[t / a.heads])
                .map(|t| {
                    let n = offsets[t / a.heads + 1] - offsets[t / a.heads];
                    let mut ones = vec![1.0; n * n];
                    a.drop_rows(&dropout, &mut ones, n, t / a.heads, t % a.heads);
                    Tensor::from_vec(ones, (n, n), &Device::Cpu).unwrap()
                })
                .collect();
            let var = Var::from_slice(&qkv, (tokens, 3 * width), &Device::Cpu).unwrap();
            let nonempty = [0, 5, 24, 25];
            let theirs = composed(&a, var.as_tensor(), &nonempty, Some(&masks));
            let weight = Tensor::from_slice(&dc, (tokens, width), &Device::Cpu).unwrap();
            let grads = theirs.mul(&weight).unwrap().sum_all().unwrap().backward().unwrap();

            let (mut context, mut dqkv) = (vec![0.0; tokens * width], vec![0.0; qkv.len()]);
            a.forward(&qkv, &offsets, Some(&dropout), &mut context);
            a.backward(&dc, &qkv, &offsets, Some(&dropout), &mut dqkv);
            let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (ours, theirs) in [(&context, flat(&theirs)), (&dqkv, flat(grads.get(&var).unwrap()))] {
                // Some twenty terms of size one, 20 · 2⁻²³ ≈ 2e-6 a sum, over three products.
                assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 2e-5), "{mask:?} {p}");
            }
        }
    }
}
