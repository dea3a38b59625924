//! Predictions held against measurements.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Measurement, Outcome, Row};
use crate::{Error, Result, Verdict};

/// What a measurement says about its row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// The prediction.
    pub row: Row,
    /// What was measured.
    pub measured: Measurement,
    /// On the exact theory; `None` for a row that is only measured.
    pub verdict: Option<Verdict>,
    /// On what the document says; `None` where it says nothing.
    pub claim: Option<Verdict>,
}

impl Judgement {
    /// The verdicts on one row.
    pub fn of(row: Row, measured: Measurement) -> Judgement {
        let interval = (measured.estimate.low, measured.estimate.high);
        let verdict = row.predicted.map(|rule| rule.judge(interval));
        let claim = row.claim.as_ref().map(|claim| claim.says.judge(interval));
        Judgement { row, measured, verdict, claim }
    }

    /// Whether this row is a failure of the laboratory: a control that is not refuted, or a refuted prediction that
    /// nobody announced.
    pub fn fails(&self) -> bool {
        match self.verdict {
            None => false,
            Some(verdict) if self.row.control => verdict != Verdict::Refuted,
            Some(verdict) => verdict == Verdict::Refuted && self.row.announced.is_none(),
        }
    }

    /// How the claims of these rows came out, in the order of their first rows.
    pub fn outcomes(judgements: &[Judgement]) -> Vec<(String, Outcome)> {
        let mut texts: Vec<&str> = vec![];
        let mut verdicts: BTreeMap<&str, Vec<Verdict>> = BTreeMap::new();
        for judgement in judgements {
            let (Some(claim), Some(verdict)) = (&judgement.row.claim, judgement.claim) else { continue };
            if !verdicts.contains_key(claim.text.as_str()) {
                texts.push(&claim.text);
            }
            verdicts.entry(&claim.text).or_default().push(verdict);
        }
        let outcome = |text: &str| {
            let all = &verdicts[text];
            let some = |verdict| all.contains(&verdict);
            match (some(Verdict::Confirmed), some(Verdict::Refuted), some(Verdict::Inconclusive)) {
                (true, false, false) => Outcome::Holds,
                (true, true, _) => Outcome::HoldsInPart,
                (false, true, _) => Outcome::Fails,
                (_, false, _) => Outcome::Open,
            }
        };
        texts.into_iter().map(|text| (text.to_owned(), outcome(text))).collect()
    }
}

/// Every row with its measurement, in the rows' order.
///
/// # Errors
/// [`Error::Unmatched`] for a row without a measurement or a measurement without a row.
pub fn judge(rows: &[Row], measured: &[Measurement]) -> Result<Vec<Judgement>> {
    let mut by_row: BTreeMap<&str, &Measurement> = measured.iter().map(|m| (m.row.as_str(), m)).collect();
    let judged = rows
        .iter()
        .map(|row| match by_row.remove(row.row.as_str()) {
            Some(measured) => Ok(Judgement::of(row.clone(), measured.clone())),
            None => Err(Error::Unmatched { what: "a measurement", row: row.row.clone() }),
        })
        .collect::<Result<Vec<Judgement>>>()?;
    match by_row.keys().next() {
        Some(row) => Err(Error::Unmatched { what: "a prediction", row: (*row).to_owned() }),
        None => Ok(judged),
    }
}
