//! `xexp check`: recorded experiments predicted and judged again. Nothing is measured.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use serde_json::json;
use xexp_experiments::Plan;
use xexp_report::lab::{
    Folder, Judgement, MANIFEST_FILE, MEASURED_FILE, Manifest, PREDICTED_FILE, RUN_FILE, Run, Status,
    VERDICTS_FILE, judge, read_measured, read_predicted, sha256, verdicts_table,
};

use super::compare;
use super::outcome::Outcome;
use super::subject::entry;
use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stdout;

/// What to check.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder below which recorded runs lie.
    #[arg(value_name = "DIR", default_value = "experiments", value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// The form of the result on stdout.
    #[arg(long, env = "XEXP_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// What was found in one folder.
struct Checked {
    folder: PathBuf,
    id: String,
    rows: usize,
    summary: String,
    differences: Vec<String>,
}

/// Checks all recorded runs below the folder.
///
/// # Errors
/// Exit 2 where there is none.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let folders = recorded_below(&args.folder)?;
    if folders.is_empty() {
        let message = format!("{}: no recorded experiment in it or below it", args.folder.display());
        return Err(Failure::input(message).hint("give the --output of a run of `xexp run`"));
    }
    let checked: Vec<Checked> = folders.iter().map(|(folder, run)| check(folder, run)).collect();
    let wrong = checked.iter().any(|checked| !checked.differences.is_empty());
    let text = match args.format {
        Format::Json => stdout::json(&json!({
            "ok": !wrong,
            "experiments": checked.iter().map(|c| json!({
                "id": c.id,
                "folder": c.folder.display().to_string(),
                "rows": c.rows,
                "differences": c.differences,
            })).collect::<Vec<_>>(),
        }))?,
        Format::Text => checked.iter().map(Checked::line).collect(),
    };
    stdout::write(text.as_bytes())?;
    for difference in checked.iter().flat_map(|checked| &checked.differences) {
        eprintln!("failed: {difference}");
    }
    Ok(if wrong { Exit::CheckFailed } else { Exit::Done })
}

impl Checked {
    fn line(&self) -> String {
        let (id, folder, rows) = (&self.id, self.folder.display(), self.rows);
        match self.differences.len() {
            0 => format!("{id} ({folder}): {rows} rows as recorded: {}\n", self.summary),
            count => format!("{id} ({folder}): {count} differences in {rows} rows\n"),
        }
    }
}

/// The folders with the record of a run, in the order of their names.
fn recorded_below(folder: &Path) -> Result<Vec<(Folder, Run)>, Failure> {
    let unreadable = |error: &std::io::Error| {
        Failure::input(format!("{}: cannot read it", folder.display())).because(error)
    };
    let mut found = vec![];
    if !folder.is_dir() {
        return Err(Failure::input(format!("{}: expected a folder", folder.display()))
            .hint("give a folder below which runs of `xexp run` lie"));
    }
    let here = Folder::new(folder);
    if let Some(run) = here.run()? {
        found.push((here, run));
    }
    let mut below = vec![];
    for entry in std::fs::read_dir(folder).map_err(|error| unreadable(&error))? {
        let entry = entry.map_err(|error| unreadable(&error))?;
        // Links are not followed: they may lead in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below.push(entry.path());
        }
    }
    below.sort();
    for folder in below {
        found.extend(recorded_below(&folder)?);
    }
    Ok(found)
}

fn check(folder: &Folder, run: &Run) -> Checked {
    let mut checked = Checked {
        folder: folder.path().to_path_buf(),
        id: run.experiment.clone(),
        rows: 0,
        summary: String::new(),
        differences: vec![],
    };
    if let Err(failure) = compared(folder, run, &mut checked) {
        // What cannot be read is a difference like any other: the other folders are checked all the same.
        let text = failure.to_string();
        let line = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let place = folder.path().display().to_string();
        checked.differences.push(if line.contains(&place) { line } else { format!("{place}: {line}") });
    }
    checked
}

fn compared(folder: &Folder, run: &Run, checked: &mut Checked) -> Result<(), Failure> {
    let place = folder.file(RUN_FILE);
    if run.status != Status::Finished {
        checked.differences.push(format!("{}: status: expected finished, found measuring", place.display()));
        return Ok(());
    }
    for name in [MANIFEST_FILE, PREDICTED_FILE, MEASURED_FILE, VERDICTS_FILE] {
        let found = sha256(folder.text(name)?.as_bytes());
        let expected = run.sha256.get(name).map_or("none", String::as_str);
        if expected != found {
            let file = folder.file(name);
            checked.differences.push(format!(
                "{}: sha256: expected {expected} (by {RUN_FILE}), found {found}",
                file.display()
            ));
        }
    }
    let manifest = folder.text(MANIFEST_FILE)?;
    // The manifest above a recorded folder, such as that above experiments/ID/cpu, is the same.
    let above = folder.path().join("..").join(MANIFEST_FILE);
    if let Ok(text) = std::fs::read_to_string(&above) {
        checked.differences.extend(compare::lines(&above, &manifest, &text));
    }

    let file = folder.file(PREDICTED_FILE);
    let said = Manifest::read(&folder.file(MANIFEST_FILE), &manifest)?;
    let recorded = read_predicted(&file, &folder.text(PREDICTED_FILE)?, &said)?;
    checked.rows = recorded.len();
    let opened = (entry(&run.experiment)?.open)(run.parameters.clone())?;
    let plan = Plan::new(&*opened, run.seed, run.draws)?;
    checked.differences.extend(compare::lines(
        &folder.file(MANIFEST_FILE),
        &plan.manifest.text()?,
        &manifest,
    ));
    checked.differences.extend(compare::predictions(&file, &plan.predictions, &recorded));

    let rows: Vec<_> = recorded.iter().map(|prediction| prediction.row.clone()).collect();
    let measured = read_measured(&folder.file(MEASURED_FILE), &folder.text(MEASURED_FILE)?)?;
    let judged: Vec<Judgement> = judge(&rows, &measured)?;
    let verdicts = verdicts_table(&run.experiment, &judged)?.csv();
    let found = folder.text(VERDICTS_FILE)?;
    checked.differences.extend(compare::lines(&folder.file(VERDICTS_FILE), &verdicts, &found));

    if let Some(recorded) = folder.read()? {
        let outcome = Outcome::new(recorded, folder.path());
        checked.summary = outcome.account.to_string();
        checked.differences.extend(outcome.failures());
    }
    Ok(())
}
