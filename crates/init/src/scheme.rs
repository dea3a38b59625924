//! Initializers: the standard deviation of a weight, and its values.

use crate::distribution::{Dist, collect};
use crate::error::{Error, Result, demand};
use crate::orthogonal::{Blocks, orthogonal};
use crate::{Activation, Layer, Stream};

/// The fan that a scaled initializer divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Products that an output sums: keeps second moments in the forward pass.
    FanIn,
    /// Products that an input feeds: keeps second moments in the backward pass.
    FanOut,
    /// The mean of the two: Xavier's compromise.
    FanAverage,
    /// For each tap of a transposed convolution, the fan-in of the one phase of outputs that the tap feeds, so that all
    /// phases come out with the same second moment; [`Mode::FanIn`] for every other layer.
    ///
    /// Equal second moments are not yet an output without a pattern: a constant input still comes out as a
    /// checkerboard of energy `1 − 1/s²` for stride `s` in two dimensions, since phases have independent weights.
    PhaseFanIn,
}

/// How a weight gets its initial values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// One value everywhere.
    Constant(f64),
    /// Normal of zero mean.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Uniform of zero mean.
    Uniform {
        /// Largest magnitude.
        bound: f64,
    },
    /// Normal of zero mean, cut off on both sides.
    TruncatedNormal {
        /// Standard deviation of the values, after the cut. (PyTorch's `trunc_normal_` and `variance_scaling` without
        /// its correction take it before the cut, and give 0.88 of it at a cut of 2.)
        std: f64,
        /// Place of the cut, in standard deviations before the cut.
        cut: f64,
    },
    /// Random orthogonal matrix, one for each group of a convolution and each gate of a recurrent layer; convolution
    /// kernels are flattened to `(rows, channels · taps)`.
    Orthogonal {
        /// Factor on the orthogonal matrix: all singular values.
        gain: f64,
    },
    /// Standard deviation `gain / √fan`.
    Scaled {
        /// Square root of the second moment that one layer multiplies by.
        gain: f64,
        /// Fan to divide by.
        mode: Mode,
        /// Distribution of the values.
        dist: Dist,
    },
}

impl Init {
    /// `Var(w) = 2 / (fan_in + fan_out)`, normal. Source: Glorot & Bengio 2010, eq. 12.
    pub fn xavier_normal() -> Self {
        Self::Scaled { gain: 1.0, mode: Mode::FanAverage, dist: Dist::Normal }
    }

    /// `Var(w) = 2 / (fan_in + fan_out)`, uniform on `±√(6 / (fan_in + fan_out))`.
    /// Source: Glorot & Bengio 2010, eq. 16.
    pub fn xavier_uniform() -> Self {
        Self::Scaled { gain: 1.0, mode: Mode::FanAverage, dist: Dist::Uniform }
    }

    /// `Var(w) = gain² / fan_in`, normal, with the activation's exact gain ([`Activation::gain`]).
    /// Source: He et al. 2015, eq. 10.
    pub fn he(activation: Activation) -> Self {
        Self::Scaled { gain: activation.gain(), mode: Mode::FanIn, dist: Dist::Normal }
    }

    /// `Var(w) = 1 / fan_in`, normal. Source: LeCun et al. 1998, "Efficient BackProp", eq. 16.
    pub fn lecun() -> Self {
        Self::Scaled { gain: 1.0, mode: Mode::FanIn, dist: Dist::Normal }
    }

    /// The same initializer with every value `factor` times as large.
    pub fn times(self, factor: f64) -> Self {
        match self {
            Self::Constant(value) => Self::Constant(value * factor),
            Self::Normal { std } => Self::Normal { std: std * factor },
            Self::Uniform { bound } => Self::Uniform { bound: bound * factor },
            Self::TruncatedNormal { std, cut } => Self::TruncatedNormal { std: std * factor, cut },
            Self::Orthogonal { gain } => Self::Orthogonal { gain: gain * factor },
            Self::Scaled { gain, mode, dist } => Self::Scaled { gain: gain * factor, mode, dist },
        }
    }

    /// Name of the kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Normal { .. } => "normal",
            Self::Uniform { .. } => "uniform",
            Self::TruncatedNormal { .. } => "truncated normal",
            Self::Orthogonal { .. } => "orthogonal",
            Self::Scaled { .. } => "scaled",
        }
    }

    /// Standard deviation of the values that [`Init::fill`] gives this layer, predicted; over all weights where taps
    /// differ ([`Mode::PhaseFanIn`]), 0 for a constant.
    ///
    /// # Errors
    /// The layer is refused by [`Layer::check`], it has no fan and the initializer needs one, or a parameter is
    /// negative or not finite.
    pub fn std(&self, layer: &Layer) -> Result<f64> {
        layer.check()?;
        match self {
            Self::Constant(value) => {
                demand("constant", *value, value.is_finite(), "a finite number")?;
                Ok(0.0)
            }
            Self::Normal { std } => scale("std", *std),
            Self::Uniform { bound } => Ok(scale("bound", *bound)? / Dist::Uniform.bound()?),
            Self::TruncatedNormal { std, cut } => {
                Dist::TruncatedNormal { cut: *cut }.bound()?;
                scale("std", *std)
            }
            Self::Orthogonal { gain } => Ok(scale("gain", *gain)? * self.blocks(layer)?.rms()),
            Self::Scaled { dist, .. } => {
                dist.bound()?;
                let stds = self.tap_stds(layer)?;
                Ok((stds.iter().map(|std| std * std).sum::<f64>() / stds.len() as f64).sqrt())
            }
        }
    }

    /// Initial values of the layer's weight, row-major in [`Layer::shape`].
    ///
    /// # Errors
    /// As for [`Init::std`]; also if a value lies outside the range of f32, or memory does not suffice.
    pub fn fill(&self, layer: &Layer, stream: &mut Stream) -> Result<Vec<f32>> {
        let std = self.std(layer)?;
        let count = layer.count()?;
        match self {
            Self::Constant(value) => collect(count, |_| *value),
            Self::Normal { .. } => Dist::Normal.fill(count, |_| std, stream),
            Self::Uniform { .. } => Dist::Uniform.fill(count, |_| std, stream),
            Self::TruncatedNormal { cut, .. } => {
                Dist::TruncatedNormal { cut: *cut }.fill(count, |_| std, stream)
            }
            Self::Orthogonal { gain } => {
                let blocks = self.blocks(layer)?;
                let mut values = Vec::new();
                for _ in 0..blocks.count {
                    let q = orthogonal(blocks.rows, blocks.columns, stream)?;
                    values.extend(collect(blocks.size(), |i| gain * q[i])?);
                }
                Ok(values)
            }
            Self::Scaled { dist, .. } => {
                // The kernel's axes come last in the weight, so that a weight's tap is its index modulo the taps.
                let stds = self.tap_stds(layer)?;
                dist.fill(count, |i| stds[i % stds.len()], stream)
            }
        }
    }

    /// Standard deviation by tap for a scaled initializer; one entry where all taps are alike.
    fn tap_stds(&self, layer: &Layer) -> Result<Vec<f64>> {
        let Self::Scaled { gain, mode, .. } = self else {
            return Err(self.no_fan(layer));
        };
        let gain = scale("gain", *gain)?;
        let fan = layer.fan().ok_or_else(|| self.no_fan(layer))?;
        let fans = match mode {
            Mode::FanIn => vec![fan.input],
            Mode::FanOut => vec![fan.output],
            Mode::FanAverage => vec![fan.average()],
            Mode::PhaseFanIn => layer.tap_fan_inputs(),
        };
        Ok(fans.iter().map(|fan| gain / fan.sqrt()).collect())
    }

    fn blocks(&self, layer: &Layer) -> Result<Blocks> {
        layer.count()?;
        Blocks::of(layer).ok_or_else(|| self.no_fan(layer))
    }

    fn no_fan(&self, layer: &Layer) -> Error {
        Error::NoFan { init: self.kind(), kind: layer.kind() }
    }
}

fn scale(name: &'static str, value: f64) -> Result<f64> {
    demand(name, value, value >= 0.0 && value.is_finite(), "a finite number, zero or more")?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    fn mean_square(values: impl Iterator<Item = f64>) -> f64 {
        let (count, sum) = values.fold((0usize, 0.0), |(count, sum), x| (count + 1, sum + x * x));
        sum / count as f64
    }

    fn up(kernel: usize, stride: usize, input: usize, output: usize) -> Layer {
        Layer::TransposedConv { input, output, kernel: vec![kernel; 2], stride: vec![stride; 2], groups: 1 }
    }

    #[test]
    fn predicted_stds_are_the_published_formulas() {
        let layer = Layer::Linear { input: 768, output: 10 };
        let near = |init: Init, expected: f64| {
            let found = init.std(&layer).unwrap();
            assert!((found - expected).abs() < 1e-12, "{init:?}: {found} against {expected}");
        };
        near(Init::xavier_normal(), (2.0_f64 / 778.0).sqrt());
        near(Init::xavier_uniform(), (2.0_f64 / 778.0).sqrt());
        near(Init::he(Activation::Relu), (2.0_f64 / 768.0).sqrt());
        near(Init::lecun(), (1.0_f64 / 768.0).sqrt());
        near(Init::Normal { std: 0.02 }, 0.02);
        near(Init::Uniform { bound: 0.3 }, 0.3 / 3.0_f64.sqrt());
        near(Init::TruncatedNormal { std: 0.02, cut: 2.0 }, 0.02);
        near(Init::Orthogonal { gain: 1.0 }, (1.0_f64 / 768.0).sqrt());
        near(Init::Constant(3.0), 0.0);
        near(Init::Scaled { gain: 2.0, mode: Mode::FanOut, dist: Dist::Normal }, 2.0 / 10.0_f64.sqrt());
        near(Init::lecun().times(3.0), 3.0 * (1.0_f64 / 768.0).sqrt());
    }

    #[test]
    fn filled_weights_have_the_predicted_std() {
        let layers = [
            Layer::Linear { input: 300, output: 200 },
            Layer::Conv { input: 64, output: 128, kernel: vec![3, 3], stride: vec![2, 2], groups: 4 },
            up(3, 2, 48, 64),
            Layer::Embedding { count: 500, width: 100 },
            Layer::Recurrent { input: 90, hidden: 80, gates: 4 },
        ];
        let truncated = Dist::TruncatedNormal { cut: 2.0 };
        for layer in &layers {
            for init in [
                Init::Normal { std: 0.02 },
                Init::TruncatedNormal { std: 0.02, cut: 1.5 },
                Init::xavier_normal(),
                Init::xavier_uniform(),
                Init::he(Activation::Gelu),
                Init::lecun(),
                Init::Scaled { gain: 1.0, mode: Mode::FanIn, dist: truncated },
            ] {
                let values = init.fill(layer, &mut Seed(41).stream("fill")).unwrap();
                assert_eq!(values.len(), layer.shape().iter().product::<usize>());
                let ratio =
                    mean_square(values.iter().map(|w| f64::from(*w))) / init.std(layer).unwrap().powi(2);
                // Five standard errors of a mean square of n draws: √(2/n), less for lighter tails.
                let tolerance = 5.0 * (2.0 / values.len() as f64).sqrt();
                assert!((ratio - 1.0).abs() < tolerance, "{init:?} on {layer:?}: {ratio}");
            }
        }
    }

    #[test]
    fn xavier_uniform_stays_within_the_published_bound() {
        let layer = Layer::Linear { input: 30, output: 70 };
        let bound = (6.0_f64 / 100.0).sqrt() as f32;
        let values = Init::xavier_uniform().fill(&layer, &mut Seed(42).stream("bound")).unwrap();
        let largest = values.iter().fold(0.0_f32, |largest, w| largest.max(w.abs()));
        // 2 100 draws leave the outermost percent empty with probability e⁻²¹.
        assert!(largest <= bound && largest > 0.99 * bound);
    }

    #[test]
    fn orthogonal_weights_are_orthogonal_within_each_group_and_gate() {
        let gain = 1.7;
        for (layer, blocks, rows) in [
            (Layer::Linear { input: 40, output: 12 }, 1, 12),
            (Layer::Conv { input: 8, output: 8, kernel: vec![3, 3], stride: vec![1, 1], groups: 8 }, 8, 1),
            (Layer::Conv { input: 8, output: 12, kernel: vec![3], stride: vec![1], groups: 2 }, 2, 6),
            (Layer::Recurrent { input: 16, hidden: 16, gates: 3 }, 3, 16),
        ] {
            let init = Init::Orthogonal { gain };
            let values = init.fill(&layer, &mut Seed(43).stream("orthogonal")).unwrap();
            let columns = values.len() / (blocks * rows);
            for block in values.chunks_exact(rows * columns) {
                for a in 0..rows {
                    for b in 0..rows {
                        let row =
                            |r: usize| block[r * columns..(r + 1) * columns].iter().map(|w| f64::from(*w));
                        let product: f64 = row(a).zip(row(b)).map(|(x, y)| x * y).sum();
                        let expected = if a == b { gain * gain } else { 0.0 };
                        // Entries rounded to f32: each product is off by 2⁻²³ of itself at most, and Σ|xy| ≤ gain².
                        assert!((product - expected).abs() < 2.0_f64.powi(-22) * gain * gain, "{layer:?}");
                    }
                }
            }
            // Orthonormal vectors fix the mean square exactly.
            let found = mean_square(values.iter().map(|w| f64::from(*w))).sqrt();
            assert!((found / init.std(&layer).unwrap() - 1.0).abs() < 1e-6, "{layer:?}");
        }
    }

    /// Mean square of the outputs in each phase of a transposed convolution, for independent unit inputs, over
    /// weights alone: `Σ_taps Σ_channels w²` of the taps that the phase sees, averaged over output channels.
    fn phase_second_moments(layer: &Layer, values: &[f32]) -> Vec<f64> {
        let Layer::TransposedConv { output, kernel, stride, .. } = layer else { unreachable!() };
        let (k, s) = (kernel[0], stride[0]);
        let mut phases = vec![0.0; s * s];
        for (index, w) in values.iter().enumerate() {
            let (i, j) = (index / k % k, index % k);
            phases[i % s * s + j % s] += f64::from(*w).powi(2) / *output as f64;
        }
        phases
    }

    #[test]
    fn phase_aware_weights_give_every_phase_the_same_second_moment() {
        for (kernel, stride) in [(3, 2), (4, 2), (5, 2), (5, 3)] {
            let layer = up(kernel, stride, 64, 64);
            let init = Init::Scaled { gain: 1.0, mode: Mode::PhaseFanIn, dist: Dist::Normal };
            let values = init.fill(&layer, &mut Seed(44).stream("phase")).unwrap();
            for moment in phase_second_moments(&layer, &values) {
                // The rarest phase has one tap: 64·64 squares, of relative standard error √(2/4096) = 2.2 %.
                assert!(
                    (moment - 1.0).abs() < 5.0 * (2.0_f64 / 4096.0).sqrt(),
                    "k{kernel} s{stride}: {moment}"
                );
            }
            let found = mean_square(values.iter().map(|w| f64::from(*w)));
            let tolerance = 5.0 * (2.0 * kernel as f64 * kernel as f64 / values.len() as f64).sqrt();
            assert!((found / init.std(&layer).unwrap().powi(2) - 1.0).abs() < tolerance);
            // One tap's variance times its phase's taps is 1/channels, so that the mean over k² taps of s² phases is
            // the averaged fan's.
            let averaged = Init::lecun().std(&layer).unwrap();
            assert!((init.std(&layer).unwrap() - averaged).abs() < 1e-12);
        }
    }

    #[test]
    fn the_averaged_fan_leaves_phases_apart_where_the_stride_does_not_divide_the_kernel() {
        // Gains n_a n_b s²/k² of the phases, row-major; k 4, s 2 is even already.
        let cases: [(usize, usize, &[f64]); 3] = [
            (3, 2, &[16.0 / 9.0, 8.0 / 9.0, 8.0 / 9.0, 4.0 / 9.0]),
            (5, 3, &[1.44, 1.44, 0.72, 1.44, 1.44, 0.72, 0.72, 0.72, 0.36]),
            (4, 2, &[1.0; 4]),
        ];
        for (kernel, stride, expected) in cases {
            let layer = up(kernel, stride, 64, 64);
            let values = Init::lecun().fill(&layer, &mut Seed(45).stream("averaged")).unwrap();
            for (moment, gain) in phase_second_moments(&layer, &values).iter().zip(expected) {
                assert!(
                    (moment / gain - 1.0).abs() < 5.0 * (2.0_f64 / 4096.0).sqrt(),
                    "k{kernel}: {moment} {gain}"
                );
            }
        }
    }

    #[test]
    fn he_keeps_the_second_moment_through_relu_and_xavier_loses_half_of_it() {
        // Mean over draws of |ReLU(W x)|²/n for |x|² = n, one square layer.
        let n = 64;
        let layer = Layer::Linear { input: n, output: n };
        let after = |init: Init, draws: u32| {
            let mut stream = Seed(46).stream("relu");
            let mut total = 0.0;
            for _ in 0..draws {
                let w = init.fill(&layer, &mut stream).unwrap();
                // x = (1, …, 1): any vector of this length does, the rows being isotropic.
                for row in w.chunks_exact(n) {
                    total += row.iter().map(|w| f64::from(*w)).sum::<f64>().max(0.0).powi(2);
                }
            }
            total / (f64::from(draws) * n as f64)
        };
        // ReLU(z)² has mean ½ and variance 3/2 − 1/4 = 5/4, relatively 5: standard error √(5/(400·64)) = 1.4 %.
        assert!((after(Init::he(Activation::Relu), 400) - 1.0).abs() < 0.07);
        assert!((after(Init::xavier_normal(), 400) - 0.5).abs() < 0.035);
    }

    #[test]
    fn parameters_without_meaning_are_refused() {
        let layer = Layer::Linear { input: 4, output: 3 };
        let vector = Layer::Vector { len: 4 };
        let mut stream = Seed(0).stream("bad");
        for init in [
            Init::Normal { std: -1.0 },
            Init::Normal { std: f64::NAN },
            Init::Uniform { bound: -1.0 },
            Init::Constant(f64::INFINITY),
            Init::TruncatedNormal { std: 1.0, cut: 0.0 },
            Init::Orthogonal { gain: f64::NAN },
            Init::Scaled { gain: f64::INFINITY, mode: Mode::FanIn, dist: Dist::Normal },
            Init::Scaled { gain: 1.0, mode: Mode::FanIn, dist: Dist::TruncatedNormal { cut: -2.0 } },
        ] {
            assert!(matches!(init.fill(&layer, &mut stream), Err(Error::Argument { .. })), "{init:?}");
        }
        for init in [Init::xavier_normal(), Init::Orthogonal { gain: 1.0 }] {
            assert_eq!(init.std(&vector), Err(Error::NoFan { init: init.kind(), kind: "vector" }));
        }
        assert_eq!(Init::Constant(1.0).fill(&vector, &mut stream), Ok(vec![1.0; 4]));
        assert!(matches!(
            Init::Normal { std: 1e39 }.fill(&layer, &mut stream),
            Err(Error::OutOfRange { .. })
        ));
        let endless = Layer::Linear { input: usize::MAX, output: 2 };
        assert!(matches!(Init::lecun().fill(&endless, &mut stream), Err(Error::TooLarge { .. })));
        assert!(matches!(Init::Orthogonal { gain: 1.0 }.std(&endless), Err(Error::TooLarge { .. })));
    }
}
