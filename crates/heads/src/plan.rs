//! The head plan and signal card: what is predicted of a new head, and what was measured.

use crate::{CALIBRATED_VARIANCE, Choice, Classifier, Features, HeadInit, Moments, Prior, Result, Truth};
use serde::{Deserialize, Serialize};
use std::fmt;
use xexp_init::head_theory;
use xexp_kernels::{Pool, sum_of_squares};

/// What follows from the moments of the features and the head's standard deviation, before anything is drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// `E[z²] = d·Var(w)·E[φ²]` over draws of the head.
    pub logit_variance: f64,
    /// The part of it that differs between examples.
    pub sample_variance: f64,
    /// Expected loss at the start: logits of an example are independent `N(0, Var(w)‖φ‖²)`. None when that variance is
    /// beyond what [`head_theory::initial_cross_entropy`] integrates.
    pub initial_loss: Option<f64>,
}

/// The loss of a head that knows nothing, as `head.json` and `results.json` name it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uninformed {
    /// `ln C`, the cross-entropy of equal logits.
    LnClasses(f64),
    /// `ln 2`, the binary cross-entropy of logits of zero.
    LnTwo(f64),
    /// Variance of the values, the squared error of their mean.
    ValueVariance(f64),
}

impl Uninformed {
    /// For the truth of some examples.
    fn of(truth: &Truth, classes: usize) -> Self {
        match truth {
            Truth::Classes(_) => Uninformed::LnClasses((classes as f64).ln()),
            Truth::Labels(_) => Uninformed::LnTwo(std::f64::consts::LN_2),
            Truth::Values(values) => {
                let mean = mean_of(values, |y| y);
                Uninformed::ValueVariance(mean_of(values, |y| (y - mean).powi(2)))
            }
        }
    }

    /// The loss.
    pub fn loss(self) -> f64 {
        let (Uninformed::LnClasses(loss) | Uninformed::LnTwo(loss) | Uninformed::ValueVariance(loss)) = self;
        loss
    }

    /// What it is, in a few words.
    pub fn name(self) -> &'static str {
        match self {
            Uninformed::LnClasses(_) => "ln C",
            Uninformed::LnTwo(_) => "ln 2",
            Uninformed::ValueVariance(_) => "variance of the values",
        }
    }
}

fn mean_of(values: &[f32], of: impl Fn(f64) -> f64) -> f64 {
    values.iter().map(|&y| of(f64::from(y))).sum::<f64>() / values.len().max(1) as f64
}

/// Everything said about a new head; saved as `head.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeadPlan {
    /// The rule, as `--head-init` takes it.
    pub init: String,
    /// Why this rule, where it was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `--head-scale`.
    pub scale: f64,
    /// Standard deviation of the weights.
    pub std: f64,
    /// Width of the features and number of classes.
    pub shape: (usize, usize),
    /// The features as measured.
    pub features: Moments,
    /// The document's premise, "zero mean, unit variance": whether it is true of these features.
    pub features_are_standard: bool,
    /// The standard deviation that theory advises for these features: that of `calibrated`. None when they are
    /// all zero.
    pub advised_std: Option<f64>,
    /// Predicted from the features' moments.
    pub predicted: Prediction,
    /// Mean square of the logits of these features under the head as drawn.
    pub measured_logit_variance: f64,
    /// Loss on these examples under the head as drawn.
    pub initial_loss: f64,
    /// Loss of a head that knows nothing.
    #[serde(flatten)]
    pub uninformed: Uninformed,
    /// Entropy of the labels, where the bias was set from their shares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_entropy: Option<f64>,
}

/// Largest variance of logits for which the loss under a bias is predicted: what is left out is of the order of its square.
const SMALL_VARIANCE: f64 = 0.25;

impl Prediction {
    /// For a head of standard deviation `std` on `features` of examples with this `truth`.
    ///
    /// With `z ~ N(0, s²)` independent of the truth, the binary cross-entropy is `E ln(1 + e^z)`, which is the cross-entropy of
    /// two classes at `s²/2`, for the difference of their logits has then the variance `s²`; the squared error is `s² + E[y²]`.
    ///
    /// # Errors
    /// A standard deviation or moments that are not finite.
    pub fn new(
        std: f64,
        classes: usize,
        (features, truth): (&Features, &Truth),
        moments: &Moments,
    ) -> Result<Self> {
        let Moments { width, second_moment, variance, .. } = *moments;
        let logits = head_theory::Features { width, second_moment, variance }.logit_variance(std)?;
        let loss = |row: &[f32]| {
            let variance = std * std * sum_of_squares(row);
            match truth {
                Truth::Classes(_) => head_theory::initial_cross_entropy(classes, variance).ok(),
                Truth::Labels(_) => head_theory::initial_cross_entropy(2, variance / 2.0).ok(),
                Truth::Values(values) => Some(variance + mean_of(values, |y| y * y)),
            }
        };
        let losses: Option<Vec<f64>> = features.values.chunks_exact(features.width).map(loss).collect();
        let mean = |losses: Vec<f64>| losses.iter().sum::<f64>() / losses.len().max(1) as f64;
        Ok(Prediction {
            logit_variance: logits.total,
            sample_variance: logits.between_samples,
            initial_loss: losses.map(mean),
        })
    }
}

impl HeadPlan {
    /// Predicts first, then measures the head as drawn on `features` with their `truth`.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn new(
        classifier: &Classifier,
        (init, scale, std): (HeadInit, f64, f64),
        features: &Features,
        truth: &Truth,
        pool: &Pool,
    ) -> Result<Self> {
        let moments = Moments::of(&features.values, features.width);
        let predicted = Prediction::new(std, classifier.classes(), (features, truth), &moments)?;
        let logits = classifier.logits(&features.values, pool)?;
        let mut scrap = pool.buffer(logits.len());
        let outputs = classifier.classes();
        let weight = 1.0 / truth.examples(outputs).max(1) as f64;
        Ok(HeadPlan {
            init: init.to_string(),
            reason: None,
            scale,
            std,
            shape: (features.width, classifier.classes()),
            features_are_standard: moments.is_standard(),
            advised_std: advised(&moments),
            features: moments,
            predicted,
            measured_logit_variance: sum_of_squares(&logits) / logits.len().max(1) as f64,
            initial_loss: truth.loss(&logits, outputs, weight, &mut scrap),
            uninformed: Uninformed::of(truth, outputs),
            label_entropy: None,
        })
    }

    /// The same of a rule that was chosen.
    pub fn chosen(self, choice: Choice) -> Self {
        HeadPlan { reason: Some(choice.reason), ..self }
    }

    /// The same once the bias has been set from the classes' shares: the loss, predicted and measured again. Logits and their
    /// variance stay those of the weights alone.
    ///
    /// For logits `ln π_k + z_k` with independent `z_k ~ N(0, s²)` the expectation is, to second order,
    /// `−ln π_y + s²/2 (1 − Σ π_k²)`: the variance of `z` under `π`, halved.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn with_prior(
        mut self,
        prior: &Prior,
        classifier: &Classifier,
        (features, labels): (&Features, &[u32]),
        pool: &Pool,
    ) -> Result<Self> {
        let logits = classifier.logits(&features.values, pool)?;
        let mut scrap = pool.buffer(logits.len());
        let count = labels.len().max(1) as f64;
        let (variance, shares) = (self.predicted.logit_variance, prior.shares());
        let surprise = labels.iter().map(|label| -shares[*label as usize].ln()).sum::<f64>() / count;
        let spread = 1.0 - shares.iter().map(|share| share * share).sum::<f64>();
        self.predicted.initial_loss =
            (variance <= SMALL_VARIANCE).then_some(surprise + variance / 2.0 * spread);
        self.initial_loss =
            xexp_kernels::cross_entropy::forward_backward(&logits, labels, 1.0 / count, &mut scrap);
        self.label_entropy = Some(prior.entropy());
        Ok(self)
    }
}

fn advised(moments: &Moments) -> Option<f64> {
    let Moments { width, second_moment, variance, .. } = *moments;
    head_theory::Features { width, second_moment, variance }.weight_std_for(CALIBRATED_VARIANCE).ok()
}

impl fmt::Display for HeadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (m, p) = (&self.features, &self.predicted);
        let premise = if self.features_are_standard { "holds" } else { "does not hold" };
        writeln!(
            f,
            "Head {} × {}: {}, scale {}, std {:.5}",
            self.shape.0, self.shape.1, self.init, self.scale, self.std
        )?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  chosen: {reason}")?;
        }
        writeln!(
            f,
            "  features of {} examples: mean {:+.4}, variance {:.4}, second moment {:.4}; {:.1} % of their energy is common to all",
            m.examples,
            m.mean,
            m.variance,
            m.second_moment,
            100.0 * m.mean_share
        )?;
        writeln!(f, "  \"zero mean, unit variance\" {premise} for this backbone")?;
        let (name, loss) = (self.uninformed.name(), self.uninformed.loss());
        if let Some(std) = self.advised_std {
            let zero = match self.uninformed {
                Uninformed::ValueVariance(_) => "zero (a loss of the values' mean square)".to_string(),
                _ => format!("zero (a loss of exactly {name})"),
            };
            writeln!(f, "  advised here: std {std:.5} (logit variance {CALIBRATED_VARIANCE}), or {zero}")?;
        }
        writeln!(
            f,
            "  logit variance: predicted {:.4} ({:.4} between examples), measured {:.4}",
            p.logit_variance, p.sample_variance, self.measured_logit_variance
        )?;
        if let Some(entropy) = self.label_entropy {
            writeln!(f, "  bias: the logarithms of the classes' shares; entropy of the labels {entropy:.4}")?;
        }
        write!(
            f,
            "  initial loss: {name} = {loss:.4}, predicted {}, measured {:.4}",
            p.initial_loss.map_or("beyond the formula".to_string(), |loss| format!("{loss:.4}")),
            self.initial_loss
        )
    }
}
