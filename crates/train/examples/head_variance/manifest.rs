//! What is asked and how often, as set down before the run.

use crate::Result;
use serde::Deserialize;
use std::path::Path;

/// `manifest.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The experiment's name.
    pub id: String,
    /// What is asked.
    #[serde(rename = "question")]
    _question: String,
    /// The formula.
    #[serde(rename = "prediction")]
    _prediction: String,
    /// Where it comes from.
    #[serde(rename = "source")]
    _source: String,
    /// What the document says.
    #[serde(rename = "claim")]
    _claim: String,
    /// Largest relative distance of the interval's ends from the prediction.
    pub tolerance: f64,
    /// Heads a row.
    pub draws: usize,
    /// Initializations, as `--head-init` takes them.
    pub inits: Vec<String>,
    /// Numbers of classes.
    pub classes: Vec<usize>,
    /// Sentences whose features are used.
    pub sentences: usize,
    /// Seed of the sentences and of the heads.
    pub seed: u64,
}

impl Manifest {
    /// Reads the file; a key that is missing or unknown is an error.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        toml::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    }
}
