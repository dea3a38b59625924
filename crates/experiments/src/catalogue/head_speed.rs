//! How fast a new head learns from weights of several sizes, each with the learning rate that suits it.

use serde::{Deserialize, Serialize};
use xexp_heads::HeadInit;
use xexp_init::head_theory::guaranteed_learning_rate;
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Looks, Row, Rule, Statistic};

use super::demand::{demand, positive};
use super::small_net::{Examples, Net, Optimizer, Rule as Update, agreement, norm};
use super::softmax_gradient::squared_gradient;
use super::spectrum::{largest_of, second_moments};
use super::teacher::Teacher;
use crate::{About, Draw, Experiment, Result, Setup};

/// A head on standard normal features, from several initial weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadSpeed {
    /// Laws of the weights beside `zero` and `xavier`, which are always there: `lecun`, `he` or `normal:STD`.
    pub inits: Vec<String>,
    /// Width of the features.
    pub width: usize,
    /// Fall of the features' variances, `j^(−decay)` for the `j`-th, with a mean of 1; 0 for equal ones.
    pub decay: f64,
    /// Classes.
    pub classes: usize,
    /// Noise of the labels, in standard deviations of the teacher's readings.
    pub noise: f64,
    /// Examples to train on.
    pub train: usize,
    /// Examples to test on.
    pub test: usize,
    /// Learning rates to choose from, in units of the guaranteed one, `4/λ`.
    pub rates: Vec<f64>,
    /// Most steps, each on all examples.
    pub steps: usize,
}

impl Default for HeadSpeed {
    fn default() -> Self {
        HeadSpeed {
            inits: ["normal:0.01", "lecun", "normal:0.3", "normal:1"].map(str::to_owned).to_vec(),
            width: 256,
            decay: 0.5,
            classes: 10,
            noise: 0.5,
            train: 1000,
            test: 1000,
            rates: vec![0.5, 1.0, 2.0, 4.0, 8.0],
            steps: 200,
        }
    }
}

/// What `hf` draws by where a model does not say otherwise.
const HF: Init = Init::Normal { std: 0.02 };
/// Share of the best accuracy that counts as learned.
const LEARNED: f64 = 0.95;

impl HeadSpeed {
    fn layer(&self) -> Layer {
        Layer::Linear { input: self.width, output: self.classes }
    }

    fn teacher(&self) -> Teacher {
        Teacher { width: self.width, classes: self.classes, noise: self.noise }
    }

    /// Variances of the features.
    fn variances(&self) -> Vec<f64> {
        let falls: Vec<f64> = (0..self.width).map(|j| libm::pow(j as f64 + 1.0, -self.decay)).collect();
        let total: f64 = falls.iter().sum();
        falls.iter().map(|fall| fall * self.width as f64 / total).collect()
    }

    /// Names of all laws with their standard deviations.
    fn laws(&self) -> Result<Vec<(String, f64)>> {
        let names = ["zero".to_owned(), "xavier".to_owned()].into_iter().chain(self.inits.iter().cloned());
        let std = |name: String| {
            let init = name.parse::<HeadInit>()?.resolve(&self.layer(), 1.0, HF, None)?;
            Ok((name, init.std(&self.layer())?))
        };
        names.map(std).collect()
    }

    fn weights(&self, name: &str, draw: &Draw<'_>) -> Result<Vec<f32>> {
        let init = name.parse::<HeadInit>()?.resolve(&self.layer(), 1.0, HF, None)?;
        // The same stream for all laws: they differ in scale alone.
        Ok(init.fill(&self.layer(), &mut draw.stream("head"))?)
    }
}

impl Experiment for HeadSpeed {
    type Setup = ();

    const ABOUT: About = About {
        id: "head-speed",
        title: "Size of a new head's weights and speed of learning",
        question: "Do small weights make a new head learn slowly, and do Xavier's make it learn fastest?",
        source: "Document, \"Transfer learning\"; the gradient by Stein's lemma",
        method: "A softmax head learns a noisy linear teacher's classes from normal features, whose variances fall as those of \
                 real features do, by gradient descent on all \
                 examples. Every law of the initial weights takes the learning rate, of a grid in units of the guaranteed \
                 4/λ, at which it first reaches 95 % of the best test accuracy that the head of zeros ever reaches; one that \
                 never does counts as one step more than it had. A draw is a new teacher, new data and a new head, the same \
                 for all laws but for its scale. The control expects gradients in proportion to the weights.",
        cost: "5 s",
    };

    fn full() -> Self {
        HeadSpeed {
            train: 2000,
            test: 4000,
            rates: vec![0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0],
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let valid = (2..=8192).contains(&self.width) && (2..=self.width).contains(&self.classes);
        demand(
            id,
            "width, classes",
            (self.width, self.classes),
            valid,
            "2 to 8192, no more classes than features",
        )?;
        let counts = [self.train, self.test, self.steps];
        let valid = counts.iter().all(|n| (2..=1 << 17).contains(n));
        demand(id, "train, test, steps", counts, valid, "numbers from 2 to 131072")?;
        let valid = (0.0..=2.0).contains(&self.decay);
        demand(id, "decay", self.decay, valid, "a number from 0 to 2")?;
        let valid = self.noise.is_finite() && self.noise >= 0.0;
        demand(id, "noise", self.noise, valid, "a number, 0 or more")?;
        let valid = !self.rates.is_empty() && self.rates.iter().all(|rate| positive(*rate));
        demand(id, "rates", &self.rates, valid, "one or more positive numbers")?;
        let laws = self.laws()?;
        let twice =
            laws.iter().enumerate().any(|(i, (name, _))| laws[..i].iter().any(|(other, _)| other == name));
        let large = laws.iter().any(|(_, std)| *std > 10.0);
        demand(id, "inits", &self.inits, !twice && !large, "different laws of standard deviations up to 10")
    }

    fn setups(&self) -> Result<Vec<Setup<()>>> {
        let name = format!("d{}-k{}", self.width, self.classes);
        Ok(vec![Setup { looks: Looks::at(&[5, 10])?, ..Setup::new(name, ()) }])
    }

    fn predict(&self, setup: &Setup<()>) -> Result<Vec<Row>> {
        let teacher = self.teacher();
        let laws = self.laws()?;
        let xavier = laws.iter().find(|(name, _)| name == "xavier").map_or(0.0, |law| law.1);
        let squares: f64 = self.variances().iter().map(|v| v * v).sum();
        // What the formula leaves out is of order one over the features' effective dimension, d²/Σ λ².
        let tolerance = 0.01 + 2.0 * squares / (self.width as f64).powi(2);
        let slope = |std: f64| squared_gradient(&teacher, std, squares, self.train).sqrt();
        let mut rows = vec![];
        let over = |of: String, under: String| Statistic::RatioOfMeans { of, over: under };
        let weak = "Too small weights give a weak signal: the head's gradient is less than half of what it is with Xavier's.";
        let signal = "the gradient (p − y) φᵀ holds no weight of the head; only the gradient below the head vanishes with it";
        for (law, std) in &laws {
            let name = |part: &str| format!("{}/{law}/{part}", setup.name);
            let steps =
                Row::new(name("steps"), "steps to 95 % of the best test accuracy", &format!("{law} steps"));
            rows.push(if *std > 0.0 { steps.at("steps", "measured", *std) } else { steps });
            let gradient = Row::new(
                name("gradient"),
                "norm of the head's first gradient, over that with Xavier weights",
                "",
            )
            .by(over(format!("{law} gradient"), "xavier gradient".into()));
            let below = Row::new(
                name("below"),
                "root mean square length of the gradient below the head, over |p − y|",
                &format!("{law} below"),
            );
            if law == "xavier" {
                rows.push(below);
                continue;
            }
            // An orthogonal head's logits are not quite independent of each other; so large ones are ruled by few samples.
            if std <= &(4.0 * xavier) {
                let reason = "1 %, and twice one over the features' effective dimension: the order of what the formula leaves out";
                let gradient = gradient.about(slope(*std) / slope(xavier), tolerance, reason);
                let small = *std < 0.5 * xavier;
                rows.push(if small {
                    gradient.claim(weak, Rule::AtMost { value: 0.5 }, signal)
                } else {
                    gradient
                });
                if small {
                    rows.push(
                        Row::new(
                            name("control"),
                            "the same, if gradients were in proportion to the weights",
                            "",
                        )
                        .by(over(format!("{law} gradient"), "xavier gradient".into()))
                        .near(std / xavier, tolerance, "the same tolerance")
                        .control(),
                    );
                }
            } else {
                rows.push(gradient);
            }
            rows.push(if *std == 0.0 {
                below.near(0.0, 1e-12, "exact: a head of zeros passes nothing down")
            } else {
                below
            });
            let ratio = Row::new(name("over-xavier"), "steps, over those from Xavier weights", "")
                .by(over(format!("{law} steps"), "xavier steps".into()));
            let slower = Rule::AtLeast { value: 1.0 };
            let small = "Weights much smaller than Xavier's make a head learn more slowly.";
            let large = "Weights much larger than Xavier's make a head learn more slowly.";
            let unlearn = "there is nothing to amplify: the gradient is at full strength, and what the random weights say must not be \
                           unlearned first";
            rows.push(match *std {
                0.0 => ratio
                    .at_most(1.0, "from zero, no random function has to be unlearned")
                    .claim(small, slower, unlearn),
                std if std < 0.5 * xavier => ratio.claim(small, slower, unlearn),
                std if std > 2.0 * xavier => ratio.claim(large, slower, "it holds"),
                _ => ratio,
            });
        }
        let name = format!("{}/xavier/over-best", setup.name);
        rows.push(
            Row::new(name, "steps from Xavier weights, over those of the fastest other law", "")
                .by(over("xavier steps".into(), "best steps".into()))
                .claim(
                    "Xavier weights make a new head learn fastest.",
                    Rule::AtMost { value: 1.0 },
                    "their logits have a variance near 2, which knows nothing of the classes: smaller weights are faster and zero \
                     is fastest",
                ),
        );
        Ok(rows)
    }

    fn draw(&self, _: &Setup<()>, draw: &mut Draw<'_>) -> Result<()> {
        let mut parts = self.teacher().examples(draw, [("train", self.train), ("test", self.test)])?;
        let scales: Vec<f32> = self.variances().iter().map(|v| v.sqrt() as f32).collect();
        for row in parts.iter_mut().flat_map(|part| part.inputs.chunks_exact_mut(self.width)) {
            row.iter_mut().zip(&scales).for_each(|(x, scale)| *x *= scale);
        }
        let [train, test] = parts;
        let lambda = largest_of(&second_moments(&train.inputs, self.width), self.width);
        let unit = guaranteed_learning_rate(lambda)?;
        let mut best = f64::INFINITY;
        let mut target = 0.0;
        for (law, _) in self.laws()? {
            let start = Net::single(self.width, self.classes, self.weights(&law, draw)?);
            draw.record(&format!("{law} gradient"), norm(&start.slope(&train).gradients[0]))?;
            draw.record(&format!("{law} below"), below(&start, &train, self.width, self.classes))?;
            let rates = self.rates.iter().map(|rate| rate * unit);
            let steps = if law == "zero" {
                // The best that it ever reaches is known only after all steps.
                let curves: Vec<Vec<f64>> = rates
                    .map(|rate| accuracies(&start, (&train, &test), rate, self.steps, f64::INFINITY))
                    .collect();
                target = LEARNED * curves.iter().flatten().copied().fold(0.0, f64::max);
                let first = |curve: &Vec<f64>| curve.iter().position(|accuracy| *accuracy >= target);
                curves.iter().filter_map(first).min()
            } else {
                let mut first = None;
                for rate in rates {
                    // A later rate has to be faster to count.
                    let most = first.unwrap_or(self.steps + 1).saturating_sub(1);
                    let curve = accuracies(&start, (&train, &test), rate, most, target);
                    first = curve.iter().position(|accuracy| *accuracy >= target).or(first);
                }
                first
            };
            // A start that has learned already, at 0 steps, would make no ratio.
            let steps = steps.unwrap_or(self.steps + 1).max(1) as f64;
            draw.record(&format!("{law} steps"), steps)?;
            if law != "xavier" {
                best = best.min(steps);
            }
        }
        draw.record("best steps", best)
    }

    fn figures(&self) -> Vec<Figure> {
        let x = "standard deviation of the weights";
        vec![Figure::new("steps", "Steps to 95 % of the best accuracy", x, "steps").log_x().log_y()]
    }
}

/// Test accuracy before every step and after the last, until it reaches `target`.
fn accuracies(
    start: &Net,
    (train, test): (&Examples, &Examples),
    rate: f64,
    steps: usize,
    target: f64,
) -> Vec<f64> {
    let mut net = start.clone();
    let mut optimizer = Optimizer::new(Update::Sgd { rate }, &net);
    let mut curve = vec![];
    for step in 0..=steps {
        let accuracy = agreement(&net.answers(&test.inputs), &test.labels);
        curve.push(accuracy);
        if accuracy >= target || step == steps {
            break;
        }
        optimizer.train(&mut net, train, 1);
    }
    curve
}

/// `√(Σ |Wᵀ(p − y)|² / Σ |p − y|²)` over the examples.
fn below(head: &Net, examples: &Examples, width: usize, classes: usize) -> f64 {
    let logits = head.forward(&examples.inputs).pop().unwrap_or_default();
    let mut residual = vec![0.0; logits.len()];
    xexp_kernels::cross_entropy::forward_backward(&logits, &examples.labels, 1.0, &mut residual);
    let mut gradient = vec![0.0; examples.labels.len() * width];
    let columns = xexp_kernels::linear::GradColumns::all(&residual, classes);
    xexp_kernels::linear::backward_input(columns, &head.weights[0], &mut gradient, false);
    norm(&gradient) / norm(&residual)
}
