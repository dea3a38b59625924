//! Sums of parallel branches: `N` times the variance, and what `1/√N` does with and without a mean.

use core::f64::consts::PI;

use serde::{Deserialize, Serialize};
use xexp_init::{Activation, Init, Layer, correction};
use xexp_report::lab::{Figure, Looks, Row, Rule};

use super::demand::demand;
use super::spread;
use crate::moments::{second_moment, variance};
use crate::{About, Draw, Experiment, Result, Setup};

/// Parallel square maps of one input, added up.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InceptionSum {
    /// Numbers of branches, a set-up each.
    pub branches: Vec<usize>,
    /// Channels in and out of a branch.
    pub width: usize,
    /// Inputs a draw.
    pub batch: usize,
}

impl Default for InceptionSum {
    fn default() -> Self {
        InceptionSum { branches: vec![2, 3, 4, 8], width: 512, batch: 64 }
    }
}

impl Experiment for InceptionSum {
    type Setup = usize;

    const ABOUT: About = About {
        id: "inception-sum",
        title: "Sum of parallel branches",
        question: "Does adding N branches multiply the variance by N, and does 1/√N undo it, also behind a ReLU?",
        source: "Document, \"Parallel and skip connections\"; E[(Σ yᵢ)²] = Σ E[yᵢ²] + Σ E[yᵢ] E[yⱼ]",
        method: "N square Xavier maps with independent weights read the same N(0, 1) input; their outputs are added as they \
                 are, and behind a ReLU with He weights. A draw is new weights and a new input; it measures second moment \
                 and variance of the sums, relative to the input's second moment. The control adds amplitudes: N².",
        cost: "2 s",
    };

    fn full() -> Self {
        InceptionSum { branches: vec![2, 3, 4, 8, 16, 32], width: 512, batch: 64 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let valid = !self.branches.is_empty() && self.branches.iter().all(|n| (1..=1024).contains(n));
        demand(id, "branches", &self.branches, valid, "one or more numbers from 1 to 1024")?;
        demand(id, "width", self.width, self.width >= 8, "8 or more")?;
        demand(id, "batch", self.batch, self.batch >= 1, "1 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<usize>>> {
        let looks = Looks::at(&[10, 20, 40, 80])?;
        let setup = |&count: &usize| Setup { name: format!("n{count}"), looks: looks.clone(), of: count };
        Ok(self.branches.iter().map(setup).collect())
    }

    fn predict(&self, setup: &Setup<usize>) -> Result<Vec<Row>> {
        let count = setup.of;
        let n = count as f64;
        let tolerance = spread::tolerance(0.02, spread::of_map(self.width, self.width, self.batch));
        let reason = "2 %, or half a draw's spread √(2(1/batch + 1/width)/width): the mean over weights is exact at every \
                      width";
        let name = |part: &str| format!("{}/{part}", setup.name);
        let adds = "The variance of a sum of N independent branches is N times that of one branch.";
        let restores = "Scaling every branch by 1/√N restores the scale that one branch has.";
        let holds = "it holds: the products of different branches average to zero, since their weights are independent";
        let with_mean = "outputs of a ReLU have a mean of √(v/π), means add up coherently to N², and the next layer sees \
                         E[x²], not the variance: (1 − 1/π) + N/π is left";
        let relu = 1.0 / correction::relu_branches(count)?.powi(2);
        let mut rows = vec![
            Row::new(name("sum"), "second moment of the sum over that of a branch", "sum")
                .about(n, tolerance, reason)
                .claim(adds, Rule::about(n, tolerance), holds)
                .at("sum", "no activation", n),
            Row::new(name("over-root-n"), "second moment of the sum over √N", "scaled")
                .about(1.0, tolerance, reason)
                .claim(restores, Rule::about(1.0, tolerance), holds)
                .at("scaled", "no activation", n),
            Row::new(
                name("relu-variance"),
                "variance of a sum of ReLU branches over that of a branch",
                "relu-variance",
            )
            .about(n, tolerance, "as above; the mean's own fluctuation takes another 1/width")
            .claim(adds, Rule::about(n, tolerance), "it holds for the variance, means or not"),
            Row::new(name("relu-over-root-n"), "second moment of a sum of ReLU branches over √N", "relu")
                .about(relu / n, tolerance, reason)
                .claim(restores, Rule::about(1.0, tolerance), with_mean)
                .at("scaled", "behind a ReLU", n),
            Row::new(
                name("relu-corrected"),
                "the same, scaled by 1/√(N (1 − 1/π + N/π)) instead",
                "relu-corrected",
            )
            .about(1.0, tolerance, reason),
        ];
        if count > 1 {
            rows.push(
                Row::new(name("control"), "second moment of the sum, if amplitudes added up", "sum")
                    .about(n * n, tolerance, reason)
                    .control()
                    .at("sum", "N², the control", n),
            );
            rows.push(
                Row::new(name("relu-control"), "second moment behind ReLUs, if they had no mean", "relu")
                    .about(1.0, tolerance, reason)
                    .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<usize>, draw: &mut Draw<'_>) -> Result<()> {
        let n = setup.of as f64;
        let layer = Layer::Linear { input: self.width, output: self.width };
        let x = draw.normal("input", &[self.batch, self.width], 1.0)?;
        let v = second_moment(&x)?;
        let (mut sum, mut relu) = (x.zeros_like()?, x.zeros_like()?);
        for branch in 0..setup.of {
            let weight = draw.weight(&format!("branch.{branch}"), &layer, Init::xavier_normal())?;
            let y = x.matmul(&weight.t()?)?;
            sum = (sum + &y)?;
            relu = (relu + (y * Activation::Relu.gain())?.relu()?)?;
        }
        draw.record("sum", second_moment(&sum)? / v)?;
        draw.record("scaled", second_moment(&sum)? / v / n)?;
        draw.record("relu", second_moment(&relu)? / v / n)?;
        draw.record("relu-variance", variance(&relu)? / v / (1.0 - 1.0 / PI))?;
        draw.record(
            "relu-corrected",
            second_moment(&relu)? / v * correction::relu_branches(setup.of)?.powi(2),
        )
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("sum", "Sum of N branches", "branches", "second moment").log_x().log_y(),
            Figure::new("scaled", "Sum of N branches, scaled by 1/√N", "branches", "second moment").log_x(),
        ]
    }
}
