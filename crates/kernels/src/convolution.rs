//! Convolution and its gradients, as products of unfolded windows.
//!
//! `y[n, p, o] = b[o] + Σ_{t, c} w[o, c, t] · x[n, place(p, t), c]`. Shapes: `x (images, height, width, input)`,
//! `y (images, height, width, output)`, and `w (output, input / groups, taps down, taps across)` as the Hub stores it.
//! Source: Chellapilla, Puri and Simard 2006, §3 (unfolding), by bands of rows that stay in the cache.

use crate::product::{Threads, View, multiply};
use crate::{Pool, Windows, add, linear};
use rayon::prelude::*;
use std::borrow::Cow;

/// Values that a band of unfolded windows may have: about as much as a core's second cache holds.
const BAND: usize = 1 << 17;
/// Parts of a batch whose weight gradients are summed apart and then added in order.
const PARTS: usize = 8;

/// Sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Where its windows lie.
    pub windows: Windows,
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Blocks of channels that do not see each other; divides `input` and `output`.
    pub groups: usize,
}

impl Shape {
    /// Whether this is a product of each pixel with a matrix.
    fn pointwise(&self) -> bool {
        let alone = |axis: crate::Axis| (axis.kernel, axis.stride, axis.before) == (1, 1, 0);
        let Windows { vertical, horizontal, .. } = self.windows;
        self.groups == 1
            && alone(vertical)
            && alone(horizontal)
            && self.windows.inputs() == self.windows.outputs()
    }

    /// Values of an unfolded window: `(groups, taps, input / groups)`.
    fn window(&self) -> usize {
        self.windows.taps() * self.input
    }

    /// Rows of outputs that make a band.
    fn band(&self) -> usize {
        let row = self.window() * self.windows.horizontal.output;
        (BAND / row.max(1)).clamp(1, self.windows.vertical.output)
    }

    fn check(&self, x: usize, y: usize, w: usize) {
        let Windows { images, .. } = self.windows;
        let fits = x == images * self.windows.inputs() * self.input
            && y == images * self.windows.outputs() * self.output
            && self.groups > 0
            && self.input.is_multiple_of(self.groups)
            && self.output.is_multiple_of(self.groups)
            && w == self.output * self.window() / self.groups;
        assert!(fits, "convolution: lengths {x}, {y}, {w} of {self:?}");
    }
}

/// Writes `y`.
pub fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32], shape: &Shape, pool: &Pool) {
    shape.check(x.len(), y.len(), w.len());
    if shape.pointwise() {
        return linear::forward(x, w, b, y);
    }
    let (w, windows) = (taps_first(w, shape), &shape.windows);
    let (of_image, of_row) = (windows.inputs() * shape.input, windows.horizontal.output * shape.output);
    let images = y.par_chunks_mut(windows.outputs() * shape.output).zip(x.par_chunks(of_image));
    images.for_each(|(y, x)| {
        y.par_chunks_mut(shape.band() * of_row).enumerate().for_each(|(band, y)| {
            let rows = y.len() / of_row;
            let mut unfolded = pool.buffer(rows * windows.horizontal.output * shape.window());
            unfold(x, &mut unfolded, band * shape.band(), shape);
            if let Some(b) = b {
                y.chunks_exact_mut(shape.output).for_each(|y| y.copy_from_slice(b));
            }
            for group in 0..shape.groups {
                let (columns, kernels) = group_views(&unfolded, &w, group, shape);
                let start = group * shape.output / shape.groups;
                multiply(&mut y[start..], shape.output, columns, kernels.t(), b.is_some(), Threads::One);
            }
        });
    });
}

/// Adds to `dw`, and writes `dx` (or adds to it, with `true`), where they are wanted. `x` is read for `dw` alone.
pub fn backward(
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    dw: Option<&mut [f32]>,
    dx: Option<(&mut [f32], bool)>,
    shape: &Shape,
    pool: &Pool,
) {
    let windows = &shape.windows;
    let (of_input, of_output) = (windows.inputs() * shape.input, windows.outputs() * shape.output);
    let length = if dw.is_some() { x.len() } else { windows.images * of_input };
    shape.check(length, dy.len(), w.len());
    if let Some((dx, _)) = &dx {
        shape.check(dx.len(), dy.len(), w.len());
    }
    if shape.pointwise() {
        let dy = linear::GradColumns::all(dy, shape.output);
        if let Some(dw) = dw {
            linear::backward_weight(dy, x, dw);
        }
        if let Some((dx, accumulate)) = dx {
            linear::backward_input(dy, w, dx, accumulate);
        }
        return;
    }
    let each = windows.images.div_ceil(PARTS).max(1);
    let kernels = taps_first(w, shape);
    if let Some(dw) = dw {
        assert_eq!(dw.len(), w.len(), "convolution: length of the weight's gradient");
        let parts: Vec<Vec<f32>> = dy
            .par_chunks(each * of_output)
            .zip(x.par_chunks(each * of_input))
            .map(|(dy, x)| {
                let mut part = vec![0f32; w.len()];
                for (dy, x) in dy.chunks_exact(of_output).zip(x.chunks_exact(of_input)) {
                    weight_gradient(dy, x, &mut part, shape, pool);
                }
                part
            })
            .collect();
        let mut sum = vec![0f32; w.len()];
        parts.iter().for_each(|part| add(&mut sum, part));
        add_taps_last(&sum, dw, shape);
    }
    if let Some((dx, accumulate)) = dx {
        dx.par_chunks_mut(of_input).zip(dy.par_chunks(of_output)).for_each(|(dx, dy)| {
            if !accumulate {
                dx.fill(0.0);
            }
            input_gradient(dy, &kernels, dx, shape, pool);
        });
    }
}

/// Adds to `dw (output, taps, input / groups)` what one image gives.
fn weight_gradient(dy: &[f32], x: &[f32], dw: &mut [f32], shape: &Shape, pool: &Pool) {
    let (across, window) = (shape.windows.horizontal.output, shape.window());
    let (each, wide) = (shape.output / shape.groups, window / shape.groups);
    for (band, dy) in dy.chunks(shape.band() * across * shape.output).enumerate() {
        let outputs = dy.len() / shape.output;
        let mut unfolded = pool.buffer(outputs * window);
        unfold(x, &mut unfolded, band * shape.band(), shape);
        for group in 0..shape.groups {
            let columns = View::new(&unfolded[group * wide..], outputs, wide, window);
            let dy = View::new(&dy[group * each..], outputs, each, shape.output);
            let dw = &mut dw[group * each * wide..(group + 1) * each * wide];
            multiply(dw, wide, dy.t(), columns, true, Threads::One);
        }
    }
}

/// Adds to `dx` what one image gives.
fn input_gradient(dy: &[f32], kernels: &[f32], dx: &mut [f32], shape: &Shape, pool: &Pool) {
    let (across, window) = (shape.windows.horizontal.output, shape.window());
    let each = shape.output / shape.groups;
    for (band, dy) in dy.chunks(shape.band() * across * shape.output).enumerate() {
        let outputs = dy.len() / shape.output;
        let mut unfolded = pool.buffer(outputs * window);
        for group in 0..shape.groups {
            let wide = window / shape.groups;
            let dy = View::new(&dy[group * each..], outputs, each, shape.output);
            let kernels = View::new(&kernels[group * each * wide..], each, wide, wide);
            multiply(&mut unfolded[group * wide..], window, dy, kernels, false, Threads::One);
        }
        fold(&unfolded, dx, band * shape.band(), shape);
    }
}

/// A group's columns of unfolded windows, and its kernels.
fn group_views<'a>(unfolded: &'a [f32], w: &'a [f32], group: usize, shape: &Shape) -> (View<'a>, View<'a>) {
    let (each, window) = (shape.output / shape.groups, shape.window());
    let wide = window / shape.groups;
    let columns = View::new(&unfolded[group * wide..], unfolded.len() / window, wide, window);
    (columns, View::new(&w[group * each * wide..], each, wide, wide))
}

/// Calls `copy(window, start, place, length)` for each run of values that a window of some rows of outputs, from row `top`,
/// has from an image.
#[inline(always)]
fn runs(shape: &Shape, top: usize, rows: usize, mut copy: impl FnMut(usize, usize, usize, usize)) {
    let Windows { vertical, horizontal, .. } = shape.windows;
    let (each, taps) = (shape.input / shape.groups, shape.windows.taps());
    let mut window = 0;
    for down in top..top + rows {
        for across in 0..horizontal.output {
            let seen = horizontal.taps(across);
            for i in vertical.taps(down) {
                let line = vertical.place(down, i) * horizontal.input;
                if shape.groups == 1 && horizontal.dilation == 1 && !seen.is_empty() {
                    let place = line + horizontal.place(across, seen.start);
                    let start = (i * horizontal.kernel + seen.start) * each;
                    copy(window, start, place * each, seen.len() * each);
                    continue;
                }
                for j in seen.clone() {
                    let place = (line + horizontal.place(across, j)) * shape.input;
                    for group in 0..shape.groups {
                        let start = (group * taps + i * horizontal.kernel + j) * each;
                        copy(window, start, place + group * each, each);
                    }
                }
            }
            window += 1;
        }
    }
}

/// Writes the windows `(outputs, groups, taps, input / groups)` of some rows of outputs.
fn unfold(x: &[f32], unfolded: &mut [f32], top: usize, shape: &Shape) {
    let size = shape.window();
    unfolded.fill(0.0);
    runs(
        shape,
        top,
        unfolded.len() / size / shape.windows.horizontal.output,
        |window, start, place, length| {
            let start = window * size + start;
            unfolded[start..start + length].copy_from_slice(&x[place..place + length]);
        },
    );
}

/// Adds such windows to the places that they came from.
fn fold(unfolded: &[f32], x: &mut [f32], top: usize, shape: &Shape) {
    let size = shape.window();
    runs(
        shape,
        top,
        unfolded.len() / size / shape.windows.horizontal.output,
        |window, start, place, length| {
            let start = window * size + start;
            let values = &unfolded[start..start + length];
            x[place..place + length].iter_mut().zip(values).for_each(|(x, v)| *x += v);
        },
    );
}

/// `(output, taps, input / groups)` of `(output, input / groups, taps)`.
fn taps_first<'a>(w: &'a [f32], shape: &Shape) -> Cow<'a, [f32]> {
    let (taps, each) = (shape.windows.taps(), shape.input / shape.groups);
    if taps == 1 || each == 1 {
        return Cow::Borrowed(w);
    }
    let mut turned = vec![0f32; w.len()];
    for (turned, w) in turned.chunks_exact_mut(taps * each).zip(w.chunks_exact(taps * each)) {
        for (tap, turned) in turned.chunks_exact_mut(each).enumerate() {
            turned.iter_mut().enumerate().for_each(|(c, v)| *v = w[c * taps + tap]);
        }
    }
    Cow::Owned(turned)
}

/// Adds `(output, taps, input / groups)` to `(output, input / groups, taps)`.
fn add_taps_last(turned: &[f32], w: &mut [f32], shape: &Shape) {
    let (taps, each) = (shape.windows.taps(), shape.input / shape.groups);
    for (w, turned) in w.chunks_exact_mut(taps * each).zip(turned.chunks_exact(taps * each)) {
        for (tap, turned) in turned.chunks_exact(each).enumerate() {
            turned.iter().enumerate().for_each(|(c, v)| w[c * taps + tap] += v);
        }
    }
}
