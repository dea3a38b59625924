//! Some queries of one head of one sequence, with the keys that they see: what is computed at a time.

#![allow(unsafe_code)]

use super::softmax::{gradient, softmax};
use super::{Attention, Bias, Given, Part, Queries, Shared};
use crate::Dropout;
use crate::product::{Threads, View, multiply, multiply_into};
use std::ops::Range;

/// Elements of a matrix of probabilities: with the two others of a backward pass it stays in the second-level cache.
const ELEMENTS: usize = 1 << 16;
/// The fewest queries at a time, for longer sequences than that allows: fewer make slow products.
const FEWEST: usize = 32;

/// Queries `rows` of head `h` of sequence `s`, and the keys from the first to the last that any of them sees.
pub(super) struct Place {
    pub s: usize,
    pub h: usize,
    pub rows: Range<usize>,
    pub keys: Range<usize>,
}

/// Matrices of a task: probabilities, the same dropped, and their gradient.
#[derive(Default)]
pub(super) struct Scratch {
    p: Vec<f32>,
    dropped: Vec<f32>,
    g: Vec<f32>,
}

impl Place {
    /// The matrix's memory, grown where it has to be.
    pub(super) fn room<'a>(&self, memory: &'a mut Vec<f32>) -> &'a mut [f32] {
        let size = self.rows.len() * self.keys.len();
        if memory.len() < size {
            memory.resize(size, 0.0);
        }
        &mut memory[..size]
    }

    /// A matrix of this place, `(rows, keys)`.
    pub(super) fn matrix<'a>(&self, values: &'a [f32]) -> View<'a> {
        View::new(values, self.rows.len(), self.keys.len(), self.keys.len())
    }

    /// Drops probabilities, or their gradient, by the mask of this place.
    pub(super) fn drop(&self, law: &Attention, dropout: &Dropout, x: &mut [f32]) {
        if dropout.p > 0.0 {
            for (i, row) in self.rows.clone().zip(x.chunks_exact_mut(self.keys.len())) {
                dropout.apply_from(self.keys.start, row, i as u32, (self.s * law.heads + self.h) as u32);
            }
        }
    }

    /// The columns of a row of an `(n, n)` matrix that belong to the keys, for each of the rows.
    fn of<'a>(&self, whole: &'a [f32], n: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let keys = self.keys.clone();
        whole.chunks_exact(n).skip(self.rows.start).map(move |row| &row[keys.clone()])
    }
}

impl Bias<'_> {
    /// Adds the terms of a place to its logits.
    pub(super) fn add(&self, logits: &mut [f32], place: &Place) {
        let size = self.n * self.n;
        let of_sequence = |all: &[f32]| place.s % (all.len() / size);
        let matrices = [
            self.heads.map(|all| &all[place.h * size..(place.h + 1) * size]),
            self.sequences.map(|all| &all[of_sequence(all) * size..][..size]),
        ];
        for matrix in matrices.into_iter().flatten() {
            let rows = logits.chunks_exact_mut(place.keys.len());
            for (logits, row) in rows.zip(place.of(matrix, self.n)) {
                logits.iter_mut().zip(row).for_each(|(z, b)| *z += b);
            }
        }
    }
}

impl Attention {
    /// The places of one head of one sequence of `n` tokens, in order.
    pub(super) fn places(&self, (s, h): (usize, usize), n: usize) -> impl Iterator<Item = Place> + use<> {
        let mask = self.mask;
        let together = (ELEMENTS / n.max(1)).max(FEWEST);
        let asking = match self.queries {
            Queries::All => n,
            Queries::First => n.min(1),
        };
        (0..asking).step_by(together).map(move |first| {
            let rows = first..asking.min(first + together);
            // What a query sees begins and ends no earlier than what the one before it sees.
            let keys = mask.visible(rows.start, n).start..mask.visible(rows.end - 1, n).end;
            Place { s, h, rows, keys }
        })
    }

    /// Writes the probabilities of a place of the sequence that begins at row `start`.
    pub(super) fn probabilities(
        &self,
        qkv: &[f32],
        start: usize,
        place: &Place,
        bias: Option<Bias<'_>>,
        out: &mut [f32],
    ) {
        let q = self.part(qkv, start, &place.rows, place.h, Part::Query);
        let k = self.part(qkv, start, &place.keys, place.h, Part::Key);
        let count = place.keys.len();
        multiply(out, count, q, k.t(), false, Threads::One);
        let mut scale = self.scale;
        if let Some(bias) = bias {
            out.iter_mut().for_each(|z| *z *= scale);
            bias.add(out, place);
            scale = 1.0;
        }
        for (i, row) in place.rows.clone().zip(out.chunks_exact_mut(count)) {
            // The row begins with the place's first key.
            let visible = self.mask.visible(i, usize::MAX);
            let visible = visible.start - place.keys.start..(visible.end - place.keys.start).min(count);
            row[..visible.start].fill(0.0);
            row[visible.end..].fill(0.0);
            softmax(&mut row[visible], scale);
        }
    }

    /// The backward pass of one head of one sequence.
    pub(super) fn backward_of(
        &self,
        given: &Given<'_>,
        (s, h): (usize, usize),
        scratch: &mut Scratch,
        mut dbias: Option<&mut [f32]>,
        out: Shared,
    ) {
        let (start, n) = (given.offsets[s], given.offsets[s + 1] - given.offsets[s]);
        // Keys and values of a group get their gradients from all its heads and all places of these. The first writes, if it is
        // the only one of its head and has all keys; else zeros are there to add to.
        let mut add = !h.is_multiple_of(self.heads / self.kv_heads);
        let mut places = self.places((s, h), n);
        let alone = places.next().is_some_and(|first| first.keys == (0..n)) && places.next().is_none();
        if !add && !alone {
            for (row, part) in (start..start + n).flat_map(|row| [(row, Part::Key), (row, Part::Value)]) {
                // SAFETY: a row of this task's own columns of `dqkv`.
                unsafe {
                    let at = out.at(row * self.packed() + self.column(h, part));
                    std::slice::from_raw_parts_mut(at, self.head_width).fill(0.0);
                }
            }
            add = true;
        }
        for place in self.places((s, h), n) {
            self.backward_at(given, start, &place, scratch, dbias.as_deref_mut(), (out, add));
        }
    }

    /// The backward pass of a place: writes the gradient of its queries, and writes or adds to those of its keys and values.
    fn backward_at(
        &self,
        given: &Given<'_>,
        start: usize,
        place: &Place,
        Scratch { p, dropped, g }: &mut Scratch,
        dbias: Option<&mut [f32]>,
        (out, add): (Shared, bool),
    ) {
        let Given { qkv, dcontext, bias, dropout, .. } = *given;
        let (width, head, packed) = (self.width(), self.head_width, self.packed());
        let (h, count) = (place.h, place.keys.len());
        let (p, g) = (place.room(p), place.room(g));
        self.probabilities(qkv, start, place, bias, p);
        let first = self.context_row(start, place) * width + h * head;
        let dc = View::new(&dcontext[first..], place.rows.len(), head, width);
        let q = self.part(qkv, start, &place.rows, h, Part::Query);
        let [k, v] = [Part::Key, Part::Value].map(|part| self.part(qkv, start, &place.keys, h, part));
        multiply(g, count, dc, v.t(), false, Threads::One);
        let weights = match dropout {
            None => &*p,
            Some(dropout) => {
                let dropped = place.room(dropped);
                dropped.copy_from_slice(p);
                place.drop(self, dropout, dropped);
                place.drop(self, dropout, g);
                dropped
            }
        };
        // Without the factor first: a bias is added to logits that already have theirs.
        let factor = if dbias.is_some() { 1.0 } else { self.scale };
        for (p, g) in p.chunks_exact(count).zip(g.chunks_exact_mut(count)) {
            gradient(g, p, factor);
        }
        if let (Some(dbias), Some(bias)) = (dbias, bias) {
            let rows = dbias.chunks_exact_mut(bias.n).skip(place.rows.start);
            for (sum, g) in rows.zip(g.chunks_exact(count)) {
                sum[place.keys.clone()].iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
            }
            g.iter_mut().for_each(|g| *g *= self.scale);
        }
        let (weights, g) = (place.matrix(weights), place.matrix(g));
        let at = |row: usize, part: Part| (start + row) * packed + self.column(h, part);
        let (query, key) = (place.rows.start, place.keys.start);
        // SAFETY: rows of this sequence; the query's columns belong to this head alone and the others to its group, which one
        // task works on, head by head. `check` has made sure that they lie within `dqkv`.
        unsafe {
            multiply_into(out.at(at(query, Part::Query)), packed, g, k, false, Threads::One);
            multiply_into(out.at(at(key, Part::Key)), packed, g.t(), q, add, Threads::One);
            multiply_into(out.at(at(key, Part::Value)), packed, weights.t(), dc, add, Threads::One);
        }
    }
}
