//! Badly scaled weights: what saturation does to gradients, and what SGD and Adam then learn.

use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_kernels::linear::{self, GradColumns};
use xexp_report::lab::{Figure, Looks, Row, Rule, Statistic};

use super::demand::{demand, positive};
use super::small_net::{self, Examples, Hidden, Net, Optimizer, agreement, norm};
use super::tanh_layer::{backward_gain, mean_even, saturated, slope, without_slope};
use crate::{About, Draw, Experiment, Result, Setup};

/// From this output on a tanh unit counts as saturated.
const SATURATED: f64 = 0.99;

/// Xavier weights times a gain, in one tanh layer and in a network that is trained.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamVsSgdGain {
    /// Factors on Xavier's standard deviation for the single layer.
    pub gains: Vec<f64>,
    /// Units of the single layer.
    pub width: usize,
    /// Inputs of ±1 that a draw sends through the single layer.
    pub batch: usize,
    /// Factors on Xavier's standard deviation of every layer of the trained network.
    pub train_gains: Vec<f64>,
    /// Inputs of the trained network, one of which decides the class by its sign.
    pub inputs: usize,
    /// Widths of its hidden layers.
    pub hidden: Vec<usize>,
    /// Examples to train on.
    pub train: usize,
    /// Examples to test on.
    pub test: usize,
    /// Steps, each on all examples.
    pub steps: usize,
    /// Learning rate of SGD.
    pub sgd_rate: f64,
    /// Learning rate of Adam.
    pub adam_rate: f64,
    /// Draws of each trained network.
    pub runs: usize,
}

impl Default for AdamVsSgdGain {
    fn default() -> Self {
        AdamVsSgdGain {
            gains: vec![1.0, 3.0, 10.0, 100.0],
            width: 1024,
            batch: 64,
            train_gains: vec![0.1, 1.0, 10.0, 100.0],
            inputs: 32,
            hidden: vec![64; 3],
            train: 512,
            test: 512,
            steps: 400,
            sgd_rate: 0.1,
            adam_rate: 0.01,
            runs: 5,
        }
    }
}

/// What is built.
pub enum Part {
    /// One layer.
    Layer(f64),
    /// A network that both optimizers train from the same weights.
    Trained(f64),
}

impl Experiment for AdamVsSgdGain {
    type Setup = Part;

    const ABOUT: About = About {
        id: "adam-vs-sgd-gain",
        title: "SGD and Adam from badly scaled weights",
        question: "If all weights are ten or a hundred times too large, do gradients become tiny, and can Adam learn where SGD cannot?",
        source: "Document, \"Interaction with optimizers\"; Poole et al. 2016 and Schoenholz et al. 2017 for the chaotic phase",
        method: "One square tanh layer with Xavier weights times a gain on inputs ±1: the share of saturated units, of units \
                 whose f32 derivative is exactly zero, and the gain of an independent gradient's second moment. Then a tanh \
                 network with all weights times the gain learns the sign of one coordinate with SGD and with Adam from the \
                 same weights; it is scored on the training data and on new data. A draw is a new layer or network with new \
                 data. The control predicts the gradient by the derivative alone, without the weights.",
        cost: "20 s",
    };

    fn full() -> Self {
        AdamVsSgdGain {
            gains: vec![0.1, 1.0, 2.0, 3.0, 10.0, 30.0, 100.0],
            train_gains: vec![0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0, 1000.0],
            steps: 1000,
            runs: 10,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let gains = |gains: &[f64]| gains.iter().all(|gain| positive(*gain));
        demand(id, "gains", &self.gains, gains(&self.gains), "positive numbers")?;
        demand(id, "train_gains", &self.train_gains, gains(&self.train_gains), "positive numbers")?;
        let sizes = [self.width, self.batch, self.inputs, self.train, self.test, self.steps];
        let all = sizes.iter().chain(&self.hidden).all(|&size| (1..=1 << 20).contains(&size));
        demand(
            id,
            "sizes",
            sizes,
            all && !self.hidden.is_empty(),
            "sizes from 1 to 2^20, some hidden layers",
        )?;
        let rates = [self.sgd_rate, self.adam_rate];
        demand(id, "rates", rates, rates.iter().all(|rate| positive(*rate)), "positive numbers")?;
        demand(id, "runs", self.runs, self.runs >= 2, "2 or more")
    }

    fn setups(&self) -> Result<Vec<Setup<Part>>> {
        let layers =
            self.gains.iter().map(|&gain| Setup::new(format!("layer-gain-{gain}"), Part::Layer(gain)));
        let looks = Looks::at(&[self.runs])?;
        let trained = self.train_gains.iter().map(|&gain| Setup {
            looks: looks.clone(),
            ..Setup::new(format!("trained-gain-{gain}"), Part::Trained(gain))
        });
        Ok(layers.chain(trained).collect())
    }

    fn predict(&self, setup: &Setup<Part>) -> Result<Vec<Row>> {
        Ok(match setup.of {
            Part::Layer(gain) => self.layer_rows(&setup.name, gain),
            Part::Trained(gain) => trained_rows(&setup.name, gain),
        })
    }

    fn draw(&self, setup: &Setup<Part>, draw: &mut Draw<'_>) -> Result<()> {
        match setup.of {
            Part::Layer(gain) => self.draw_layer(gain, draw),
            Part::Trained(gain) => self.draw_trained(gain, draw),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("backward", "Gradient gain of a tanh layer", "gain of the weights", "gain of E[g²]")
                .log_x()
                .log_y(),
            Figure::new("accuracy", "Accuracy after training", "gain of the weights", "accuracy").log_x(),
        ]
    }
}

impl AdamVsSgdGain {
    fn layer_rows(&self, setup: &str, gain: f64) -> Vec<Row> {
        let name = |part: &str| format!("{setup}/{part}");
        let share = saturated(gain, SATURATED);
        let backward = backward_gain(gain, self.width);
        let exact = "exact at every width: inputs of ±1 make every pre-activation normal with variance g²";
        let mut rows = vec![
            Row::new(name("saturated"), "share of units with |tanh| above 0.99", "saturated").near(share, 0.01, exact),
            Row::new(name("zero"), "share of units whose f32 derivative is exactly zero", "zero").near(
                without_slope(gain),
                0.005,
                "half a per cent for the last digit of the tanh in use; the mean over weights is exact",
            ),
            Row::new(name("backward"), "gain of the gradient's second moment through the layer", "backward")
                .about(
                    backward,
                    0.05,
                    "5 %: the mean over weights is exact; a draw spreads by about √(1.3 g/(width·batch)), since about 1/g of \
                     the units carry the gradient",
                )
                .at("backward", "layer", gain),
        ];
        if share >= 0.5 {
            let last = rows.pop();
            rows[0] = rows[0].clone().claim(
                "Weights multiplied by a large constant put most tanh units into saturation.",
                Rule::AtLeast { value: 0.5 },
                "it holds",
            );
            rows.extend(last.map(|row| {
                row.claim(
                    "In saturation the gradients become tiny.",
                    Rule::AtMost { value: 1.0 },
                    "the few units that are not saturated pass the gradient on through weights that are g times as large: \
                     the norm grows by 0.53 g a layer",
                )
            }));
        }
        // Without the weights' g² the prediction is the derivative alone; the two agree where g is about 1.
        if (gain * gain - 1.0).abs() > 0.2 {
            let alone = mean_even(|z| slope(gain * z).powi(2));
            rows.push(
                Row::new(name("control"), "the same gain, if the derivative alone counted", "backward")
                    .about(alone, 0.05, "the same tolerance")
                    .control()
                    .at("backward", "derivative alone", gain),
            );
        }
        rows
    }

    fn draw_layer(&self, gain: f64, draw: &mut Draw<'_>) -> Result<()> {
        let n = self.width;
        let layer = Layer::Linear { input: n, output: n };
        let weight = Init::xavier_normal().times(gain).fill(&layer, &mut draw.stream("weight"))?;
        let mut stream = draw.stream("inputs");
        let x: Vec<f32> =
            (0..self.batch * n).map(|_| if stream.below(2) == 0 { -1.0 } else { 1.0 }).collect();
        let mut y = vec![0.0; x.len()];
        linear::forward(&x, &weight, None, &mut y);
        y.iter_mut().for_each(|v| *v = libm::tanhf(*v));
        let count = y.len() as f64;
        let share = |f: &dyn Fn(f32) -> bool| y.iter().filter(|v| f(**v)).count() as f64 / count;
        draw.record("saturated", share(&|v| f64::from(v.abs()) > SATURATED))?;
        draw.record("zero", share(&|v| 1.0 - v * v == 0.0))?;
        let mut stream = draw.stream("gradient");
        let above: Vec<f32> = (0..x.len()).map(|_| stream.normal() as f32).collect();
        let through: Vec<f32> = above.iter().zip(&y).map(|(g, y)| g * (1.0 - y * y)).collect();
        let mut below = vec![0.0; x.len()];
        linear::backward_input(GradColumns::all(&through, n), &weight, &mut below, false);
        draw.record("backward", xexp_kernels::sum_of_squares(&below) / count)
    }

    fn examples(&self, draw: &Draw<'_>, purpose: &str, count: usize) -> Examples {
        let mut stream = draw.stream(purpose);
        let inputs: Vec<f32> = (0..count * self.inputs).map(|_| stream.normal() as f32).collect();
        let labels = inputs.chunks_exact(self.inputs).map(|row| u32::from(row[0] > 0.0)).collect();
        Examples { inputs, labels }
    }

    fn draw_trained(&self, gain: f64, draw: &mut Draw<'_>) -> Result<()> {
        let sizes: Vec<usize> =
            [self.inputs].into_iter().chain(self.hidden.iter().copied()).chain([2]).collect();
        let (train, test) =
            (self.examples(draw, "train", self.train), self.examples(draw, "test", self.test));
        let start = Net::draw(&sizes, Hidden::Tanh, gain, draw)?;
        let first = |net: &Net| norm(&net.slope(&train).gradients[0]);
        // A gradient may round to zero everywhere, at gains beyond any use.
        draw.record("gradient", first(&start))?;
        draw.record("gradient at 1", first(&start.times(1.0 / gain)))?;
        let before = start.answers(&test.inputs);
        let adam = small_net::Rule::Adam { rate: self.adam_rate, epsilon: 1e-8 };
        for (name, rule) in [("sgd", small_net::Rule::Sgd { rate: self.sgd_rate }), ("adam", adam)] {
            let mut net = start.clone();
            Optimizer::new(rule, &net).train(&mut net, &train, self.steps);
            let answers = net.answers(&test.inputs);
            draw.record(&format!("{name} train"), agreement(&net.answers(&train.inputs), &train.labels))?;
            draw.record(&format!("{name} test"), agreement(&answers, &test.labels))?;
            draw.record(&format!("{name} unchanged"), agreement(&answers, &before))?;
            draw.record(&format!("{name} motion"), net.motion(&start))?;
        }
        Ok(())
    }
}

/// What training comes to has no closed form: rows are measured, and held against what the document says.
fn trained_rows(setup: &str, gain: f64) -> Vec<Row> {
    let large = saturated(gain, SATURATED) >= 0.5;
    let name = |part: &str| format!("{setup}/{part}");
    let gradient = Row::new(
        name("gradient"),
        "norm of the first layer's gradient, over that of the same weights at gain 1",
        "gradient",
    )
    .by(Statistic::RatioOfMeans { of: "gradient".into(), over: "gradient at 1".into() });
    let mut rows = vec![match large {
        true => gradient.claim(
            "In saturation the gradients become tiny.",
            Rule::AtMost { value: 1.0 },
            "layer by layer the gradient grows by 0.53 g, through the few units that are not saturated",
        ),
        false => gradient,
    }];
    for optimizer in ["sgd", "adam"] {
        let row = |part: &str, quantity: &str| {
            Row::new(name(&format!("{optimizer}/{part}")), quantity, &format!("{optimizer} {part}"))
        };
        let train = row("train", "accuracy on the training data");
        let test = row("test", "accuracy on new data").at("accuracy", optimizer, gain);
        let halfway = Rule::AtMost { value: 0.75 };
        let (train, test) = if large {
            (
                train.claim(
                    "From saturated weights not even Adam finds a useful update: the training data stay within a tenth of guessing.",
                    Rule::AtMost { value: 0.6 },
                    "the gradient is large, and at ten times Xavier both optimizers learn the training data by heart; at a \
                     hundred times they are on the way, and the steps are short against the weights",
                ),
                test.claim(
                    "From saturated weights neither SGD nor Adam comes to a good solution.",
                    halfway,
                    "it holds on new data, for another reason than vanishing gradients: two inputs' gradients have nothing \
                     in common, so that what is learned about one says nothing about the next",
                ),
            )
        } else if gain <= 0.2 && optimizer == "adam" {
            let why = "it holds as far as gradients stay above Adam's ε";
            let claim = "From weights that are too small, Adam still learns by amplifying the gradient.";
            (train, test.claim(claim, Rule::AtLeast { value: 0.75 }, why))
        } else if (0.8..=1.25).contains(&gain) {
            let claim = "Xavier's scale is an efficient start for both optimizers.";
            (train, test.claim(claim, Rule::AtLeast { value: 0.75 }, "it holds"))
        } else {
            (train, test)
        };
        rows.extend([
            train,
            test,
            row("unchanged", "share of new data whose class is the same as before training"),
            row("motion", "length of all weights' way, relative to their length"),
        ]);
    }
    rows
}
