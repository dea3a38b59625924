//! Depthwise convolutions: fans without the channels, and the four ways to count them.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use xexp_init::{Fan, Init, Layer};
use xexp_report::lab::{Figure, Looks, Row, Rule, Statistic};

use super::demand::{demand, fits};
use super::planes::{phase_moments, resolution, whole_periods};
use crate::moments::second_moment;
use crate::{About, Draw, Error, Experiment, Result, Setup};

/// Second moment of a gain up to which its median is predicted by a log-normal.
const MOST_SKEWED: f64 = 10.0;

/// Depthwise convolutions: single layers, a layer with a multiplier, a stack.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepthwiseFan {
    /// Channels of the single layers and of the stack.
    pub channels: usize,
    /// Side of the kernel, odd.
    pub kernel: usize,
    /// `[channels, m]` of the layers with `m` outputs a channel.
    pub multipliers: Vec<[usize; 2]>,
    /// After how many layers the stack is measured, rising.
    pub depths: Vec<usize>,
    /// Side of the square image, in pixels; in the stack it wraps around.
    pub side: usize,
    /// Images a draw.
    pub batch: usize,
}

impl Default for DepthwiseFan {
    fn default() -> Self {
        DepthwiseFan {
            channels: 64,
            kernel: 3,
            multipliers: vec![[16, 4]],
            depths: vec![1, 2, 4],
            side: 16,
            batch: 4,
        }
    }
}

/// What is built.
pub enum Kind {
    /// One layer whose weights are drawn for these fans.
    Layer {
        /// The fans that Xavier is told.
        fan: Fan,
        /// Whether these are the true ones.
        right: bool,
    },
    /// One layer with several outputs a channel.
    Multiplier {
        /// Channels in.
        channels: usize,
        /// Outputs a channel.
        multiplier: usize,
    },
    /// Several layers.
    Stack,
}

impl DepthwiseFan {
    fn layer(&self, channels: usize, multiplier: usize) -> Layer {
        let (kernel, stride) = (vec![self.kernel; 2], vec![1; 2]);
        Layer::Conv { input: channels, output: channels * multiplier, kernel, stride, groups: channels }
    }

    /// `E[g²]` of one channel's gain `g` after `depth` layers with `E[g] = 1`, on a torus of `side` pixels.
    ///
    /// The gain is the mean over frequencies of `Π|ŵ_l(f)|²`, and by Isserlis' theorem
    /// `E|ŵ(f)|²|ŵ(g)|² = 1 + |D(f−g)|² + |D(f+g)|²` with `D` the mean of `e^{iut}` over the taps. `D` factors over the
    /// axes, so the power is expanded and each term is the square of one axis' mean.
    fn gain_second_moment(&self, depth: usize) -> f64 {
        let axis: Vec<f64> = (0..self.side)
            .map(|u| {
                let angle = std::f64::consts::TAU * u as f64 / self.side as f64;
                let sum = |f: fn(f64) -> f64| (0..self.kernel).map(|t| f(angle * t as f64)).sum::<f64>();
                (sum(f64::cos).powi(2) + sum(f64::sin).powi(2)) / (self.kernel * self.kernel) as f64
            })
            .collect();
        let mean = |i: usize, j: usize| {
            let term = |(f, g): (usize, usize)| {
                let (difference, sum) = ((f + self.side - g) % self.side, (f + g) % self.side);
                axis[difference].powi(i as i32) * axis[sum].powi(j as i32)
            };
            let pairs = (0..self.side).flat_map(|f| (0..self.side).map(move |g| (f, g)));
            pairs.map(term).sum::<f64>() / (self.side * self.side) as f64
        };
        let binomial = |n: usize, k: usize| (0..k).fold(1.0, |b, i| b * (n - i) as f64 / (i + 1) as f64);
        let mut total = 0.0;
        for i in 0..=depth {
            for j in 0..=depth - i {
                total += binomial(depth, i) * binomial(depth - i, j) * mean(i, j).powi(2);
            }
        }
        total
    }

    /// By how much a log-normal of the right first two moments misses the median of one layer's gain, `χ²_{k²}/k²`.
    fn median_gap(&self) -> Result<f64> {
        let freedom = (self.kernel * self.kernel) as f64;
        let wrong = |error: statrs::distribution::GammaError| Error::Parameters {
            experiment: Self::ABOUT.id,
            found: error.to_string(),
        };
        let exact = ChiSquared::new(freedom).map_err(wrong)?.inverse_cdf(0.5) / freedom;
        Ok(((1.0 + 2.0 / freedom).sqrt().recip() / exact - 1.0).abs())
    }

    /// Gains of every channel, averaged over all inputs: the energy of the answer to one bright pixel.
    fn draw_stack(&self, draw: &mut Draw<'_>) -> Result<()> {
        let layer = self.layer(self.channels, 1);
        let deepest = self.depths.last().copied().unwrap_or(0);
        let weights: Result<Vec<Vec<f32>>> = (1..=deepest)
            .map(
                |depth| Ok(Init::xavier_normal().fill(&layer, &mut draw.stream(&format!("weight-{depth}")))?),
            )
            .collect();
        let weights = weights?;
        let area = self.kernel * self.kernel;
        let mut gains = vec![vec![]; self.depths.len()];
        for channel in 0..self.channels {
            let mut plane = vec![0.0; self.side * self.side];
            plane[0] = 1.0;
            let mut place = 0;
            for (depth, weight) in weights.iter().enumerate() {
                plane = self.wrapped_conv(&plane, &weight[channel * area..][..area]);
                if self.depths[place] == depth + 1 {
                    gains[place].push(plane.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>());
                    place += 1;
                }
            }
        }
        for (depth, mut gains) in self.depths.iter().zip(gains) {
            draw.record(&format!("mean-{depth}"), gains.iter().sum::<f64>() / gains.len() as f64)?;
            gains.sort_by(f64::total_cmp);
            let (low, high) = (gains[(gains.len() - 1) / 2], gains[gains.len() / 2]);
            draw.record(&format!("median-{depth}"), (low + high) / 2.0)?;
        }
        Ok(())
    }

    /// One channel's square plane through one kernel, wrapping around. In plain numbers: candle convolves group by group,
    /// and a stack is many times slower that way.
    fn wrapped_conv(&self, plane: &[f32], weight: &[f32]) -> Vec<f32> {
        let (side, kernel) = (self.side, self.kernel);
        let mut output = vec![0.0; plane.len()];
        for (row, line) in output.chunks_exact_mut(side).enumerate() {
            for (tap, w) in weight.iter().enumerate() {
                let source = &plane[(row + tap / kernel) % side * side..][..side];
                // The tap reads `shift` pixels further; what falls off at the end begins again.
                let shift = tap % kernel;
                for (y, x) in line.iter_mut().zip(source[shift..].iter().chain(&source[..shift])) {
                    *y += w * x;
                }
            }
        }
        output
    }

    fn stack_rows(&self, setup: &Setup<Kind>) -> Result<Vec<Row>> {
        let name = &setup.name;
        let claim = "A depthwise layer with the fans k² and k² keeps the signal.";
        let why = "on average over channels; a channel has k² weights of its own and nothing averages over channels, \
                   so the typical channel fades while few grow";
        let mut rows = vec![];
        for &depth in &self.depths {
            let square = self.gain_second_moment(depth);
            let variance = (square - 1.0) / self.channels as f64;
            let reason = "5 %, or three standard errors of the last look if that is more, from the exact second moment of a \
                          channel's gain: the mean over weights is exact";
            let measure = format!("mean-{depth}");
            let quantity = "gain after so many layers, mean over channels";
            let mean = Row::new(format!("{name}/{measure}"), quantity, &measure)
                .by(Statistic::SkewedMean { of: measure })
                .about(1.0, resolution(0.05, variance, &setup.looks), reason)
                .claim(claim, Rule::about(1.0, 0.05), why)
                .at("stack", "mean channel", depth as f64);
            let tolerance = 0.05 + depth as f64 * self.median_gap()?;
            let reason = "a log-normal with the exact first two moments; 5 % for a median of few channels, and for each \
                          layer the miss of this form at one layer, whose exact law is χ²_{k²}/k²";
            let measure = format!("median-{depth}");
            let quantity = "gain of the median channel after so many layers";
            let mut median = Row::new(format!("{name}/{measure}"), quantity, &measure)
                .claim(claim, Rule::about(1.0, 0.05), why)
                .at("stack", "median channel", depth as f64);
            // Beyond, the second moment is carried by channels that hardly any draw contains, and says nothing of the
            // median: it is measured only.
            if square <= MOST_SKEWED {
                median = median.about(square.sqrt().recip(), tolerance, reason);
            }
            rows.extend([mean, median]);
        }
        Ok(rows)
    }
}

impl Experiment for DepthwiseFan {
    type Setup = Kind;

    const ABOUT: About = About {
        id: "depthwise-fan",
        title: "Fans of a depthwise convolution",
        question: "How many inputs does an output of a depthwise convolution sum, and what happens to the signal if the \
                   channels are counted in?",
        source: "Document, \"Various network layers\", depthwise convolutions; fans counted product by product; \
                 pytorch/pytorch issue 23854",
        method: "One depthwise convolution without padding, Xavier weights drawn for four pairs of fans: k² and k² (right), \
                 both times C (the formula of an ordinary convolution), the fan-in alone times C, and what frameworks read off \
                 the weight's shape (C, 1, k, k), which multiplies the fan-out. A draw is a new weight and a new N(0, 1) \
                 input. A layer with m outputs a channel measures the backward gain by its adjoint. In a stack on an \
                 image that wraps around, the energy of the answer to one bright pixel is a channel's gain for white inputs; \
                 the mean and the median channel are measured. The control expects of the right weights what \
                 the ordinary formula says.",
        cost: "5 s",
    };

    fn full() -> Self {
        DepthwiseFan {
            channels: 256,
            multipliers: vec![[16, 4], [64, 2], [32, 8]],
            depths: vec![1, 2, 4, 8],
            ..DepthwiseFan::default()
        }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let odd = self.kernel % 2 == 1 && self.kernel <= self.side.div_ceil(2);
        demand(id, "kernel", self.kernel, odd, "an odd number, at most half of `side`")?;
        let rising = self.depths.windows(2).all(|pair| pair[0] < pair[1]);
        let some = rising && self.depths.iter().all(|depth| (1..=50).contains(depth));
        demand(id, "depths", &self.depths, some, "rising numbers, from 1 to 50")?;
        // The exact second moment of a gain costs side² terms for each pair of powers.
        demand(id, "side", self.side, self.side <= 256, "256 at most")?;
        let plane = |channels: usize| fits(&[self.batch, channels, self.side, self.side, 4]);
        let weight = |channels: usize| fits(&[channels, self.kernel, self.kernel]);
        let fit = plane(self.channels) && weight(self.channels) && self.channels > 1;
        demand(id, "channels", self.channels, fit, "2 or more, with `batch` and `side` that fit memory")?;
        let good = |&[channels, m]: &[usize; 2]| {
            channels.checked_mul(m).is_some_and(|outputs| plane(outputs) && weight(outputs))
        };
        let expected = "pairs above 0, with `batch` and `side` that fit memory";
        demand(id, "multipliers", &self.multipliers, self.multipliers.iter().all(good), expected)
    }

    fn setups(&self) -> Result<Vec<Setup<Kind>>> {
        let layer = self.layer(self.channels, 1);
        let none = Fan { input: f64::NAN, output: f64::NAN };
        let right = layer.fan().unwrap_or(none);
        let rule = layer.shape_rule_fan().unwrap_or(none);
        let c = self.channels as f64;
        let mut setups: Vec<Setup<Kind>> = [
            ("right", right),
            ("both-times-c", Fan { input: c * right.input, output: c * right.output }),
            ("fan-in-times-c", Fan { input: c * right.input, ..right }),
            ("shape-rule", rule),
        ]
        .map(|(name, fan)| Setup::new(name, Kind::Layer { fan, right: name == "right" }))
        .into();
        for &[channels, multiplier] in &self.multipliers {
            let name = format!("c{channels}-m{multiplier}");
            setups.push(Setup::new(name, Kind::Multiplier { channels, multiplier }));
        }
        if !self.depths.is_empty() {
            let looks = Looks::at(&[40, 160, 640])?;
            setups.push(Setup { looks, ..Setup::new("stack", Kind::Stack) });
        }
        Ok(setups)
    }

    fn predict(&self, setup: &Setup<Kind>) -> Result<Vec<Row>> {
        let name = |part: &str| format!("{}/{part}", setup.name);
        let k2 = (self.kernel * self.kernel) as f64;
        let resolved = |weights: f64| resolution(0.05, 2.0 / weights, &setup.looks);
        let reason = "5 %, or three standard errors of the last look if that is more, at the weights' spread of √(2/(k²·C)): \
                      the mean over weights is exact at every size";
        let fans = "The fans of a depthwise convolution are k² and k².";
        match setup.of {
            Kind::Layer { fan, right } => {
                let gain = k2 / fan.average();
                let tolerance = resolved(k2 * self.channels as f64);
                let row = Row::new(name("forward"), "gain of the second moment, forward", "forward")
                    .about(gain, tolerance, reason);
                if !right {
                    let claim =
                        "Counting the channels into the fans of a depthwise convolution starves the signal.";
                    let why = "it holds: an output sums k² products, however many channels there are";
                    // Counted once or twice, C channels take at least the third that two of them take.
                    return Ok(vec![row.claim(claim, Rule::AtMost { value: 0.75 }, why)]);
                }
                let why = "it holds for one output a channel";
                let control =
                    Row::new(name("control"), "the same gain, if each output saw all channels", "forward");
                Ok(vec![
                    row.claim(fans, Rule::about(gain, tolerance), why),
                    control.about(gain * self.channels as f64, tolerance, reason).control(),
                ])
            }
            Kind::Multiplier { channels, multiplier } => {
                let layer = self.layer(channels, multiplier);
                let fan = layer.fan().unwrap_or(Fan { input: f64::NAN, output: f64::NAN });
                let tolerance = resolved(k2 * (channels * multiplier) as f64);
                let (forward, backward) = (fan.input / fan.average(), fan.output / fan.average());
                let why = "with m outputs a channel an input feeds m·k² of them; k² is the case of m = 1";
                Ok(vec![
                    Row::new(name("forward"), "gain of the second moment, forward", "forward")
                        .about(forward, tolerance, reason),
                    Row::new(name("backward"), "gain of the second moment, backward", "backward")
                        .about(backward, tolerance, reason)
                        .claim(fans, Rule::about(k2 / fan.average(), tolerance), why),
                ])
            }
            Kind::Stack => self.stack_rows(setup),
        }
    }

    fn draw(&self, setup: &Setup<Kind>, draw: &mut Draw<'_>) -> Result<()> {
        let image = |channels: usize| [self.batch, channels, self.side, self.side];
        match setup.of {
            Kind::Layer { fan, .. } => {
                let layer = self.layer(self.channels, 1);
                let weight =
                    draw.weight("weight", &layer, Init::Normal { std: fan.average().sqrt().recip() })?;
                let x = draw.normal("input", &image(self.channels), 1.0)?;
                draw.record("forward", second_moment(&x.conv2d(&weight, 0, 1, 1, self.channels)?)?)
            }
            Kind::Multiplier { channels, multiplier } => {
                let weight =
                    draw.weight("weight", &self.layer(channels, multiplier), Init::xavier_normal())?;
                let x = draw.normal("input", &image(channels), 1.0)?;
                draw.record("forward", second_moment(&x.conv2d(&weight, 0, 1, 1, channels)?)?)?;
                let dy = draw.normal("gradient", &image(channels * multiplier), 1.0)?;
                let parts = dy.chunk(channels, 1)?.into_iter().zip(weight.chunk(channels, 0)?);
                let parts: candle_core::Result<Vec<Tensor>> = parts
                    .map(|(dy, w)| dy.contiguous()?.conv_transpose2d(&w.contiguous()?, 0, 0, 1, 1))
                    .collect();
                let dx = Tensor::cat(&parts?, 1)?;
                draw.record("backward", phase_moments(&dx, &whole_periods(self.side, self.kernel, 1), 1)?[0])
            }
            Kind::Stack => self.draw_stack(draw),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new("stack", "A stack of depthwise layers", "layers", "gain")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_moment_of_a_gain_is_the_chi_squares_and_that_of_a_brute_force_sum() {
        let usual = DepthwiseFan { side: 8, ..DepthwiseFan::default() };
        // One layer: χ²_9/9 has the variance 2/9.
        assert!((usual.gain_second_moment(1) - 11.0 / 9.0).abs() < 1e-12);
        // Two layers, one axis: E[(Σ_t h_t²)²] for h = w₁ * w₂, by a count of the pairings of all quadruples of taps.
        let taps = 3i32;
        let mut count = 0.0;
        let pairings = |i: [i32; 4]| {
            f64::from(
                u8::from(i[0] == i[1] && i[2] == i[3])
                    + u8::from(i[0] == i[2] && i[1] == i[3])
                    + u8::from(i[0] == i[3] && i[1] == i[2]),
            )
        };
        let all = || (0..taps.pow(4)).map(|n| [n % 3, n / 3 % 3, n / 9 % 3, n / 27]);
        for first in all() {
            for second in all() {
                if first[0] + second[0] == first[1] + second[1]
                    && first[2] + second[2] == first[3] + second[3]
                {
                    count += pairings(first) * pairings(second);
                }
            }
        }
        // The same by frequencies, for one axis.
        let d = |u: i32| {
            let angle = std::f64::consts::TAU * f64::from(u) / 8.0;
            (1.0 + 2.0 * angle.cos()).powi(2) / 9.0
        };
        let pairs = (0..64).map(|n| (n / 8, n % 8));
        let mean = pairs.map(|(f, g)| (1.0 + d(f - g) + d(f + g)).powi(2)).sum::<f64>() / 64.0;
        assert!((count / 81.0 - mean).abs() < 1e-12, "{} against {mean}", count / 81.0);
    }
}
