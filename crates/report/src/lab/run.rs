//! `run.json`: by what, when and on what a run was made, and the hashes of its files.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Error, Result};

/// The word by which `run.json` tells itself from that of another command.
pub const FORMAT: &str = "xexp-lab/1";

/// How far a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its predictions are written and hashed.
    Measuring,
    /// Its verdicts are.
    Finished,
}

/// Where and when a run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name, where the system tells.
    pub cpu: Option<String>,
    /// Threads that computed.
    pub threads: usize,
    /// Architecture and system.
    pub target: String,
}

/// The record of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`FORMAT`].
    pub format: String,
    /// Id of the experiment.
    pub experiment: String,
    /// How far it is.
    pub status: Status,
    /// The command that makes the same tables.
    pub command: String,
    /// Version of the program.
    pub version: String,
    /// The seed.
    pub seed: u64,
    /// The limit on the draws of a set-up, if one was given.
    pub draws: Option<usize>,
    /// All parameters.
    pub parameters: Value,
    /// The device that computed.
    pub device: String,
    /// The machine.
    pub machine: Machine,
    /// When it began, in UTC.
    pub started: String,
    /// When it ended, in UTC.
    pub finished: Option<String>,
    /// Seconds of measuring, those before an interruption counted.
    pub seconds: Option<f64>,
    /// SHA-256 of its files by name.
    pub sha256: BTreeMap<String, String>,
}

impl Run {
    /// The file's text.
    ///
    /// # Errors
    /// [`Error::Unrecordable`]: none in practice.
    pub fn text(&self) -> Result<String> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| Error::Unrecordable { what: "run.json", reason: error.to_string() })
    }

    /// Reads `text`, the content of the `run.json` at `path`; `None` if it is that of another command.
    ///
    /// # Errors
    /// [`Error::Recorded`], with the line.
    pub fn read(path: &Path, text: &str) -> Result<Option<Run>> {
        let wrong = |error: serde_json::Error| Error::Recorded {
            path: path.to_path_buf(),
            line: error.line(),
            expected: "the record of a run".into(),
            found: error.to_string(),
        };
        let value: Value = serde_json::from_str(text).map_err(wrong)?;
        if value["format"] != FORMAT {
            return Ok(None);
        }
        // From the text once more: its errors have lines.
        serde_json::from_str(text).map(Some).map_err(wrong)
    }
}
