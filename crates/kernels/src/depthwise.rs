//! Depthwise convolution, of each channel with a kernel of its own, and its gradients; directly, without unfolding.
//!
//! `y[n, p, c] = b[c] + Σ_t w[c, t] · x[n, place(p, t), c]`. Shapes: `x`, `y (images, height, width, channels)`, and
//! `w (channels, 1, taps down, taps across)` as the Hub stores it. Source: Howard et al. 2017, eq. 3.

mod line;

use crate::Windows;
use line::{forward_line, input_line, weight_line};
use rayon::prelude::*;

/// Writes `y`.
pub fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32], windows: &Windows) {
    let sizes = Sizes::of(x.len(), y.len(), w.len(), windows);
    let w = by_tap(w, windows.taps());
    y.par_chunks_mut(sizes.outputs).enumerate().for_each(|(row, y)| {
        match b {
            Some(b) => y.chunks_exact_mut(sizes.channels).for_each(|y| y.copy_from_slice(b)),
            None => y.fill(0.0),
        }
        let (image, row) = (row / windows.vertical.output, row % windows.vertical.output);
        for tap in windows.vertical.taps(row) {
            let place = image * windows.vertical.input + windows.vertical.place(row, tap);
            let x = &x[place * sizes.inputs..(place + 1) * sizes.inputs];
            let w = &w[tap * sizes.taps..(tap + 1) * sizes.taps];
            forward_line(y, x, w, windows.horizontal);
        }
    });
}

/// Adds to `dw`, and writes `dx` (or adds to it, with `true`), where they are wanted.
pub fn backward(
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    dw: Option<&mut [f32]>,
    dx: Option<(&mut [f32], bool)>,
    windows: &Windows,
) {
    let sizes = Sizes::of(x.len(), dy.len(), w.len(), windows);
    let (of_image, down) = (windows.vertical.output * sizes.outputs, windows.vertical);
    if let Some(dw) = dw {
        assert_eq!(dw.len(), w.len(), "depthwise: length of the weight's gradient");
        let images = dy.par_chunks(of_image).zip(x.par_chunks(down.input * sizes.inputs));
        let part_of = |(dy, x): (&[f32], &[f32])| {
            let mut part = vec![0f32; w.len()];
            for (row, dy) in dy.chunks_exact(sizes.outputs).enumerate() {
                for tap in down.taps(row) {
                    let place = down.place(row, tap);
                    let x = &x[place * sizes.inputs..(place + 1) * sizes.inputs];
                    let dw = &mut part[tap * sizes.taps..(tap + 1) * sizes.taps];
                    weight_line(dw, x, dy, windows.horizontal);
                }
            }
            part
        };
        // One part an image, added in order.
        let parts: Vec<Vec<f32>> = images.map(part_of).collect();
        for part in parts {
            for (tap, part) in part.chunks_exact(sizes.channels).enumerate() {
                part.iter().enumerate().for_each(|(c, v)| dw[c * windows.taps() + tap] += v);
            }
        }
    }
    if let Some((dx, accumulate)) = dx {
        assert_eq!(dx.len(), x.len(), "depthwise: length of the input's gradient");
        let w = by_tap(w, windows.taps());
        let images = dx.par_chunks_mut(down.input * sizes.inputs).zip(dy.par_chunks(of_image));
        images.for_each(|(dx, dy)| {
            if !accumulate {
                dx.fill(0.0);
            }
            for (row, dy) in dy.chunks_exact(sizes.outputs).enumerate() {
                for tap in down.taps(row) {
                    let place = down.place(row, tap);
                    let dx = &mut dx[place * sizes.inputs..(place + 1) * sizes.inputs];
                    let w = &w[tap * sizes.taps..(tap + 1) * sizes.taps];
                    input_line(dx, w, dy, windows.horizontal);
                }
            }
        });
    }
}

/// Values of a pixel, of a line of pixels on either side, and of a line of taps.
struct Sizes {
    channels: usize,
    inputs: usize,
    outputs: usize,
    taps: usize,
}

impl Sizes {
    fn of(x: usize, y: usize, w: usize, windows: &Windows) -> Self {
        let channels = w / windows.taps();
        let fits = w == channels * windows.taps()
            && x == windows.images * windows.inputs() * channels
            && y == windows.images * windows.outputs() * channels;
        assert!(fits && channels > 0, "depthwise: lengths {x}, {y}, {w} of {windows:?}");
        let across = windows.horizontal;
        Sizes {
            channels,
            inputs: across.input * channels,
            outputs: across.output * channels,
            taps: across.kernel * channels,
        }
    }
}

/// `(taps, channels)` of `(channels, taps)`.
fn by_tap(w: &[f32], taps: usize) -> Vec<f32> {
    let channels = w.len() / taps;
    (0..w.len()).map(|i| w[i % channels * taps + i / channels]).collect()
}
