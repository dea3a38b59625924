//! `manifest.toml`: what an experiment is going to do, written before it does it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Figure, Looks, Prediction};
use crate::{Error, Result};

/// What is fixed before anything is measured. It depends on the experiment, its parameters and the seed alone: not on
/// device, machine or time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Id of the experiment.
    pub experiment: String,
    /// Its heading.
    pub title: String,
    /// Its question.
    pub question: String,
    /// Where the claim and the exact form come from.
    pub source: String,
    /// How it is measured.
    pub method: String,
    /// The seed, as a number where TOML can hold it.
    pub seed: toml::Value,
    /// The limit on the draws of a set-up, if one was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draws: Option<usize>,
    /// Names of the rows that hold wrong formulas, which must be refuted.
    pub controls: Vec<String>,
    /// The parameters.
    pub parameters: toml::Table,
    /// What is built and measured, and when the draws are looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub setups: Vec<PlannedSetup>,
    /// Why the tolerances are what they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerances: Vec<Argued>,
    /// What the document says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Said>,
    /// Refutations that are expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announced: Vec<Announced>,
    /// The plots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
}

/// A set-up with its looks at the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedSetup {
    /// Its name.
    pub name: String,
    /// The counts of draws at which the data are looked at.
    pub looks: Looks,
}

/// A reason for tolerances, and the rows that it is the reason of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Argued {
    /// The reason.
    pub reason: String,
    /// Names of the rows.
    pub rows: Vec<String>,
}

/// A claim of the document, and the rows that test it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// The claim in plain words.
    pub claim: String,
    /// Where it fails, why.
    pub why: String,
    /// Names of the rows.
    pub rows: Vec<String>,
}

/// A refutation that is expected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    /// Name of the row.
    pub row: String,
    /// Why.
    pub reason: String,
}

impl Manifest {
    /// Adds what follows from the predictions: controls, reasons, claims, announced refutations.
    pub fn with(mut self, predictions: &[Prediction]) -> Manifest {
        for row in predictions.iter().map(|prediction| &prediction.row) {
            let name = row.row.clone();
            if row.control {
                self.controls.push(name.clone());
            }
            if row.predicted.is_some() {
                match self.tolerances.iter_mut().find(|known| known.reason == row.reason) {
                    Some(known) => known.rows.push(name.clone()),
                    None => {
                        self.tolerances.push(Argued { reason: row.reason.clone(), rows: vec![name.clone()] });
                    }
                }
            }
            if let Some(claim) = &row.claim {
                let same = |known: &&mut Said| known.claim == claim.text && known.why == claim.why;
                match self.claims.iter_mut().find(same) {
                    Some(known) => known.rows.push(name.clone()),
                    None => {
                        let (claim, why) = (claim.text.clone(), claim.why.clone());
                        self.claims.push(Said { claim, why, rows: vec![name.clone()] });
                    }
                }
            }
            if let Some(reason) = &row.announced {
                self.announced.push(Announced { row: name, reason: reason.clone() });
            }
        }
        self
    }

    /// Why the tolerance of a row is what it is.
    pub fn reason_of(&self, row: &str) -> Option<&str> {
        let of_it = |argued: &&Argued| argued.rows.iter().any(|name| name == row);
        self.tolerances.iter().find(of_it).map(|argued| argued.reason.as_str())
    }

    /// The claim that a row tests.
    pub fn claim_of(&self, row: &str) -> Option<&Said> {
        self.claims.iter().find(|said| said.rows.iter().any(|name| name == row))
    }

    /// The file's text.
    ///
    /// # Errors
    /// [`Error::Unrecordable`] for what TOML cannot hold.
    pub fn text(&self) -> Result<String> {
        toml::to_string(self)
            .map_err(|error| Error::Unrecordable { what: "manifest.toml", reason: error.to_string() })
    }

    /// Reads `text`, the content of the `manifest.toml` at `path`.
    ///
    /// # Errors
    /// [`Error::Recorded`], with the line.
    pub fn read(path: &Path, text: &str) -> Result<Manifest> {
        toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or_default();
            Error::Recorded {
                path: path.to_path_buf(),
                line: before.matches('\n').count() + 1,
                expected: "a manifest that a run wrote".into(),
                found: error.message().to_owned(),
            }
        })
    }
}

/// A seed as TOML: a number, or its digits where TOML's integers end.
pub fn seed_value(seed: u64) -> toml::Value {
    i64::try_from(seed).map_or_else(|_| toml::Value::String(seed.to_string()), toml::Value::Integer)
}

/// Parameters as TOML. What is `null` is left out: TOML has no such thing.
///
/// # Errors
/// [`Error::Unrecordable`] if they are no object.
pub fn parameter_table(parameters: &serde_json::Value) -> Result<toml::Table> {
    match as_toml(parameters) {
        Some(toml::Value::Table(table)) => Ok(table),
        _ => Err(Error::Unrecordable { what: "the parameters", reason: "they are no object".into() }),
    }
}

fn as_toml(value: &serde_json::Value) -> Option<toml::Value> {
    use serde_json::Value as Json;
    Some(match value {
        Json::Null => return None,
        Json::Bool(flag) => toml::Value::Boolean(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => toml::Value::Integer(integer),
            (None, Some(real)) if !number.is_u64() => toml::Value::Float(real),
            _ => toml::Value::String(number.to_string()),
        },
        Json::String(text) => toml::Value::String(text.clone()),
        Json::Array(items) => toml::Value::Array(items.iter().filter_map(as_toml).collect()),
        Json::Object(fields) => toml::Value::Table(
            fields.iter().filter_map(|(key, value)| Some((key.clone(), as_toml(value)?))).collect(),
        ),
    })
}

#[cfg(test)]
impl Manifest {
    /// A manifest that says nothing.
    pub(super) fn blank() -> Manifest {
        Manifest {
            experiment: String::new(),
            title: String::new(),
            question: String::new(),
            source: String::new(),
            method: String::new(),
            seed: seed_value(0),
            draws: None,
            controls: vec![],
            parameters: toml::Table::new(),
            setups: vec![],
            tolerances: vec![],
            claims: vec![],
            announced: vec![],
            figures: vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::Row;

    #[test]
    fn a_manifest_reads_back_the_same() {
        let parameters = serde_json::json!({
            "layers": [[3, 64, 7]], "gain": 1.5, "whole": 2.0, "name": "a\nb", "none": null,
            "nested": {"big": u64::MAX}
        });
        let row = |name: &str| Row::new(name, "q", "y").near(1.0, 0.1, "few \"draws\"");
        let predictions: Vec<Prediction> = [
            row("a"),
            row("b").control(),
            row("c").announce("outside").claim("All is 1.", crate::lab::Rule::about(1.0, 0.1), "no"),
        ]
        .into_iter()
        .map(|row| Prediction { setup: "s".into(), row })
        .collect();
        let manifest = Manifest {
            experiment: "x".into(),
            title: "T".into(),
            seed: seed_value(u64::MAX),
            parameters: parameter_table(&parameters).unwrap(),
            setups: vec![PlannedSetup { name: "s".into(), looks: Looks::default() }],
            figures: vec![Figure::new("f", "F", "x", "y").log_x()],
            ..Manifest::blank()
        }
        .with(&predictions);
        let text = manifest.text().unwrap();
        assert_eq!(Manifest::read(Path::new("m"), &text).unwrap(), manifest);
        assert_eq!(manifest.tolerances.len(), 1);
        assert_eq!((manifest.controls.as_slice(), manifest.claims.len()), (&["b".to_owned()][..], 1));
        assert!(text.contains("whole = 2.0") && !text.contains("none"), "{text}");
    }
}
