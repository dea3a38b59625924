//! Residual streams: doubling, its exceptions, and the price of 1/√2.

use core::f64::consts::FRAC_1_SQRT_2;

use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};
use xexp_init::{Activation, Init, Layer, correction};
use xexp_report::lab::{Figure, Row, Rule, Statistic};

use super::demand::demand;
use super::relu_stream::{relu_cosine, relu_stream};
use super::spread::{self, checkpoints};
use crate::moments::{cosine, second_moment};
use crate::{About, Draw, Experiment, Result, Setup};

/// Stacks of residual blocks `x ← scale·(x + β f(x))`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualDoubling {
    /// Width of the stream and of the branches.
    pub width: usize,
    /// Blocks of the stacks that double, and of those scaled by 1/√2.
    pub depth: usize,
    /// Blocks of the stack whose branches begin with a layer norm.
    pub normalised_depth: usize,
    /// Blocks of the stack whose branches are scaled by 1/√L.
    pub scaled_depth: usize,
    /// Inputs a draw.
    pub batch: usize,
}

impl Default for ResidualDoubling {
    fn default() -> Self {
        ResidualDoubling { width: 128, depth: 10, normalised_depth: 20, scaled_depth: 50, batch: 128 }
    }
}

/// What a block does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Block {
    /// `scale·(x + β W x)` with a Xavier matrix.
    Linear {
        /// Factor on the sum.
        scale: f64,
        /// Factor on the branch.
        beta: f64,
    },
    /// `x + relu(W x)` with a He matrix: the branch keeps the second moment and has a mean.
    Relu,
    /// `x + W₂ relu(W₁ norm(x))`: the branch has second moment 1, whatever the stream has.
    Normalised,
}

/// Block and number of blocks.
pub type Stack = (Block, usize);

/// Each row without its mean and with standard deviation 1.
fn norm(x: &Tensor) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let std = centred.sqr()?.mean_keepdim(D::Minus1)?.sqrt()?;
    Ok(centred.broadcast_div(&std)?)
}

impl ResidualDoubling {
    /// Second moment after so many blocks, and the relative spread of a draw there.
    fn stream(&self, (block, _): Stack, depth: usize) -> (f64, f64) {
        let (n, batch, blocks) = (self.width as f64, self.batch as f64, depth as f64);
        match block {
            Block::Linear { scale, beta } => {
                let gain = 1.0 + beta * beta;
                // |x + βWx|²/|x|² = 1 + 2β z/√n + β²|z|²/n. Two inputs fluctuate together by the square of their cosine,
                // which is 1/n at first and grows by half of `one` a block.
                let one = (4.0 * beta.powi(2) + 2.0 * beta.powi(4)) / (n * gain * gain);
                let all = libm::expm1(blocks * libm::log1p(one));
                (
                    (scale * scale * gain).powi(depth as i32),
                    (all * (1.0 / batch + 1.0 / n + 0.25 * one * blocks).min(1.0)).sqrt(),
                )
            }
            Block::Relu => {
                let (stream, relative) = relu_stream(self.width, depth);
                // Streams grow a common mean, so that inputs fluctuate together.
                (stream[depth], relative.sqrt())
            }
            Block::Normalised => {
                // A block adds 2 x·f/n and |f|²/n; streams of different inputs share a direction, from the means of the
                // hidden units, and fluctuate together by the square of their cosine.
                let (mut all, mut cosine) = (0.0, 0.0);
                for l in 0..depth {
                    let stream = (1 + l) as f64;
                    all += (4.0 * stream + 7.0) / n * (1.0 / batch + cosine * cosine);
                    cosine = (stream * cosine + relu_cosine(cosine)) / (stream + 1.0);
                }
                (1.0 + blocks, all.sqrt() / (1.0 + blocks))
            }
        }
    }

    fn memory(&self, setup: &Setup<Stack>) -> Option<Row> {
        let (Block::Linear { beta, scale }, depth) = setup.of else { return None };
        if scale == 1.0 && beta == 1.0 {
            return None;
        }
        let value = (1.0 + beta * beta).powf(-0.5 * depth as f64);
        // Along x₀ the branches add noise of variance 1/n an input.
        let spread = 1.0 / (self.width as f64 * self.batch as f64).sqrt();
        let reason = "3 %, or half of 1/√(width·batch), the spread of a draw's correlation";
        let quantity = "correlation of the stream with its input";
        Some(Row::new(format!("{}/memory", setup.name), quantity, "memory").near(
            value,
            spread::tolerance(0.03 * value, spread),
            reason,
        ))
    }
}

impl Experiment for ResidualDoubling {
    type Setup = Stack;

    const ABOUT: About = About {
        id: "residual-doubling",
        title: "Residual streams: doubling and its exceptions",
        question: "Does every residual block double the variance, and is 1/√2 the cure without a price?",
        source: "Document, \"Parallel and skip connections\"; De & Smith 2020, section 3; Hayou et al. 2021",
        method: "Stacks of residual blocks on N(0, 1) inputs: x + Wx; the same times 1/√2; branches times 1/√L; branches that \
                 end in a ReLU; branches that begin with a layer norm, as real residual networks have them. A draw is new \
                 weights and inputs; it measures the stream's second moment by depth, and the correlation of the stream with \
                 its input. Controls: linear growth where it doubles, doubling where growth is linear.",
        cost: "3 s",
    };

    fn full() -> Self {
        ResidualDoubling { width: 512, depth: 16, normalised_depth: 64, scaled_depth: 100, batch: 64 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        demand(id, "width", self.width, (16..=16_384).contains(&self.width), "16 to 16384")?;
        demand(
            id,
            "depth",
            self.depth,
            (1..=60).contains(&self.depth),
            "1 to 60, beyond which f32 overflows",
        )?;
        let deep = 1..=1000;
        demand(
            id,
            "normalised_depth",
            self.normalised_depth,
            deep.contains(&self.normalised_depth),
            "1 to 1000",
        )?;
        demand(id, "scaled_depth", self.scaled_depth, deep.contains(&self.scaled_depth), "1 to 1000")?;
        demand(id, "batch", self.batch, self.batch >= 1, "1 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Stack>>> {
        let linear = |scale, beta| Block::Linear { scale, beta };
        let beta = correction::residual_scale(self.scaled_depth)?;
        Ok(vec![
            Setup::new("plain", (linear(1.0, 1.0), self.depth)),
            Setup::new("over-root-2", (linear(correction::RESIDUAL, 1.0), self.depth)),
            Setup::new("over-root-depth", (linear(1.0, beta), self.scaled_depth)),
            Setup::new("relu", (Block::Relu, self.depth)),
            Setup::new("normalised", (Block::Normalised, self.normalised_depth)),
        ])
    }

    fn predict(&self, setup: &Setup<Stack>) -> Result<Vec<Row>> {
        let (block, depth) = setup.of;
        let (least, reason) = match block {
            Block::Relu => (
                0.05,
                "5 %, or half a draw's spread by the same expansion: the width's first-order term is in the prediction",
            ),
            _ => (0.03, "3 %, or half a draw's spread: the mean over weights is exact at every width"),
        };
        let doubling = 2.0f64.powi(depth as i32);
        let mut rows = vec![];
        for point in checkpoints(depth) {
            let (value, spread) = self.stream(setup.of, point);
            let tolerance = spread::tolerance(least, spread);
            let measure = format!("block.{point}");
            let mut row =
                Row::new(format!("{}/block-{point}", setup.name), "second moment of the stream", &measure)
                    .about(value, tolerance, reason)
                    .at("stream", &setup.name, point as f64);
            if block == Block::Relu {
                row = row.by(Statistic::SkewedMean { of: measure });
            }
            if point == depth {
                let doubles = "Every residual block doubles the variance, so that it explodes in deep residual networks.";
                let keeps = "The factor 1/√2 on x + f(x) keeps the variance.";
                row = match block {
                    Block::Linear { scale, beta } if beta == 1.0 && scale == 1.0 => row.claim(
                        doubles,
                        Rule::about(doubling, tolerance),
                        "it holds for a branch without norm and without mean",
                    ),
                    Block::Linear { scale, .. } if scale == FRAC_1_SQRT_2 => row.claim(
                        keeps,
                        Rule::about(1.0, tolerance),
                        "it holds, and the stream forgets its input: their correlation falls to 2^(−L/2)",
                    ),
                    Block::Linear { .. } => row,
                    Block::Relu => row.claim(
                        doubles,
                        Rule::about(doubling, tolerance),
                        "a branch that ends in a ReLU has a mean, which adds up over blocks: it grows faster",
                    ),
                    Block::Normalised => row.claim(
                        doubles,
                        Rule::about(doubling, tolerance),
                        "a normalised branch adds 1 a block whatever the stream has: growth is linear, 1 + L",
                    ),
                };
            }
            rows.push(row);
        }
        rows.extend(self.memory(setup));
        let wrong = match block {
            Block::Linear { scale, beta } if beta == 1.0 && scale == 1.0 => Some(1.0 + depth as f64),
            Block::Normalised => Some(doubling),
            _ => None,
        };
        if let Some(wrong) = wrong.filter(|_| depth >= 3) {
            let row = Row::new(
                format!("{}/control", setup.name),
                "second moment, by the other law",
                &format!("block.{depth}"),
            );
            let row =
                row.about(wrong, least, "1 + L where the stream doubles, 2^L where a norm bounds the branch");
            rows.push(row.control());
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Stack>, draw: &mut Draw<'_>) -> Result<()> {
        let (block, depth) = setup.of;
        let layer = Layer::Linear { input: self.width, output: self.width };
        let x = draw.normal("input", &[self.batch, self.width], 1.0)?;
        let start = (&x / second_moment(&x)?.sqrt())?;
        let mut x = start.clone();
        let points = checkpoints(depth);
        for number in 1..=depth {
            let weight = |part: &str, init: Init| -> Result<Tensor> {
                Ok(draw.weight(&format!("block.{number}.{part}"), &layer, init)?.t()?)
            };
            x = match block {
                Block::Linear { scale, beta } => {
                    let branch = x.matmul(&weight("first", Init::xavier_normal())?)?;
                    ((&x + (branch * beta)?)? * scale)?
                }
                Block::Relu => {
                    let first = weight("first", Init::he(Activation::Relu))?;
                    (&x + x.matmul(&first)?.relu()?)?
                }
                Block::Normalised => {
                    let first = weight("first", Init::he(Activation::Relu))?;
                    let second = weight("second", Init::lecun())?;
                    (&x + norm(&x)?.matmul(&first)?.relu()?.matmul(&second)?)?
                }
            };
            if points.contains(&number) {
                draw.record(&format!("block.{number}"), second_moment(&x)?)?;
            }
        }
        draw.record("memory", cosine(&start, &x)?)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("stream", "Second moment of the stream by depth", "block", "second moment")
                .log_x()
                .log_y(),
        ]
    }
}
