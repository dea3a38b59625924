//! `--temperature`.

use std::str::FromStr;

use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;
use crate::saved::Named;

/// What logits are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Temperature {
    /// This number.
    Of(f64),
    /// What the saved model's results say.
    Fitted,
}

impl FromStr for Temperature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "fitted" => Ok(Temperature::Fitted),
            Ok(number) if number > 0.0 && number.is_finite() => Ok(Temperature::Of(number)),
            _ => Err("expected a positive number, or fitted".to_string()),
        }
    }
}

impl Temperature {
    /// The number for a saved model.
    ///
    /// # Errors
    /// A fitted temperature that the model has not.
    pub fn settle(self, model: &Named) -> Result<f64, Failure> {
        let Temperature::Fitted = self else {
            return Ok(if let Temperature::Of(number) = self { number } else { 1.0 });
        };
        let missing = |reason: String| {
            Failure::input(format!("--temperature fitted: {reason}"))
                .hint("give a number, or a model that this program fine-tuned and that is not right on all validation examples")
        };
        let folder = model.folder().ok_or_else(|| missing("a bundled model has none".to_string()))?;
        let path = folder.join("results.json");
        let wrong = |error: &dyn std::fmt::Display| missing(format!("{}: {error}", path.display()));
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        let results: Value = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        let found = &results["calibration"]["fitted"]["temperature"];
        found
            .as_f64()
            .filter(|number| *number > 0.0)
            .ok_or_else(|| wrong(&format_args!("calibration.fitted.temperature is {found}")))
    }
}
