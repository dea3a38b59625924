//! How sure the model is: the temperature that validation asks for, and what it changes.

use std::fmt;

use serde::Serialize;
use xexp_heads::Truth;
use xexp_report::plot::Bin;
use xexp_train::metrics::{Logits, cooled, expected_calibration_error, reliability};

use crate::failure::Failure;
use crate::scoring::{Scored, Scores};

/// The calibration of a finished run.
#[derive(Debug, Serialize)]
pub struct Calibration {
    /// The set whose figures follow.
    pub split: &'static str,
    /// Expected calibration error of the probabilities as they are.
    pub ece: f64,
    /// Mean cross-entropy of the same.
    pub loss: f64,
    /// The same at the temperature of the least cross-entropy on the validation set; null where there is none.
    pub fitted: Option<Fitted>,
}

/// What a temperature makes of the probabilities.
#[derive(Debug, Serialize)]
pub struct Fitted {
    /// Logits divided by it are as sure as validation asks for.
    pub temperature: f64,
    /// Expected calibration error.
    pub ece: f64,
    /// Mean cross-entropy.
    pub loss: f64,
    /// Confidence and accuracy by bin.
    #[serde(skip)]
    pub reliability: Vec<Bin>,
}

impl Calibration {
    /// Fitted on the validation set; its figures are those of the test set, if there is one. `None` of other tasks than of one
    /// class.
    ///
    /// # Errors
    /// None in practice: both sets have been scored.
    pub fn new(valid: &Scored, test: Option<&Scored>, classes: usize) -> Result<Option<Self>, Failure> {
        let (split, scored) = test.map_or(("valid", valid), |test| ("test", test));
        let (Truth::Classes(fitted_on), Truth::Classes(labels), Scores::SingleLabel(scores)) =
            (&valid.truth, &scored.truth, &scored.scores)
        else {
            return Ok(None);
        };
        let temperature = Logits::new(&valid.logits, classes)?.temperature(fitted_on)?;
        let fitted = match temperature {
            Some(temperature) => {
                let logits = cooled(&scored.logits, temperature)?;
                let logits = Logits::new(&logits, classes)?;
                let reliability = reliability(&logits, labels)?;
                let loss = logits.cross_entropy(labels)?;
                Some(Fitted { temperature, ece: expected_calibration_error(&reliability), loss, reliability })
            }
            None => None,
        };
        Ok(Some(Calibration { split, ece: scores.ece, loss: scores.loss, fitted }))
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(fitted) = &self.fitted else {
            return write!(
                f,
                "Expected calibration error {:.4}. Validation asks for no temperature: everything is labelled right there, or by \
                 chance.",
                self.ece
            );
        };
        write!(
            f,
            "At a temperature of {:.3}, fitted on the validation examples, the expected calibration error goes from {:.4} to {:.4} \
             and the loss from {:.4} to {:.4}. Labels stay. `xexp predict --temperature fitted` uses it.",
            fitted.temperature, self.ece, fitted.ece, self.loss, fitted.loss
        )?;
        if self.split == "valid" {
            write!(f, " Both figures are of the examples that it was fitted on.")?;
        }
        Ok(())
    }
}
