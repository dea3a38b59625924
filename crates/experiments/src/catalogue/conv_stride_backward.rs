//! A stride divides a convolution's fan-out by `s²`, which no framework's Xavier knows.

use serde::{Deserialize, Serialize};
use xexp_init::{Fan, Init, Layer};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::{demand, fits};
use super::planes::{phase_moments, phase_taps, resolution, whole_periods};
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Strided convolutions without padding.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvStrideBackward {
    /// `[c_in, c_out, k, s]` of each convolution.
    pub layers: Vec<[usize; 4]>,
    /// Side of the square output, in pixels.
    pub side: usize,
    /// Images a draw.
    pub batch: usize,
}

impl Default for ConvStrideBackward {
    fn default() -> Self {
        let layers = vec![[32, 32, 3, 1], [32, 32, 3, 2], [32, 32, 5, 3], [16, 48, 4, 2], [32, 32, 1, 2]];
        ConvStrideBackward { layers, side: 10, batch: 4 }
    }
}

/// One strided convolution.
pub struct Strided {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
}

impl Strided {
    fn layer(&self) -> Layer {
        let Strided { input, output, kernel, stride } = *self;
        Layer::Conv { input, output, kernel: vec![kernel; 2], stride: vec![stride; 2], groups: 1 }
    }

    /// Exact fans, and those that frameworks read off the weight's shape.
    fn fans(&self) -> (Fan, Fan) {
        let none = Fan { input: f64::NAN, output: f64::NAN };
        let layer = self.layer();
        (layer.fan().unwrap_or(none), layer.shape_rule_fan().unwrap_or(none))
    }
}

impl Experiment for ConvStrideBackward {
    type Setup = Strided;

    const ABOUT: About = About {
        id: "conv-stride-backward",
        title: "Fan-out of a strided convolution",
        question: "Does each input of a convolution still feed c_out·k² outputs when the kernel moves in steps of s pixels?",
        source: "Document, \"Various network layers\", convolutions (no stride is mentioned); fans counted product by product",
        method: "One convolution with stride s and without padding. A draw is a new weight by Xavier with the fans that \
                 frameworks read off its shape, a new input and a new gradient at the outputs. The gradient at the inputs is \
                 the transposed convolution of the weight, which is the adjoint also for odd sizes; its second moment is \
                 taken over whole periods of the stride away from the border, and over two single phases (positions modulo \
                 the stride). A second weight is drawn by Xavier with the exact fan-out c_out·k²/s². The control ignores the \
                 stride.",
        cost: "1 s",
    };

    fn full() -> Self {
        let layers = vec![[64, 64, 3, 1], [64, 64, 3, 2], [64, 128, 3, 2], [3, 64, 7, 4], [64, 128, 1, 2]];
        ConvStrideBackward { layers, side: 20, batch: 8 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let good = |&[input, output, kernel, stride]: &[usize; 4]| {
            let wide = self.side.saturating_mul(stride).saturating_add(kernel);
            fits(&[input, output, kernel, kernel])
                && stride > 0
                && fits(&[self.batch, input.max(output), wide, wide])
                && !whole_periods(self.side, kernel, stride).is_empty()
        };
        let expected = "one or more [c_in, c_out, k, s] above 0, with a `side` that is more than 1 + (k − 1)/s, and sizes \
                        that fit memory";
        demand(id, "layers", &self.layers, !self.layers.is_empty() && self.layers.iter().all(good), expected)
    }

    fn setups(&self) -> Result<Vec<Setup<Strided>>> {
        let setup = |&[input, output, kernel, stride]: &[usize; 4]| {
            let name = format!("c{input}-c{output}-k{kernel}-s{stride}");
            Setup::new(name, Strided { input, output, kernel, stride })
        };
        Ok(self.layers.iter().map(setup).collect())
    }

    fn predict(&self, setup: &Setup<Strided>) -> Result<Vec<Row>> {
        let Strided { input, output, kernel, stride } = setup.of;
        let (exact, shape) = setup.of.fans();
        let variance = 1.0 / shape.average();
        let name = |part: &str| format!("{}/{part}", setup.name);
        let channels = (input * output) as f64;
        let resolved = |floor: f64, taps: usize| {
            resolution(floor, 2.0 / (channels * (taps * taps) as f64), &setup.looks)
        };
        let tolerance = resolved(0.03, kernel);
        let reason = "3 %, or three standard errors of the last look if that is more, at the weights' spread: the mean over \
                      weights is exact on whole periods away from the border, at every size";
        let claim = "An input of a convolution feeds c_out·k² outputs.";
        let why = "at stride s the kernel's taps fall into s² kinds, and an input meets one kind: c_out·k²/s² on average";
        let gain = |fan: f64, variance: f64| fan * variance;
        let mut rows = vec![
            Row::new(name("forward"), "gain of the second moment, forward", "forward").about(
                gain(shape.input, variance),
                tolerance,
                "as backward: the stride leaves out outputs, not products",
            ),
            Row::new(name("backward"), "gain of the second moment, backward", "backward")
                .about(gain(exact.output, variance), tolerance, reason)
                .claim(claim, Rule::about(gain(shape.output, variance), tolerance), why)
                .at("stride", "Xavier by shape", stride as f64),
        ];
        if stride == 1 {
            return Ok(rows);
        }
        rows.push(
            Row::new(name("control"), "the same gain, if the stride did not matter", "backward")
                .about(gain(shape.output, variance), tolerance, reason)
                .control()
                .at("stride", "stride ignored", stride as f64),
        );
        for (part, quantity, phase) in [
            ("first-phase", "backward gain where both coordinates are multiples of the stride", 0),
            ("last-phase", "backward gain where both coordinates are one less than a multiple", stride - 1),
        ] {
            let taps = phase_taps(phase, kernel, stride);
            let fan = (output * taps * taps) as f64;
            let row = Row::new(name(part), quantity, part);
            rows.push(if fan > 0.0 {
                row.about(
                    gain(fan, variance),
                    resolved(0.05, taps),
                    "as above, from 5 %: one phase has fewer taps",
                )
            } else {
                row.near(0.0, 1e-12, "no tap reaches this phase: its gradient is exactly 0")
            });
        }
        let variance = 1.0 / exact.average();
        rows.push(
            Row::new(name("exact-forward"), "forward gain with the exact fan-out in Xavier", "exact-forward")
                .about(gain(exact.input, variance), tolerance, reason),
        );
        rows.push(
            Row::new(
                name("exact-backward"),
                "backward gain with the exact fan-out in Xavier",
                "exact-backward",
            )
            .about(gain(exact.output, variance), tolerance, reason)
            .at("stride", "Xavier by exact fans", stride as f64),
        );
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Strided>, draw: &mut Draw<'_>) -> Result<()> {
        let Strided { input, output, kernel, stride } = setup.of;
        let (_, shape) = setup.of.fans();
        let wide = (self.side - 1) * stride + kernel;
        let x = draw.normal("input", &[self.batch, input, wide, wide], 1.0)?;
        let dy = draw.normal("gradient", &[self.batch, output, self.side, self.side], 1.0)?;
        let range = whole_periods(self.side, kernel, stride);
        let mean = |phases: &[f64]| phases.iter().sum::<f64>() / phases.len() as f64;

        let by_shape = Init::Normal { std: shape.average().sqrt().recip() };
        let weight = draw.weight("weight", &setup.of.layer(), by_shape)?;
        draw.record("forward", second_moment(&x.conv2d(&weight, 0, stride, 1, 1)?)?)?;
        let phases = phase_moments(&dy.conv_transpose2d(&weight, 0, 0, stride, 1)?, &range, stride)?;
        draw.record("backward", mean(&phases))?;
        if stride == 1 {
            return Ok(());
        }
        draw.record("first-phase", phases[0])?;
        draw.record("last-phase", phases[phases.len() - 1])?;

        let weight = draw.weight("exact-weight", &setup.of.layer(), Init::xavier_normal())?;
        draw.record("exact-forward", second_moment(&x.conv2d(&weight, 0, stride, 1, 1)?)?)?;
        let phases = phase_moments(&dy.conv_transpose2d(&weight, 0, 0, stride, 1)?, &range, stride)?;
        draw.record("exact-backward", mean(&phases))
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("stride", "What the stride takes from the gradient", "stride", "backward gain")
                .log_y(),
        ]
    }
}
