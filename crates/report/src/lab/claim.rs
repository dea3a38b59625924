//! What the document under test says about a quantity.

use serde::{Deserialize, Serialize};

use super::Rule;

/// A statement of the document, in its own terms, about the quantity of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The statement in plain words. Rows with the same words belong to one claim.
    pub text: String,
    /// What the statement means for the quantity.
    pub says: Rule,
    /// Where the statement fails, why: one sentence, shown if it is refuted.
    pub why: String,
}

/// How a claim came out over all its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every row confirms it.
    Holds,
    /// Some rows confirm it, others refute it.
    HoldsInPart,
    /// Every decided row refutes it.
    Fails,
    /// No row decides it, or none refutes it and some are undecided.
    Open,
}

impl Outcome {
    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Holds => "holds",
            Outcome::HoldsInPart => "holds in part",
            Outcome::Fails => "fails",
            Outcome::Open => "open",
        }
    }
}
