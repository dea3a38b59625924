//! The verdicts of an experiment, counted and said.

use std::fmt;

use serde::Serialize;

use super::{Judgement, Outcome};
use crate::Verdict;

/// How many rows came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Account {
    /// Predictions that are confirmed.
    pub confirmed: usize,
    /// Predictions that are refuted and should not be.
    pub refuted: usize,
    /// Predictions that are undecided.
    pub inconclusive: usize,
    /// Predictions that are refuted, as announced beforehand.
    pub announced: usize,
    /// Wrong formulas.
    pub controls: usize,
    /// Wrong formulas that are refuted, as they must be.
    pub controls_refuted: usize,
    /// Rows without a prediction.
    pub measured: usize,
}

/// A claim of the document, and how it came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimAccount {
    /// The claim in plain words.
    pub claim: String,
    /// How it came out over all its rows.
    pub outcome: Outcome,
    /// Why, each reason once: those of the rows that refute it, if any do.
    pub why: Vec<String>,
    /// Names of the rows that confirm it.
    pub confirmed: Vec<String>,
    /// Names of the rows that refute it.
    pub refuted: Vec<String>,
    /// Names of the rows that leave it open.
    pub inconclusive: Vec<String>,
}

impl Account {
    /// Counts.
    pub fn of(judged: &[Judgement]) -> Account {
        let mut account = Account::default();
        for judgement in judged {
            let refuted = judgement.verdict == Some(Verdict::Refuted);
            let place = match judgement.verdict {
                None => &mut account.measured,
                Some(_) if judgement.row.control => {
                    account.controls_refuted += usize::from(refuted);
                    &mut account.controls
                }
                Some(Verdict::Confirmed) => &mut account.confirmed,
                Some(Verdict::Inconclusive) => &mut account.inconclusive,
                Some(Verdict::Refuted) if judgement.row.announced.is_some() => &mut account.announced,
                Some(Verdict::Refuted) => &mut account.refuted,
            };
            *place += 1;
        }
        account
    }

    /// Adds another experiment's counts.
    pub fn add(&mut self, other: Account) {
        self.confirmed += other.confirmed;
        self.refuted += other.refuted;
        self.inconclusive += other.inconclusive;
        self.announced += other.announced;
        self.controls += other.controls;
        self.controls_refuted += other.controls_refuted;
        self.measured += other.measured;
    }

    /// Predictions of the exact theory.
    pub fn predictions(&self) -> usize {
        self.confirmed + self.refuted + self.inconclusive + self.announced
    }
}

/// One sentence.
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} predictions confirmed", self.confirmed, self.predictions())?;
        for (count, word) in [
            (self.refuted, "refuted"),
            (self.inconclusive, "inconclusive"),
            (self.announced, "refuted as announced"),
        ] {
            if count > 0 {
                write!(f, ", {count} {word}")?;
            }
        }
        if self.controls > 0 {
            write!(f, "; {} of {} wrong formulas refuted", self.controls_refuted, self.controls)?;
        }
        if self.measured > 0 {
            write!(f, "; {} measured without a prediction", self.measured)?;
        }
        Ok(())
    }
}

impl ClaimAccount {
    /// The claims of these rows, in the order of their first rows.
    pub fn of(judged: &[Judgement]) -> Vec<ClaimAccount> {
        let account = |(text, outcome): (String, Outcome)| {
            let rows = |wanted: Verdict| -> Vec<&Judgement> {
                let belongs = |j: &&Judgement| {
                    j.claim == Some(wanted) && j.row.claim.as_ref().is_some_and(|claim| claim.text == text)
                };
                judged.iter().filter(belongs).collect()
            };
            let [confirmed, refuted, inconclusive] =
                [Verdict::Confirmed, Verdict::Refuted, Verdict::Inconclusive].map(rows);
            let mut why: Vec<String> = vec![];
            let telling = [&refuted, &confirmed, &inconclusive].into_iter().find(|rows| !rows.is_empty());
            for claim in telling.into_iter().flatten().filter_map(|j| j.row.claim.as_ref()) {
                if !claim.why.is_empty() && !why.contains(&claim.why) {
                    why.push(claim.why.clone());
                }
            }
            let names = |rows: Vec<&Judgement>| rows.into_iter().map(|j| j.row.row.clone()).collect();
            ClaimAccount {
                outcome,
                why,
                confirmed: names(confirmed),
                refuted: names(refuted),
                inconclusive: names(inconclusive),
                claim: text,
            }
        };
        Judgement::outcomes(judged).into_iter().map(account).collect()
    }
}
