//! What stands above several experiments.

use super::super::{Account, ClaimAccount, Outcome, Recorded};
use super::claims::{finding, mark};
use crate::{Block, Cell, Finding, Mark, Page, Result, Section, Table};

/// One of the experiments.
pub struct Experiment<'a> {
    /// What it recorded.
    pub recorded: &'a Recorded,
    /// Its folder, relative to the index.
    pub folder: String,
}

/// The columns of `summary.csv`.
const SUMMARY: [&str; 14] = [
    "experiment",
    "title",
    "rows",
    "confirmed",
    "refuted",
    "inconclusive",
    "announced",
    "controls",
    "controls_refuted",
    "measured_only",
    "claims_hold",
    "claims_hold_in_part",
    "claims_fail",
    "claims_open",
];

/// The table `summary.csv`: a line an experiment.
///
/// # Errors
/// None in practice.
pub fn summary(experiments: &[Experiment<'_>]) -> Result<Table> {
    let mut table = Table::new(SUMMARY);
    for Experiment { recorded, .. } in experiments {
        let account = Account::of(&recorded.judged);
        let claims = ClaimAccount::of(&recorded.judged);
        let came = |outcome: Outcome| claims.iter().filter(|claim| claim.outcome == outcome).count();
        let words =
            [&recorded.run.experiment, &recorded.manifest.title].map(|word| Cell::from(word.as_str()));
        let counts = [
            recorded.judged.len(),
            account.confirmed,
            account.refuted,
            account.inconclusive,
            account.announced,
            account.controls,
            account.controls_refuted,
            account.measured,
            came(Outcome::Holds),
            came(Outcome::HoldsInPart),
            came(Outcome::Fails),
            came(Outcome::Open),
        ];
        table.push(words.into_iter().chain(counts.map(Cell::from)))?;
    }
    Ok(table)
}

/// The page above several experiments; `extension` is that of the reports it leads to, such as `html`.
///
/// # Errors
/// None in practice.
pub fn index(experiments: &[Experiment<'_>], extension: &str) -> Result<Page> {
    let mut sum = Account::default();
    let mut findings: Vec<(Outcome, Finding)> = vec![];
    let mut table =
        Table::new(["experiment", "question", "predictions", "wrong formulas", "claims", "seconds"]);
    for experiment in experiments {
        let recorded = experiment.recorded;
        let address = format!("{}/report.{extension}", experiment.folder);
        let account = Account::of(&recorded.judged);
        sum.add(account);
        let claims = ClaimAccount::of(&recorded.judged);
        for claim in &claims {
            let link = Some((recorded.manifest.title.clone(), address.clone()));
            let found = finding(claim, &recorded.judged);
            findings.push((claim.outcome, Finding { link, ..found }));
        }
        let good = account.refuted == 0 && account.controls == account.controls_refuted;
        let state = match (good, account.inconclusive) {
            (false, _) => Mark::Bad,
            (true, 0) => Mark::Good,
            (true, _) => Mark::Open,
        };
        let came: Vec<&str> = claims.iter().map(|claim| claim.outcome.name()).collect();
        table.push([
            Cell::Link { text: recorded.run.experiment.clone(), address },
            Cell::from(recorded.manifest.question.as_str()),
            Cell::Badge(state, format!("{} of {}", account.confirmed, account.predictions())),
            Cell::from(format!("{} of {} refuted", account.controls_refuted, account.controls)),
            Cell::from(came.join(", ")),
            recorded.run.seconds.map_or(Cell::Empty, |seconds| Cell::decimals(seconds, 1)),
        ])?;
    }
    let count = |outcome| findings.iter().filter(|(came, _)| *came == outcome).count();
    let outcomes = [Outcome::Fails, Outcome::HoldsInPart, Outcome::Open, Outcome::Holds];
    let summary = format!(
        "{} experiments. Of {} claims of the document, {} hold, {} hold in part, {} fail and {} are open. The exact theory: \
         {sum}.",
        experiments.len(),
        findings.len(),
        count(Outcome::Holds),
        count(Outcome::HoldsInPart),
        count(Outcome::Fails),
        count(Outcome::Open),
    );
    let mut claims = vec![];
    for outcome in outcomes {
        let of: Vec<Finding> = findings
            .iter()
            .filter(|(came, _)| *came == outcome)
            .map(|(_, finding)| finding.clone())
            .collect();
        debug_assert!(of.iter().all(|finding| finding.mark == mark(outcome)));
        claims.extend((!of.is_empty()).then_some(Block::Findings(of)));
    }
    let note = "Predictions are those of the exact theory that are confirmed. Wrong formulas are held against the same draws \
                and must be refuted.";
    let sections = vec![
        Section { heading: "Claims of the document".into(), blocks: claims },
        Section {
            heading: "Experiments".into(),
            blocks: vec![Block::Text(note.into()), Block::Table(String::new(), table)],
        },
    ];
    Ok(Page { title: "The document's claims, measured".into(), summary, sections })
}
