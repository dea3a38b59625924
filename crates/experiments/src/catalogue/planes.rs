//! What the experiments with images share: borders, phases, circles.

use std::ops::Range;

use candle_core::Tensor;
use xexp_report::lab::Looks;

use crate::Result;
use crate::moments::values;

/// Relative tolerance of a mean that is exact at every size: what the draws resolve, which is `floor`, or three standard
/// errors of the last look if that is more, for draws of the given relative variance.
pub fn resolution(floor: f64, variance: f64, looks: &Looks) -> f64 {
    let draws = looks.counts().last().copied().unwrap_or(1) as f64;
    (3.0 * (variance / draws).sqrt()).max(floor)
}

/// Where each position of one axis meets all the taps of its phase, in whole periods of the stride: part of the axis of
/// `(side − 1)·stride + kernel` positions that `side` positions spread to, or are read from. Begins at a multiple of the
/// stride, so that a position's phase is its index from there.
///
/// Empty where the kernel is too wide for the side.
pub fn whole_periods(side: usize, kernel: usize, stride: usize) -> Range<usize> {
    let start = kernel.saturating_sub(1).div_ceil(stride.max(1)).saturating_mul(stride);
    let end = side.saturating_sub(1).saturating_mul(stride);
    start..end.max(start)
}

/// Second moment of every phase, in row-major order of the phases, of a tensor `(batch, channels, side, side)` over the
/// positions `range` of both axes.
///
/// # Errors
/// A device that cannot be read.
pub fn phase_moments(x: &Tensor, range: &Range<usize>, stride: usize) -> Result<Vec<f64>> {
    let side = x.dim(3)?;
    let values = values(x)?;
    let mut sums = vec![0.0; stride * stride];
    for plane in values.chunks_exact(side * side) {
        for (row, line) in plane.chunks_exact(side).enumerate().take(range.end).skip(range.start) {
            let first = row % stride * stride;
            for (column, value) in line.iter().enumerate().take(range.end).skip(range.start) {
                sums[first + column % stride] += value * value;
            }
        }
    }
    let planes = values.len() / (side * side);
    let periods = range.len() / stride;
    let count = (planes * periods * periods) as f64;
    Ok(sums.iter().map(|sum| sum / count).collect())
}

/// The square planes of `x` continued periodically by `margin` pixels on all sides.
///
/// # Errors
/// A margin wider than the plane.
pub fn wrapped(x: &Tensor, margin: usize) -> Result<Tensor> {
    let mut x = x.clone();
    if margin == 0 {
        return Ok(x);
    }
    for axis in [2, 3] {
        let side = x.dim(axis)?;
        let before = x.narrow(axis, side - margin, margin)?;
        let behind = x.narrow(axis, 0, margin)?;
        x = Tensor::cat(&[&before, &x, &behind], axis)?;
    }
    Ok(x.contiguous()?)
}

/// How many of `kernel` taps are congruent to `phase` modulo the stride.
pub fn phase_taps(phase: usize, kernel: usize, stride: usize) -> usize {
    if phase < kernel { (kernel - 1 - phase) / stride + 1 } else { 0 }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use xexp_init::Seed;

    use super::*;

    fn drawn(name: &str, shape: &[usize]) -> Tensor {
        let mut stream = Seed(3).stream(name);
        let values: Vec<f32> = (0..shape.iter().product()).map(|_| stream.normal() as f32).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    fn dot(a: &Tensor, b: &Tensor) -> f64 {
        assert_eq!(a.dims(), b.dims());
        values(a).unwrap().iter().zip(values(b).unwrap()).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn the_transposed_convolution_is_the_adjoint_of_the_strided_one() {
        // ⟨dy, W x⟩ = ⟨Wᵀ dy, x⟩: what every backward measurement of these experiments rests on, odd sizes included.
        for (kernel, stride, side) in [(3, 1, 4), (3, 2, 5), (4, 2, 4), (5, 3, 4), (1, 2, 5)] {
            let wide = (side - 1) * stride + kernel;
            let w = drawn("w", &[4, 3, kernel, kernel]);
            let (x, dy) = (drawn("x", &[2, 3, wide, wide]), drawn("dy", &[2, 4, side, side]));
            let forward = dot(&dy, &x.conv2d(&w, 0, stride, 1, 1).unwrap());
            let backward = dot(&dy.conv_transpose2d(&w, 0, 0, stride, 1).unwrap(), &x);
            assert!((forward - backward).abs() < 1e-3, "{forward} against {backward}");
        }
    }

    #[test]
    fn whole_periods_meet_all_taps() {
        for (side, kernel, stride) in [(6, 3, 2), (6, 4, 2), (7, 5, 3), (5, 1, 2), (8, 5, 1)] {
            let range = whole_periods(side, kernel, stride);
            assert!(
                !range.is_empty() && range.len().is_multiple_of(stride) && range.start.is_multiple_of(stride)
            );
            for position in range {
                let met = (0..side).filter(|o| (o * stride..o * stride + kernel).contains(&position)).count();
                assert_eq!(met, phase_taps(position % stride, kernel, stride));
            }
        }
        assert!(whole_periods(2, 9, 2).is_empty() && whole_periods(0, 0, 0).is_empty());
        assert!(whole_periods(usize::MAX, 3, usize::MAX).end > 0);
    }

    #[test]
    fn a_wrapped_plane_continues_periodically() {
        let x = drawn("x", &[1, 2, 5, 5]);
        let wide = values(&wrapped(&x, 2).unwrap()).unwrap();
        let narrow = values(&x).unwrap();
        for (channel, row, column) in [(0, 0, 0), (1, 8, 3), (1, 4, 8), (0, 1, 7)] {
            let from = channel * 25 + (row + 3) % 5 * 5 + (column + 3) % 5;
            assert_eq!(wide[channel * 81 + row * 9 + column], narrow[from]);
        }
    }
}
