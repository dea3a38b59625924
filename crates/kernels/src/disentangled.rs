//! Disentangled attention over packed sequences: content against content, content against distance, distance against
//! content.
//!
//! Query `i` and key `j` of a head have the logit `scale · (qᵢ·kⱼ + qᵢ·K_b + kⱼ·Q_b)`, where `b` is the row of their
//! distance in the tables `K` (keys of distances) and `Q` (queries of distances), either of which may be missing.
//! Source: He et al. 2021 (DeBERTa), eq. 2 to 4. As in [`crate::attention`], nothing of size `n²` is kept.

#![allow(unsafe_code)]

use crate::Dropout;
use crate::attention::{Attention, LogitRow, Mask, Queries, Shared, softmax, tasks};
use crate::product::{Threads, View, multiply, multiply_into};
use crate::reduce::lane_sum;
use rayon::prelude::*;

/// Shape and law of one disentangled attention.
#[derive(Clone, Copy, Debug)]
pub struct Disentangled {
    /// Number of heads.
    pub heads: usize,
    /// Width of one head.
    pub head_width: usize,
    /// Factor on the logits.
    pub scale: f32,
}

/// Which row of the tables each distance has.
#[derive(Clone, Debug)]
pub struct Distances {
    /// The row of query `i` and key `j` is number `i + n − 1 − j`, for `n` tokens at most.
    pub rows: Vec<u32>,
}

impl Distances {
    /// The rows of a sequence of `n` tokens, `2n − 1` of them around distance 0, and the range that they lie in: its first
    /// row and their number.
    fn of(&self, n: usize) -> (&[u32], usize, usize) {
        let middle = self.rows.len() / 2;
        let rows = &self.rows[middle + 1 - n..middle + n];
        let low = rows.iter().copied().min().unwrap_or(0) as usize;
        let high = rows.iter().copied().max().unwrap_or(0) as usize;
        (rows, low, high + 1 - low)
    }
}

/// Keys and queries of distances, each `(rows, heads·head_width)`.
#[derive(Clone, Copy, Default)]
pub struct Tables<'a> {
    /// `K`.
    pub keys: Option<&'a [f32]>,
    /// `Q`.
    pub queries: Option<&'a [f32]>,
}

/// Where the gradients of the tables are added.
#[derive(Default)]
pub struct TableGradients<'a> {
    /// Of `K`.
    pub keys: Option<&'a mut [f32]>,
    /// Of `Q`.
    pub queries: Option<&'a mut [f32]>,
}

/// What a pass is given.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// Queries, keys and values `(tokens, 3·heads·head_width)`.
    pub qkv: &'a [f32],
    /// Where sequences begin and end.
    pub offsets: &'a [usize],
    /// Keys and queries of distances.
    pub tables: Tables<'a>,
    /// The rows of distances.
    pub distances: &'a Distances,
    /// Acts on the probabilities.
    pub dropout: Option<&'a Dropout>,
}

/// Matrices of a task.
#[derive(Default)]
struct Scratch {
    p: Vec<f32>,
    dropped: Vec<f32>,
    g: Vec<f32>,
    by_row: Vec<f32>,
}

impl Disentangled {
    fn width(&self) -> usize {
        self.heads * self.head_width
    }

    /// Writes `context (tokens, heads·head_width)`.
    pub fn forward(&self, given: &Given<'_>, context: &mut [f32]) {
        let (width, head) = (self.width(), self.head_width);
        self.check(given, context.len());
        let out = Shared::of(context);
        tasks(given.offsets, self.heads).for_each_init(Scratch::default, |scratch, (s, h)| {
            let (start, n) = (given.offsets[s], given.offsets[s + 1] - given.offsets[s]);
            scratch.p.resize(n * n, 0.0);
            self.probabilities(given, (start, n), h, scratch);
            if let Some(dropout) = given.dropout {
                self.drop_rows(dropout, &mut scratch.p, n, s, h);
            }
            let v = self.third(given.qkv, start, n, h, 2);
            // SAFETY: rows start..start+n, columns of head h: no other task has this pair, and `check` has
            // made sure that they lie within `context`.
            unsafe {
                let out = out.at(start * width + h * head);
                multiply_into(out, width, View::new(&scratch.p, n, n, n), v, false, Threads::One);
            }
        });
    }

    /// Writes `dqkv`, and adds the gradients of the tables where they are wanted. Sequences add to a head's columns of the
    /// tables in their order: one task has a head.
    pub fn backward(
        &self,
        given: &Given<'_>,
        dcontext: &[f32],
        dqkv: &mut [f32],
        dtables: TableGradients<'_>,
    ) {
        self.check(given, dcontext.len());
        assert_eq!(dqkv.len(), given.qkv.len(), "disentangled attention: gradient length");
        for (slot, table) in [(&dtables.keys, given.tables.keys), (&dtables.queries, given.tables.queries)] {
            let fits = slot.as_ref().is_none_or(|slot| table.is_some_and(|table| table.len() == slot.len()));
            assert!(fits, "disentangled attention: gradients of the tables");
        }
        let out = Shared::of(dqkv);
        let dtables = [dtables.keys.map(Shared::of), dtables.queries.map(Shared::of)];
        (0..self.heads).into_par_iter().for_each_init(Scratch::default, |scratch, h| {
            for s in (0..given.offsets.len() - 1).filter(|&s| given.offsets[s + 1] > given.offsets[s]) {
                self.backward_of(given, dcontext, (s, h), scratch, out, dtables);
            }
        });
    }

    /// The backward pass of one head of one sequence.
    fn backward_of(
        &self,
        given: &Given<'_>,
        dcontext: &[f32],
        (s, h): (usize, usize),
        scratch: &mut Scratch,
        out: Shared,
        [dkeys, dqueries]: [Option<Shared>; 2],
    ) {
        let (width, head) = (self.width(), self.head_width);
        let (start, n) = (given.offsets[s], given.offsets[s + 1] - given.offsets[s]);
        for matrix in [&mut scratch.p, &mut scratch.dropped, &mut scratch.g] {
            matrix.resize(n * n, 0.0);
        }
        self.probabilities(given, (start, n), h, scratch);
        let Scratch { p, dropped, g, by_row } = scratch;
        dropped.copy_from_slice(p);
        let dc = View::new(&dcontext[start * width + h * head..], n, head, width);
        let [q, k, v] = [0, 1, 2].map(|third| self.third(given.qkv, start, n, h, third));
        multiply(g, n, dc, v.t(), false, Threads::One);
        if let Some(dropout) = given.dropout {
            self.drop_rows(dropout, dropped, n, s, h);
            self.drop_rows(dropout, g, n, s, h);
        }
        for (p, g) in p.chunks_exact(n).zip(g.chunks_exact_mut(n)) {
            // d softmax: p (g − ⟨p, g⟩).
            let dot = lane_sum(p, |j, v| v * g[j]);
            g.iter_mut().zip(p).for_each(|(g, p)| *g = self.scale * p * (*g - dot));
        }
        let (ps, gs) = (View::new(dropped, n, n, n), View::new(g, n, n, n));
        let place = start * 3 * width + h * head;
        let (rows, low, count) = given.distances.of(n);
        by_row.resize(n * count, 0.0);
        // SAFETY: rows start..start+n and columns of head h of `dqkv`, and columns of head h of the tables' rows
        // low..low+count: one task has this head. `check` and `backward` have made sure that they lie within.
        unsafe {
            let (dq, dk) = (out.at(place), out.at(place + width));
            multiply_into(dq, 3 * width, gs, k, false, Threads::One);
            multiply_into(dk, 3 * width, gs.t(), q, false, Threads::One);
            multiply_into(out.at(place + 2 * width), 3 * width, ps.t(), dc, false, Threads::One);
            let terms = [(given.tables.keys, dkeys, q, dq), (given.tables.queries, dqueries, k, dk)];
            for (turn, (table, dtable, content, dcontent)) in terms.into_iter().enumerate() {
                let Some(table) = table else { continue };
                by_row.fill(0.0);
                for (i, g) in g.chunks_exact(n).enumerate() {
                    for (j, g) in g.iter().enumerate() {
                        let at = if turn == 0 { i } else { j };
                        by_row[at * count + rows[i + n - 1 - j] as usize - low] += g;
                    }
                }
                let by_row = View::new(by_row, n, count, count);
                let table = View::new(&table[low * width + h * head..], count, head, width);
                multiply_into(dcontent, 3 * width, by_row, table, true, Threads::One);
                if let Some(dtable) = dtable {
                    let dtable = dtable.at(low * width + h * head);
                    multiply_into(dtable, width, by_row.t(), content, true, Threads::One);
                }
            }
        }
    }

    /// The attention of queries on keys alone, of the same heads and scale.
    pub fn law(&self) -> Attention {
        let Disentangled { heads, head_width, scale } = *self;
        Attention { heads, kv_heads: heads, head_width, scale, mask: Mask::Full, queries: Queries::All }
    }

    /// Calls `visit` with the logits of one head of one sequence, `of = (sequence, head)`, query by query.
    pub fn rows(&self, given: &Given<'_>, (s, h): (usize, usize), visit: &mut dyn FnMut(LogitRow<'_>)) {
        let (start, n) = (given.offsets[s], given.offsets[s + 1] - given.offsets[s]);
        let mut scratch = Scratch { p: vec![0.0; n * n], ..Scratch::default() };
        self.products(given, (start, n), h, &mut scratch);
        scratch.p.iter_mut().for_each(|z| *z *= self.scale);
        let keys: Vec<usize> = (0..n).collect();
        for (query, logits) in scratch.p.chunks_exact(n.max(1)).enumerate() {
            visit(LogitRow { query, keys: &keys, logits, content: logits });
        }
    }

    /// Writes the probabilities `(n, n)` of one head of the sequence in the `n` rows from `start` to `scratch.p`.
    fn probabilities(&self, given: &Given<'_>, (start, n): (usize, usize), h: usize, scratch: &mut Scratch) {
        self.products(given, (start, n), h, scratch);
        scratch.p.chunks_exact_mut(n).for_each(|row| softmax(row, self.scale));
    }

    /// The logits of the same, over their factor.
    fn products(&self, given: &Given<'_>, (start, n): (usize, usize), h: usize, scratch: &mut Scratch) {
        let (width, head) = (self.width(), self.head_width);
        let [q, k] = [0, 1].map(|third| self.third(given.qkv, start, n, h, third));
        let Scratch { p, by_row, .. } = scratch;
        multiply(p, n, q, k.t(), false, Threads::One);
        let (rows, low, count) = given.distances.of(n);
        by_row.resize(n * count, 0.0);
        for (turn, (table, content)) in
            [(given.tables.keys, q), (given.tables.queries, k)].into_iter().enumerate()
        {
            let Some(table) = table else { continue };
            let table = View::new(&table[low * width + h * head..], count, head, width);
            multiply(by_row, count, content, table.t(), false, Threads::One);
            for (i, p) in p.chunks_exact_mut(n).enumerate() {
                for (j, p) in p.iter_mut().enumerate() {
                    let at = if turn == 0 { i } else { j };
                    *p += by_row[at * count + rows[i + n - 1 - j] as usize - low];
                }
            }
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
        let from = start * 3 * width + third * width + h * self.head_width;
        View::new(&qkv[from..], n, self.head_width, 3 * width)
    }

    fn check(&self, given: &Given<'_>, context: usize) {
        let (offsets, width) = (given.offsets, self.width());
        let tokens = offsets.last().copied().unwrap_or(0);
        assert!(offsets.windows(2).all(|w| w[0] <= w[1]), "disentangled attention: offsets must not fall");
        assert!(!offsets.is_empty() && offsets[0] == 0, "disentangled attention: offsets start at 0");
        let lengths = given.qkv.len() == tokens * 3 * width && context == tokens * width;
        assert!(lengths, "disentangled attention: lengths");
        let longest = offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        let rows = &given.distances.rows;
        assert!(2 * longest <= rows.len() + 1 && rows.len() % 2 == 1, "disentangled attention: distances");
        let count = rows.iter().max().map_or(0, |&row| row as usize + 1);
        for table in [given.tables.keys, given.tables.queries].into_iter().flatten() {
            assert!(count * width <= table.len(), "disentangled attention: rows of the tables");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, IndexOp, Tensor, Var};

    fn wave(n: usize, k: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * k + 0.3).sin()).collect()
    }

    const A: Disentangled = Disentangled { heads: 3, head_width: 4, scale: 0.4 };
    const OFFSETS: [usize; 5] = [0, 5, 5, 14, 15];
    const LONGEST: usize = 9;
    const ROWS: usize = 7;

    /// Distances beyond ±3 share the tables' first and last rows.
    fn distances() -> Distances {
        let last = LONGEST as i32 - 1;
        Distances { rows: (-last..=last).map(|d| (d.clamp(-3, 3) + 3) as u32).collect() }
    }

    /// The same from candle's composed operations, each logit's two terms of distance by a row looked up.
    fn composed(qkv: &Tensor, tables: [Option<&Tensor>; 2], masks: &[Tensor]) -> Tensor {
        let (width, d, cpu) = (A.width(), A.head_width, &Device::Cpu);
        let mut all = vec![];
        for s in (0..OFFSETS.len() - 1).filter(|&s| OFFSETS[s + 1] > OFFSETS[s]) {
            let n = OFFSETS[s + 1] - OFFSETS[s];
            let row = |pair: usize| (((pair / n) as i32 - (pair % n) as i32).clamp(-3, 3) + 3) as u32;
            let rows: Vec<u32> = (0..n * n).map(row).collect();
            let rows = Tensor::from_vec(rows, n * n, cpu).unwrap();
            let mut columns = vec![];
            for h in 0..A.heads {
                let part = |third: usize| {
                    let from = third * width + h * d;
                    qkv.i((OFFSETS[s]..OFFSETS[s + 1], from..from + d)).unwrap().contiguous().unwrap()
                };
                let mut z = part(0).matmul(&part(1).t().unwrap()).unwrap();
                for (turn, table) in tables.into_iter().enumerate() {
                    let Some(table) = table else { continue };
                    let table = table.i((.., h * d..(h + 1) * d)).unwrap().contiguous().unwrap();
                    let table = table.index_select(&rows, 0).unwrap().reshape((n, n, d)).unwrap();
                    // Queries along the rows of the logits, keys along their columns.
                    let content = part(turn).unsqueeze(1 - turn).unwrap();
                    z = (z + table.broadcast_mul(&content).unwrap().sum(D::Minus1).unwrap()).unwrap();
                }
                let p = candle_nn::ops::softmax(&(z * f64::from(A.scale)).unwrap(), D::Minus1).unwrap();
                let p = p.mul(&masks[s * A.heads + h]).unwrap();
                columns.push(p.matmul(&part(2)).unwrap());
            }
            all.push(Tensor::cat(&columns, 1).unwrap());
        }
        Tensor::cat(&all, 0).unwrap()
    }

    fn held_against_autograd(with: [bool; 2], p: f64) {
        let (tokens, width, cpu) = (15, A.width(), &Device::Cpu);
        let (qkv, dc) = (wave(tokens * 3 * width, 0.7), wave(tokens * width, 0.31));
        let tables = [wave(ROWS * width, 0.17), wave(ROWS * width, 0.53)];
        let dropout = Dropout { p, key: [7, 8], step: 2 };
        // The mask itself, read off by applying it to ones.
        let masks: Vec<Tensor> = (0..4 * A.heads)
            .map(|t| {
                let n = OFFSETS[t / A.heads + 1] - OFFSETS[t / A.heads];
                let mut ones = vec![1.0; n * n];
                if n > 0 {
                    A.drop_rows(&dropout, &mut ones, n, t / A.heads, t % A.heads);
                }
                Tensor::from_vec(ones, (n, n), cpu).unwrap()
            })
            .collect();
        let var = Var::from_slice(&qkv, (tokens, 3 * width), cpu).unwrap();
        let vars = [0, 1].map(|i| Var::from_slice(&tables[i], (ROWS, width), cpu).unwrap());
        let theirs = composed(&var, [0, 1].map(|i| with[i].then_some(vars[i].as_tensor())), &masks);
        let weight = Tensor::from_slice(&dc, (tokens, width), cpu).unwrap();
        let grads = theirs.mul(&weight).unwrap().sum_all().unwrap().backward().unwrap();

        let chosen = [0, 1].map(|i| with[i].then_some(&tables[i][..]));
        let given = Given {
            qkv: &qkv,
            offsets: &OFFSETS,
            tables: Tables { keys: chosen[0], queries: chosen[1] },
            distances: &distances(),
            dropout: Some(&dropout),
        };
        let (mut context, mut dqkv) = (vec![0.0; tokens * width], vec![0.0; qkv.len()]);
        let mut dtables = [vec![0.0; ROWS * width], vec![0.0; ROWS * width]];
        A.forward(&given, &mut context);
        let [dkeys, dqueries] = &mut dtables;
        let slots = TableGradients {
            keys: with[0].then_some(&mut dkeys[..]),
            queries: with[1].then_some(&mut dqueries[..]),
        };
        A.backward(&given, &dc, &mut dqkv, slots);
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let mut pairs = vec![(&context, flat(&theirs)), (&dqkv, flat(grads.get(&var).unwrap()))];
        for i in (0..2).filter(|&i| with[i]) {
            pairs.push((&dtables[i], flat(grads.get(&vars[i]).unwrap())));
        }
        for (ours, theirs) in pairs {
            // Sums of some twenty terms of size one, 20 · 2⁻²³ ≈ 2e-6 each, over three products.
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 2e-5), "{with:?} {p}");
        }
    }

    #[test]
    fn forward_and_gradients_are_those_of_the_composed_form() {
        for with in [[true, true], [true, false], [false, true], [false, false]] {
            for p in [0.0, 0.4] {
                held_against_autograd(with, p);
            }
        }
    }
}
