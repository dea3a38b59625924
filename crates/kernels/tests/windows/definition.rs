//! Definitions in double precision, and slopes of them.

use xexp_kernels::convolution::Shape;
use xexp_kernels::{Axis, Windows};

pub fn wave(n: usize, k: f64) -> Vec<f64> {
    (0..n).map(|i| (i as f64 * k + 0.3).sin()).collect()
}

/// Central differences: with steps of 1e-5, to about 1e-10 of truncation and 1e-10 of rounding.
pub fn slopes(loss: impl Fn(&[f64]) -> f64, at: &[f64]) -> Vec<f64> {
    let mut at = at.to_vec();
    (0..at.len())
        .map(|i| {
            let (value, step) = (at[i], 1e-5);
            at[i] = value + step;
            let up = loss(&at);
            at[i] = value - step;
            let down = loss(&at);
            at[i] = value;
            (up - down) / (2.0 * step)
        })
        .collect()
}

/// A convolution of given sizes.
pub struct Case {
    pub shape: Shape,
    /// Stride, dilation and padding in front along the two axes.
    axes: [(usize, usize, usize); 2],
}

impl Case {
    /// Kernels and strides that families have, and odd ones; padding of one side; groups and none.
    pub fn all() -> Vec<Case> {
        let case = |(h, w): (usize, usize), (k, s, d): (usize, usize, usize), pads, (i, o, g)| {
            let axis = |n| Axis::padded(n, k, s, d, pads).unwrap();
            let windows = Windows { images: 2, vertical: axis(h), horizontal: axis(w) };
            let shape = Shape { windows, input: i, output: o, groups: g };
            Case { shape, axes: [(s, d, pads.0); 2] }
        };
        vec![
            case((3, 4), (1, 1, 1), (0, 0), (3, 2, 1)),
            case((5, 4), (1, 2, 1), (0, 0), (3, 2, 1)),
            case((6, 7), (3, 2, 1), (0, 1), (2, 3, 1)),
            case((4, 4), (2, 2, 1), (0, 0), (2, 2, 1)),
            case((8, 7), (7, 2, 1), (3, 3), (1, 2, 1)),
            case((5, 5), (3, 1, 1), (1, 1), (25, 25, 25)),
            case((6, 5), (3, 2, 1), (0, 1), (9, 9, 9)),
            case((5, 6), (3, 1, 2), (2, 2), (8, 8, 8)),
            case((4, 5), (7, 1, 1), (3, 3), (3, 3, 3)),
            case((5, 4), (5, 1, 1), (2, 2), (2, 2, 2)),
            case((4, 5), (4, 3, 1), (1, 3), (2, 2, 2)),
            case((4, 3), (3, 1, 1), (1, 1), (4, 8, 4)),
        ]
    }

    pub fn values(&self) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let Shape { windows, input, output, groups } = self.shape;
        let w = output * input / groups * windows.taps();
        let y = 2 * windows.outputs() * output;
        (wave(2 * windows.inputs() * input, 0.7), wave(w, 0.37), wave(y, 0.23))
    }

    /// The definition, tap by tap.
    pub fn forward(&self, x: &[f64], w: &[f64]) -> Vec<f64> {
        let Shape { windows: Windows { images, vertical: v, horizontal: h }, input, output, groups } =
            self.shape;
        let each = input / groups;
        let place = |axis: usize, output: usize, tap: usize, size: usize| {
            let (stride, dilation, before) = self.axes[axis];
            (output * stride + tap * dilation).checked_sub(before).filter(|place| *place < size)
        };
        let mut y = vec![];
        for n in 0..images {
            for (i, j) in (0..v.output).flat_map(|i| (0..h.output).map(move |j| (i, j))) {
                for o in 0..output {
                    let mut sum = 0.0;
                    for (a, b) in (0..v.kernel).flat_map(|a| (0..h.kernel).map(move |b| (a, b))) {
                        let seen = place(0, i, a, v.input).zip(place(1, j, b, h.input));
                        let Some((row, column)) = seen else { continue };
                        for c in 0..each {
                            let from = o / (output / groups) * each + c;
                            let x = x[((n * v.input + row) * h.input + column) * input + from];
                            sum += x * w[((o * each + c) * v.kernel + a) * h.kernel + b];
                        }
                    }
                    y.push(sum);
                }
            }
        }
        y
    }
}

/// The mean of the places that a window of 2 × 2 with one place of padding sees, on one image of 2 × 2 with one channel:
/// nine windows, of which the corners see one place, the edges two, and the middle four.
pub fn mean_case(
    forward: impl Fn(&[f32], &mut [f32], &Windows),
    backward: impl Fn(&[f32], &mut [f32], &Windows),
) {
    let axis = Axis::padded(2, 2, 1, 1, (1, 1)).unwrap();
    let windows = Windows { images: 1, vertical: axis, horizontal: axis };
    let (x, mut y, mut dx) = ([1.0, 2.0, 4.0, 8.0], [0.0; 9], [0.0; 4]);
    forward(&x, &mut y, &windows);
    assert_eq!(y, [1.0, 1.5, 2.0, 2.5, 3.75, 5.0, 4.0, 6.0, 8.0]);
    backward(&[1.0; 9], &mut dx, &windows);
    assert_eq!(dx, [2.25; 4]);
}
