//! `thresholds.json`: from which probability on each label applies, as tuned on the validation examples; and `--threshold`.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde::Serialize;

use crate::failure::Failure;

/// The file's name in a model's folder.
pub const FILE: &str = "thresholds.json";

/// A value of `--threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// This probability for every label.
    Of(f64),
    /// What was tuned on validation, for each label.
    Fitted,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            _ if text == "fitted" => Ok(Threshold::Fitted),
            Ok(number) if number > 0.0 && number < 1.0 => Ok(Threshold::Of(number)),
            _ => Err("expected a probability above 0 and below 1, or fitted".to_string()),
        }
    }
}

impl Threshold {
    /// The threshold of each label of a saved model.
    ///
    /// # Errors
    /// Fitted thresholds that the model has not.
    pub fn settle(self, folder: Option<&Path>, names: &[String]) -> Result<Vec<f64>, Failure> {
        match self {
            Threshold::Of(number) => Ok(vec![number; names.len()]),
            Threshold::Fitted => {
                let found = folder.map(|folder| read(folder, names)).transpose()?.flatten();
                found.ok_or_else(|| {
                    Failure::input(format!("--threshold fitted: the model has no {FILE}"))
                        .hint("give a number, or a model that this program fine-tuned")
                })
            }
        }
    }
}

/// The thresholds by name.
pub fn by_name(names: &[String], thresholds: &[f64]) -> BTreeMap<String, f64> {
    names.iter().cloned().zip(thresholds.iter().copied()).collect()
}

/// Those of a model's folder, in the order of its labels; `None` where it has no such file.
///
/// # Errors
/// A file that is not what [`by_name`] gave for these labels.
pub fn read(folder: &Path, names: &[String]) -> Result<Option<Vec<f64>>, Failure> {
    let path = folder.join(FILE);
    if !path.is_file() {
        return Ok(None);
    }
    let wrong = |what: String| Failure::input(format!("{}: {what}", path.display()));
    let text =
        std::fs::read_to_string(&path).map_err(|error| wrong("cannot read it".into()).because(&error))?;
    let found: BTreeMap<String, f64> = serde_json::from_str(&text)
        .map_err(|error| wrong("expected a number by label".into()).because(&error))?;
    let threshold = |name: &String| match found.get(name) {
        Some(value) if value.is_finite() => Ok(*value),
        Some(value) => Err(wrong(format!("`{name}`: expected a probability, found {value}"))),
        None => Err(wrong(format!("expected a threshold of the label `{name}`, found none"))),
    };
    names.iter().map(threshold).collect::<Result<_, _>>().map(Some)
}
