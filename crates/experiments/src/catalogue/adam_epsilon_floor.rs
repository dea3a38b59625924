//! Weights that are too small: gradients fall as a power of the gain, and Adam's ε decides whether it can amplify them.

use serde::{Deserialize, Serialize};
use xexp_init::Activation;
use xexp_report::lab::{Figure, Looks, Row, Rule};

use super::demand::{demand, positive};
use super::small_net::{Hidden, Net, Optimizer, Rule as Update};
use super::tanh_layer::{mean_even, slope};
use super::teacher::Teacher;
use crate::{About, Draw, Experiment, Result, Setup};

/// A deep tanh network from small weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamEpsilonFloor {
    /// Factors on Xavier's standard deviation of every layer, small against 1.
    pub gains: Vec<f64>,
    /// The gain that gradients are compared with.
    pub reference: f64,
    /// Widths, from the inputs to the classes.
    pub sizes: Vec<usize>,
    /// Examples to train on.
    pub train: usize,
    /// Gains that are also trained.
    pub train_gains: Vec<f64>,
    /// Values of Adam's ε.
    pub epsilons: Vec<f64>,
    /// Learning rate of Adam.
    pub rate: f64,
    /// Steps of Adam, each on all examples.
    pub steps: usize,
    /// Draws of each trained network.
    pub runs: usize,
}

impl Default for AdamEpsilonFloor {
    fn default() -> Self {
        AdamEpsilonFloor {
            gains: vec![0.1, 0.03, 0.01, 0.003, 0.001],
            reference: 0.1,
            sizes: vec![32, 64, 64, 64, 64, 10],
            train: 256,
            train_gains: vec![0.1, 0.003, 0.001],
            epsilons: vec![1e-8, 1e-20],
            rate: 1e-3,
            steps: 300,
            runs: 5,
        }
    }
}

/// What is built.
pub enum Part {
    /// Gradients at the beginning.
    Start(f64),
    /// Training with Adam.
    Trained {
        /// Factor on Xavier's standard deviation.
        gain: f64,
        /// Adam's ε.
        epsilon: f64,
    },
}

/// What the document says, in one place for all rows.
const AMPLIFIES: &str = "If weights are too small, Adam amplifies the gradient signal.";

impl Experiment for AdamEpsilonFloor {
    type Setup = Part;

    const ABOUT: About = About {
        id: "adam-epsilon-floor",
        title: "Adam's ε and small weights",
        question: "How far can Adam make up for weights that are too small?",
        source: "Document, \"Interaction with optimizers\"; Kingma & Ba 2015, algorithm 1, for ε",
        method: "A tanh network with all weights small against Xavier's, on classes given by a linear teacher. The middle \
                 layer's gradient and Adam's first step are measured against closed forms; then Adam trains for some hundred \
                 steps with the usual ε and with a much smaller one. A draw is a new network with a new teacher and new data. \
                 Controls: a gradient that falls in proportion to the gain, and an Adam without ε.",
        cost: "6 s",
    };

    fn full() -> Self {
        let train_gains = vec![0.3, 0.1, 0.03, 0.01, 0.003, 0.001];
        AdamEpsilonFloor {
            train_gains,
            epsilons: vec![1e-6, 1e-8, 1e-12, 1e-20],
            runs: 10,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let small = |gains: &[f64]| gains.iter().all(|gain| positive(*gain) && *gain <= 0.3);
        demand(id, "gains", &self.gains, small(&self.gains), "numbers above 0 and up to 0.3")?;
        demand(
            id,
            "train_gains",
            &self.train_gains,
            small(&self.train_gains),
            "numbers above 0 and up to 0.3",
        )?;
        demand(id, "reference", self.reference, small(&[self.reference]), "a number above 0 and up to 0.3")?;
        let valid = self.sizes.len() >= 4
            && self.sizes.iter().all(|size| (2..=1 << 16).contains(size))
            && self.sizes.last() <= self.sizes.first();
        demand(
            id,
            "sizes",
            &self.sizes,
            valid,
            "four or more sizes from 2 to 65536, no more classes than inputs",
        )?;
        let epsilons = self.epsilons.iter().all(|epsilon| positive(*epsilon));
        demand(id, "epsilons", &self.epsilons, epsilons, "positive numbers")?;
        demand(id, "rate", self.rate, positive(self.rate), "a positive number")?;
        let counts = [self.train, self.steps];
        demand(
            id,
            "train, steps",
            counts,
            counts.iter().all(|n| (1..=1 << 20).contains(n)),
            "from 1 to 2^20",
        )?;
        demand(id, "runs", self.runs, self.runs >= 2, "2 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Part>>> {
        let starts =
            self.gains.iter().map(|&gain| Setup::new(format!("start-gain-{gain}"), Part::Start(gain)));
        let looks = Looks::at(&[self.runs])?;
        let pairs = self.train_gains.iter().flat_map(|&gain| self.epsilons.iter().map(move |&e| (gain, e)));
        let trained = pairs.map(|(gain, epsilon)| Setup {
            looks: looks.clone(),
            ..Setup::new(format!("trained-gain-{gain}-eps-{epsilon:e}"), Part::Trained { gain, epsilon })
        });
        Ok(starts.chain(trained).collect())
    }

    fn predict(&self, setup: &Setup<Part>) -> Result<Vec<Row>> {
        match setup.of {
            Part::Start(gain) => self.start_rows(&setup.name, gain),
            Part::Trained { gain, epsilon } => self.trained_rows(&setup.name, gain, epsilon),
        }
    }

    fn draw(&self, setup: &Setup<Part>, draw: &mut Draw<'_>) -> Result<()> {
        let teacher = self.teacher();
        let [train] = teacher.examples(draw, [("train", self.train)])?;
        let middle = self.middle();
        match setup.of {
            Part::Start(gain) => {
                let net = Net::draw(&self.sizes, Hidden::Tanh, gain, draw)?;
                let gradient = net.slope(&train).gradients.swap_remove(middle);
                let count = gradient.len() as f64;
                let square = xexp_kernels::sum_of_squares(&gradient) / count;
                draw.record("square", square)?;
                for epsilon in &self.epsilons {
                    // The first step is g/(|g| + ε), which the weights are too coarse to show: taken from its formula.
                    let step = |g: &f32| {
                        let g = f64::from(g.abs());
                        (g / (g + epsilon)).powi(2)
                    };
                    draw.record(
                        &format!("step {epsilon:e}"),
                        gradient.iter().map(step).sum::<f64>() / count,
                    )?;
                }
                let there = net.times(self.reference / gain).slope(&train).gradients.swap_remove(middle);
                let square_there = xexp_kernels::sum_of_squares(&there) / count;
                draw.record("ratio", (square / square_there).sqrt())
            }
            Part::Trained { gain, epsilon } => {
                let mut net = Net::draw(&self.sizes, Hidden::Tanh, gain, draw)?;
                let rule = Update::Adam { rate: self.rate, epsilon };
                Optimizer::new(rule, &net).train(&mut net, &train, self.steps);
                draw.record("loss", net.slope(&train).loss)
            }
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let gain = "gain of the weights";
        vec![
            Figure::new("gradient", "Gradient at small weights", gain, "over that of the reference")
                .log_x()
                .log_y(),
            Figure::new("loss", "Loss after training with Adam", gain, "nats").log_x(),
        ]
    }
}

impl AdamEpsilonFloor {
    fn teacher(&self) -> Teacher {
        let classes = self.sizes[self.sizes.len() - 1];
        Teacher { width: self.sizes[0], classes, noise: 0.0 }
    }

    /// Index of the layer that is measured.
    fn middle(&self) -> usize {
        (self.sizes.len() - 1) / 2
    }

    /// Mean square of the middle layer's gradient.
    ///
    /// At small weights the softmax is uniform and the network linear, and the gradient is `B M A` with the layers above
    /// and below it and `M` the gradient of a head at zero. Each layer multiplies squares by its gain, a tanh between by
    /// `E[φ']²`: of the part of a signal that follows the input, as of its second moment, to first order.
    fn mean_square(&self, gain: f64) -> Result<f64> {
        let fans: Vec<(f64, f64)> = self.sizes.windows(2).map(|p| (p[0] as f64, p[1] as f64)).collect();
        let layer = self.middle();
        let variance = |(a, b): (f64, f64)| gain * gain * 2.0 / (a + b);
        let mut square = self.teacher().gradient_at_zero(self.train);
        let mut q = 1.0;
        for (i, &fan) in fans.iter().enumerate() {
            if i != layer {
                // Below, an input's image has as many components as outputs; above, as many as inputs.
                square *= variance(fan) * if i < layer { fan.1 } else { fan.0 };
            }
            q *= fan.0 * variance(fan);
            if i + 1 < fans.len() {
                let root = q.sqrt();
                square *= mean_even(|z| slope(root * z)).powi(2);
                q = Activation::Tanh.second_moment(q)?;
            }
        }
        Ok(square / (fans[layer].0 * fans[layer].1))
    }

    fn start_rows(&self, setup: &str, gain: f64) -> Result<Vec<Row>> {
        let name = |part: &str| format!("{setup}/{part}");
        let square = self.mean_square(gain)?;
        let relative = gain / self.reference;
        let order = self.sizes.len() as i32 - 2;
        // What is left out is of fourth order in the larger gain.
        let left_out = 10.0 * gain.max(self.reference).powi(4);
        let ratio = (square / self.mean_square(self.reference)?).sqrt();
        let mut rows = vec![
            Row::new(name("power"), "root mean square of the middle layer's gradient, over that at the reference", "ratio")
                .about(
                    ratio,
                    0.01 + left_out,
                    "the same weights but for their scale: what differs is of fourth order in the gain; 1 % for f32 and \
                     for tanh at finite width",
                )
                .at("gradient", "middle layer", gain),
            Row::new(name("square"), "mean square of the middle layer's gradient", "square").about(
                square,
                0.1 + left_out,
                "10 %: exact over weights and data to fourth order in the gain; a draw spreads by some 20 %, by products \
                 of layers of finite width",
            ),
        ];
        if (relative - 1.0).abs() > 0.2 && order > 1 {
            rows.push(
                Row::new(name("control"), "the same, if gradients fell in proportion to the gain", "ratio")
                    .about(relative, 0.05, "far wider than the spread")
                    .control()
                    .at("gradient", "in proportion", gain),
            );
        }
        for &epsilon in &self.epsilons {
            let size = square.sqrt() / epsilon;
            let step = format!("step-eps-{epsilon:e}");
            let row = Row::new(
                name(&step),
                "mean square of Adam's first step, over the learning rate",
                &format!("step {epsilon:e}"),
            );
            let claim = "Adam's step is as long for a small gradient as for a large one.";
            let says = Rule::AtLeast { value: 0.25 };
            rows.push(if size < 1e-2 {
                row.about(
                    size * size,
                    0.15,
                    "a gradient far below ε moves weights by g/ε; twice its share of ε and the spread of the mean square",
                )
                .claim(claim, says, "a gradient below ε is not amplified: the step is g/ε of the learning rate")
            } else if size > 1e3 {
                let reason = "a gradient far above ε moves weights by the learning rate; the share of entries near ε is small";
                row.near(1.0, 0.03, reason).claim(claim, says, "it holds as long as the gradient is above ε")
            } else {
                row.claim(claim, says, "the gradient is about as large as ε")
            });
        }
        Ok(rows)
    }

    fn trained_rows(&self, setup: &str, gain: f64, epsilon: f64) -> Result<Vec<Row>> {
        let name = |part: &str| format!("{setup}/{part}");
        let uniform = (self.sizes[self.sizes.len() - 1] as f64).ln();
        let row = Row::new(name("loss"), "mean cross-entropy after training", "loss").unit("nats");
        let row = row.at("loss", &format!("ε = {epsilon:e}"), gain);
        let says = Rule::AtMost { value: uniform - 0.1 };
        // Below ε Adam is gradient descent at rate/ε. With norms of at most 2 g (Xavier's edge), all layers' norms at
        // most double within t steps if (L − 2) (2g)^{L−2} m t·rate/ε < 1 − 2^{2−L}.
        let layers = self.sizes.len() as f64 - 1.0;
        let scale = self.teacher().gradient_at_zero(self.train).sqrt();
        let way = (layers - 2.0) * (2.0 * gain).powf(layers - 2.0) * scale * self.steps as f64 * self.rate
            / epsilon;
        let stuck = way < 1.0 - 2f64.powf(2.0 - layers);
        // Far above ε every weight moves by the rate at every step: to twice Xavier's standard deviation, if in one direction.
        let width = self.sizes[1] as f64;
        let far = self.mean_square(gain)?.sqrt() > 1e3 * epsilon
            && self.steps as f64 * self.rate > 2.0 / width.sqrt();
        let why = "below ε Adam is plain gradient descent with the rate divided by ε; it stays where it is";
        Ok(if stuck {
            vec![
                row.near(
                    uniform,
                    1e-3,
                    "no layer's norm can have doubled, by the bound on gradient descent at rate/ε, so that outputs are \
                     below (4g)^L of the inputs",
                )
                .claim(AMPLIFIES, says, why),
                Row::new(name("control"), "the same, if ε did not matter: learned as far as without it", "loss")
                    .at_most(uniform - 0.1, "a tenth of a nat below knowing nothing")
                    .control(),
            ]
        } else if far {
            let reason = "every weight moves by about the rate at every step, whatever the gradient's size: far enough to be \
                          of Xavier's size by the end";
            vec![row.at_most(uniform - 0.1, reason).claim(
                AMPLIFIES,
                says,
                "it holds as long as the gradient is above ε",
            )]
        } else {
            vec![row.claim(AMPLIFIES, says, why)]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_fall_with_the_power_of_the_layers_around() {
        let experiment = AdamEpsilonFloor::default();
        let at = |gain: f64| experiment.mean_square(gain).unwrap();
        // Five layers: gain⁴ for the root mean square, but for tanh's curvature, 2 E[a²] = 0.013 at gain 0.1.
        assert!((at(1e-3) / at(1e-4) / 1e8 - 1.0).abs() < 1e-4);
        assert!((at(0.1) / at(1e-4) / 1e24 - 1.0 + 0.0133).abs() < 2e-3);
    }
}
