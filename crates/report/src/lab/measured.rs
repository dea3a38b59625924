//! `measured.csv`: what came out for every row; and `verdicts.csv`: what that says about the predictions.

use std::path::Path;

use super::predicted::{exact, rule_cells};
use super::sheet::{Record, Sheet};
use super::{Judgement, Measurement};
use crate::{Cell, Estimate, Result, Table};

/// The columns of `measured.csv`.
pub const MEASURED: [&str; 10] =
    ["experiment", "row", "value", "mean", "median", "low", "high", "draws", "confidence", "needs"];

/// The columns of `verdicts.csv`.
pub const VERDICTS: [&str; 17] = [
    "experiment",
    "row",
    "quantity",
    "unit",
    "predicted",
    "measured",
    "low",
    "high",
    "draws",
    "tolerance",
    "verdict",
    "control",
    "claim",
    "claim_verdict",
    "rule",
    "announced",
    "needs",
];

/// The word for a number of draws that nobody can make: the value lies on the very end of what the prediction allows.
const NEVER: &str = "inf";

/// The table `measured.csv`.
///
/// # Errors
/// None in practice: every row has a cell for each column.
pub fn measured_table(experiment: &str, measured: &[Measurement]) -> Result<Table> {
    let mut table = Table::new(MEASURED);
    for Measurement { row, value, estimate, confidence, needs } in measured {
        table.push([
            Cell::from(experiment),
            Cell::from(row.as_str()),
            exact(*value),
            exact(estimate.mean),
            exact(estimate.median),
            exact(estimate.low),
            exact(estimate.high),
            Cell::from(estimate.draws),
            exact(*confidence),
            needs_cell(*needs),
        ])?;
    }
    Ok(table)
}

/// Reads `text`, the content of the `measured.csv` at `path`.
///
/// # Errors
/// [`Error::Recorded`](crate::Error::Recorded), with the line.
pub fn read_measured(path: &Path, text: &str) -> Result<Vec<Measurement>> {
    Sheet::parse(path, text, &MEASURED)?.records().map(|record| measurement(&record)).collect()
}

fn measurement(record: &Record<'_>) -> Result<Measurement> {
    Ok(Measurement {
        row: record.text("row").to_owned(),
        value: record.number("value")?,
        estimate: Estimate {
            mean: record.number("mean")?,
            median: record.number("median")?,
            low: record.number("low")?,
            high: record.number("high")?,
            draws: record.parsed("draws", "a count")?,
        },
        confidence: record.number("confidence")?,
        needs: match record.text("needs") {
            "" => None,
            NEVER => Some(usize::MAX),
            _ => Some(record.parsed("needs", "a count")?),
        },
    })
}

/// The table `verdicts.csv`.
///
/// # Errors
/// None in practice: every row has a cell for each column.
pub fn verdicts_table(experiment: &str, judged: &[Judgement]) -> Result<Table> {
    let mut table = Table::new(VERDICTS);
    for Judgement { row, measured, verdict, claim } in judged {
        let word = |text: Option<&str>| text.map_or(Cell::Empty, Cell::from);
        let [rule, predicted, tolerance] = rule_cells(row.predicted);
        table.push([
            Cell::from(experiment),
            Cell::from(row.row.as_str()),
            Cell::from(row.quantity.as_str()),
            Cell::from(row.unit.as_str()),
            predicted,
            exact(measured.value),
            exact(measured.estimate.low),
            exact(measured.estimate.high),
            Cell::from(measured.estimate.draws),
            tolerance,
            word(verdict.map(|verdict| verdict.name())),
            Cell::from(row.control),
            word(row.claim.as_ref().map(|claim| claim.text.as_str())),
            word(claim.map(|verdict| verdict.name())),
            rule,
            word(row.announced.as_deref()),
            needs_cell(measured.needs),
        ])?;
    }
    Ok(table)
}

fn needs_cell(needs: Option<usize>) -> Cell {
    match needs {
        None => Cell::Empty,
        Some(usize::MAX) => Cell::from(NEVER),
        Some(draws) => Cell::from(draws),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_read_back_the_same() {
        let estimate =
            Estimate { mean: 0.1 + 0.2, median: -1e-300, low: 5e-324, high: f64::INFINITY, draws: 20 };
        let measured: Vec<Measurement> = [None, Some(7), Some(usize::MAX)]
            .into_iter()
            .enumerate()
            .map(|(i, needs)| Measurement {
                row: format!("a,{i}"),
                value: 1.0 / 3.0,
                estimate,
                confidence: 0.9875,
                needs,
            })
            .collect();
        let text = measured_table("x", &measured).unwrap().csv();
        assert_eq!(read_measured(Path::new("m.csv"), &text).unwrap(), measured);
    }
}
