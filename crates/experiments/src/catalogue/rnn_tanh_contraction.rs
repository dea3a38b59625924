//! Backpropagation through a tanh network: exponential with input, a power law without.

use core::f64::consts::PI;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use xexp_init::{Activation, Init, Layer};
use xexp_report::lab::{Figure, Row, Rule, Statistic};

use super::demand::demand;
use super::spread::checkpoints;
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Recurrent networks `h ← tanh(W h + u)`, one Xavier matrix at all steps.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RnnTanhContraction {
    /// Width of the state and variance of the input `u` at each unit, for each network. A network with input starts from
    /// the zero state, one without (variance 0) from an N(0, 1) state.
    pub networks: Vec<(usize, f64)>,
    /// Steps forward, and back.
    pub steps: usize,
    /// Sequences a draw.
    pub batch: usize,
}

impl Default for RnnTanhContraction {
    fn default() -> Self {
        RnnTanhContraction { networks: vec![(512, 0.25), (512, 1.0), (1024, 0.0)], steps: 40, batch: 16 }
    }
}

/// One network.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    width: usize,
    input: f64,
}

impl Network {
    fn start(self) -> f64 {
        if self.input == 0.0 { 1.0 } else { 0.0 }
    }

    /// Second moment of the state after each step, and the factor of each step on the gradient's second moment.
    ///
    /// Mean field: pre-activations are N(0, q + s), fresh at each step. Source: Poole et al. 2016; Schoenholz et al. 2017.
    fn mean_field(self, steps: usize) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut q = self.start();
        let (mut states, mut factors) = (vec![], vec![]);
        for _ in 0..steps {
            factors.push(mean_slope_squared(q + self.input));
            q = Activation::Tanh.second_moment(q + self.input)?;
            states.push(q);
        }
        Ok((states, factors))
    }

    /// Relative tolerance for `t` steps, and whether mean field is used outside its range.
    ///
    /// Tied weights make steps depend on each other. With input that forgets within a few steps, each step errs by order
    /// 1/n, hence the product by t/n; without input it is the powers of one matrix, with corrections in t²/n.
    fn slack(self, t: usize) -> (f64, bool) {
        let (n, t) = (self.width as f64, t as f64);
        if self.input > 0.0 {
            (0.05 + 2.5 * t / n, t > 0.2 * n)
        } else {
            (0.05 + 30.0 / n + 0.1 * t * t / n, t * t > 4.0 * n)
        }
    }
}

/// `E[sech⁴(√v z)]` for `z ~ N(0, 1)`, by the trapezoid rule in `ln z`, which resolves a peak of any width at zero.
/// Source: Trefethen & Weideman 2014, theorem 5.1.
fn mean_slope_squared(v: f64) -> f64 {
    const PER_UNIT: f64 = 16.0;
    let root = v.sqrt();
    let term = |i: i32| {
        let z = libm::exp(f64::from(i) / PER_UNIT);
        z * libm::exp(-0.5 * z * z) / libm::cosh(root * z).powi(4)
    };
    (2.0 / PI).sqrt() * (-640..=48).map(term).sum::<f64>() / PER_UNIT
}

impl Experiment for RnnTanhContraction {
    type Setup = Network;

    const ABOUT: About = About {
        id: "rnn-tanh-contraction",
        title: "Gradients through a tanh recurrence",
        question: "At what rate do gradients vanish in a Xavier tanh network, and is the vanishing always exponential?",
        source: "Document, \"Recurrent networks\"; Poole et al. 2016; Schoenholz et al. 2017",
        method: "h ← tanh(W h + u) with one Xavier matrix at all steps and fresh normal input u of a given variance at each \
                 unit; then a random gradient at the last state goes back through all steps. A draw is a new matrix and new \
                 sequences; it measures the state's second moment and the gradient's by step. Controls: a linear network, \
                 which keeps the gradient, and without input the exponential that the first half of the way would give.",
        cost: "8 s",
    };

    fn full() -> Self {
        let networks = vec![(1024, 0.01), (1024, 0.25), (1024, 1.0), (2048, 0.0)];
        RnnTanhContraction { networks, steps: 60, batch: 16 }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let fits =
            |&(width, input): &(usize, f64)| (16..=16_384).contains(&width) && (0.0..=1e4).contains(&input);
        let distinct =
            self.networks.iter().enumerate().all(|(i, network)| !self.networks[..i].contains(network));
        let valid = !self.networks.is_empty() && self.networks.iter().all(fits) && distinct;
        demand(
            id,
            "networks",
            &self.networks,
            valid,
            "distinct [width from 16, input variance from 0 to 1e4]",
        )?;
        demand(id, "steps", self.steps, (4..=400).contains(&self.steps), "4 to 400")?;
        demand(id, "batch", self.batch, self.batch >= 1, "1 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Network>>> {
        let setup = |&(width, input): &(usize, f64)| {
            Setup::new(format!("n{width}-s{input}"), Network { width, input })
        };
        Ok(self.networks.iter().map(setup).collect())
    }

    fn predict(&self, setup: &Setup<Network>) -> Result<Vec<Row>> {
        let network = setup.of;
        let (states, factors) = network.mean_field(self.steps)?;
        let reason = if network.input > 0.0 {
            "5 % + 2.5 t/n: mean field takes each step's weights for new ones; tied ones make each step err by order 1/n"
        } else {
            "5 % + 30/n + t²/(10n): mean field takes each step's weights for new ones; without input, corrections of tied \
             weights come in powers of t²/n"
        };
        let outside = "so many steps lie outside mean field's range for tied weights of this width";
        let announced = |row: Row, far: bool| if far { row.announce(outside) } else { row };
        let name = |part: &str| format!("{}/{part}", setup.name);
        let ratio = |t: usize| factors[self.steps - t..].iter().product::<f64>();
        let (slack, far) = network.slack(self.steps);
        // The state forgets: with input only the last few steps bear on it.
        let state = if network.input > 0.0 { 0.02 + 10.0 / network.width as f64 } else { slack };
        let row = Row::new(name("state"), "second moment of the last state", "state").about(
            states[self.steps - 1],
            state,
            reason,
        );
        let mut rows = vec![announced(row, far)];
        for t in checkpoints(self.steps) {
            let (slack, far) = network.slack(t);
            let measure = format!("gradient.{t}");
            let mut row = Row::new(
                name(&format!("back-{t}")),
                "second moment of the gradient so many steps back",
                &measure,
            )
            .by(Statistic::SkewedMean { of: measure.clone() })
            .about(ratio(t), slack, reason)
            .at("gradient", &setup.name, t as f64);
            if t == self.steps {
                row = row.claim(
                    "The derivative of tanh is below 1 and contracts gradients, however careful the initialization.",
                    Rule::AtMost { value: 1.0 },
                    "it holds, at a rate that follows from the input: exponential with input, a power law of the number of \
                     steps without",
                );
            }
            rows.push(announced(row, far));
        }
        let (last, half) = (self.steps, self.steps / 2);
        let doubling = last as f64 / half as f64;
        // Over t steps from the start the gradient falls as t^a: from `half` to `last` steps by the factors in between.
        let slope = libm::log(ratio(last - half)) / libm::log(doubling);
        if network.input == 0.0 && slope.is_finite() {
            let reason = "the tolerance of the last half of the way, over the logarithm of the steps' ratio";
            let quantity =
                "power of the number of steps that the gradient falls by, from half the steps to all";
            let row = Row::new(name("exponent"), quantity, "exponent").near(
                slope,
                network.slack(last - half).0 / libm::log(doubling),
                reason,
            );
            rows.push(announced(row, far));
            let exponential = factors[..half].iter().product::<f64>().powf(doubling);
            // A control needs a distance that the tolerance of mean field does not bridge.
            if slack < 0.5 && exponential < 0.3 * ratio(last) {
                let quantity = "second moment of the gradient, if it fell exponentially";
                let reason = "the first half of the way, continued exponentially";
                let row = Row::new(name("exponential-control"), quantity, &format!("gradient.{last}"));
                rows.push(row.about(exponential, 0.1, reason).control());
            }
        }
        if slack < 0.5 && ratio(last) < 0.5 {
            let quantity = "second moment of the gradient, if the network were linear";
            let row = Row::new(name("control"), quantity, &format!("gradient.{last}"));
            rows.push(row.about(1.0, 0.1, "radius 1 alone").control());
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Network>, draw: &mut Draw<'_>) -> Result<()> {
        let Network { width, input } = setup.of;
        let shape = [self.batch, width];
        let weight = draw.weight(
            "weight",
            &Layer::Recurrent { input: width, hidden: width, gates: 1 },
            Init::xavier_normal(),
        )?;
        let transposed = weight.t()?;
        let mut h = draw.normal("start", &shape, setup.of.start().sqrt())?;
        let mut slopes: Vec<Tensor> = vec![];
        for t in 1..=self.steps {
            let mut a = h.matmul(&transposed)?;
            if input > 0.0 {
                a = (a + draw.normal(&format!("input.{t}"), &shape, input.sqrt())?)?;
            }
            h = a.tanh()?;
            slopes.push((1.0 - h.sqr()?)?);
        }
        draw.record("state", second_moment(&h)?)?;
        let points = checkpoints(self.steps);
        let mut g = draw.normal("gradient", &shape, 1.0)?;
        // The gradient is kept at unit size and its size beside it, in logarithms: it may fall below what f32 holds.
        let mut ln_size = 0.0;
        g = (&g / second_moment(&g)?.sqrt())?;
        let mut second_half = 0.0;
        for (back, slope) in slopes.iter().rev().enumerate().map(|(i, slope)| (i + 1, slope)) {
            g = (g * slope)?.matmul(&weight)?;
            let size = second_moment(&g)?;
            ln_size += libm::log(size);
            g = (&g / size.sqrt())?;
            if back == self.steps - self.steps / 2 {
                second_half = ln_size;
            }
            if points.contains(&back) {
                draw.record(&format!("gradient.{back}"), libm::exp(ln_size))?;
            }
        }
        let ln_ratio = libm::log(self.steps as f64 / (self.steps / 2) as f64);
        draw.record("exponent", second_half / ln_ratio)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new(
                "gradient",
                "Gradient by steps back",
                "steps back",
                "second moment over that at the end",
            )
            .log_x()
            .log_y(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_those_of_an_independent_quadrature() {
        // numpy, trapezoid rule on [−12, 12] with 4801 points.
        for (input, state, product) in [
            (0.25, 0.284_648_656, 4.698_778_9e-10),
            (1.0, 0.463_850_891, 1.287_207_37e-16),
            (0.0, 0.012_814_168, 0.017_944_578),
        ] {
            let (states, factors) = Network { width: 512, input }.mean_field(40).unwrap();
            assert!((states[39] / state - 1.0).abs() < 1e-7, "{input}: {}", states[39]);
            assert!((factors.iter().product::<f64>() / product - 1.0).abs() < 1e-7, "{input}");
        }
    }
}
