//! `predicted.csv`: every prediction, with the numbers and names that are needed to judge and draw it again. What many
//! rows have in common, the reasons of tolerances and the claims in words, stands in the manifest once.

use std::path::Path;

use super::sheet::{Record, Sheet};
use super::{Claim, Manifest, Point, Row, Rule, Statistic};
use crate::{Cell, Result, Table};

/// The columns of `predicted.csv`.
pub const PREDICTED: [&str; 19] = [
    "experiment",
    "row",
    "setup",
    "quantity",
    "unit",
    "rule",
    "predicted",
    "tolerance",
    "statistic",
    "of",
    "over",
    "control",
    "announced",
    "claim_rule",
    "claim_value",
    "claim_tolerance",
    "figure",
    "series",
    "x",
];

/// A prediction and the set-up that it is about.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// Name of the set-up.
    pub setup: String,
    /// The prediction.
    pub row: Row,
}

/// The table `predicted.csv`.
///
/// # Errors
/// None in practice: every row has a cell for each column.
pub fn predicted_table(experiment: &str, predictions: &[Prediction]) -> Result<Table> {
    let mut table = Table::new(PREDICTED);
    for Prediction { setup, row } in predictions {
        let (statistic, of, over) = match &row.statistic {
            Statistic::Mean { of } => ("mean", of, None),
            Statistic::SkewedMean { of } => ("skewed-mean", of, None),
            Statistic::Median { of } => ("median", of, None),
            Statistic::RatioOfMeans { of, over } => ("ratio-of-means", of, Some(over)),
        };
        let word = |text: Option<&String>| text.map_or(Cell::Empty, |text| Cell::from(text.as_str()));
        let [rule, value, tolerance] = rule_cells(row.predicted);
        let [claim_rule, claim_value, claim_tolerance] = rule_cells(row.claim.as_ref().map(|c| c.says));
        table.push([
            Cell::from(experiment),
            Cell::from(row.row.as_str()),
            Cell::from(setup.as_str()),
            Cell::from(row.quantity.as_str()),
            Cell::from(row.unit.as_str()),
            rule,
            value,
            tolerance,
            Cell::from(statistic),
            Cell::from(of.as_str()),
            word(over),
            Cell::from(row.control),
            word(row.announced.as_ref()),
            claim_rule,
            claim_value,
            claim_tolerance,
            word(row.point.as_ref().map(|point| &point.figure)),
            word(row.point.as_ref().map(|point| &point.series)),
            row.point.as_ref().map_or(Cell::Empty, |point| exact(point.x)),
        ])?;
    }
    Ok(table)
}

/// A number with all its digits in CSV, four of them elsewhere.
pub(super) fn exact(value: f64) -> Cell {
    Cell::significant(value, 4)
}

/// Name, value and tolerance of a rule; a bound has no tolerance.
pub(super) fn rule_cells(rule: Option<Rule>) -> [Cell; 3] {
    match rule {
        None => [Cell::Empty, Cell::Empty, Cell::Empty],
        Some(Rule::Near { value, tolerance }) => [Cell::from("near"), exact(value), exact(tolerance)],
        Some(Rule::AtMost { value }) => [Cell::from("at-most"), exact(value), Cell::Empty],
        Some(Rule::AtLeast { value }) => [Cell::from("at-least"), exact(value), Cell::Empty],
    }
}

/// Reads `text`, the content of the `predicted.csv` at `path`, with the words of its `manifest`.
///
/// # Errors
/// [`Error::Recorded`](crate::Error::Recorded), with the line.
pub fn read_predicted(path: &Path, text: &str, manifest: &Manifest) -> Result<Vec<Prediction>> {
    Sheet::parse(path, text, &PREDICTED)?.records().map(|record| prediction(&record, manifest)).collect()
}

fn prediction(record: &Record<'_>, manifest: &Manifest) -> Result<Prediction> {
    let owned = |column: &str| record.text(column).to_owned();
    let name = owned("row");
    let of = owned("of");
    let statistic = match record.text("statistic") {
        "mean" => Statistic::Mean { of },
        "skewed-mean" => Statistic::SkewedMean { of },
        "median" => Statistic::Median { of },
        "ratio-of-means" => Statistic::RatioOfMeans { of, over: owned("over") },
        _ => return Err(record.wrong("statistic", "mean, skewed-mean, median or ratio-of-means")),
    };
    let says = rule(record, ["claim_rule", "claim_value", "claim_tolerance"])?;
    let point = match record.maybe("figure") {
        None => None,
        Some(figure) => {
            Some(Point { figure: figure.to_owned(), series: owned("series"), x: record.number("x")? })
        }
    };
    let predicted = rule(record, ["rule", "predicted", "tolerance"])?;
    let reason = match (predicted, manifest.reason_of(&name)) {
        (None, _) => String::new(),
        (Some(_), Some(reason)) => reason.to_owned(),
        (Some(_), None) => return Err(record.wrong("row", "a row whose tolerance the manifest argues")),
    };
    let claim = match (says, manifest.claim_of(&name)) {
        (None, _) => None,
        (Some(says), Some(said)) => Some(Claim { text: said.claim.clone(), says, why: said.why.clone() }),
        (Some(_), None) => return Err(record.wrong("row", "a row of a claim of the manifest")),
    };
    let row = Row {
        row: name,
        quantity: owned("quantity"),
        unit: owned("unit"),
        statistic,
        predicted,
        reason,
        control: record.parsed("control", "true or false")?,
        announced: record.maybe("announced").map(str::to_owned),
        claim,
        point,
    };
    Ok(Prediction { setup: owned("setup"), row })
}

fn rule(record: &Record<'_>, [name, value, tolerance]: [&str; 3]) -> Result<Option<Rule>> {
    let number = || record.number(value);
    Ok(match record.text(name) {
        "" => None,
        "near" => Some(Rule::Near { value: number()?, tolerance: record.number(tolerance)? }),
        "at-most" => Some(Rule::AtMost { value: number()? }),
        "at-least" => Some(Rule::AtLeast { value: number()? }),
        _ => return Err(record.wrong(name, "near, at-most, at-least or nothing")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_row_holds_reads_back_the_same() {
        let plain = Row::new("a/b", "gain, \"forward\"", "y");
        let named = |name: &str, row: Row| Row { row: name.to_owned(), ..row };
        let rows = [
            plain.clone(),
            named("b", plain.clone().near(0.1 + 0.2, 1e-300, "two\nlines").unit("nats")),
            named("c", plain.clone()).at_most(-5e-324, "").control().by(Statistic::Median { of: "z".into() }),
            named("d", plain.clone())
                .at_least(f64::MAX, "r")
                .announce("outside")
                .by(Statistic::RatioOfMeans { of: "p".into(), over: "q".into() })
                .claim("All is 1, always.", Rule::about(1.0, 0.05), "it is not")
                .at("fig", "one, two", 1.0 / 3.0),
            named("e", plain).about(7.0, 0.03, "r").by(Statistic::SkewedMean { of: "k".into() }),
        ];
        let predictions: Vec<Prediction> =
            rows.into_iter().map(|row| Prediction { setup: "a".into(), row }).collect();
        let text = predicted_table("x", &predictions).unwrap().csv();
        let manifest = Manifest::blank().with(&predictions);
        assert_eq!(read_predicted(Path::new("p.csv"), &text, &manifest).unwrap(), predictions);
    }

    #[test]
    fn a_wrong_field_has_its_line() {
        let row =
            Row::new("a/b", "q\nq", "y").at_most(1.0, "").claim("All is 1.", Rule::about(1.0, 0.1), "no");
        let predictions = [Prediction { setup: "a".into(), row }];
        let text = predicted_table("x", &predictions).unwrap().csv();
        let manifest = Manifest::blank().with(&predictions);
        let wrong = |text: &str, manifest: &Manifest| {
            read_predicted(Path::new("p.csv"), text, manifest).unwrap_err().to_string()
        };
        let second = text.replace("at-most,1.0", "at-most,one");
        assert_eq!(wrong(&second, &manifest), "p.csv:2: expected a number as predicted, found `one`");
        let error = wrong("experiment,rows\n", &manifest);
        assert!(error.starts_with("p.csv:1: expected the columns experiment,row,"), "{error}");
        let unargued = Manifest { tolerances: vec![], ..manifest.clone() };
        let expected = "p.csv:2: expected a row whose tolerance the manifest argues as row, found `a/b`";
        assert_eq!(wrong(&text, &unargued), expected);
        let unsaid = Manifest { claims: vec![], ..manifest };
        assert_eq!(
            wrong(&text, &unsaid),
            "p.csv:2: expected a row of a claim of the manifest as row, found `a/b`"
        );
    }
}
