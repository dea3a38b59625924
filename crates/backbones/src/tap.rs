//! What a pass shows to whoever watches it.

use crate::WeightId;
use xexp_kernels::Activation;
use xexp_kernels::attention::{Attention, LogitRow};

/// Watches a pass. The layers and operations of the tape call it in the order in which they compute, so every family is
/// watched at the same places. A method does nothing unless it is overridden; a function of `(place, values, width)` is a tap
/// that sees values alone.
pub trait Tap {
    /// Values `(rows, width)` at a named place.
    fn values(&self, _place: &str, _values: &[f32], _width: usize) {}

    /// The stream `(rows, width)` in front of the next block: behind the stem, or behind what leads from stage to stage.
    fn enter(&self, place: &str, values: &[f32], width: usize) {
        self.values(place, values, width);
    }

    /// The stream `(rows, width)` behind a block.
    fn stream(&self, place: &str, values: &[f32], width: usize) {
        self.values(place, values, width);
    }

    /// A product with a weight.
    fn product(&self, _seen: Product<'_>) {}

    /// A norm with this gain.
    fn norm(&self, _gain: WeightId) {}

    /// A nonlinearity.
    fn activation(&self, _activation: Activation) {}

    /// A product of two matrices, element by element: a gate.
    fn gate(&self) {}

    /// Learned factors of a branch's columns.
    fn scale(&self, _factors: WeightId) {}

    /// Queries or keys turned by the angles of their places.
    fn turn(&self) {}

    /// An attention.
    fn attention(&self, _seen: Attended<'_>) {}

    /// The gradient `(rows, width)` of the stream at a place that [`Tap::enter`] or [`Tap::stream`] has named.
    fn gradient(&self, _place: &str, _gradient: &[f32], _width: usize) {}
}

impl<F: Fn(&str, &[f32], usize)> Tap for F {
    fn values(&self, place: &str, values: &[f32], width: usize) {
        self(place, values, width);
    }
}

/// `y = x W + b`, of a dense layer or a convolution.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// `W`.
    pub weight: WeightId,
    /// What is multiplied, `(rows, input)`; of patches the pixels, patch by patch.
    pub x: &'a [f32],
    /// Columns of `x`.
    pub input: usize,
    /// The result, `(rows, output)`.
    pub y: &'a [f32],
    /// Columns of `y`.
    pub output: usize,
    /// Products that a value of `y` sums, in the mean over places: fewer than the fan-in where windows hang over an edge.
    pub terms: f64,
}

/// An attention: its law, what it is given, and its logits for whoever asks.
#[derive(Clone, Copy)]
pub struct Attended<'a> {
    /// Names it.
    pub place: &'a str,
    /// Heads, scale and mask.
    pub law: Attention,
    /// Queries, keys and values side by side, `(tokens, (heads + 2·kv_heads)·head_width)`.
    pub qkv: &'a [f32],
    /// Where sequences begin and end.
    pub offsets: &'a [usize],
    /// Whether a logit is a query on a key, and perhaps a term of their places: not so where queries meet distances.
    pub plain: bool,
    /// Calls back with the rows of logits of a sequence and a head.
    pub rows: &'a Rows<'a>,
}

/// See [`Attended::rows`].
pub type Rows<'a> = dyn Fn((usize, usize), &mut dyn FnMut(LogitRow<'_>)) + Sync + 'a;

impl<'a> Attended<'a> {
    /// An attention whose logits are queries on keys.
    pub(crate) fn plain(
        place: &'a str,
        law: Attention,
        qkv: &'a [f32],
        offsets: &'a [usize],
        rows: &'a Rows<'a>,
    ) -> Self {
        Attended { place, law, qkv, offsets, plain: true, rows }
    }
}
