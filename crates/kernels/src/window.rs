//! Where the windows of convolutions and pools lie.

use std::ops::Range;

/// Windows along one axis: tap `t` of output `o` sees input `o · stride + t · dilation − before`, if there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// Number of inputs.
    pub input: usize,
    /// Number of outputs.
    pub output: usize,
    /// Taps of a window.
    pub kernel: usize,
    /// Inputs from one window to the next.
    pub stride: usize,
    /// Inputs from one tap to the next.
    pub dilation: usize,
    /// Places in front of the first input where windows may begin.
    pub before: usize,
}

impl Axis {
    /// All windows that fit into the input with `padding` places before and after it; `None` when there is none.
    ///
    /// Source: the shape formula of PyTorch's `Conv2d`.
    pub fn padded(
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: (usize, usize),
    ) -> Option<Self> {
        let reach = dilation.checked_mul(kernel.checked_sub(1)?)?;
        let room = (input + padding.0 + padding.1).checked_sub(reach + 1)?;
        let output = room.checked_div(stride)? + 1;
        let fits = input > 0 && dilation > 0;
        fits.then_some(Axis { input, output, kernel, stride, dilation, before: padding.0 })
    }

    /// TensorFlow's padding `SAME`: `⌈input / stride⌉` windows, an odd place of padding at the end.
    ///
    /// Source: TensorFlow, notes on padding of `tf.nn`; dilation as transformers' `apply_tf_padding` has it.
    pub fn same(input: usize, kernel: usize, stride: usize, dilation: usize) -> Option<Self> {
        let over = input.checked_rem(stride)?;
        let padding = kernel.saturating_sub(if over == 0 { stride } else { over });
        let before = padding / 2;
        let around = (before * dilation, (padding - before) * dilation);
        Self::padded(input, kernel, stride, dilation, around)
    }

    /// The axis of the convolution whose transpose makes `(input − 1) · stride + dilation · (kernel − 1) + 1` places of
    /// `input`, less `padding` on both sides, and `more` at the end: an axis whose *output* is that `input`.
    ///
    /// Source: the shape formula of PyTorch's `ConvTranspose2d`.
    pub fn transposed(
        input: usize,
        kernel: usize,
        stride: usize,
        dilation: usize,
        padding: usize,
        more: usize,
    ) -> Option<Self> {
        let whole = input.checked_sub(1)? * stride + dilation * kernel.checked_sub(1)? + 1 + more;
        let places = whole.checked_sub(2 * padding).filter(|places| *places > 0)?;
        let fits = more < stride.max(dilation);
        fits.then_some(Axis { input: places, output: input, kernel, stride, dilation, before: padding })
    }

    /// The taps of an output that see an input.
    #[inline(always)]
    pub(crate) fn taps(&self, output: usize) -> Range<usize> {
        let start = output * self.stride;
        let first = self.before.saturating_sub(start).div_ceil(self.dilation);
        let end = (self.input + self.before).saturating_sub(start).div_ceil(self.dilation);
        first.min(self.kernel)..end.min(self.kernel).max(first.min(self.kernel))
    }

    /// The input that one of [`Axis::taps`] sees.
    #[inline(always)]
    pub(crate) fn place(&self, output: usize, tap: usize) -> usize {
        output * self.stride + tap * self.dilation - self.before
    }

    /// The outputs all of whose taps see an input.
    #[inline(always)]
    pub(crate) fn interior(&self) -> Range<usize> {
        let reach = self.dilation * (self.kernel - 1);
        let first = self.before.div_ceil(self.stride).min(self.output);
        let end = (self.input + self.before).saturating_sub(reach).div_ceil(self.stride).min(self.output);
        first..end.max(first)
    }
}

/// Windows over a batch of images that lie as `(images, height, width, channels)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Number of images.
    pub images: usize,
    /// From top to bottom.
    pub vertical: Axis,
    /// From left to right.
    pub horizontal: Axis,
}

impl Windows {
    /// Places of one image.
    pub fn inputs(&self) -> usize {
        self.vertical.input * self.horizontal.input
    }

    /// Outputs of one image.
    pub fn outputs(&self) -> usize {
        self.vertical.output * self.horizontal.output
    }

    /// Taps of a window that see an input, in the mean over outputs.
    pub fn mean_taps(&self) -> f64 {
        let mean = |axis: &Axis| {
            let seen: usize = (0..axis.output).map(|output| axis.taps(output).len()).sum();
            seen as f64 / axis.output.max(1) as f64
        };
        mean(&self.vertical) * mean(&self.horizontal)
    }

    /// Taps of a window.
    pub fn taps(&self) -> usize {
        self.vertical.kernel * self.horizontal.kernel
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_windows_is_that_of_pytorch() {
        // torch.nn.Conv2d(1, 1, k, s, p, d)(torch.zeros(1, 1, n, n)).shape[-1]
        for ((n, k, s, d, p), outputs) in [
            ((224, 7, 2, 1, 3), 112),
            ((112, 3, 2, 1, 1), 56),
            ((7, 3, 2, 1, 1), 4),
            ((9, 3, 1, 2, 2), 9),
            ((4, 4, 4, 1, 0), 1),
            ((5, 2, 2, 1, 0), 2),
        ] {
            assert_eq!(Axis::padded(n, k, s, d, (p, p)).unwrap().output, outputs);
        }
        assert_eq!(Axis::padded(2, 3, 1, 1, (0, 0)), None);
        assert_eq!(Axis::padded(0, 1, 1, 1, (1, 1)), None);
        assert_eq!(Axis::padded(4, 2, 0, 1, (0, 0)), None);
        // torch.nn.ConvTranspose2d(1, 1, 3, 2, padding=1, output_padding=1)(torch.zeros(1, 1, 5, 5)): 10.
        assert_eq!(Axis::transposed(5, 3, 2, 1, 1, 1).unwrap().input, 10);
        assert_eq!(Axis::transposed(5, 3, 2, 1, 1, 2), None);
    }

    #[test]
    fn same_padding_is_that_of_tensorflow() {
        // ⌈n / s⌉ outputs, (⌈n/s⌉ − 1)·s + k − n places of padding, the smaller half in front.
        for (n, k, s, before) in [(224, 3, 2, 0), (7, 3, 2, 1), (112, 3, 1, 1), (5, 5, 3, 1), (4, 1, 2, 0)] {
            let axis = Axis::same(n, k, s, 1).unwrap();
            assert_eq!((axis.output, axis.before), (n.div_ceil(s), before), "{n}, {k}, {s}");
        }
        assert_eq!(Axis::same(7, 3, 1, 2).unwrap(), Axis::padded(7, 3, 1, 2, (2, 2)).unwrap());
    }

    #[test]
    fn the_taps_of_an_output_are_those_that_see_an_input() {
        for input in 1..9 {
            for (kernel, stride, dilation, before, after) in [
                (3, 1, 1, 1, 1),
                (3, 2, 1, 0, 1),
                (7, 2, 1, 3, 3),
                (3, 1, 2, 2, 2),
                (2, 3, 1, 0, 4),
                (5, 1, 3, 6, 6),
            ] {
                let Some(axis) = Axis::padded(input, kernel, stride, dilation, (before, after)) else {
                    continue;
                };
                for output in 0..axis.output {
                    let sees = |tap: &usize| {
                        let place = (output * stride + tap * dilation) as isize - before as isize;
                        (0..input as isize).contains(&place)
                    };
                    let seeing: Vec<usize> = (0..kernel).filter(sees).collect();
                    assert_eq!(axis.taps(output).collect::<Vec<_>>(), seeing, "{axis:?} {output}");
                    assert_eq!(
                        axis.interior().contains(&output),
                        seeing.len() == kernel,
                        "{axis:?} {output}"
                    );
                }
            }
        }
    }
}
