//! Largest values and means of windows, and their gradients.
//!
//! Shapes: `x (images, height, width, channels)`, `y` the same with the windows' outputs.

use crate::Windows;
use rayon::prelude::*;

/// What a mean divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Divisor {
    /// All taps of a window, also those on padding. (`count_include_pad`, PyTorch's default)
    Taps,
    /// The taps that see an input.
    Seen,
}

/// Writes the largest value of each window; a value that is no number counts as the largest, as in PyTorch. Every window
/// must see an input.
pub fn largest(x: &[f32], y: &mut [f32], windows: &Windows) {
    let channels = channels(x.len(), y.len(), windows);
    each_image(x, y, windows, channels, |x, y| {
        each_window(windows, |output, places| {
            let y = &mut y[output * channels..(output + 1) * channels];
            y.fill(f32::NEG_INFINITY);
            for place in places {
                let x = &x[place * channels..(place + 1) * channels];
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = if larger(x, *y) { x } else { *y });
            }
        });
    });
}

/// Adds to `dx` the gradient of [`largest`], which goes to the first of equal values.
pub fn backward_largest(dy: &[f32], x: &[f32], dx: &mut [f32], windows: &Windows) {
    let channels = channels(x.len(), dy.len(), windows);
    assert_eq!(dx.len(), x.len(), "pool: length of the gradient");
    let (inputs, outputs) = (windows.inputs() * channels, windows.outputs() * channels);
    let images = dx.par_chunks_mut(inputs).zip(x.par_chunks(inputs)).zip(dy.par_chunks(outputs));
    images.for_each(|((dx, x), dy)| {
        let (mut best, mut chosen) = (vec![0f32; channels], vec![0usize; channels]);
        each_window(windows, |output, places| {
            best.fill(f32::NEG_INFINITY);
            for (turn, place) in places.enumerate() {
                let x = &x[place * channels..(place + 1) * channels];
                for (c, &x) in x.iter().enumerate() {
                    if turn == 0 || larger(x, best[c]) {
                        (best[c], chosen[c]) = (x, place);
                    }
                }
            }
            for (c, dy) in dy[output * channels..(output + 1) * channels].iter().enumerate() {
                dx[chosen[c] * channels + c] += dy;
            }
        });
    });
}

/// Writes the mean of each window.
pub fn mean(x: &[f32], y: &mut [f32], divisor: Divisor, windows: &Windows) {
    let channels = channels(x.len(), y.len(), windows);
    each_image(x, y, windows, channels, |x, y| {
        each_window(windows, |output, places| {
            let y = &mut y[output * channels..(output + 1) * channels];
            y.fill(0.0);
            let mut seen = 0;
            for place in places {
                let x = &x[place * channels..(place + 1) * channels];
                y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
                seen += 1;
            }
            let share = share(divisor, seen, windows);
            y.iter_mut().for_each(|y| *y *= share);
        });
    });
}

/// Adds to `dx` the gradient of [`mean`].
pub fn backward_mean(dy: &[f32], dx: &mut [f32], divisor: Divisor, windows: &Windows) {
    let channels = channels(dx.len(), dy.len(), windows);
    let (inputs, outputs) = (windows.inputs() * channels, windows.outputs() * channels);
    dx.par_chunks_mut(inputs).zip(dy.par_chunks(outputs)).for_each(|(dx, dy)| {
        each_window(windows, |output, places| {
            let dy = &dy[output * channels..(output + 1) * channels];
            let share = share(divisor, places.clone().count(), windows);
            for place in places {
                let dx = &mut dx[place * channels..(place + 1) * channels];
                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx += share * dy);
            }
        });
    });
}

fn larger(x: f32, than: f32) -> bool {
    x > than || x.is_nan()
}

fn share(divisor: Divisor, seen: usize, windows: &Windows) -> f32 {
    let by = if divisor == Divisor::Taps { windows.taps() } else { seen };
    1.0 / by.max(1) as f32
}

fn channels(x: usize, y: usize, windows: &Windows) -> usize {
    let channels = x / (windows.images * windows.inputs()).max(1);
    let fits = x == windows.images * windows.inputs() * channels
        && y == windows.images * windows.outputs() * channels;
    assert!(fits && channels > 0, "pool: lengths {x} and {y} of {windows:?}");
    channels
}

fn each_image(
    x: &[f32],
    y: &mut [f32],
    windows: &Windows,
    channels: usize,
    pool: impl Fn(&[f32], &mut [f32]) + Sync,
) {
    let images = y.par_chunks_mut(windows.outputs() * channels);
    images.zip(x.par_chunks(windows.inputs() * channels)).for_each(|(y, x)| pool(x, y));
}

/// Calls `at` with each output of an image, and the places that its window sees, row by row.
fn each_window(windows: &Windows, mut at: impl FnMut(usize, Places<'_>)) {
    for down in 0..windows.vertical.output {
        for across in 0..windows.horizontal.output {
            at(down * windows.horizontal.output + across, Places::new(windows, down, across));
        }
    }
}

/// The places that a window sees, row by row.
#[derive(Clone)]
struct Places<'a> {
    windows: &'a Windows,
    at: (usize, usize),
    down: std::ops::Range<usize>,
    across: std::ops::Range<usize>,
    next: usize,
}

impl<'a> Places<'a> {
    fn new(windows: &'a Windows, down: usize, across: usize) -> Self {
        let taps = (windows.vertical.taps(down), windows.horizontal.taps(across));
        let next = taps.1.start;
        Places { windows, at: (down, across), down: taps.0, across: taps.1, next }
    }
}

impl Iterator for Places<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.next == self.across.end {
            self.down.next();
            self.next = self.across.start;
        }
        if self.down.is_empty() || self.across.is_empty() {
            return None;
        }
        let Windows { vertical, horizontal, .. } = self.windows;
        let (line, place) =
            (vertical.place(self.at.0, self.down.start), horizontal.place(self.at.1, self.next));
        self.next += 1;
        Some(line * horizontal.input + place)
    }
}
