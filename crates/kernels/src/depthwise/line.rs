//! One line of taps on one line of pixels.
//!
//! Channels are taken by blocks that fit a register. A block goes along the line, and its taps stay in registers.

use crate::Axis;
use crate::wide::widest;

widest! {
    /// Adds `w (taps, channels)` on `x (inputs, channels)` to `y (outputs, channels)`.
    pub(super) fn forward_line(y: &mut [f32], x: &[f32], w: &[f32], axis: Axis) = forward;
    /// Adds the gradient of `w` to `dw`.
    pub(super) fn weight_line(dw: &mut [f32], x: &[f32], dy: &[f32], axis: Axis) = weight;
    /// Adds the gradient of `x` to `dx`.
    pub(super) fn input_line(dx: &mut [f32], w: &[f32], dy: &[f32], axis: Axis) = input;
}

/// What a block of `L` channels does with its taps, of which it has `K` from `first`. Everything is inlined into the functions
/// above, because what is not is not compiled for wide vectors.
trait Block<'a, const K: usize, const L: usize> {
    /// The block at channel `c`.
    fn new(line: &'a mut Line<'_>, first: usize, c: usize) -> Self;

    /// An output that all taps see, the first of them at `place`.
    fn all(&mut self, output: usize, place: usize);

    /// An output and the place that tap `k` sees.
    fn one(&mut self, output: usize, k: usize, place: usize);

    /// Writes what is left to write.
    fn finish(self);
}

/// A written line, two read ones, and how they belong together.
struct Line<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    with: &'a [f32],
    axis: Axis,
    channels: usize,
}

/// Runs all blocks of a line: the usual sizes of kernels at once, taps of others one by one.
macro_rules! by_block {
    ($line:expr, $block:ident) => {
        match $line.axis.kernel {
            3 => by_lanes!($line, $block, 3, 0),
            5 => by_lanes!($line, $block, 5, 0),
            7 => by_lanes!($line, $block, 7, 0),
            taps => {
                for tap in 0..taps {
                    by_lanes!($line, $block, 1, tap);
                }
            }
        }
    };
}

macro_rules! by_lanes {
    ($line:expr, $block:ident, $taps:literal, $first:expr) => {{
        let (channels, axis, mut c) = ($line.channels, $line.axis, 0);
        while c + 16 <= channels {
            each_output::<$taps, 16, $block<'_, $taps, 16>>(&mut $line, axis, $first, c);
            c += 16;
        }
        while c + 8 <= channels {
            each_output::<$taps, 8, $block<'_, $taps, 8>>(&mut $line, axis, $first, c);
            c += 8;
        }
        while c < channels {
            each_output::<$taps, 1, $block<'_, $taps, 1>>(&mut $line, axis, $first, c);
            c += 1;
        }
    }};
}

#[inline(always)]
fn forward(y: &mut [f32], x: &[f32], w: &[f32], axis: Axis) {
    let channels = w.len() / axis.kernel;
    let mut line = Line { to: y, from: x, with: w, axis, channels };
    by_block!(line, Forward);
}

#[inline(always)]
fn weight(dw: &mut [f32], x: &[f32], dy: &[f32], axis: Axis) {
    let channels = dw.len() / axis.kernel;
    let mut line = Line { to: dw, from: x, with: dy, axis, channels };
    by_block!(line, Weight);
}

#[inline(always)]
fn input(dx: &mut [f32], w: &[f32], dy: &[f32], axis: Axis) {
    let channels = w.len() / axis.kernel;
    let mut line = Line { to: dx, from: dy, with: w, axis, channels };
    by_block!(line, Input);
}

#[inline(always)]
fn each_output<'a, const K: usize, const L: usize, B: Block<'a, K, L>>(
    line: &'a mut Line<'_>,
    axis: Axis,
    first: usize,
    c: usize,
) {
    let mut block = B::new(line, first, c);
    let interior = axis.interior();
    for output in 0..axis.output {
        if interior.contains(&output) {
            block.all(output, axis.place(output, first));
            continue;
        }
        for tap in axis.taps(output) {
            if tap >= first && tap < first + K {
                block.one(output, tap - first, axis.place(output, tap));
            }
        }
    }
    block.finish();
}

struct Forward<'a, const K: usize, const L: usize> {
    y: &'a mut [f32],
    x: &'a [f32],
    kernel: [[f32; L]; K],
    at: At,
}

impl<'a, const K: usize, const L: usize> Block<'a, K, L> for Forward<'a, K, L> {
    #[inline(always)]
    fn new(line: &'a mut Line<'_>, first: usize, c: usize) -> Self {
        let at = At::new(line, c);
        Forward { kernel: rows(line.with, first, at), y: line.to, x: line.from, at }
    }

    #[inline(always)]
    fn all(&mut self, output: usize, place: usize) {
        let y = &mut self.y[self.at.place(output)..][..L];
        let mut sum: [f32; L] = lanes(y, 0);
        for k in 0..K {
            add_product(&mut sum, &self.kernel[k], &lanes(self.x, self.at.tap(place, k)));
        }
        y.copy_from_slice(&sum);
    }

    #[inline(always)]
    fn one(&mut self, output: usize, k: usize, place: usize) {
        let y = &mut self.y[self.at.place(output)..][..L];
        let mut sum: [f32; L] = lanes(y, 0);
        add_product(&mut sum, &self.kernel[k], &lanes(self.x, self.at.place(place)));
        y.copy_from_slice(&sum);
    }

    #[inline(always)]
    fn finish(self) {}
}

struct Weight<'a, const K: usize, const L: usize> {
    dw: &'a mut [f32],
    x: &'a [f32],
    dy: &'a [f32],
    sums: [[f32; L]; K],
    first: usize,
    at: At,
}

impl<'a, const K: usize, const L: usize> Block<'a, K, L> for Weight<'a, K, L> {
    #[inline(always)]
    fn new(line: &'a mut Line<'_>, first: usize, c: usize) -> Self {
        let at = At::new(line, c);
        Weight { sums: rows(line.to, first, at), dw: line.to, x: line.from, dy: line.with, first, at }
    }

    #[inline(always)]
    fn all(&mut self, output: usize, place: usize) {
        let dy: [f32; L] = lanes(self.dy, self.at.place(output));
        for k in 0..K {
            add_product(&mut self.sums[k], &dy, &lanes(self.x, self.at.tap(place, k)));
        }
    }

    #[inline(always)]
    fn one(&mut self, output: usize, k: usize, place: usize) {
        let dy: [f32; L] = lanes(self.dy, self.at.place(output));
        let x: [f32; L] = lanes(self.x, self.at.place(place));
        // By a loop over all, so that the sums can stay in registers.
        for tap in 0..K {
            if tap == k {
                add_product(&mut self.sums[tap], &dy, &x);
            }
        }
    }

    #[inline(always)]
    fn finish(self) {
        for (k, sum) in self.sums.iter().enumerate() {
            self.dw[self.at.place(self.first + k)..][..L].copy_from_slice(sum);
        }
    }
}

struct Input<'a, const K: usize, const L: usize> {
    dx: &'a mut [f32],
    dy: &'a [f32],
    kernel: [[f32; L]; K],
    at: At,
}

impl<'a, const K: usize, const L: usize> Block<'a, K, L> for Input<'a, K, L> {
    #[inline(always)]
    fn new(line: &'a mut Line<'_>, first: usize, c: usize) -> Self {
        let at = At::new(line, c);
        Input { kernel: rows(line.with, first, at), dx: line.to, dy: line.from, at }
    }

    #[inline(always)]
    fn all(&mut self, output: usize, place: usize) {
        let dy: [f32; L] = lanes(self.dy, self.at.place(output));
        for k in 0..K {
            let dx = &mut self.dx[self.at.tap(place, k)..][..L];
            let mut sum: [f32; L] = lanes(dx, 0);
            add_product(&mut sum, &self.kernel[k], &dy);
            dx.copy_from_slice(&sum);
        }
    }

    #[inline(always)]
    fn one(&mut self, output: usize, k: usize, place: usize) {
        let dy: [f32; L] = lanes(self.dy, self.at.place(output));
        let dx = &mut self.dx[self.at.place(place)..][..L];
        let mut sum: [f32; L] = lanes(dx, 0);
        add_product(&mut sum, &self.kernel[k], &dy);
        dx.copy_from_slice(&sum);
    }

    #[inline(always)]
    fn finish(self) {}
}

/// Where a block's channels lie in a line.
#[derive(Clone, Copy)]
struct At {
    c: usize,
    channels: usize,
    dilation: usize,
}

impl At {
    #[inline(always)]
    fn new(line: &Line<'_>, c: usize) -> Self {
        At { c, channels: line.channels, dilation: line.axis.dilation }
    }

    #[inline(always)]
    fn place(self, place: usize) -> usize {
        place * self.channels + self.c
    }

    #[inline(always)]
    fn tap(self, place: usize, k: usize) -> usize {
        self.place(place + k * self.dilation)
    }
}

/// A block's values of `K` places from `first`.
#[inline(always)]
fn rows<const K: usize, const L: usize>(values: &[f32], first: usize, at: At) -> [[f32; L]; K] {
    let mut rows = [[0.0; L]; K];
    for (k, row) in rows.iter_mut().enumerate() {
        *row = lanes(values, at.place(first + k));
    }
    rows
}

#[inline(always)]
fn lanes<const L: usize>(values: &[f32], start: usize) -> [f32; L] {
    let mut lanes = [0.0; L];
    lanes.copy_from_slice(&values[start..start + L]);
    lanes
}

#[inline(always)]
fn add_product<const L: usize>(sum: &mut [f32; L], a: &[f32; L], b: &[f32; L]) {
    for l in 0..L {
        sum[l] += a[l] * b[l];
    }
}
