//! Equal variances are no cure for checkerboards: a constant image comes out as a pattern all the same.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Row, Rule, Statistic};

use super::demand::{demand, fits};
use super::planes::{resolution, whole_periods};
use super::transposed_phase::Up;
use crate::moments::values;
use crate::{About, Draw, Experiment, Result, Setup};

/// Transposed convolutions of a constant image.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckerboardEnergy {
    /// `[k, s]` of each transposed convolution.
    pub kernels: Vec<[usize; 2]>,
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
    /// Constant images a draw.
    pub batch: usize,
}

impl Default for CheckerboardEnergy {
    fn default() -> Self {
        let kernels = vec![[3, 2], [4, 2], [5, 2], [5, 3], [3, 3]];
        CheckerboardEnergy { kernels, input: 32, output: 16, batch: 8 }
    }
}

/// What one draw of weights makes of constant images: sums over channels and images.
struct Pattern {
    /// Variance over the phases.
    between: f64,
    /// Second moment.
    total: f64,
    /// Second moment of the phases at the two ends.
    first: f64,
    last: f64,
}

impl CheckerboardEnergy {
    /// Weights in which all phases share one kernel of `k/s` taps: every tap of a block of `s × s` is the same.
    ///
    /// Source: Aitken et al. 2017 (ICNR), there for `k = s` behind sub-pixel convolution.
    fn shared(&self, up: &Up, draw: &Draw<'_>) -> Result<Tensor> {
        let Up { kernel, stride } = *up;
        let taps = kernel / stride;
        let (input, output) = (self.input, self.output);
        let sub =
            Layer::TransposedConv { input, output, kernel: vec![taps; 2], stride: vec![1; 2], groups: 1 };
        let sub = draw.weight("shared", &sub, Init::lecun())?;
        let sub = sub.reshape((input * output, taps, 1, taps, 1))?;
        let sub = sub.broadcast_as((input * output, taps, stride, taps, stride))?;
        Ok(sub.contiguous()?.reshape((input, output, kernel, kernel))?)
    }

    fn pattern(&self, up: &Up, x: &Tensor, weight: &Tensor) -> Result<Pattern> {
        let Up { kernel, stride } = *up;
        let y = x.conv_transpose2d(weight, 0, 0, stride, 1)?;
        let (side, start) = (y.dim(3)?, whole_periods(x.dim(3)?, kernel, stride).start);
        let phases = stride * stride;
        let mut pattern = Pattern { between: 0.0, total: 0.0, first: 0.0, last: 0.0 };
        for plane in values(&y)?.chunks_exact(side * side) {
            // Away from the border the output repeats with the stride: one period says all.
            let value = |phase: usize| plane[(start + phase / stride) * side + start + phase % stride];
            let mean = (0..phases).map(value).sum::<f64>() / phases as f64;
            pattern.between += (0..phases).map(|p| (value(p) - mean).powi(2)).sum::<f64>() / phases as f64;
            pattern.total += (0..phases).map(|p| value(p).powi(2)).sum::<f64>() / phases as f64;
            pattern.first += value(0).powi(2);
            pattern.last += value(phases - 1).powi(2);
        }
        Ok(pattern)
    }
}

impl Experiment for CheckerboardEnergy {
    type Setup = Up;

    const ABOUT: About = About {
        id: "checkerboard-energy",
        title: "Checkerboards at equal variance",
        question: "If every pixel of an upsampled image has the same variance, is the checkerboard gone?",
        source: "Document, \"Various network layers\", transposed convolutions (\"mitigates at the root\"); Odena et al. 2016; \
                 Aitken et al. 2017",
        method: "One transposed convolution with stride s on images that are constant over space, each channel N(0, 1): a \
                 perfect upsampling would be constant too. A draw is a new image and new weights: with the fan-in of each \
                 phase, so that all phases have the same variance; with the average fan-in; and, where the stride divides the \
                 kernel, with one kernel shared by all phases (ICNR). It measures the share of the output's energy that lies \
                 between the phases. The control says that equal variances leave no pattern.",
        cost: "2 s",
    };

    fn full() -> Self {
        let kernels = vec![[2, 2], [3, 2], [4, 2], [5, 2], [6, 2], [3, 3], [5, 3], [6, 3], [4, 4], [7, 4]];
        CheckerboardEnergy { kernels, input: 64, output: 32, batch: 16 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let good = |&[kernel, stride]: &[usize; 2]| {
            let wide = kernel.saturating_mul(4);
            (2..=kernel).contains(&stride)
                && fits(&[self.input, self.output, kernel, kernel])
                && fits(&[self.batch, self.input.max(self.output), wide, wide])
        };
        let expected =
            "one or more [k, s] with s from 2 to k, and channels and `batch` above 0 that fit memory";
        demand(
            id,
            "kernels",
            &self.kernels,
            !self.kernels.is_empty() && self.kernels.iter().all(good),
            expected,
        )
    }

    fn setups(&self) -> Result<Vec<Setup<Up>>> {
        let setup = |&[kernel, stride]: &[usize; 2]| {
            Setup::new(format!("k{kernel}-s{stride}"), Up { kernel, stride })
        };
        Ok(self.kernels.iter().map(setup).collect())
    }

    fn predict(&self, setup: &Setup<Up>) -> Result<Vec<Row>> {
        let Up { kernel, stride } = setup.of;
        let name = |part: &str| format!("{}/{part}", setup.name);
        let energy = 1.0 - 1.0 / (stride * stride) as f64;
        let share = |part: &str| Statistic::RatioOfMeans {
            of: format!("{part}-between"),
            over: format!("{part}-total"),
        };
        // Relative variance of one phase's energy, a sum over c_out channels; the more of it lies between phases, the
        // less it varies.
        let spread = 2.0 / self.output as f64;
        let tolerance = resolution(0.04, spread * (1.0 - energy), &setup.looks);
        let reason = "4 %, or three standard errors of the last look if that is more: the ratio of the two means over weights is exact, since phases see disjoint taps and are \
                      independent: of s² independent values, 1/s² of the energy lies in their mean";
        let claim = "Counting the inputs of each phase removes the checkerboard at the root.";
        let why = "phases have weights of their own, so that a constant image comes out as s² independent values whatever \
                   their variances; the energy is the same as without the count";
        let mut rows = vec![
            Row::new(name("aware"), "energy between phases, with each phase's fan-in", "aware-between")
                .by(share("aware"))
                .about(energy, tolerance, reason)
                .claim(claim, Rule::AtMost { value: 0.5 }, why)
                .at("energy", "each phase's fan-in", stride as f64),
            Row::new(name("averaged"), "energy between phases, with the average fan-in", "averaged-between")
                .by(share("averaged"))
                .about(energy, tolerance, reason)
                .at("energy", "average fan-in", stride as f64),
            Row::new(
                name("aware-variances"),
                "first over last phase's second moment, in the same outputs",
                "aware-first",
            )
            .by(Statistic::RatioOfMeans { of: "aware-first".into(), over: "aware-last".into() })
            .about(
                1.0,
                resolution(0.1, 2.0 * spread, &setup.looks),
                "10 %, or three standard errors of the last look if that is more: a ratio of two exact means",
            ),
            Row::new(name("control"), "energy, if equal variances left no pattern", "aware-between")
                .by(share("aware"))
                .near(0.0, 0.04, "as above")
                .control(),
        ];
        if kernel.is_multiple_of(stride) {
            rows.push(
                Row::new(name("shared"), "energy between phases, with one kernel for all", "shared-between")
                    .by(share("shared"))
                    .near(0.0, 1e-9, "0 but for rounding in f32, whose square is 1e-14")
                    .at("energy", "one kernel for all phases", stride as f64),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Up>, draw: &mut Draw<'_>) -> Result<()> {
        let Up { kernel, stride } = setup.of;
        let layer = setup.of.layer(self.input, self.output);
        // The smallest image with one whole period away from the border.
        let side = (kernel - 1).div_ceil(stride) + 2;
        let x = draw.normal("input", &[self.batch, self.input, 1, 1], 1.0)?;
        let x = x.broadcast_as((self.batch, self.input, side, side))?.contiguous()?;
        let mut weights = vec![
            ("aware", draw.weight("aware", &layer, Up::phase_aware())?),
            ("averaged", draw.weight("averaged", &layer, Init::lecun())?),
        ];
        if kernel.is_multiple_of(stride) {
            weights.push(("shared", self.shared(&setup.of, draw)?));
        }
        for (part, weight) in weights {
            let Pattern { between, total, first, last } = self.pattern(&setup.of, &x, &weight)?;
            draw.record(&format!("{part}-between"), between)?;
            draw.record(&format!("{part}-total"), total)?;
            draw.record(&format!("{part}-first"), first)?;
            draw.record(&format!("{part}-last"), last)?;
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new(
            "energy",
            "A constant image, upsampled",
            "stride",
            "share of the energy between phases",
        )]
    }
}
