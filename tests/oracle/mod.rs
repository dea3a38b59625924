//! The laboratory against independent simulations: the same set-ups, predicted and measured by somebody else.
//!
//! `oracle.json` of the shared documents holds what numpy and PyTorch programs predicted and measured. The TOML files
//! beside this one say which of our rows is about the same quantity, or why none is.

mod mapping;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use serde::Deserialize;
use xexp_experiments::bench::Bench;
use xexp_experiments::{EXPERIMENTS, Opened};
use xexp_init::Seed;
use xexp_report::lab::{Measurement, Row, Rule};

use mapping::{Covered, Mapping};

/// Draws beyond which a set-up is not measured here, to keep the suite short; a disagreement gets four times as many.
const DRAWS: usize = 40;

#[derive(Debug, Deserialize)]
struct Oracle {
    rows: Vec<OracleRow>,
}

/// One row of the oracle.
#[derive(Debug, Deserialize)]
struct OracleRow {
    claim: String,
    setup: String,
    predicted: Option<f64>,
    measured: Option<f64>,
    ci95: Option<[f64; 2]>,
    tolerance: f64,
    tolerance_kind: String,
}

impl OracleRow {
    fn key(&self) -> (String, String) {
        (self.claim.clone(), self.setup.clone())
    }

    /// Whether an interval of ours agrees with what the oracle measured; `None` where it says too little: a single run
    /// without interval or tolerance.
    fn agrees(&self, (low, high): (f64, f64)) -> Option<bool> {
        let measured = self.measured?;
        // Both compute in f32: what is the same number to seven digits is the same.
        let rounding = 1e-6 * measured.abs();
        if let Some([least, most]) = self.ci95 {
            return Some(low <= most + rounding && high >= least - rounding);
        }
        let slack = match (self.tolerance_kind.as_str(), self.predicted) {
            ("le", Some(bound)) => return Some(low <= bound),
            ("ge", Some(bound)) => return Some(high >= bound),
            ("rel", predicted) => self.tolerance * predicted.unwrap_or(measured).abs(),
            _ => self.tolerance,
        };
        (slack > 0.0).then_some(low <= measured + slack && high >= measured - slack)
    }
}

/// The shared oracle; the test fails loudly without it.
fn oracle() -> Vec<OracleRow> {
    let shared = std::env::var("XEXP_SHARED").unwrap_or_else(|_| "../shared".into());
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(shared).join("docs/oracle.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("NOT RUN: {}: {error}; set XEXP_SHARED to the shared folder", path.display())
    });
    serde_json::from_str::<Oracle>(&text).unwrap().rows
}

/// Our experiments with the parameters that rows of the oracle ask for, opened once each.
struct Laboratory {
    opened: BTreeMap<(String, String), Box<dyn Opened>>,
    measured: BTreeMap<(String, String, String, usize), BTreeMap<String, Measurement>>,
}

impl Laboratory {
    fn open(&mut self, covered: &Covered) -> &dyn Opened {
        let key = (covered.experiment.clone(), covered.settings());
        let opened = self.opened.entry(key).or_insert_with(|| {
            let entry = EXPERIMENTS.iter().find(|entry| entry.about.id == covered.experiment);
            let entry = entry.unwrap_or_else(|| panic!("{covered:?}: no such experiment"));
            let mut parameters = (entry.usual)().unwrap();
            for (name, value) in covered.set.iter().flatten() {
                assert!(parameters.get(name).is_some(), "{covered:?}: no parameter `{name}`");
                parameters[name] = serde_json::to_value(value).unwrap();
            }
            (entry.open)(parameters).unwrap_or_else(|error| panic!("{covered:?}: {error}"))
        });
        &**opened
    }

    /// The row and the number of its set-up.
    fn row(&mut self, covered: &Covered) -> (usize, Row) {
        let plan = self.open(covered).plan().unwrap();
        let found = plan.iter().enumerate().find_map(|(setup, planned)| {
            planned.rows.iter().find(|row| row.row == covered.row).map(|row| (setup, row.clone()))
        });
        found.unwrap_or_else(|| panic!("{covered:?}: no such row"))
    }

    /// What the row's set-up measures; with `times` as many draws as usual here.
    fn measure(&mut self, covered: &Covered, times: usize) -> Measurement {
        let (setup, _) = self.row(covered);
        let opened = self.open(covered);
        let planned = opened.plan().unwrap().swap_remove(setup);
        let key = (covered.experiment.clone(), covered.settings(), planned.name.clone(), times);
        if !self.measured.contains_key(&key) {
            let most = planned.looks.counts().last().copied().unwrap_or(2);
            // One look: the intervals are the usual ones of 95 %.
            let draws = most.clamp(2, DRAWS) * times;
            let mut planned = planned;
            planned.looks = xexp_report::lab::Looks::at(&[draws]).unwrap();
            let stop = AtomicBool::new(false);
            let seed = Seed(if times == 1 { 7 } else { 8 });
            let bench = Bench { seed, device: &Device::Cpu, draws: None, stop: &stop };
            let rows = bench.measure(self.open(covered), setup, &planned).unwrap();
            self.measured.insert(key.clone(), rows.into_iter().map(|m| (m.row.clone(), m)).collect());
        }
        self.measured[&key][&covered.row].clone()
    }
}

#[test]
fn every_row_of_the_oracle_is_covered_or_listed_with_a_reason() {
    let rows = oracle();
    let mapping = Mapping::read();
    let known: BTreeSet<(String, String)> = rows.iter().map(OracleRow::key).collect();
    let mut said = BTreeSet::new();
    for key in mapping.keys() {
        assert!(known.contains(&key), "{key:?} is no row of the oracle");
        assert!(said.insert(key.clone()), "{key:?} is there twice");
    }
    let silent: Vec<_> = known.difference(&said).collect();
    assert!(silent.is_empty(), "neither covered nor listed: {silent:#?}");
    assert!(mapping.skip.iter().all(|skip| skip.reason.len() > 10), "a reason is a sentence");
}

#[test]
fn predictions_are_those_of_the_oracle() {
    let mut laboratory = Laboratory { opened: BTreeMap::new(), measured: BTreeMap::new() };
    let rows: BTreeMap<_, _> = oracle().into_iter().map(|row| (row.key(), row)).collect();
    let mut wrong = vec![];
    for covered in Mapping::read().row {
        let theirs = &rows[&(covered.claim.clone(), covered.setup.clone())];
        let (_, row) = laboratory.row(&covered);
        let (Some(expected), None) = (theirs.predicted, &covered.sharper) else { continue };
        let Some(rule) = row.predicted else {
            wrong.push(format!("{}: the oracle predicts {expected}, we do not", covered.row));
            continue;
        };
        let ours = rule.value() * covered.factor.unwrap_or(1.0);
        // What is 0 in theory is 0 to the rounding of a few operations.
        if (ours - expected).abs() > 1e-6 * expected.abs() + 1e-15 {
            wrong.push(format!("{} {}: expected {expected}, found {ours}", covered.experiment, covered.row));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn measurements_are_those_of_the_oracle() {
    let mut laboratory = Laboratory { opened: BTreeMap::new(), measured: BTreeMap::new() };
    let rows: BTreeMap<_, _> = oracle().into_iter().map(|row| (row.key(), row)).collect();
    let (mut compared, mut silent, mut apart) = (0, 0, vec![]);
    for covered in Mapping::read().row {
        let theirs = &rows[&(covered.claim.clone(), covered.setup.clone())];
        // What cannot be compared is not measured.
        if theirs.agrees((0.0, 0.0)).is_none() {
            silent += 1;
            continue;
        }
        compared += 1;
        let factor = covered.factor.unwrap_or(1.0);
        let interval = |m: &Measurement| (m.estimate.low * factor, m.estimate.high * factor);
        let first = interval(&laboratory.measure(&covered, 1));
        if theirs.agrees(first) == Some(false) {
            apart.push((covered, format!("{:?} {:?} against {first:?}", theirs.measured, theirs.ci95)));
        }
    }
    eprintln!(
        "{compared} rows compared, {silent} without interval or tolerance, {} apart: {apart:#?}",
        apart.len()
    );
    // Two intervals of 95 % about the same number miss each other by chance less than once in a hundred times.
    assert!(apart.len() * 50 <= compared, "{} of {compared} apart: {apart:#?}", apart.len());
    for (covered, text) in apart {
        // Settled by four times the draws: the theory that both share must not be refuted.
        let (_, row) = laboratory.row(&covered);
        let again = laboratory.measure(&covered, 4);
        let interval = (again.estimate.low, again.estimate.high);
        let verdict = row.predicted.as_ref().map(|rule: &Rule| rule.judge(interval));
        assert_ne!(verdict, Some(xexp_report::Verdict::Refuted), "{covered:?}: {text}, then {interval:?}");
        assert!(verdict.is_some(), "{covered:?}: {text}, and nothing is predicted");
    }
}
