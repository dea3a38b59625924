//! The largest stable learning rate of a last layer, and what a product of spectral norms says about it.

use serde::{Deserialize, Serialize};
use xexp_init::head_theory::guaranteed_learning_rate;
use xexp_report::lab::{Figure, Looks, Row, Rule, Statistic};

use super::demand::demand;
use super::last_layer::{Softmax, heavy_ball_limit};
use super::small_net::{Hidden, Net};
use super::spectrum::{largest_eigenvalue, largest_of, second_moments, spectral_norm, wishart_edge};
use super::teacher::Teacher;
use crate::{About, Draw, Experiment, Result, Setup};

/// Networks whose last layer alone is trained.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LipschitzMaxLr {
    /// `[outputs, inputs]` of single Xavier weights.
    pub shapes: Vec<[usize; 2]>,
    /// Activations of the frozen networks: `linear`, `tanh` or `relu`.
    pub activations: Vec<String>,
    /// Numbers of their frozen layers.
    pub depths: Vec<usize>,
    /// Their inputs.
    pub inputs: usize,
    /// Their width, which is the last layer's number of features.
    pub width: usize,
    /// Examples.
    pub examples: usize,
    /// Share of the last step that heavy ball adds to the next.
    pub momentum: f64,
    /// Steps after which a descent that still grows counts as divergent.
    pub steps: usize,
    /// Numbers of classes of a softmax head on the features of one tanh layer.
    pub classes: Vec<usize>,
    /// Steps of the softmax head's descent.
    pub softmax_steps: usize,
    /// Features with a mean.
    pub mean_width: usize,
    /// Examples of features with a mean.
    pub mean_examples: usize,
}

impl Default for LipschitzMaxLr {
    fn default() -> Self {
        LipschitzMaxLr {
            shapes: vec![[512, 512], [64, 512], [768, 10]],
            activations: vec!["linear".into(), "tanh".into(), "relu".into()],
            depths: vec![1, 3, 5],
            inputs: 32,
            width: 128,
            examples: 300,
            momentum: 0.9,
            steps: 400,
            classes: vec![2, 10],
            softmax_steps: 200,
            mean_width: 128,
            mean_examples: 2000,
        }
    }
}

/// What is built.
pub enum Part {
    /// One weight.
    Weight([usize; 2]),
    /// A linear layer on a frozen network.
    Frozen(Hidden, usize),
    /// A softmax head on one frozen tanh layer.
    Head(usize),
    /// Features `|N(0, 1)|`.
    Means,
}

impl Experiment for LipschitzMaxLr {
    type Setup = Part;

    const ABOUT: About = About {
        id: "lipschitz-max-lr",
        title: "Learning rates from spectral norms",
        question: "Does the product of the layers' spectral norms tell the largest learning rate at which a last layer trains stably?",
        source: "Document, \"Interaction with optimizers\"; Böhning 1992 for softmax heads, Polyak 1964 for momentum",
        method: "Frozen networks of Xavier layers (He with ReLU) give features for a last layer that is trained alone. A draw \
                 is a new network with new inputs: it compares the curvature of the squared error, the largest eigenvalue of \
                 the features' second moments, with the bound from spectral norms, and finds by bisection the rate at which \
                 gradient descent, with and without momentum, begins to diverge. Softmax heads are trained at the rates that \
                 theory gives, and features with a mean are compared with centred ones. Controls: the bound taken for the \
                 curvature, half the threshold, a threshold that ignores momentum, an eigenvalue that ignores the mean.",
        cost: "5 s",
    };

    fn full() -> Self {
        LipschitzMaxLr { depths: vec![1, 2, 3, 5, 8], width: 256, examples: 600, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        let size = |size: &usize| (1..=4096).contains(size);
        let shapes = self.shapes.iter().flatten().all(|n| (8..=4096).contains(n));
        demand(id, "shapes", &self.shapes, shapes, "sizes from 8 to 4096")?;
        let named = self.activations.iter().all(|name| Hidden::named(name).is_some());
        demand(id, "activations", &self.activations, named, "linear, tanh or relu")?;
        let depths = self.depths.iter().all(|depth| (1..=64).contains(depth));
        demand(id, "depths", &self.depths, depths, "numbers from 1 to 64")?;
        let sizes = [self.inputs, self.width, self.mean_width];
        let valid = sizes.iter().all(|n| *n >= 2 && size(n));
        demand(id, "inputs, width, mean_width", sizes, valid, "sizes from 2 to 4096")?;
        let counts = [self.examples, self.mean_examples];
        let valid = counts.iter().all(|n| (2..=65536).contains(n));
        demand(id, "examples, mean_examples", counts, valid, "numbers from 2 to 65536")?;
        let valid = (0.0..=0.95).contains(&self.momentum);
        demand(id, "momentum", self.momentum, valid, "a number from 0 to 0.95: more needs more steps")?;
        demand(
            id,
            "steps",
            self.steps,
            (200..=100_000).contains(&self.steps),
            "a number from 200 to 100000",
        )?;
        let valid = (1..=100_000).contains(&self.softmax_steps);
        demand(id, "softmax_steps", self.softmax_steps, valid, "a number from 1 to 100000")?;
        let classes = self.classes.iter().all(|classes| (2..=self.inputs).contains(classes));
        demand(id, "classes", &self.classes, classes, "numbers from 2 to `inputs`")
    }

    fn setups(&self) -> Result<Vec<Setup<Part>>> {
        let looks = Looks::at(&[10, 20, 40])?;
        let mut setups: Vec<Setup<Part>> = self
            .shapes
            .iter()
            .map(|&[a, b]| Setup::new(format!("weight-{a}x{b}"), Part::Weight([a, b])))
            .collect();
        for hidden in self.activations.iter().filter_map(|name| Hidden::named(name)) {
            setups.extend(self.depths.iter().map(|&depth| {
                let name = format!("{}-depth-{depth}", hidden.name());
                Setup { looks: looks.clone(), ..Setup::new(name, Part::Frozen(hidden, depth)) }
            }));
        }
        let heads = self.classes.iter().map(|&classes| Setup {
            looks: looks.clone(),
            ..Setup::new(format!("softmax-{classes}"), Part::Head(classes))
        });
        setups.extend(heads);
        setups.push(Setup::new("half-normal", Part::Means));
        Ok(setups)
    }

    fn predict(&self, setup: &Setup<Part>) -> Result<Vec<Row>> {
        Ok(match setup.of {
            Part::Weight(shape) => weight_rows(&setup.name, shape),
            Part::Frozen(hidden, depth) => self.frozen_rows(&setup.name, hidden, depth),
            Part::Head(_) => self.head_rows(&setup.name),
            Part::Means => self.mean_rows(&setup.name),
        })
    }

    fn draw(&self, setup: &Setup<Part>, draw: &mut Draw<'_>) -> Result<()> {
        match setup.of {
            Part::Weight([output, input]) => {
                let net = Net::draw(&[input, output], Hidden::Identity, 1.0, draw)?;
                draw.record("norm", spectral_norm(&net.weights[0], input))
            }
            Part::Frozen(hidden, depth) => self.draw_frozen(hidden, depth, draw),
            Part::Head(classes) => self.draw_head(classes, draw),
            Part::Means => self.draw_means(draw),
        }
    }

    fn figures(&self) -> Vec<Figure> {
        let title = "Curvature over its bound from spectral norms";
        vec![Figure::new("share", title, "frozen layers", "share of the bound").log_y()]
    }
}

/// Rows of one Xavier weight.
fn weight_rows(setup: &str, [a, b]: [usize; 2]) -> Vec<Row> {
    let variance = 2.0 / (a + b) as f64;
    let edge = (variance * wishart_edge(a, b)).sqrt();
    let second = (b as f64 * variance).sqrt();
    let name = |part: &str| format!("{setup}/{part}");
    // Johnstone 2001, section 1: the error of the law is of order n^(−2/3) in the smaller side.
    let tolerance = 0.01 + 0.06 * (a.min(b) as f64).powf(-2.0 / 3.0);
    let reason = "1 %, and what the law of the edge leaves out: its mean is in the prediction, the rest is of order n^(−2/3)";
    let mut rows = vec![
        Row::new(name("norm"), "largest singular value of a Xavier weight", "norm")
            .about(edge, tolerance, reason),
    ];
    // A weight of few rows and many columns has singular values that hardly differ.
    if edge > 1.1 * second {
        let quantity = "the same, from the second moment alone: √(fan_in·Var(w))";
        rows.push(Row::new(name("control"), quantity, "norm").about(second, tolerance, reason).control());
    }
    rows
}

impl LipschitzMaxLr {
    fn frozen_rows(&self, setup: &str, hidden: Hidden, depth: usize) -> Vec<Row> {
        let name = |part: &str| format!("{setup}/{part}");
        let usable = "The bound from spectral norms is a usable estimate of the curvature: it is off by less than a factor of 10.";
        let why = "the largest input does not point along the largest singular vector of any layer, let alone of all of them: \
                   every layer loses a factor, and activations take more";
        let within = "1 %: the limit is exact; growth shows after some hundred steps only if it is above ln(width)/steps a step";
        vec![
            Row::new(name("share"), "curvature of the squared error, over Lip² max|x|²", "share")
                .at_most(
                    1.0,
                    "a bound: φ(0) = 0, so that |φ(x)| ≤ Lip |x|, and the curvature is at most max|φ|²",
                )
                .claim(usable, Rule::AtLeast { value: 0.1 }, why)
                .at("share", hidden.name(), depth as f64),
            Row::new(name("control"), "the same, if the bound were the curvature", "share")
                .near(1.0, 0.5, "within a half")
                .control(),
            Row::new(name("room"), "largest stable rate, over the rate that the bound allows", "room")
                .at_least(1.0, "a bound")
                .claim(
                    "A rate below 2 over the bound on the curvature is guaranteed to be stable.",
                    Rule::AtLeast { value: 1.0 },
                    "it holds, with a wide margin",
                ),
            Row::new(name("descent"), "largest stable rate of gradient descent, over 2/λ", "descent")
                .about(1.0, 0.01, within),
            Row::new(name("descent-control"), "the same, if 1/λ were the limit", "descent")
                .about(0.5, 0.01, within)
                .control(),
            Row::new(name("momentum"), "largest stable rate of heavy ball, over 2(1 + β)/λ", "momentum")
                .about(1.0, 0.01, within),
        ]
    }

    fn head_rows(&self, setup: &str) -> Vec<Row> {
        let name = |part: &str| format!("{setup}/{part}");
        let bound =
            "The bound on the curvature gives the largest learning rate of stable training of a last layer.";
        vec![
            Row::new(name("curvature"), "curvature of the loss at zero weights, over λ/K", "curvature").about(
                1.0,
                1e-3,
                "exact: at uniform probabilities the Hessian is (I − 11ᵀ/K)/K ⊗ C; the difference quotient errs by 1e-6",
            ),
            Row::new(name("guaranteed"), "steps at 4/λ that raise the loss", "guaranteed").near(
                0.0,
                1e-9,
                "exact: the curvature never exceeds λ/2 (Böhning)",
            ),
            Row::new(name("initial"), "share of steps at 2K/λ that raise the loss", "initial"),
            Row::new(name("beyond"), "share of steps at 6K/λ that raise the loss", "beyond"),
            Row::new(name("worst"), "highest loss at 6K/λ, over that of zero weights", "worst"),
            Row::new(name("gain"), "last loss at 6K/λ, over the last at 4/λ", "beyond loss")
                .by(Statistic::RatioOfMeans { of: "beyond loss".into(), over: "guaranteed loss".into() })
                .claim(
                    bound,
                    Rule::AtLeast { value: 1.0 },
                    "a softmax loss is convex and bounded in slope: above the limit it oscillates for a while, does not blow \
                     up, and ends lower",
                ),
        ]
    }

    fn mean_rows(&self, setup: &str) -> Vec<Row> {
        let name = |part: &str| format!("{setup}/{part}");
        let (n, count) = (self.mean_width as f64, self.mean_examples as f64);
        let squared_mean = 2.0 / core::f64::consts::PI;
        let variance = 1.0 - squared_mean;
        let spike = n * squared_mean;
        // The mean direction's energy, and what sampling noise beside it adds, by perturbation of second order.
        let plain = (spike + variance) * (1.0 + (n - 1.0) / count * variance / spike);
        let centred = variance * wishart_edge(self.mean_examples, self.mean_width) / count;
        let bare = variance * (1.0 + (n / count).sqrt()).powi(2);
        vec![
            Row::new(name("plain"), "λ of features |N(0, 1)|", "plain").about(
                plain,
                0.02,
                "2 %: a draw spreads by about √(4·0.57/(width·examples)), and λ is a ratio of means to first order",
            ),
            Row::new(name("centred"), "λ of the same features after subtracting each one's mean", "centred").about(
                centred,
                0.03,
                "3 %: the edge and the mean of its fluctuations at finite size; features are not normal, which moves it by 1/n",
            ),
            Row::new(name("control"), "λ of the features, if their mean did not count", "plain")
                .about(bare, 0.03, "the same tolerance")
                .control(),
        ]
    }

    /// Features `(examples, width)` of a frozen network, its Lipschitz bound and the largest input's squared length.
    fn features(
        &self,
        hidden: Hidden,
        depth: usize,
        inputs: &[f32],
        draw: &Draw<'_>,
    ) -> Result<(Vec<f32>, f64)> {
        let sizes: Vec<usize> =
            [self.inputs].into_iter().chain(std::iter::repeat_n(self.width, depth)).chain([1]).collect();
        let gain = if hidden == Hidden::Relu { core::f64::consts::SQRT_2 } else { 1.0 };
        let net = Net::draw(&sizes, hidden, gain, draw)?;
        let norms = (0..depth).map(|i| spectral_norm(&net.weights[i], sizes[i]));
        let lipschitz: f64 = norms.product();
        let longest = inputs
            .chunks_exact(self.inputs)
            .map(|row| row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>())
            .fold(0.0, f64::max);
        Ok((net.forward(inputs).swap_remove(depth), lipschitz * lipschitz * longest))
    }

    fn draw_frozen(&self, hidden: Hidden, depth: usize, draw: &mut Draw<'_>) -> Result<()> {
        let mut stream = draw.stream("inputs");
        let inputs: Vec<f32> = (0..self.examples * self.inputs).map(|_| stream.normal() as f32).collect();
        let (features, bound) = self.features(hidden, depth, &inputs, draw)?;
        let moments = second_moments(&features, self.width);
        let lambda = largest_of(&moments, self.width);
        let mut stream = draw.stream("start");
        let start: Vec<f64> = (0..self.width).map(|_| stream.normal()).collect();
        let descent = heavy_ball_limit(&moments, &start, 0.0, self.steps);
        let momentum = heavy_ball_limit(&moments, &start, self.momentum, self.steps);
        draw.record("share", lambda / bound)?;
        draw.record("room", descent * bound / 2.0)?;
        draw.record("descent", descent * lambda / 2.0)?;
        draw.record("momentum", momentum * lambda / (2.0 * (1.0 + self.momentum)))
    }

    fn draw_head(&self, classes: usize, draw: &mut Draw<'_>) -> Result<()> {
        let teacher = Teacher { width: self.inputs, classes, noise: 0.0 };
        let [examples] = teacher.examples(draw, [("inputs", self.examples)])?;
        let (features, _) = self.features(Hidden::Tanh, 1, &examples.inputs, draw)?;
        let lambda = largest_of(&second_moments(&features, self.width), self.width);
        let head = Softmax::new(&features, &examples.labels, classes);
        // The Hessian at zero, by central differences of the gradient.
        let n = classes * self.width;
        let curvature = largest_eigenvalue(n, |v, out| {
            let h = 1e-3;
            let at = |sign: f64| head.slope(&v.iter().map(|x| sign * h * x).collect::<Vec<f64>>()).1;
            let (plus, minus) = (at(1.0), at(-1.0));
            out.iter_mut().zip(plus.iter().zip(&minus)).for_each(|(o, (p, m))| *o = (p - m) / (2.0 * h));
        });
        draw.record("curvature", curvature * classes as f64 / lambda)?;
        let k = classes as f64;
        let guaranteed = head.descend(guaranteed_learning_rate(lambda)?, self.softmax_steps);
        let initial = head.descend(2.0 * k / lambda, self.softmax_steps);
        let beyond = head.descend(6.0 * k / lambda, self.softmax_steps);
        draw.record("guaranteed", guaranteed.raised as f64)?;
        draw.record("initial", initial.raised as f64 / self.softmax_steps as f64)?;
        draw.record("beyond", beyond.raised as f64 / self.softmax_steps as f64)?;
        draw.record("worst", beyond.worst / k.ln())?;
        draw.record("guaranteed loss", guaranteed.last)?;
        draw.record("beyond loss", beyond.last)
    }

    fn draw_means(&self, draw: &mut Draw<'_>) -> Result<()> {
        let mut stream = draw.stream("features");
        let n = self.mean_width;
        let features: Vec<f32> = (0..self.mean_examples * n).map(|_| stream.normal().abs() as f32).collect();
        let mut moments = second_moments(&features, n);
        draw.record("plain", largest_of(&moments, n))?;
        let mut means = vec![0.0; n];
        for row in features.chunks_exact(n) {
            means.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / self.mean_examples as f64);
        }
        for (a, line) in means.iter().zip(moments.chunks_exact_mut(n)) {
            line.iter_mut().zip(&means).for_each(|(c, b)| *c -= a * b);
        }
        draw.record("centred", largest_of(&moments, n))
    }
}
