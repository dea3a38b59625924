//! The rows as people read them.

use super::super::{Judgement, Measurement, Rule};
use crate::{Block, Cell, Mark, Result, Table, Verdict};

/// The table of the rows that `wanted` picks; nothing if there are none.
pub(super) fn rows(judged: &[Judgement], wanted: impl Fn(&Judgement) -> bool) -> Result<Vec<Block>> {
    let chosen: Vec<&Judgement> = judged.iter().filter(|judgement| wanted(judgement)).collect();
    if chosen.is_empty() {
        return Ok(vec![]);
    }
    let predicted = chosen.iter().any(|judgement| judgement.verdict.is_some());
    let claimed = chosen.iter().any(|judgement| judgement.claim.is_some());
    let mut columns = vec!["row", "quantity"];
    columns.extend(predicted.then_some(["predicted", "tolerance"]).into_iter().flatten());
    columns.extend(["measured", "interval", "draws"]);
    columns.extend(predicted.then_some("verdict"));
    columns.extend(claimed.then_some("the document"));
    let mut table = Table::new(columns);
    for judgement in chosen {
        let (row, measured) = (&judgement.row, &judgement.measured);
        let quantity = if row.unit.is_empty() {
            row.quantity.clone()
        } else {
            format!("{} [{}]", row.quantity, row.unit)
        };
        let mut cells = vec![Cell::from(row.row.as_str()), Cell::from(quantity)];
        if predicted {
            cells.push(row.predicted.map_or(Cell::Empty, |rule| Cell::from(value_text(rule))));
            cells.push(row.predicted.map_or(Cell::Empty, tolerance));
        }
        cells.extend([
            Cell::from(value(measured)),
            Cell::from(interval(measured)),
            Cell::from(measured.estimate.draws),
        ]);
        if predicted {
            cells.push(judgement.verdict.map_or(Cell::Empty, |verdict| badge(judgement, verdict)));
        }
        if claimed {
            cells.push(document(judgement));
        }
        table.push(cells)?;
    }
    Ok(vec![Block::Table(String::new(), table)])
}

fn badge(judgement: &Judgement, verdict: Verdict) -> Cell {
    let control = judgement.row.control;
    let (mark, word) = match verdict {
        Verdict::Refuted if control => (Mark::Good, "refuted"),
        Verdict::Confirmed if control => (Mark::Bad, "confirmed"),
        Verdict::Inconclusive if control => (Mark::Bad, "inconclusive"),
        Verdict::Refuted if judgement.row.announced.is_some() => (Mark::Mixed, "refuted, as announced"),
        Verdict::Confirmed => (Mark::Good, "confirmed"),
        Verdict::Refuted => (Mark::Bad, "refuted"),
        Verdict::Inconclusive => (Mark::Open, "inconclusive"),
    };
    Cell::Badge(mark, word.to_owned())
}

/// What the document says about the row, and whether that is so.
fn document(judgement: &Judgement) -> Cell {
    let (Some(claim), Some(verdict)) = (&judgement.row.claim, judgement.claim) else { return Cell::Empty };
    let (mark, word) = match verdict {
        Verdict::Confirmed => (Mark::Good, "holds"),
        Verdict::Refuted => (Mark::Bad, "fails"),
        Verdict::Inconclusive => (Mark::Open, "open"),
    };
    Cell::Badge(mark, format!("{}: {word}", value_text(claim.says)))
}

fn tolerance(rule: Rule) -> Cell {
    match rule {
        Rule::Near { tolerance, .. } => Cell::from(format!("± {}", round(tolerance))),
        Rule::AtMost { .. } | Rule::AtLeast { .. } => Cell::from("a bound"),
    }
}

/// A number with four digits.
fn short(value: f64) -> String {
    Cell::significant(value, 4).text()
}

/// A number with four digits at most: what was chosen, not measured, has no trailing zeros.
fn round(value: f64) -> String {
    let text = short(value);
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => {
            format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        None if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        _ => text,
    }
}

/// Digits that tell the ends of a measurement's interval apart: four at least, eight at most.
fn digits(measured: &Measurement) -> u8 {
    let (low, high) = (measured.estimate.low, measured.estimate.high);
    let apart = (high - low) / low.abs().max(high.abs());
    if apart > 0.0 { (2.0 - apart.log10()).ceil().clamp(4.0, 8.0) as u8 } else { 4 }
}

/// What was measured.
pub(super) fn value(measured: &Measurement) -> String {
    Cell::significant(measured.value, digits(measured)).text()
}

/// The interval of a measurement.
pub(super) fn interval(measured: &Measurement) -> String {
    let end = |value: f64| Cell::significant(value, digits(measured)).text();
    format!("[{}, {}]", end(measured.estimate.low), end(measured.estimate.high))
}

/// A rule with its sign; equality goes without saying.
fn value_text(rule: Rule) -> String {
    match rule {
        Rule::Near { value, .. } => round(value),
        Rule::AtMost { value } | Rule::AtLeast { value } => format!("{} {}", rule.sign(), round(value)),
    }
}

/// A rule in words.
pub(super) fn rule_text(rule: Rule) -> String {
    match rule {
        Rule::Near { value, tolerance } if tolerance > 0.0 => {
            format!("{} ± {}", round(value), round(tolerance))
        }
        Rule::Near { value, .. } => round(value),
        Rule::AtMost { value } => format!("at most {}", round(value)),
        Rule::AtLeast { value } => format!("at least {}", round(value)),
    }
}
