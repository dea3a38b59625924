//! Transposed convolution and its gradients: those of a convolution with the sides changed.
//!
//! Input position `i` adds to output positions `i · stride + tap`. Shapes: `x (images, height, width, input)`,
//! `y (images, height, width, output)`, and `w (input, output / groups, taps down, taps across)`, as the Hub stores it,
//! which is the weight of the convolution from `y`'s side to `x`'s. Source: Dumoulin and Visin 2016, §4.

use crate::convolution::{self, Shape};
use crate::{Pool, linear};

/// Writes `y`. `shape` is that of the convolution from `y`'s side: its `input` channels are `y`'s.
pub fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32], shape: &Shape, pool: &Pool) {
    if let Some(b) = b {
        y.chunks_exact_mut(shape.input).for_each(|y| y.copy_from_slice(b));
    }
    convolution::backward(x, &[], w, None, Some((y, b.is_some())), shape, pool);
}

/// Adds to `dw` and `db`, and writes `dx`, where they are wanted.
pub fn backward(
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    (dw, db): (Option<&mut [f32]>, Option<&mut [f32]>),
    dx: Option<&mut [f32]>,
    shape: &Shape,
    pool: &Pool,
) {
    if let Some(db) = db {
        linear::backward_bias(linear::GradColumns::all(dy, shape.input), db);
    }
    if dw.is_some() {
        convolution::backward(x, dy, w, dw, None, shape, pool);
    }
    if let Some(dx) = dx {
        convolution::forward(dy, w, None, dx, shape, pool);
    }
}
