//! The document's claims in plain words.

use super::super::{ClaimAccount, Judgement, Outcome, Recorded, Rule};
use super::tables::{interval, rule_text, value};
use crate::{Block, Finding, Mark};

/// The claims with their verdicts.
pub(super) fn blocks(recorded: &Recorded) -> Vec<Block> {
    let claims = super::claims_of(recorded);
    if claims.is_empty() {
        return vec![Block::Text("The document says nothing about these quantities.".into())];
    }
    vec![Block::Findings(claims.iter().map(|claim| finding(claim, &recorded.judged)).collect())]
}

/// A claim with its reason and the row that shows it best.
pub(super) fn finding(claim: &ClaimAccount, judged: &[Judgement]) -> Finding {
    let mark = mark(claim.outcome);
    let mut notes: Vec<String> = claim.why.iter().take(2).map(|why| sentence(why)).collect();
    let telling =
        [&claim.refuted, &claim.confirmed, &claim.inconclusive].into_iter().find_map(|rows| rows.first());
    notes.extend(telling.and_then(|row| judged.iter().find(|j| j.row.row == *row)).and_then(evidence));
    let (confirmed, refuted) = (claim.confirmed.len(), claim.refuted.len());
    if claim.outcome == Outcome::HoldsInPart {
        notes.push(format!("It holds in {confirmed} rows and fails in {refuted}."));
    }
    let word = claim.outcome.name().to_owned();
    Finding { mark, word, text: claim.claim.clone(), notes, link: None }
}

pub(super) fn mark(outcome: Outcome) -> Mark {
    match outcome {
        Outcome::Holds => Mark::Good,
        Outcome::HoldsInPart => Mark::Mixed,
        Outcome::Fails => Mark::Bad,
        Outcome::Open => Mark::Open,
    }
}

/// What a row shows about its claim.
fn evidence(judgement: &Judgement) -> Option<String> {
    let (row, measured) = (&judgement.row, &judgement.measured);
    let says = row.claim.as_ref().map(|claim| claim.says)?;
    let unit = if row.unit.is_empty() { String::new() } else { format!(" {}", row.unit) };
    let exact = match row.predicted {
        Some(rule) if !row.control && !same(rule, says) => {
            format!("; the exact theory says {}", rule_text(rule))
        }
        _ => String::new(),
    };
    Some(format!(
        "For instance {} ({}): the document says {}{exact}; measured {}{unit}, interval {}, over {} draws.",
        row.row,
        row.quantity,
        rule_text(says),
        value(measured),
        interval(measured),
        measured.estimate.draws,
    ))
}

fn same(a: Rule, b: Rule) -> bool {
    a.sign() == b.sign() && (a.value() - b.value()).abs() <= 1e-9 * a.value().abs().max(b.value().abs())
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    let rest = letters.as_str().trim_end_matches('.');
    format!("{first}{rest}.")
}
