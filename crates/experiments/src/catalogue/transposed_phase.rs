//! Transposed convolutions: the fan-in depends on a position modulo the stride, if the stride does not divide the kernel.

use serde::{Deserialize, Serialize};
use xexp_init::{Dist, Init, Layer, Mode};
use xexp_report::lab::{Figure, Row, Rule, Statistic};

use super::demand::{demand, fits};
use super::planes::{phase_moments, phase_taps, resolution, whole_periods};
use crate::{About, Draw, Experiment, Result, Setup};

/// Transposed convolutions, each with three ways to count its fan-in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransposedPhase {
    /// `[k, s]` of each transposed convolution.
    pub kernels: Vec<[usize; 2]>,
    /// Channels in.
    pub input: usize,
    /// Channels out.
    pub output: usize,
    /// Side of the square input, in pixels.
    pub side: usize,
    /// Images a draw.
    pub batch: usize,
}

impl Default for TransposedPhase {
    fn default() -> Self {
        let kernels = vec![[3, 2], [4, 2], [5, 2], [5, 3]];
        TransposedPhase { kernels, input: 32, output: 16, side: 8, batch: 2 }
    }
}

/// One transposed convolution.
pub struct Up {
    /// Side of the kernel.
    pub kernel: usize,
    /// Upsampling factor.
    pub stride: usize,
}

impl Up {
    /// The layer with these channels.
    pub fn layer(&self, input: usize, output: usize) -> Layer {
        Layer::TransposedConv {
            input,
            output,
            kernel: vec![self.kernel; 2],
            stride: vec![self.stride; 2],
            groups: 1,
        }
    }

    /// `N(0, 1/fan_in)` with the fan-in of each tap's own phase.
    pub fn phase_aware() -> Init {
        Init::Scaled { gain: 1.0, mode: Mode::PhaseFanIn, dist: Dist::Normal }
    }
}

/// Recorded name of a phase's second moment.
fn phase(part: &str, (a, b): (usize, usize)) -> String {
    format!("{part}-{a}-{b}")
}

impl Experiment for TransposedPhase {
    type Setup = Up;

    const ABOUT: About = About {
        id: "transposed-phase",
        title: "Phases of a transposed convolution",
        question: "Does the variance of an upsampled image depend on the parity of the pixel, and does counting each \
                   parity's own inputs make it even?",
        source: "Document, \"Various network layers\", transposed convolutions; Odena et al. 2016; taps counted by phase",
        method: "One transposed convolution with stride s on N(0, 1) inputs. A draw is a new input and three new weights of \
                 variance 1/fan_in: with the average fan-in c·k²/s²; with the k² taps that the weight's shape shows, as \
                 frameworks count; and with the fan-in of the phase that each tap feeds. Second moments are taken by phase \
                 (coordinates modulo s), over whole periods away from the border. The control takes the full k² for the number \
                 of products that an output sums.",
        cost: "4 s",
    };

    fn full() -> Self {
        let kernels = vec![[2, 2], [3, 2], [4, 2], [5, 2], [5, 3], [7, 3], [7, 4]];
        TransposedPhase { kernels, input: 64, output: 32, side: 14, batch: 4 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let good = |&[kernel, stride]: &[usize; 2]| {
            let wide = self.side.saturating_mul(stride).saturating_add(kernel);
            (2..=kernel).contains(&stride)
                && fits(&[self.input, self.output, kernel, kernel])
                && fits(&[self.batch, self.input.max(self.output), wide, wide])
                && !whole_periods(self.side, kernel, stride).is_empty()
        };
        let expected = "one or more [k, s] with s from 2 to k, and a `side` of more than 1 + (k − 1)/s; sizes that fit memory";
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
        let last = (stride - 1, stride - 1);
        let taps = |a: usize| phase_taps(a, kernel, stride) as f64;
        let (s2, k2) = ((stride * stride) as f64, (kernel * kernel) as f64);
        let ratio = |part: &str| Statistic::RatioOfMeans { of: phase(part, (0, 0)), over: phase(part, last) };
        let mut rows = vec![];

        // Relative variance of a phase of n taps over draws.
        let spread = |n: f64| 2.0 / (n * (self.input * self.output) as f64);
        let resolved = |floor: f64, variance: f64| resolution(floor, variance, &setup.looks);
        let reason = "5 %, or three standard errors of the last look if that is more, at a spread of √(2/(c_in·n·c_out)) a \
                      draw for n taps: the mean over weights is exact at every size";
        let (least, most) = (taps(stride - 1).powi(2), taps(0).powi(2));
        let whole = resolved(0.03, spread(k2));
        let ratios = resolved(0.08, spread(least) + spread(most));
        let of_ratios =
            "8 %, or three standard errors of the last look if that is more: a ratio of two exact means";
        let of_means =
            "3 %, or three standard errors of the last look if that is more: exact over whole periods";
        for a in 0..stride {
            for b in a..stride {
                let (measure, n) = (phase("averaged", (a, b)), taps(a) * taps(b));
                let quantity = "second moment of the phase, with the average fan-in c·k²/s²";
                rows.push(
                    Row::new(name(&measure), quantity, &measure)
                        .about(n * s2 / k2, resolved(0.05, spread(n)), reason)
                        .at("phases", &format!("k = {kernel}, s = {stride}, average fan-in"), n),
                );
            }
        }
        let uneven = "An averaged fan-in leaves a transposed convolution's variance uneven: some positions too large, others \
                      too small.";
        let why = "only if the stride does not divide the kernel: else all phases have equally many taps";
        rows.push(
            Row::new(
                name("averaged-ratio"),
                "largest over smallest phase, with the average fan-in",
                "averaged-0-0",
            )
            .by(ratio("averaged"))
            .about(most / least, ratios, of_ratios)
            .claim(uneven, Rule::AtLeast { value: 1.1 }, why),
        );

        let shape = "With the fan-in that frameworks use, some positions are amplified.";
        let why = "frameworks count all k² taps, of which an output sees one phase's: every phase is shrunk, the mean by s²";
        rows.push(
            Row::new(
                name("full-mean"),
                "second moment over all phases, with the full k² fan-in",
                "full-mean",
            )
            .about(1.0 / s2, whole, of_means),
        );
        rows.push(
            Row::new(
                name("full-largest"),
                "second moment of the largest phase, with the full k² fan-in",
                "full-largest",
            )
            .about(most / k2, resolved(0.05, spread(most)), reason)
            .claim(shape, Rule::AtLeast { value: 1.0 }, why),
        );
        rows.push(
            Row::new(name("control"), "the same mean, if an output summed all k² taps", "full-mean")
                .about(1.0, whole, of_means)
                .control(),
        );

        let cured = "Counting the inputs of each phase makes the variance even.";
        let why = "it holds: each tap feeds one phase, so its variance can be set for that phase alone";
        rows.push(
            Row::new(
                name("aware-mean"),
                "second moment over all phases, with each phase's fan-in",
                "aware-mean",
            )
            .about(1.0, whole, of_means),
        );
        rows.push(
            Row::new(
                name("aware-ratio"),
                "largest over smallest phase, with each phase's fan-in",
                "aware-0-0",
            )
            .by(ratio("aware"))
            .about(1.0, ratios, of_ratios)
            .claim(cured, Rule::about(1.0, ratios), why),
        );
        for (end, n) in [((0, 0), most), (last, least)] {
            let measure = phase("aware", end);
            let quantity = "second moment of the phase, with its own fan-in";
            rows.push(
                Row::new(name(&measure), quantity, &measure)
                    .about(1.0, resolved(0.05, spread(n)), reason)
                    .at("phases", &format!("k = {kernel}, s = {stride}, fan-in by phase"), n),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Up>, draw: &mut Draw<'_>) -> Result<()> {
        let Up { kernel, stride } = setup.of;
        let layer = setup.of.layer(self.input, self.output);
        let x = draw.normal("input", &[self.batch, self.input, self.side, self.side], 1.0)?;
        let range = whole_periods(self.side, kernel, stride);
        let shape = Init::Normal { std: ((self.input * kernel * kernel) as f64).sqrt().recip() };
        for (part, init) in [("averaged", Init::lecun()), ("full", shape), ("aware", Up::phase_aware())] {
            let weight = draw.weight(part, &layer, init)?;
            let phases = phase_moments(&x.conv_transpose2d(&weight, 0, 0, stride, 1)?, &range, stride)?;
            draw.record(&format!("{part}-mean"), phases.iter().sum::<f64>() / phases.len() as f64)?;
            draw.record(&format!("{part}-largest"), phases[0])?;
            for (index, moment) in phases.iter().enumerate() {
                draw.record(&phase(part, (index / stride, index % stride)), *moment)?;
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        let x = "taps that an output of the phase sees";
        vec![Figure::new("phases", "Second moment by phase", x, "second moment")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_by_phase_are_those_of_the_layers_fans() {
        for (kernel, stride) in [(3, 2), (4, 2), (5, 3), (7, 4)] {
            let up = Up { kernel, stride };
            let fans = up.layer(2, 3).phase_fans();
            for (index, fan) in fans.iter().enumerate() {
                let n =
                    phase_taps(index / stride, kernel, stride) * phase_taps(index % stride, kernel, stride);
                assert_eq!(fan.input, (2 * n) as f64);
            }
        }
    }
}
