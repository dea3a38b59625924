//! A new classification head with Xavier weights: its logits, its first loss and the gradient below it.

use serde::{Deserialize, Serialize};
use xexp_init::head_theory::{Features, initial_cross_entropy};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::demand;
use crate::moments::{second_moment, values};
use crate::{About, Draw, Experiment, Result, Setup};

/// Heads of several sizes on standard normal features.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadInit {
    /// Width of the features.
    pub width: usize,
    /// Numbers of classes.
    pub classes: Vec<usize>,
    /// Examples a draw.
    pub batch: usize,
}

impl Default for HeadInit {
    fn default() -> Self {
        HeadInit { width: 768, classes: vec![2, 10, 1000], batch: 256 }
    }
}

impl HeadInit {
    fn layer(&self, classes: usize) -> Layer {
        Layer::Linear { input: self.width, output: classes }
    }

    /// Expected first loss. The logits' variance given an example is `Var(w)|φ|²`, which spreads by `√(2/d)` of itself:
    /// averaged by the three points that integrate a normal exactly to fifth order.
    fn loss(&self, classes: usize, variance: f64) -> Result<f64> {
        let spread = (6.0 / self.width as f64).sqrt();
        let mut loss = 0.0;
        for (at, weight) in [(-spread, 1.0 / 6.0), (0.0, 2.0 / 3.0), (spread, 1.0 / 6.0)] {
            loss += weight * initial_cross_entropy(classes, variance * (1.0 + at).max(0.0))?;
        }
        Ok(loss)
    }
}

impl Experiment for HeadInit {
    type Setup = usize;

    const ABOUT: About = About {
        id: "head-init",
        title: "A new head with Xavier weights",
        question: "Does Xavier's rule give a new classification head moderate logits and a balanced gradient?",
        source: "Document, \"Transfer learning\"; the loss by Frullani's integral",
        method: "A linear head with Xavier weights on independent N(0, 1) features, as the document assumes them. A draw is a \
                 new head with new features; it measures the logits' mean square, the cross-entropy averaged over labels that \
                 know nothing, the largest probability, and the gain of an independent gradient's second moment. A head of \
                 zeros stands beside it. The control expects logits as large as the features.",
        cost: "2 s",
    };

    fn full() -> Self {
        HeadInit { classes: vec![2, 3, 10, 100, 768, 1000, 10_000], ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        let id = Self::ABOUT.id;
        demand(id, "width", self.width, (8..=65536).contains(&self.width), "a size from 8 to 65536")?;
        demand(id, "batch", self.batch, (1..=65536).contains(&self.batch), "a size from 1 to 65536")?;
        let valid = !self.classes.is_empty() && self.classes.iter().all(|k| (2..=1 << 20).contains(k));
        demand(id, "classes", &self.classes, valid, "one or more numbers from 2 to 2^20")
    }

    fn setups(&self) -> Result<Vec<Setup<usize>>> {
        Ok(self
            .classes
            .iter()
            .map(|&classes| Setup::new(format!("d{}-k{classes}", self.width), classes))
            .collect())
    }

    fn predict(&self, setup: &Setup<usize>) -> Result<Vec<Row>> {
        let classes = setup.of;
        let k = classes as f64;
        let std = Init::xavier_normal().std(&self.layer(classes))?;
        let features = Features { width: self.width, second_moment: 1.0, variance: 1.0 };
        let variance = features.logit_variance(std)?.total;
        let backward = k * std * std;
        let name = |part: &str| format!("{}/{part}", setup.name);
        let balance = "the fans of a head are far apart, and Xavier's compromise is right for neither direction: \
                       2d/(d + K) forward, 2K/(d + K) backward";
        let mean = "3 %: the mean over heads and features is exact; a draw spreads by about √(2/(d·K))";
        let mut rows = vec![
            Row::new(name("logits"), "mean square of the logits", "logits")
                .about(variance, 0.03, mean)
                .claim(
                    "Xavier's rule keeps the scale of the features: the logits' variance is 1, give or take a tenth.",
                    Rule::Near { value: 1.0, tolerance: 0.1 },
                    balance,
                )
                .at("gain", "forward", k),
            Row::new(name("loss"), "cross-entropy before training", "loss").unit("nats").about(
                self.loss(classes, variance)?,
                0.03,
                "3 %: the integral is exact for normal logits, |φ|² is averaged to fifth order",
            ),
            Row::new(name("backward"), "gain of the gradient's second moment, from the logits to the features", "backward")
                .about(backward, 0.06, "6 %: the mean over heads is exact; a draw spreads by about √(2/(d·K))")
                .claim(
                    "Xavier's rule gives the gradient below the head a balanced scale: its gain is 1, give or take a tenth.",
                    Rule::Near { value: 1.0, tolerance: 0.1 },
                    balance,
                )
                .at("gain", "backward", k),
            Row::new(name("largest"), "mean of the largest probability", "largest").claim(
                "With Xavier weights the softmax does not start saturated.",
                Rule::AtMost { value: 0.9 },
                "it holds",
            ),
            Row::new(name("zero-loss"), "cross-entropy of a head of zeros", "zero loss").unit("nats").about(
                k.ln(),
                1e-6,
                "exact, but for f32",
            ),
            Row::new(name("zero-backward"), "gain of the gradient's second moment under a head of zeros", "zero backward")
                .near(0.0, 1e-12, "exact"),
        ];
        // Where classes and features are about as many, Xavier's rule is right and the control would be too.
        if (variance - 1.0).abs() > 0.1 {
            rows.push(
                Row::new(name("control"), "the logits' mean square, if it were the features'", "logits")
                    .near(1.0, 0.03, "the same tolerance")
                    .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<usize>, draw: &mut Draw<'_>) -> Result<()> {
        let classes = setup.of;
        let weight = draw.weight("weight", &self.layer(classes), Init::xavier_normal())?;
        let features = draw.normal("features", &[self.batch, self.width], 1.0)?;
        let logits = features.matmul(&weight.t()?)?;
        draw.record("logits", second_moment(&logits)?)?;
        let (mut loss, mut largest) = (0.0, 0.0);
        for row in values(&logits)?.chunks_exact(classes) {
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total: f64 = row.iter().map(|z| libm::exp(z - top)).sum();
            // The mean over labels of −z_y is minus the logits' mean.
            loss += libm::log(total) + top - row.iter().sum::<f64>() / classes as f64;
            largest += 1.0 / total;
        }
        draw.record("loss", loss / self.batch as f64)?;
        draw.record("largest", largest / self.batch as f64)?;
        let above = draw.normal("gradient", &[self.batch, classes], 1.0)?;
        draw.record("backward", second_moment(&above.matmul(&weight)?)?)?;
        let zero = weight.zeros_like()?;
        let logits = values(&features.matmul(&zero.t()?)?)?;
        let losses =
            logits.chunks_exact(classes).map(|row| libm::log(row.iter().map(|z| libm::exp(*z)).sum()));
        draw.record("zero loss", losses.sum::<f64>() / self.batch as f64)?;
        draw.record("zero backward", second_moment(&above.matmul(&zero)?)?)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("gain", "Gains of a Xavier head", "classes", "gain of the second moment")
                .log_x()
                .log_y(),
        ]
    }
}
