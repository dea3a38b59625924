//! What a run says when it is done.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use xexp_report::lab::{Account, ClaimAccount, Judgement, Recorded};

use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stdout;

/// An experiment that is recorded.
pub struct Outcome {
    /// What was recorded.
    pub recorded: Recorded,
    /// How many rows came out how.
    pub account: Account,
    /// How the document's claims came out.
    pub claims: Vec<ClaimAccount>,
    folder: PathBuf,
}

impl Outcome {
    /// Counts the verdicts of what is recorded in `folder`.
    pub fn new(recorded: Recorded, folder: &Path) -> Outcome {
        let account = Account::of(&recorded.judged);
        let claims = ClaimAccount::of(&recorded.judged);
        Outcome { recorded, account, claims, folder: folder.to_path_buf() }
    }

    /// Id of the experiment.
    pub fn id(&self) -> &str {
        &self.recorded.run.experiment
    }

    /// Where it is recorded.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// One line: id, seconds, verdicts, claims.
    pub fn line(&self) -> String {
        let seconds = self.recorded.run.seconds.unwrap_or_default();
        let claims: Vec<&str> = self.claims.iter().map(|claim| claim.outcome.name()).collect();
        let claims =
            if claims.is_empty() { String::new() } else { format!("; claims: {}", claims.join(", ")) };
        format!("{}: {seconds:.1} s; {}{claims}", self.id(), self.account)
    }

    /// What of it fails: each row with the reason.
    pub fn failures(&self) -> Vec<String> {
        let failing = self.recorded.judged.iter().filter(|judgement| judgement.fails());
        failing.map(|judgement| format!("{}: {}", self.id(), failure(judgement))).collect()
    }

    fn json(&self) -> Value {
        let undecided = self.recorded.judged.iter().filter(|j| j.measured.needs.is_some());
        let failing = self.recorded.judged.iter().filter(|j| j.fails());
        let names = |rows: &mut dyn Iterator<Item = &Judgement>| -> Vec<String> {
            rows.map(|judgement| judgement.row.row.clone()).collect()
        };
        json!({
            "id": self.id(),
            "output": self.folder.display().to_string(),
            "seconds": self.recorded.run.seconds,
            "rows": self.recorded.judged.len(),
            "verdicts": self.account,
            "claims": self.claims,
            "failures": names(&mut failing.into_iter()),
            "undecided": names(&mut undecided.into_iter()),
        })
    }
}

/// Why a row is a failure of the laboratory.
fn failure(judgement: &Judgement) -> String {
    let (row, measured) = (&judgement.row, &judgement.measured);
    let said = row.predicted.map_or_else(String::new, |rule| format!("{} {:.6e}", rule.sign(), rule.value()));
    let estimate = &measured.estimate;
    let found = format!("{:.6e} [{:.6e}, {:.6e}]", measured.value, estimate.low, estimate.high);
    let what = if row.control { "the wrong formula is not refuted" } else { "the prediction is refuted" };
    format!("{}: {what}: {said}, measured {found} over {} draws", row.row, estimate.draws)
}

/// Prints how everything came out; exit 1 where a row fails.
///
/// # Errors
/// Stdout cannot be written.
pub fn print(outcomes: &[Outcome], root: &Path, format: Format) -> Result<Exit, Failure> {
    let failures: Vec<String> = outcomes.iter().flat_map(Outcome::failures).collect();
    let text = match format {
        Format::Json => {
            let experiments: Vec<Value> = outcomes.iter().map(Outcome::json).collect();
            stdout::json(&json!({
                "output": root.display().to_string(),
                "experiments": experiments,
                "failures": failures,
            }))?
        }
        Format::Text => text(outcomes, root),
    };
    stdout::write(text.as_bytes())?;
    for failure in &failures {
        eprintln!("failed: {failure}");
    }
    Ok(if failures.is_empty() { Exit::Done } else { Exit::CheckFailed })
}

fn text(outcomes: &[Outcome], root: &Path) -> String {
    let mut text = String::new();
    let page = if let [outcome] = outcomes {
        for claim in &outcome.claims {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}: {}", claim.outcome.name(), claim.claim);
            for why in &claim.why {
                let _ = writeln!(text, "  {why}");
            }
        }
        "report.html"
    } else {
        "index.html"
    };
    for outcome in outcomes {
        let _ = writeln!(text, "{}", outcome.line());
    }
    if outcomes.len() > 1 {
        let mut sum = Account::default();
        outcomes.iter().for_each(|outcome| sum.add(outcome.account));
        let _ = writeln!(text, "all: {sum}");
    }
    let _ = writeln!(text, "report: {}", root.join(page).display());
    text
}
