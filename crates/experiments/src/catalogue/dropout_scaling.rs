//! Dropout and second moments: with and without rescaling, forward and backward, training and use.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer, correction};
use xexp_report::lab::{Figure, Row, Rule, Statistic};

use super::demand::{demand, positive};
use super::spread;
use crate::moments::{second_moment, variance};
use crate::{About, Draw, Experiment, Result, Setup};

/// A square Xavier layer whose inputs are dropped, and a stack of such layers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropoutScaling {
    /// Probability of dropping and mean of the inputs (of variance 1), a set-up each.
    pub cases: Vec<(f64, f64)>,
    /// Channels in and out.
    pub width: usize,
    /// Layers of the stack.
    pub depth: usize,
    /// Probability of dropping in the stack.
    pub stack_p: f64,
    /// Inputs a draw.
    pub batch: usize,
}

impl Default for DropoutScaling {
    fn default() -> Self {
        DropoutScaling {
            cases: vec![(0.2, 0.0), (0.5, 0.0), (0.5, 1.0)],
            width: 384,
            depth: 8,
            stack_p: 0.5,
            batch: 32,
        }
    }
}

/// What is built.
#[derive(Debug, Clone, Copy)]
pub enum Net {
    /// One layer.
    Layer {
        /// Probability of dropping.
        p: f64,
        /// Mean of the inputs.
        mean: f64,
    },
    /// A stack without activations.
    Stack,
}

/// Row name, what it is, recorded name, predicted ratio, and what the document says it is.
type Part = (&'static str, &'static str, &'static str, f64, Option<(&'static str, f64, &'static str)>);

impl DropoutScaling {
    /// 0 with probability `p`, else 1.
    fn mask(&self, draw: &Draw<'_>, purpose: &str, p: f64) -> Result<Tensor> {
        let mut stream = draw.stream(purpose);
        let count = self.batch * self.width;
        let values: Vec<f32> = (0..count).map(|_| if stream.uniform() < p { 0.0 } else { 1.0 }).collect();
        Ok(Tensor::from_vec(values, (self.batch, self.width), draw.device)?)
    }

    fn linear(&self) -> Layer {
        Layer::Linear { input: self.width, output: self.width }
    }

    fn of_layer(&self, p: f64, mean: f64) -> Vec<Part> {
        let keep = 1.0 - p;
        let drops = "Dropping inputs with probability p without rescaling multiplies their effective variance by 1 − p.";
        let fixes = "Weights with a standard deviation 1/√(1−p) times as large make up for dropout without rescaling.";
        let moment = "it holds for the second moment, which is what the next layer multiplies, at any mean";
        let spread =
            "the mask itself varies: with a mean μ the inputs' variance is multiplied by (1−p)(1 + p μ²/σ²)";
        vec![
            (
                "forward",
                "second moment of the outputs over that without dropout",
                "forward",
                keep,
                Some((drops, keep, moment)),
            ),
            (
                "input-variance",
                "variance of the inputs over that without dropout",
                "input-variance",
                keep * (1.0 + p * mean * mean),
                Some((drops, keep, spread)),
            ),
            ("backward", "second moment of the gradient over that without dropout", "backward", keep, None),
            (
                "corrected",
                "second moment of the outputs, weights times 1/√(1−p), over that without dropout",
                "corrected",
                1.0,
                Some((fixes, 1.0, "it holds, forward and backward alike")),
            ),
            (
                "test-over-train",
                "second moment in use, weights times 1−p, over that in training",
                "test-over-train",
                keep,
                None,
            ),
            (
                "inverted",
                "second moment of the outputs behind inverted dropout",
                "inverted",
                1.0 / keep,
                None,
            ),
            (
                "inverted-corrected",
                "second moment behind inverted dropout, weights times √(1−p)",
                "inverted-corrected",
                1.0,
                None,
            ),
        ]
    }
}

impl Experiment for DropoutScaling {
    type Setup = Net;

    const ABOUT: About = About {
        id: "dropout-scaling",
        title: "Dropout and the scale of signals",
        question: "By how much does dropout change the scale of signals, and which factor on the weights makes up for it?",
        source: "Document, \"Regularization and numerical precision\"; E[(m x)²] = (1 − p) E[x²]",
        method: "A square Xavier layer reads inputs of variance 1 and a given mean, with and without a mask that drops each \
                 with probability p; the same mask stands in the way of the gradient. A draw is new weights, inputs and \
                 masks; ratios are of means over draws. A stack of layers with a mask before each shows what is left of the \
                 factor over depth. Controls: no change by dropout, and the document's factor behind inverted dropout.",
        cost: "2 s",
    };

    fn full() -> Self {
        let cases = vec![(0.1, 0.0), (0.2, 0.0), (0.5, 0.0), (0.2, 1.0), (0.5, 1.0), (0.8, 2.0)];
        DropoutScaling { cases, width: 1024, depth: 16, stack_p: 0.5, batch: 64 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let fits =
            |&(p, mean): &(f64, f64)| (0.0..=0.95).contains(&p) && mean.is_finite() && mean.abs() <= 100.0;
        let distinct = self.cases.iter().enumerate().all(|(i, case)| !self.cases[..i].contains(case));
        let valid = !self.cases.is_empty() && self.cases.iter().all(fits) && distinct;
        demand(id, "cases", &self.cases, valid, "distinct [p from 0 to 0.95, mean up to 100]")?;
        demand(id, "width", self.width, (16..=16_384).contains(&self.width), "16 to 16384")?;
        demand(id, "depth", self.depth, (1..=32).contains(&self.depth), "1 to 32")?;
        let valid = positive(self.stack_p) && self.stack_p <= 0.95;
        demand(id, "stack_p", self.stack_p, valid, "above 0, at most 0.95")?;
        demand(id, "batch", self.batch, self.batch >= 1, "1 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Net>>> {
        let layer = |&(p, mean): &(f64, f64)| Setup::new(format!("p{p}-mean{mean}"), Net::Layer { p, mean });
        let stack = Setup::new(format!("stack-p{}", self.stack_p), Net::Stack);
        Ok(self.cases.iter().map(layer).chain([stack]).collect())
    }

    fn predict(&self, setup: &Setup<Net>) -> Result<Vec<Row>> {
        let (count, batch) = (self.width as f64, self.batch as f64);
        let (p, parts) = match setup.of {
            Net::Layer { p, mean } => (p, self.of_layer(p, mean)),
            Net::Stack => {
                let p = self.stack_p;
                let left = (1.0 - p).powi(self.depth as i32);
                (
                    p,
                    vec![
                        (
                            "corrected",
                            "second moment behind the stack, weights times 1/√(1−p)",
                            "corrected",
                            1.0,
                            None,
                        ),
                        ("plain", "second moment behind the stack, no correction", "plain", left, None),
                    ],
                )
            }
        };
        // A layer's mask takes a share p at random: relative variance p/((1−p) width) an input, and the map's own.
        let mask = 3.0 * p / ((1.0 - p) * count * batch);
        let map = spread::of_map(self.width, self.width, self.batch).powi(2);
        let mut one = mask + map;
        let mut factor = 1.0;
        if let Net::Layer { mean, .. } = setup.of {
            // With a mean, the inputs' largest direction is common to all.
            let share = mean * mean / (1.0 + mean * mean);
            one = mask + map + 2.0 * share * share * p / count;
        } else {
            // Relative variances of layers add up.
            factor = self.depth as f64 * (1.0 + 1.0 / (1.0 - p));
        }
        let tolerance = spread::tolerance(0.02, (factor * one).sqrt());
        let reason = "2 %, or half a draw's spread: the mean over masks and weights is exact at every width";
        let mut rows = vec![];
        for (name, quantity, measure, value, claim) in parts {
            let over = match (setup.of, measure) {
                (Net::Stack, _) => "input",
                (_, "input-variance") => "whole-variance",
                (_, "backward") => "whole-backward",
                (_, "test-over-train") => "forward",
                _ => "whole",
            };
            let statistic = Statistic::RatioOfMeans { of: measure.to_owned(), over: over.to_owned() };
            let mut row = Row::new(format!("{}/{name}", setup.name), quantity, measure)
                .by(statistic)
                .about(value, tolerance, reason);
            if let Some((text, says, why)) = claim {
                row = row.claim(text, Rule::about(says, tolerance), why);
            }
            if name == "forward" || name == "inverted" {
                row = row.at("ratio", if name == "forward" { "without rescaling" } else { "inverted" }, p);
            }
            rows.push(row);
        }
        let over =
            |of: &str, over: &str| Statistic::RatioOfMeans { of: of.to_owned(), over: over.to_owned() };
        let name = |part: &str| format!("{}/{part}", setup.name);
        match setup.of {
            Net::Layer { p, .. } if p >= 0.1 => rows.extend([
                Row::new(
                    name("control"),
                    "second moment of the outputs, if dropout changed nothing",
                    "forward",
                )
                .by(over("forward", "whole"))
                .about(1.0, tolerance, reason)
                .control(),
                Row::new(
                    name("inverted-control"),
                    "inverted dropout, if it needed the factor of the other kind",
                    "misapplied",
                )
                .by(over("misapplied", "whole"))
                .about(1.0, tolerance, reason)
                .control(),
            ]),
            _ => {}
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Net>, draw: &mut Draw<'_>) -> Result<()> {
        let Net::Layer { p, mean } = setup.of else { return self.stack(draw) };
        let weight = draw.weight("weight", &self.linear(), Init::xavier_normal())?;
        let x = (draw.normal("input", &[self.batch, self.width], 1.0)? + mean)?;
        let dropped = (&x * self.mask(draw, "mask", p)?)?;
        let keep = 1.0 - p;
        let y = dropped.matmul(&weight.t()?)?;
        draw.record("whole", second_moment(&x.matmul(&weight.t()?)?)?)?;
        draw.record("forward", second_moment(&y)?)?;
        draw.record("corrected", second_moment(&(&y * correction::dropout_classical(p)?)?)?)?;
        // In use nothing is dropped, and the weights are 1 − p times as large.
        draw.record("test-over-train", second_moment(&(x.matmul(&weight.t()?)? * keep)?)?)?;
        let inverted = (&dropped / keep)?.matmul(&weight.t()?)?;
        draw.record("inverted", second_moment(&inverted)?)?;
        draw.record("inverted-corrected", second_moment(&(&inverted * correction::dropout_inverted(p)?)?)?)?;
        draw.record("misapplied", second_moment(&(&inverted * correction::dropout_classical(p)?)?)?)?;
        draw.record("whole-variance", variance(&x)?)?;
        draw.record("input-variance", variance(&dropped)?)?;
        let gradient = draw.normal("gradient", &[self.batch, self.width], 1.0)?.matmul(&weight)?;
        draw.record("whole-backward", second_moment(&gradient)?)?;
        draw.record("backward", second_moment(&(gradient * self.mask(draw, "mask", p)?)?)?)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new("ratio", "Second moment behind dropout", "p", "ratio to no dropout")]
    }
}

impl DropoutScaling {
    fn stack(&self, draw: &mut Draw<'_>) -> Result<()> {
        let p = self.stack_p;
        let x = draw.normal("input", &[self.batch, self.width], 1.0)?;
        draw.record("input", second_moment(&x)?)?;
        let mut plain = x;
        for number in 1..=self.depth {
            let weight = draw.weight(&format!("weight.{number}"), &self.linear(), Init::xavier_normal())?;
            plain = (plain * self.mask(draw, &format!("mask.{number}"), p)?)?.matmul(&weight.t()?)?;
        }
        // The stack is linear: the corrections of its layers multiply.
        let corrections = correction::dropout_classical(p)?.powi(self.depth as i32);
        draw.record("plain", second_moment(&plain)?)?;
        draw.record("corrected", second_moment(&(plain * corrections)?)?)
    }
}
