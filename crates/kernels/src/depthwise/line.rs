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

/// Calls `$block::<taps, lanes>(line, first tap, first channel)` for all blocks: the usual sizes of kernels at once, taps of
/// others one by one.
macro_rules! by_block {
    ($line:expr, $block:ident) => {
        match $line.axis.kernel {
            3 => by_lanes!($line, $block, 3, 0),
            5 => by_lanes!($line, $block, 5, 0),
            7 => by_lanes!($line, $block, 7, 0),
            taps => (0..taps).for_each(|tap| by_lanes!($line, $block, 1, tap)),
        }
    };
}

macro_rules! by_lanes {
    ($line:expr, $block:ident, $taps:literal, $first:expr) => {{
        let channels = $line.channels;
        let (line, first) = (&mut $line, $first);
        let (of_16, of_8) = (channels / 16 * 16, channels / 8 * 8);
        (0..of_16).step_by(16).for_each(|c| $block::<$taps, 16>(line, first, c));
        (of_16..of_8).step_by(8).for_each(|c| $block::<$taps, 8>(line, first, c));
        (of_8..channels).for_each(|c| $block::<$taps, 1>(line, first, c));
    }};
}

/// A written line, two read ones, and how they belong together.
struct Line<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    with: &'a [f32],
    axis: Axis,
    channels: usize,
}

#[inline(always)]
fn forward(y: &mut [f32], x: &[f32], w: &[f32], axis: Axis) {
    let channels = w.len() / axis.kernel;
    let mut line = Line { to: y, from: x, with: w, axis, channels };
    by_block!(line, forward_block);
}

#[inline(always)]
fn weight(dw: &mut [f32], x: &[f32], dy: &[f32], axis: Axis) {
    let channels = dw.len() / axis.kernel;
    let mut line = Line { to: dw, from: x, with: dy, axis, channels };
    by_block!(line, weight_block);
}

#[inline(always)]
fn input(dx: &mut [f32], w: &[f32], dy: &[f32], axis: Axis) {
    let channels = w.len() / axis.kernel;
    let mut line = Line { to: dx, from: dy, with: w, axis, channels };
    by_block!(line, input_block);
}

#[inline(always)]
fn forward_block<const K: usize, const L: usize>(line: &mut Line<'_>, first: usize, c: usize) {
    let Line { to: y, from: x, with: w, axis, channels } = line;
    let kernel: [[f32; L]; K] = std::array::from_fn(|k| lanes(w, (first + k) * *channels + c));
    each_output::<K>(*axis, first, |output, k, place| {
        let y = &mut y[output * *channels + c..][..L];
        let mut sum: [f32; L] = lanes(y, 0);
        let mut seen =
            |k: usize, place: usize| add_product(&mut sum, &kernel[k], &lanes(x, place * *channels + c));
        match k {
            Some(k) => seen(k, place),
            None => (0..K).for_each(|k| seen(k, place + k * axis.dilation)),
        }
        y.copy_from_slice(&sum);
    });
}

#[inline(always)]
fn weight_block<const K: usize, const L: usize>(line: &mut Line<'_>, first: usize, c: usize) {
    let Line { to: dw, from: x, with: dy, axis, channels } = line;
    let mut sums: [[f32; L]; K] = std::array::from_fn(|k| lanes(dw, (first + k) * *channels + c));
    each_output::<K>(*axis, first, |output, k, place| {
        let dy: [f32; L] = lanes(dy, output * *channels + c);
        let mut seen =
            |k: usize, place: usize| add_product(&mut sums[k], &dy, &lanes(x, place * *channels + c));
        match k {
            Some(k) => seen(k, place),
            None => (0..K).for_each(|k| seen(k, place + k * axis.dilation)),
        }
    });
    for (k, sum) in sums.iter().enumerate() {
        dw[(first + k) * *channels + c..][..L].copy_from_slice(sum);
    }
}

#[inline(always)]
fn input_block<const K: usize, const L: usize>(line: &mut Line<'_>, first: usize, c: usize) {
    let Line { to: dx, from: dy, with: w, axis, channels } = line;
    let kernel: [[f32; L]; K] = std::array::from_fn(|k| lanes(w, (first + k) * *channels + c));
    each_output::<K>(*axis, first, |output, k, place| {
        let dy: [f32; L] = lanes(dy, output * *channels + c);
        let mut seen = |k: usize, place: usize| {
            let dx = &mut dx[place * *channels + c..][..L];
            let mut sum: [f32; L] = lanes(dx, 0);
            add_product(&mut sum, &kernel[k], &dy);
            dx.copy_from_slice(&sum);
        };
        match k {
            Some(k) => seen(k, place),
            None => (0..K).for_each(|k| seen(k, place + k * axis.dilation)),
        }
    });
}

/// Calls `at(output, None, place)` for each output that all `K` taps from `first` see, where the first of them sees `place`,
/// and `at(output, tap, place)` for each tap of the others.
#[inline(always)]
fn each_output<const K: usize>(axis: Axis, first: usize, mut at: impl FnMut(usize, Option<usize>, usize)) {
    let interior = axis.interior();
    for output in 0..axis.output {
        if interior.contains(&output) {
            at(output, None, axis.place(output, first));
            continue;
        }
        for tap in axis.taps(output).filter(|tap| (first..first + K).contains(tap)) {
            at(output, Some(tap - first), axis.place(output, tap));
        }
    }
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
