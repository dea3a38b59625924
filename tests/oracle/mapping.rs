//! Which of our rows is about the same quantity as a row of the oracle.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// All files of the folder together.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Rows that we predict and measure too.
    #[serde(default)]
    pub row: Vec<Covered>,
    /// Rows that we do not, with the reason.
    #[serde(default)]
    pub skip: Vec<Skipped>,
}

/// A row of the oracle and ours.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Covered {
    /// The oracle's claim.
    pub claim: String,
    /// The oracle's set-up.
    pub setup: String,
    /// Our experiment.
    pub experiment: String,
    /// Our row.
    pub row: String,
    /// Parameters other than the usual ones.
    pub set: Option<BTreeMap<String, toml::Value>>,
    /// By what ours must be multiplied.
    pub factor: Option<f64>,
    /// Why our prediction is another, better one.
    pub sharper: Option<String>,
}

impl Covered {
    /// The parameters in one string.
    pub fn settings(&self) -> String {
        serde_json::to_string(&self.set).unwrap()
    }
}

/// A row of the oracle that we do not cover.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skipped {
    /// The oracle's claim.
    pub claim: String,
    /// The oracle's set-up.
    pub setup: String,
    /// Why not.
    pub reason: String,
}

impl Mapping {
    /// The files of this folder.
    pub fn read() -> Mapping {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
        let mut all = Mapping::default();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).unwrap();
                let part: Mapping =
                    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                all.row.extend(part.row);
                all.skip.extend(part.skip);
            }
        }
        all.row.sort_by(|a, b| (&a.experiment, &a.row).cmp(&(&b.experiment, &b.row)));
        all
    }

    /// Claim and set-up of all.
    pub fn keys(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let rows = self.row.iter().map(|row| (row.claim.clone(), row.setup.clone()));
        rows.chain(self.skip.iter().map(|skip| (skip.claim.clone(), skip.setup.clone())))
    }
}
