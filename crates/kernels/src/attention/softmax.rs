//! Softmax of rows and its gradient, in loops for the widest vectors.

use crate::activation::exp;
use crate::reduce::{folded, lane_sum};
use crate::wide::widest;

widest! {
    /// `x = softmax(scale · x)` in place, the maximum taken out first.
    pub(crate) fn softmax(x: &mut [f32], scale: f32) = values;
    /// `g = scale · p (g − ⟨p, g⟩)` in place: from the gradient of probabilities `p` that of the logits, over the factor that the
    /// logits had. Where a key is hidden `p` is 0, and so is the gradient.
    pub(super) fn gradient(g: &mut [f32], p: &[f32], scale: f32) = slopes;
}

#[inline(always)]
fn values(x: &mut [f32], scale: f32) {
    // What is no number is never the larger one; it comes back by its exponential.
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; 16];
    let mut chunks = x.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for j in 0..16 {
            chunk[j] *= scale;
            lanes[j] = larger(lanes[j], chunk[j]);
        }
    }
    for v in chunks.into_remainder() {
        *v *= scale;
        lanes[0] = larger(lanes[0], *v);
    }
    let max = folded(lanes, larger);
    let mut lanes = [0f32; 16];
    let mut chunks = x.chunks_exact_mut(16);
    for chunk in &mut chunks {
        for j in 0..16 {
            chunk[j] = exp(chunk[j] - max);
            lanes[j] += chunk[j];
        }
    }
    let mut sum = folded(lanes, |a, b| a + b);
    for v in chunks.into_remainder() {
        *v = exp(*v - max);
        sum += *v;
    }
    let inverse = 1.0 / sum;
    x.iter_mut().for_each(|v| *v *= inverse);
}

#[inline(always)]
fn slopes(g: &mut [f32], p: &[f32], scale: f32) {
    let dot = lane_sum(p, |j, v| v * g[j]);
    for (g, p) in g.iter_mut().zip(p) {
        *g = (*g - dot) * (scale * p);
    }
}
