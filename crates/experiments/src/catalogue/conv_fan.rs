//! Fans of an ordinary convolution: `fan_in = c_in·k²`, `fan_out = c_out·k²`, and what Xavier's mean of the two costs.

use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::{demand, fits};
use super::planes::{phase_moments, resolution, whole_periods};
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Convolutions without padding and dense layers, one Xavier layer each.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvFan {
    /// `[c_in, c_out, k]` of each convolution.
    pub layers: Vec<[usize; 3]>,
    /// Side of the square input, in pixels.
    pub side: usize,
    /// Images a draw.
    pub batch: usize,
    /// `[inputs, outputs]` of each dense layer.
    pub dense: Vec<[usize; 2]>,
    /// Vectors a draw that go through a dense layer, each way.
    pub rows: usize,
}

impl Default for ConvFan {
    fn default() -> Self {
        ConvFan {
            layers: vec![[32, 32, 3], [16, 64, 3], [64, 16, 5], [3, 64, 7]],
            side: 16,
            batch: 4,
            dense: vec![[256, 256], [1024, 64], [768, 10]],
            rows: 128,
        }
    }
}

/// One layer.
pub enum Kind {
    /// A convolution.
    Conv {
        /// Channels in.
        input: usize,
        /// Channels out.
        output: usize,
        /// Side of the kernel.
        kernel: usize,
    },
    /// A dense layer.
    Dense {
        /// Width in.
        input: usize,
        /// Width out.
        output: usize,
    },
}

impl Kind {
    fn layer(&self) -> Layer {
        match *self {
            Kind::Conv { input, output, kernel } => {
                Layer::Conv { input, output, kernel: vec![kernel; 2], stride: vec![1; 2], groups: 1 }
            }
            Kind::Dense { input, output } => Layer::Linear { input, output },
        }
    }
}

impl Experiment for ConvFan {
    type Setup = Kind;

    const ABOUT: About = About {
        id: "conv-fan",
        title: "Fans of a convolution",
        question: "Does counting c_in·k² inputs and c_out·k² outputs give a convolution's gain, forward and backward, and \
                   does Xavier's mean of the two keep the signal?",
        source: "Document, \"Various network layers\", convolutions; He et al. 2015, section 2.2",
        method: "One convolution without padding and with stride 1, Xavier weights with the fans c_in·k² and c_out·k², on \
                 independent N(0, 1) inputs. A draw is a new weight and a new input; it measures the second moment of the \
                 outputs, and of the gradient at inputs that every kernel position reaches. The control counts fans without \
                 k². Dense layers, also by Xavier, measure what one layer does to a signal there and back: the product of \
                 the two gains, for new inputs, new gradients and one weight a draw.",
        cost: "2 s",
    };

    fn full() -> Self {
        ConvFan {
            layers: vec![[64, 64, 3], [32, 256, 3], [128, 32, 5], [3, 128, 11]],
            side: 28,
            batch: 8,
            dense: vec![[256, 256], [1024, 64], [768, 10], [4096, 1024], [768, 3072]],
            rows: 128,
        }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        for (name, count) in [("batch", self.batch), ("rows", self.rows), ("side", self.side)] {
            demand(id, name, count, count > 0, "1 or more")?;
        }
        let good = |&[input, output, kernel]: &[usize; 3]| {
            fits(&[input, output, kernel, kernel])
                && fits(&[self.batch, input.max(output), self.side, self.side])
                && kernel < self.side.div_ceil(2)
        };
        let expected = "[c_in, c_out, k] above 0, with 2k less than `side` and `batch` that fit memory";
        demand(id, "layers", &self.layers, self.layers.iter().all(good), expected)?;
        let good =
            |&[input, output]: &[usize; 2]| fits(&[input, output]) && fits(&[self.rows, input.max(output)]);
        let expected = "[inputs, outputs] above 0, with `rows` that fit memory";
        demand(id, "dense", &self.dense, self.dense.iter().all(good), expected)?;
        demand(
            id,
            "layers",
            &self.layers,
            self.layers.len() + self.dense.len() > 0,
            "a convolution or a dense layer",
        )
    }

    fn setups(&self) -> Result<Vec<Setup<Kind>>> {
        let conv = |&[input, output, kernel]: &[usize; 3]| {
            Setup::new(format!("c{input}-c{output}-k{kernel}"), Kind::Conv { input, output, kernel })
        };
        let dense = |&[input, output]: &[usize; 2]| {
            Setup::new(format!("dense-{input}-{output}"), Kind::Dense { input, output })
        };
        Ok(self.layers.iter().map(conv).chain(self.dense.iter().map(dense)).collect())
    }

    fn predict(&self, setup: &Setup<Kind>) -> Result<Vec<Row>> {
        let name = |part: &str| format!("{}/{part}", setup.name);
        let balanced = "Xavier's mean of the two fans keeps a signal's scale forward and backward.";
        let lost = "only for as many inputs as outputs; there and back a layer of ratio r keeps 4r/(1 + r)², less than 1 \
                    for every other r";
        let (input, output, kernel) = match setup.of {
            Kind::Conv { input, output, kernel } => (input as f64, output as f64, kernel),
            Kind::Dense { input, output } => {
                // Given W both gains have mean ‖W‖², and E‖W‖⁴ = (ab)² Var(w)² (1 + 2/(ab)).
                let (a, b) = (input as f64, output as f64);
                let product = 4.0 * (a * b + 2.0) / (a + b).powi(2);
                let reason = "3 %, or three standard errors of the last look if that is more: the mean over weights is exact \
                              at every size; what the draws resolve";
                let (weights, inputs) = (8.0 / (a * b), 2.0 / self.rows as f64 * (1.0 / a + 1.0 / b));
                let tolerance = resolution(0.03, weights + inputs, &setup.looks);
                return Ok(vec![
                    Row::new(name("product"), "product of the gains forward and backward", "product")
                        .about(product, tolerance, reason)
                        .claim(balanced, Rule::about(1.0, tolerance), lost)
                        .at("product", "Xavier", a / b),
                ]);
            }
        };
        let (forward, backward) = (2.0 * input / (input + output), 2.0 * output / (input + output));
        let k2 = (kernel * kernel) as f64;
        let tolerance = resolution(0.03, 2.0 / (k2 * input * output), &setup.looks);
        let reason = "3 %, or three standard errors of the last look if that is more, at the weights' spread of \
                      √(2/(c_in·k²·c_out)) a draw: the mean over weights is exact at every size";
        let claim = "The fans of a convolution are c_in·k² and c_out·k².";
        let why = "it holds: an output sums c_in·k² products and, at stride 1 away from the border, an input feeds c_out·k²";
        let mut rows = vec![
            Row::new(name("forward"), "gain of the second moment, forward", "forward")
                .about(forward, tolerance, reason)
                .claim(claim, Rule::about(forward, tolerance), why)
                .at("gain", "forward", input / output),
            Row::new(name("backward"), "gain of the second moment, backward", "backward")
                .about(backward, tolerance, reason)
                .claim(claim, Rule::about(backward, tolerance), why)
                .at("gain", "backward", input / output),
        ];
        // A kernel of one pixel has no k² to forget.
        if kernel > 1 {
            rows.push(
                Row::new(name("control"), "the same gain, if an output summed c_in products", "forward")
                    .about(forward / k2, tolerance, reason)
                    .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Kind>, draw: &mut Draw<'_>) -> Result<()> {
        let weight = draw.weight("weight", &setup.of.layer(), Init::xavier_normal())?;
        match setup.of {
            Kind::Conv { input, output, kernel } => {
                let x = draw.normal("input", &[self.batch, input, self.side, self.side], 1.0)?;
                draw.record("forward", second_moment(&x.conv2d(&weight, 0, 1, 1, 1)?)?)?;
                // The transposed convolution is the adjoint; away from the border each input feeds all k² positions.
                let dy = draw.normal("gradient", &[self.batch, output, self.side, self.side], 1.0)?;
                let dx = dy.conv_transpose2d(&weight, 0, 0, 1, 1)?;
                let inner = phase_moments(&dx, &whole_periods(self.side, kernel, 1), 1)?;
                draw.record("backward", inner[0])
            }
            Kind::Dense { input, output } => {
                let x = draw.normal("input", &[self.rows, input], 1.0)?;
                let dy = draw.normal("gradient", &[self.rows, output], 1.0)?;
                let forward = second_moment(&x.matmul(&weight.t()?)?)?;
                draw.record("product", forward * second_moment(&dy.matmul(&weight)?)?)
            }
        }
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("gain", "Gain of one convolution", "channels in over channels out", "gain").log_x(),
            Figure::new(
                "product",
                "One layer, there and back",
                "inputs over outputs",
                "product of the gains",
            )
            .log_x(),
        ]
    }
}
