//! A layer behind a concatenation: 4/3 under Xavier, and whose fault it is.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer, correction};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::{demand, positive};
use super::spread;
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Two feature maps, laid side by side and mapped by one layer; one position of a 1×1 convolution.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnetConcat {
    /// Channels of each of the two feature maps.
    pub channels: usize,
    /// Channels behind the layer; the document's case is as many as one map has.
    pub output: usize,
    /// Second moments of skip and decoder in the set-up where they differ.
    pub unequal: [f64; 2],
    /// Positions a draw.
    pub batch: usize,
}

impl Default for UnetConcat {
    fn default() -> Self {
        UnetConcat { channels: 256, output: 256, unequal: [4.0, 1.0], batch: 32 }
    }
}

/// What is laid side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parts {
    /// Two independent maps of second moment 1.
    Independent,
    /// The same map twice.
    Identical,
    /// Two independent maps of different second moments.
    Unequal,
    /// Two independent maps behind a ReLU, of second moment 1.
    Relu,
    /// One map of twice the width: no concatenation at all.
    Single,
}

impl Parts {
    const ALL: [(&'static str, Parts); 5] = [
        ("independent", Parts::Independent),
        ("identical", Parts::Identical),
        ("unequal", Parts::Unequal),
        ("relu", Parts::Relu),
        ("single", Parts::Single),
    ];
}

/// The map, scaled to the second moment `target` exactly.
fn scaled(x: Tensor, target: f64) -> Result<Tensor> {
    let factor = (target / second_moment(&x)?).sqrt();
    Ok((x * factor)?)
}

impl UnetConcat {
    fn layer(&self) -> Layer {
        Layer::Linear { input: 2 * self.channels, output: self.output }
    }

    /// Mean second moment over both parts.
    fn input(&self, parts: Parts) -> f64 {
        if parts == Parts::Unequal { 0.5 * (self.unequal[0] + self.unequal[1]) } else { 1.0 }
    }
}

impl Experiment for UnetConcat {
    type Setup = Parts;

    const ABOUT: About = About {
        id: "unet-concat",
        title: "A layer behind a concatenation",
        question: "Why does a Xavier layer behind a U-Net's concatenation amplify by 4/3, and what sets it right?",
        source: "Document, \"Parallel and skip connections\"; Glorot & Bengio 2010, eq. 12",
        method: "Two feature maps are laid side by side (independent, identical, of unequal scale, behind a ReLU, or one map \
                 of twice the width in their place) and mapped back to the width of one, with Xavier weights, with 1/fan_in, \
                 and with the weights of a layer that did not know of the concatenation. A draw is new maps and weights; it \
                 measures the second moment of outputs, and of gradients going back. Controls: a balanced Xavier layer, and \
                 parts that add coherently.",
        cost: "2 s",
    };

    fn full() -> Self {
        UnetConcat { channels: 1024, output: 1024, unequal: [4.0, 1.0], batch: 128 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        demand(id, "channels", self.channels, (4..=65_536).contains(&self.channels), "4 to 65536")?;
        demand(id, "output", self.output, (4..=65_536).contains(&self.output), "4 to 65536")?;
        let valid = self.unequal.iter().all(|&v| positive(v) && (1e-6..=1e6).contains(&v));
        demand(id, "unequal", self.unequal, valid, "two numbers from 1e-6 to 1e6")?;
        demand(id, "batch", self.batch, self.batch >= 1, "1 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Parts>>> {
        Ok(Parts::ALL.iter().map(|&(name, parts)| Setup::new(name, parts)).collect())
    }

    fn predict(&self, setup: &Setup<Parts>) -> Result<Vec<Row>> {
        let parts = setup.of;
        let v = self.input(parts);
        let (input, output) = (2.0 * self.channels as f64, self.output as f64);
        let gain = 2.0 * input / (input + output);
        // What is read has the rank of one part where both are the same; a ReLU's mean is a share 1/π of it, and common.
        let rank = if parts == Parts::Identical { self.channels } else { 2 * self.channels };
        let rank = if parts == Parts::Relu { 9.min(rank) } else { rank };
        let tolerance = spread::tolerance(0.02, spread::of_map(rank, self.output, self.batch));
        let reason = "2 %, or half a draw's spread: the mean over weights is exact at every width, whatever the parts' \
                      correlation, since a weight meets each channel alone";
        let name = |part: &str| format!("{}/{part}", setup.name);
        let mut xavier = Row::new(name("xavier"), "second moment behind Xavier weights", "xavier")
            .about(gain * v, tolerance, reason)
            .at("gain", "Xavier", v);
        if self.output == self.channels && parts != Parts::Single {
            xavier = xavier.claim(
                "Behind a concatenation even correctly re-initialized weights give 4/3 of the variance.",
                Rule::about(4.0 / 3.0 * v, tolerance),
                "it holds, but not because of the concatenation: any Xavier layer of twice as many inputs as outputs does it",
            );
        }
        let mut rows = vec![
            xavier,
            Row::new(
                name("corrected"),
                "the same, times the correction √((fan_in + fan_out)/(2 fan_in))",
                "corrected",
            )
            .about(v, tolerance, reason),
            Row::new(name("lecun"), "second moment behind weights of variance 1/fan_in", "lecun")
                .about(v, tolerance, reason)
                .at("gain", "1/fan_in", v),
            Row::new(name("kept"), "second moment behind weights made for one part alone, 1/c", "kept")
                .about(2.0 * v, tolerance, reason)
                .at("gain", "1/c", v),
            Row::new(name("backward"), "second moment of the gradient behind Xavier weights", "backward")
                .about(
                    2.0 * output / (input + output),
                    spread::tolerance(0.02, spread::of_map(self.output, 2 * self.channels, self.batch)),
                    "2 %, or half a draw's spread: the mean over weights is exact",
                ),
        ];
        if (gain - 1.0).abs() > 0.2 {
            rows.push(
                Row::new(name("control"), "second moment behind Xavier weights, if Xavier kept it", "xavier")
                    .about(v, tolerance, reason)
                    .control(),
            );
        }
        if parts == Parts::Identical {
            rows.push(
                Row::new(
                    name("coherent-control"),
                    "second moment, if equal parts added coherently",
                    "xavier",
                )
                .about(2.0 * gain * v, tolerance, reason)
                .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Parts>, draw: &mut Draw<'_>) -> Result<()> {
        let shape = [self.batch, self.channels];
        let x = match setup.of {
            Parts::Single => scaled(draw.normal("input", &[self.batch, 2 * self.channels], 1.0)?, 1.0)?,
            Parts::Identical => {
                let x = scaled(draw.normal("skip", &shape, 1.0)?, 1.0)?;
                Tensor::cat(&[&x, &x], 1)?
            }
            parts => {
                let [skip, decoder] = if parts == Parts::Unequal { self.unequal } else { [1.0, 1.0] };
                let part = |purpose: &str, v: f64| {
                    let x = draw.normal(purpose, &shape, 1.0)?;
                    scaled(if parts == Parts::Relu { x.relu()? } else { x }, v)
                };
                Tensor::cat(&[&part("skip", skip)?, &part("decoder", decoder)?], 1)?
            }
        };
        let layer = self.layer();
        let xavier = draw.weight("xavier", &layer, Init::xavier_normal())?;
        let y = x.matmul(&xavier.t()?)?;
        draw.record("xavier", second_moment(&y)?)?;
        if let Some(fan) = layer.fan() {
            draw.record("corrected", second_moment(&(y * correction::concatenation(fan))?)?)?;
        }
        // Weights made for one part alone have 1/fan_in of that part.
        let alone = Init::lecun().std(&Layer::Linear { input: self.channels, output: self.output })?;
        for (name, init) in [("lecun", Init::lecun()), ("kept", Init::Normal { std: alone })] {
            let weight = draw.weight(name, &layer, init)?;
            draw.record(name, second_moment(&x.matmul(&weight.t()?)?)?)?;
        }
        let gradient = scaled(draw.normal("gradient", &[self.batch, self.output], 1.0)?, 1.0)?;
        draw.record("backward", second_moment(&gradient.matmul(&xavier)?)?)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new(
            "gain",
            "Behind a concatenation",
            "mean second moment of the parts",
            "second moment",
        )]
    }
}
