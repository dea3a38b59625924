//! A small fully connected network without biases, trained on all examples at once.

use xexp_init::{Init, Layer};
use xexp_kernels::cross_entropy::forward_backward;
use xexp_kernels::linear::{self, GradColumns};

use crate::{Draw, Result};

/// What stands between two layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// Nothing.
    Identity,
    /// `tanh x`.
    Tanh,
    /// `max(0, x)`.
    Relu,
}

impl Hidden {
    /// Name in set-ups and parameters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Hidden::Identity => "linear",
            Hidden::Tanh => "tanh",
            Hidden::Relu => "relu",
        }
    }

    /// The activation of this name.
    pub(crate) fn named(name: &str) -> Option<Hidden> {
        [Hidden::Identity, Hidden::Tanh, Hidden::Relu].into_iter().find(|hidden| hidden.name() == name)
    }

    fn apply(self, x: &mut [f32]) {
        match self {
            Hidden::Identity => {}
            Hidden::Tanh => x.iter_mut().for_each(|v| *v = libm::tanhf(*v)),
            Hidden::Relu => x.iter_mut().for_each(|v| *v = v.max(0.0)),
        }
    }

    /// Multiplies `gradient` by the derivative, given the activation's output: `1 − y²` for tanh, exactly zero where
    /// `y` has rounded to ±1, as in every implementation.
    fn pull_back(self, y: &[f32], gradient: &mut [f32]) {
        match self {
            Hidden::Identity => {}
            Hidden::Tanh => gradient.iter_mut().zip(y).for_each(|(g, y)| *g *= 1.0 - y * y),
            Hidden::Relu => {
                gradient.iter_mut().zip(y).for_each(|(g, y)| *g = if *y > 0.0 { *g } else { 0.0 })
            }
        }
    }
}

/// Weights of each layer, `(output, input)`; the last layer has no activation.
#[derive(Clone)]
pub(crate) struct Net {
    sizes: Vec<usize>,
    hidden: Hidden,
    pub(crate) weights: Vec<Vec<f32>>,
}

/// Inputs `(examples, width)` with their classes.
pub(crate) struct Examples {
    pub(crate) inputs: Vec<f32>,
    pub(crate) labels: Vec<u32>,
}

/// Loss and gradients of all weights.
pub(crate) struct Slope {
    pub(crate) loss: f64,
    pub(crate) gradients: Vec<Vec<f32>>,
}

impl Net {
    /// Xavier weights times `gain`; those of different gains are multiples of each other if the streams are the same.
    pub(crate) fn draw(sizes: &[usize], hidden: Hidden, gain: f64, draw: &Draw<'_>) -> Result<Net> {
        let layers = sizes.windows(2).enumerate();
        let weights: Result<Vec<Vec<f32>>> = layers
            .map(|(i, pair)| {
                let layer = Layer::Linear { input: pair[0], output: pair[1] };
                let mut stream = draw.stream(&format!("layer.{i}"));
                Ok(Init::xavier_normal().times(gain).fill(&layer, &mut stream)?)
            })
            .collect();
        Ok(Net { sizes: sizes.to_vec(), hidden, weights: weights? })
    }

    /// A single layer `(output, input)` with these weights.
    pub(crate) fn single(input: usize, output: usize, weight: Vec<f32>) -> Net {
        Net { sizes: vec![input, output], hidden: Hidden::Identity, weights: vec![weight] }
    }

    /// The same network with every weight `factor` times as large.
    pub(crate) fn times(&self, factor: f64) -> Net {
        let scaled = |w: &Vec<f32>| w.iter().map(|v| (f64::from(*v) * factor) as f32).collect();
        Net { weights: self.weights.iter().map(scaled).collect(), ..self.clone() }
    }

    /// Inputs of every layer, and at the end the outputs of the last.
    pub(crate) fn forward(&self, inputs: &[f32]) -> Vec<Vec<f32>> {
        let rows = inputs.len() / self.sizes[0];
        let mut trace = vec![inputs.to_vec()];
        for (i, weight) in self.weights.iter().enumerate() {
            let mut y = vec![0.0; rows * self.sizes[i + 1]];
            linear::forward(&trace[i], weight, None, &mut y);
            if i + 1 < self.weights.len() {
                self.hidden.apply(&mut y);
            }
            trace.push(y);
        }
        trace
    }

    /// Mean cross-entropy over the examples and its gradient.
    pub(crate) fn slope(&self, examples: &Examples) -> Slope {
        let trace = self.forward(&examples.inputs);
        let logits = &trace[self.weights.len()];
        let mut above = vec![0.0; logits.len()];
        let loss = forward_backward(logits, &examples.labels, 1.0 / examples.labels.len() as f64, &mut above);
        let mut gradients: Vec<Vec<f32>> = self.weights.iter().map(|w| vec![0.0; w.len()]).collect();
        for i in (0..self.weights.len()).rev() {
            let columns = GradColumns::all(&above, self.sizes[i + 1]);
            linear::backward_weight(columns, &trace[i], &mut gradients[i]);
            if i > 0 {
                let mut below = vec![0.0; trace[i].len()];
                linear::backward_input(columns, &self.weights[i], &mut below, false);
                self.hidden.pull_back(&trace[i], &mut below);
                above = below;
            }
        }
        Slope { loss, gradients }
    }

    /// Class with the largest output for each example.
    pub(crate) fn answers(&self, inputs: &[f32]) -> Vec<u32> {
        let outputs = self.forward(inputs).pop().unwrap_or_default();
        let classes = self.sizes[self.sizes.len() - 1];
        outputs.chunks_exact(classes).map(largest).collect()
    }

    /// Length of the way from `from` to here, relative to the length of all weights there.
    pub(crate) fn motion(&self, from: &Net) -> f64 {
        let (mut way, mut length) = (0.0, 0.0);
        for (now, then) in self.weights.iter().flatten().zip(from.weights.iter().flatten()) {
            way += f64::from(now - then).powi(2);
            length += f64::from(*then).powi(2);
        }
        (way / length).sqrt()
    }
}

/// Index of the largest value, the first if there are several.
pub(crate) fn largest(row: &[f32]) -> u32 {
    let start = (0, f32::NEG_INFINITY);
    let better = |best: (usize, f32), (i, v): (usize, &f32)| if *v > best.1 { (i, *v) } else { best };
    row.iter().enumerate().fold(start, better).0 as u32
}

/// Share of equal entries.
pub(crate) fn agreement(a: &[u32], b: &[u32]) -> f64 {
    a.iter().zip(b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

/// Root of the sum of squares.
pub(crate) fn norm(values: &[f32]) -> f64 {
    xexp_kernels::sum_of_squares(values).sqrt()
}

/// How weights follow their gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Rule {
    Sgd { rate: f64 },
    Adam { rate: f64, epsilon: f64 },
}

/// A rule with what it remembers.
pub(crate) struct Optimizer {
    rule: Rule,
    step: i32,
    means: Vec<Vec<(f64, f64)>>,
}

impl Optimizer {
    /// Before the first step on `net`.
    pub(crate) fn new(rule: Rule, net: &Net) -> Optimizer {
        let means = match rule {
            Rule::Sgd { .. } => vec![],
            Rule::Adam { .. } => net.weights.iter().map(|w| vec![(0.0, 0.0); w.len()]).collect(),
        };
        Optimizer { rule, step: 0, means }
    }

    /// One step. Adam's decay rates are 0.9 and 0.999. Source: Kingma & Ba 2015, algorithm 1.
    pub(crate) fn step(&mut self, net: &mut Net, gradients: &[Vec<f32>]) {
        self.step += 1;
        match self.rule {
            Rule::Sgd { rate } => {
                for (w, g) in net.weights.iter_mut().flatten().zip(gradients.iter().flatten()) {
                    *w -= (rate * f64::from(*g)) as f32;
                }
            }
            Rule::Adam { rate, epsilon } => {
                let (first, second) = (1.0 - 0.9f64.powi(self.step), 1.0 - 0.999f64.powi(self.step));
                let values = net.weights.iter_mut().flatten().zip(gradients.iter().flatten());
                for ((w, g), (m, v)) in values.zip(self.means.iter_mut().flatten()) {
                    let g = f64::from(*g);
                    *m = 0.9 * *m + 0.1 * g;
                    *v = 0.999 * *v + 0.001 * g * g;
                    *w -= (rate * (*m / first) / ((*v / second).sqrt() + epsilon)) as f32;
                }
            }
        }
    }

    /// Trains for `steps` steps on all examples at once.
    pub(crate) fn train(&mut self, net: &mut Net, examples: &Examples, steps: usize) {
        for _ in 0..steps {
            let slope = net.slope(examples);
            self.step(net, &slope.gradients);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use xexp_init::Seed;

    fn setting(hidden: Hidden) -> (Net, Examples) {
        let draw = Draw::new(Seed(3), ("test", "net"), 0, &Device::Cpu);
        let mut stream = draw.stream("inputs");
        let inputs = (0..7 * 5).map(|_| stream.normal() as f32).collect();
        let labels = (0..7).map(|_| stream.below(3) as u32).collect();
        (Net::draw(&[5, 6, 4, 3], hidden, 1.5, &draw).unwrap(), Examples { inputs, labels })
    }

    #[test]
    fn gradients_are_slopes_of_the_loss() {
        for hidden in [Hidden::Identity, Hidden::Tanh, Hidden::Relu] {
            let (net, examples) = setting(hidden);
            let gradients = net.slope(&examples).gradients;
            let mut compared = 0;
            for (layer, gradient) in gradients.iter().enumerate() {
                for (i, found) in gradient.iter().enumerate() {
                    let at = |by: f32| {
                        let mut moved = net.clone();
                        moved.weights[layer][i] += by;
                        moved.slope(&examples).loss
                    };
                    let h = 1.0 / 128.0;
                    let (above, below) =
                        ((at(h) - at(0.0)) / f64::from(h), (at(0.0) - at(-h)) / f64::from(h));
                    // A kink between the two points has no slope to compare with; curvature alone is below 2 h.
                    if (above - below).abs() > 0.02 {
                        continue;
                    }
                    compared += 1;
                    // Rounding of the loss's inputs 1e-7/h, and curvature h²/6 times a third derivative of about 2.
                    let slope = 0.5 * (above + below);
                    assert!(
                        (slope - f64::from(*found)).abs() < 3e-4,
                        "{hidden:?} {layer} {i}: {slope} {found}"
                    );
                }
            }
            // 5·6 + 6·4 + 4·3 weights.
            assert!(compared >= 60, "{hidden:?}: {compared}");
        }
    }

    #[test]
    fn the_first_step_of_adam_is_the_rate_and_of_sgd_the_gradient() {
        let (net, examples) = setting(Hidden::Tanh);
        let gradients = net.slope(&examples).gradients;
        let moved = |rule: Rule| {
            let mut net = net.clone();
            Optimizer::new(rule, &net).train(&mut net, &examples, 1);
            net
        };
        let (adam, sgd) = (moved(Rule::Adam { rate: 0.01, epsilon: 1e-12 }), moved(Rule::Sgd { rate: 0.1 }));
        for (i, g) in gradients[1].iter().enumerate() {
            let before = net.weights[1][i];
            assert!((before - adam.weights[1][i] - 0.01 * g.signum()).abs() < 1e-6);
            assert!((before - sgd.weights[1][i] - 0.1 * g).abs() < 1e-6);
        }
        assert!((net.times(3.0).motion(&net) - 2.0).abs() < 1e-6);
    }
}
