//! `xexp list --models`: the families of backbones, and what was proved of each.

use std::fmt::Write;

use serde_json::{Value, json};
use xexp_backbones::families::{BACKBONES, Family, Modality};

/// A row a case: how near logits, gradients and running statistics of a tiny model are to PyTorch's.
const STEPS: &str = include_str!("../../../experiments/family-parity/cpu/families.csv");
/// A row a case: how near transformers' logits of what we saved are to ours.
const SAVED: &str = include_str!("../../../experiments/family-parity/cpu/transformers.csv");
/// What the columns mean.
const LEGEND: &str = "\
trained: all weights of the model, or, on a backbone that candle-transformers computes without gradients, its head
alone (--strategy probe).
Proved on tiny models against transformers and PyTorch, in so many cases a family; the worst of its cases is shown.
  logits      largest difference (bound 1e-4)
  gradients   the tensor that is furthest off, as a share of its bound 1e-3·‖g‖ + 1e-6·(largest ‖g‖)
  statistics  largest difference of running means and variances after a step
  saved       trained by xexp and opened in transformers: largest difference of logits (bound 1e-4, or three times
              what rounding alone does to PyTorch's own); where transformers has no class, in a reference of ours
Source: experiments/family-parity; `.ci/run` proves all of it again.
";

/// The worst of a family's cases.
#[derive(Debug, Default, PartialEq)]
struct Proof {
    /// Cases with a training step compared.
    cases: usize,
    logits: f64,
    gradients: f64,
    statistics: Option<f64>,
    /// Of what was saved and opened by transformers.
    saved: Option<f64>,
}

impl Proof {
    fn of(family: &str) -> Self {
        let mut proof = Proof::default();
        for row in rows(STEPS, family) {
            let number = |column: usize| row.get(column).and_then(|text| text.parse::<f64>().ok());
            proof.cases += 1;
            // A number that cannot be read counts as infinitely far off, and the table shows it.
            proof.logits = proof.logits.max(number(2).unwrap_or(f64::INFINITY));
            proof.gradients = proof.gradients.max(number(3).unwrap_or(f64::INFINITY));
            proof.statistics = larger(proof.statistics, number(5));
        }
        for row in rows(SAVED, family) {
            proof.saved = larger(proof.saved, row.get(3).and_then(|text| text.parse().ok()));
        }
        proof
    }
}

/// Rows of a record whose second column is the family.
fn rows(record: &'static str, family: &str) -> impl Iterator<Item = Vec<&'static str>> {
    let rows = record.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    rows.filter(move |row| row.get(1).is_some_and(|found| *found == family))
}

fn larger(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.max(other)),
        (one, other) => one.or(other),
    }
}

fn reads(modality: Modality) -> &'static str {
    match modality {
        Modality::Text => "text",
        Modality::Image => "images",
    }
}

/// What of a model is trained.
fn trained(family: &Family) -> &'static str {
    if family.frozen { "head" } else { "all" }
}

/// The table, with what its columns mean.
pub fn text() -> String {
    let number = |value: Option<f64>| value.map_or("-".to_string(), |value| format!("{value:.1e}"));
    let head =
        ["family", "reads", "trained", "cases", "logits", "gradients", "statistics", "saved", "what it is"];
    let mut lines = vec![head.map(String::from)];
    lines.extend(BACKBONES.iter().map(|family| {
        let proof = Proof::of(family.model_type);
        [
            family.model_type.to_string(),
            reads(family.modality).to_string(),
            trained(family).to_string(),
            proof.cases.to_string(),
            number(Some(proof.logits)),
            format!("{:.1} %", 100.0 * proof.gradients),
            number(proof.statistics),
            number(proof.saved),
            family.summary.to_string(),
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text + "\n" + LEGEND
}

/// The same for programs.
pub fn json() -> Value {
    let one = |family: &Family| {
        let proof = Proof::of(family.model_type);
        json!({
            "id": family.model_type,
            "reads": reads(family.modality),
            "frozen": family.frozen,
            "summary": family.summary,
            "architectures": [family.base_architecture, family.classifier_architecture],
            "proved": {
                "cases": proof.cases,
                "logits_max_abs": proof.logits,
                "gradient_share_of_bound": proof.gradients,
                "statistics_max_abs": proof.statistics,
                "saved_logits_max_abs": proof.saved,
            },
        })
    };
    BACKBONES.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_a_proof_within_its_bounds() {
        for family in BACKBONES {
            let name = family.model_type;
            let proof = Proof::of(name);
            assert!(proof.cases > 0, "{name} is not in the record");
            assert!(proof.logits <= 1e-4 && proof.gradients <= 1.0, "{name}: {proof:?}");
            // timm, which alone opens it, is not installed where the record is made.
            let opened = proof.saved.is_some() || name == "eva02";
            assert!(opened, "{name} was not opened by transformers");
        }
    }

    #[test]
    fn the_worst_of_a_familys_cases_is_shown() {
        let proof = Proof::of("mobilenet_v2");
        let theirs = |column: usize| {
            let cells = STEPS.lines().filter(|line| line.contains(",mobilenet_v2,"));
            let mut cells: Vec<f64> =
                cells.map(|line| line.split(',').nth(column).unwrap().parse().unwrap()).collect();
            cells.sort_by(f64::total_cmp);
            (cells.len(), *cells.last().unwrap())
        };
        assert_eq!((proof.cases, proof.logits), theirs(2));
        assert_eq!((proof.cases, proof.gradients), theirs(3));
        assert_eq!((proof.cases, proof.statistics.unwrap()), theirs(5));
    }

    #[test]
    fn the_record_has_no_family_that_the_program_has_not() {
        for line in STEPS.lines().skip(1).chain(SAVED.lines().skip(1)) {
            let name = line.split(',').nth(1).unwrap();
            assert!(BACKBONES.iter().any(|family| family.model_type == name), "{name}");
        }
    }
}
