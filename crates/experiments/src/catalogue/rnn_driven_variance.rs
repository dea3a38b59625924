//! A driven recurrent network: two matrices feed one sum.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::{demand, fits};
use super::ginibre;
use super::spread::{self, checkpoints};
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Linear recurrent networks `h ← W_hh h + W_xh x` on independent unit inputs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RnnDrivenVariance {
    /// Width of the hidden state.
    pub hidden: usize,
    /// Widths of the input, a pair of set-ups each.
    pub inputs: Vec<usize>,
    /// Steps from the zero state.
    pub steps: usize,
    /// Sequences a draw.
    pub batch: usize,
}

impl Default for RnnDrivenVariance {
    fn default() -> Self {
        RnnDrivenVariance { hidden: 512, inputs: vec![512, 128], steps: 20, batch: 16 }
    }
}

/// One network.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    input: usize,
    /// One variance `1/(n_in + n)` for both matrices, instead of Xavier for each alone.
    joint: bool,
}

impl RnnDrivenVariance {
    /// What a step adds, and the factor on what was there, both at infinite width.
    fn gains(&self, Network { input, joint }: Network) -> (f64, f64) {
        let (x, n) = (input as f64, self.hidden as f64);
        if joint { (x / (x + n), n / (x + n)) } else { (2.0 * x / (x + n), 1.0) }
    }

    /// Second moment of the state after `t` steps, and of it what is due to the finite width.
    ///
    /// The input of `s` steps ago comes through `W^s`: `Σ_{s<t} added · kept^s · E|W^s u|²/|u|²`.
    fn state(&self, network: Network, t: usize) -> (f64, f64) {
        let (added, kept) = self.gains(network);
        let term = |s: usize| added * kept.powi(s as i32);
        let finite = |s: usize| term(s) * (ginibre::power(self.hidden, s) - 1.0);
        let excess: f64 = (0..t).map(finite).sum();
        ((0..t).map(term).sum::<f64>() + excess, excess)
    }
}

impl Experiment for RnnDrivenVariance {
    type Setup = Network;

    const ABOUT: About = About {
        id: "rnn-driven-variance",
        title: "A driven recurrent network",
        question: "If W_xh and W_hh each get Xavier weights of their own, does the hidden state keep its variance?",
        source: "Document, \"Recurrent networks\"; E|h_t|² = Σ_s E|W_hh^s W_xh x|²",
        method: "A linear recurrent network runs from the zero state on independent N(0, 1) inputs, one W_hh at all steps: \
                 Xavier for each matrix alone, and one variance 1/(n_in + n) for both as one matrix of n_in + n inputs. A \
                 draw is new matrices and new sequences; it measures the second moment of the state by step. The control \
                 lets the two paths not add up.",
        cost: "3 s",
    };

    fn full() -> Self {
        RnnDrivenVariance { hidden: 1024, inputs: vec![1024, 256], steps: 40, batch: 32 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        demand(id, "hidden", self.hidden, (16..=16_384).contains(&self.hidden), "16 to 16384")?;
        let valid = !self.inputs.is_empty() && self.inputs.iter().all(|n| (16..=16_384).contains(n));
        demand(id, "inputs", &self.inputs, valid, "one or more numbers from 16 to 16384")?;
        demand(id, "steps", self.steps, (1..=200).contains(&self.steps), "1 to 200")?;
        let widest = self.inputs.iter().copied().fold(self.hidden, usize::max);
        demand(id, "batch", self.batch, fits(&[self.batch, widest]), "1 or more sequences that memory holds")
    }

    fn setups(&self) -> Result<Vec<Setup<Network>>> {
        let setup = |input: usize, joint: bool| {
            let name = if joint { format!("in{input}-joint") } else { format!("in{input}") };
            Setup::new(name, Network { input, joint })
        };
        Ok(self.inputs.iter().flat_map(|&input| [setup(input, false), setup(input, true)]).collect())
    }

    fn predict(&self, setup: &Setup<Network>) -> Result<Vec<Row>> {
        let network = setup.of;
        let reason = "4 %, or half of a draw's spread, about m²/(3√12 n) over the m steps that the state remembers; and as much \
                      again as the finite width adds to the prediction: complex weights stand for real ones in it";
        let outside = "tied weights: beyond t ≈ √n their powers grow, and the term of first order that is in the prediction \
                       does not cover it";
        let mut rows = vec![];
        for t in checkpoints(self.steps) {
            let (value, excess) = self.state(network, t);
            let (_, kept) = self.gains(network);
            let remembered: f64 = (0..t).map(|s| kept.powi(s as i32)).sum();
            let spread = remembered.powi(2) / (3.0 * 12.0f64.sqrt() * self.hidden as f64);
            let tolerance = spread::tolerance(0.04, spread) * value + excess;
            let mut row = Row::new(
                format!("{}/step-{t}", setup.name),
                "second moment of the state",
                &format!("state.{t}"),
            )
            .near(value, tolerance, reason)
            .at("state", &setup.name, t as f64);
            if excess > 0.25 * value {
                row = row.announce(outside);
            }
            if t == self.steps && !network.joint {
                row = row.claim(
                    "Xavier weights for W_xh and W_hh, each by its own fans, keep the variance of the hidden state.",
                    Rule::about(1.0, 0.1),
                    "a state is the sum of both products: each step adds 2 n_in/(n_in + n), and the linear network keeps all \
                     of it",
                );
            }
            rows.push(row);
        }
        if self.steps > 2 {
            let (added, kept) = self.gains(network);
            // Without the recurrent path, or with a joint variance of which only the input's part counts.
            let wrong = if network.joint { added * kept } else { added };
            rows.push(
                Row::new(
                    format!("{}/control", setup.name),
                    "second moment of the state, if the paths did not add up",
                    &format!("state.{}", self.steps),
                )
                .about(wrong, 0.04, "the input's path alone")
                .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Network>, draw: &mut Draw<'_>) -> Result<()> {
        let Network { input, joint } = setup.of;
        let hidden = self.hidden;
        let init = if joint {
            Init::Normal { std: Init::lecun().std(&Layer::Linear { input: input + hidden, output: hidden })? }
        } else {
            Init::xavier_normal()
        };
        let layer = |input| Layer::Recurrent { input, hidden, gates: 1 };
        let xh = draw.weight("xh", &layer(input), init)?.t()?;
        let hh = draw.weight("hh", &layer(hidden), init)?.t()?;
        let points = checkpoints(self.steps);
        let mut h = Tensor::zeros((self.batch, hidden), DType::F32, draw.device)?;
        for t in 1..=self.steps {
            let x = draw.normal(&format!("input.{t}"), &[self.batch, input], 1.0)?;
            h = (h.matmul(&hh)? + x.matmul(&xh)?)?;
            if points.contains(&t) {
                draw.record(&format!("state.{t}"), second_moment(&h)?)?;
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        vec![Figure::new("state", "Second moment of the driven state", "step", "E h²")]
    }
}
