//! `xexp report`: the reports of recorded experiments, from their tables.

use std::path::{Path, PathBuf};

use clap::ValueHint;
use xexp_experiments::EXPERIMENTS;
use xexp_report::atomic;
use xexp_report::lab::{self, Experiment, Folder, Recorded};

use super::outcome::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;

/// Which runs to report on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Output folders of `xexp run`.
    #[arg(value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    folders: Vec<PathBuf>,
}

/// Writes the reports again.
///
/// # Errors
/// A folder without a run, or with tables that do not say what they should.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    for folder in &args.folders {
        let here = Folder::new(folder);
        if let Some(recorded) = here.read()? {
            write(&here, &recorded)?;
            continue;
        }
        let outcomes = below(folder)?;
        if outcomes.is_empty() {
            let message = format!("{}: no finished run of an experiment in it", folder.display());
            return Err(Failure::input(message).hint("give the --output of a run of `xexp run`"));
        }
        for outcome in &outcomes {
            write(&Folder::new(outcome.folder()), &outcome.recorded)?;
        }
        write_index(folder, &outcomes)?;
    }
    Ok(Exit::Done)
}

/// The finished runs in the folders of a folder, in the order of the registry.
fn below(folder: &Path) -> Result<Vec<Outcome>, Failure> {
    let entries = std::fs::read_dir(folder)
        .map_err(|error| Failure::input(format!("{}: cannot read it", folder.display())).because(&error))?;
    let mut outcomes = vec![];
    for entry in entries.flatten().filter(|entry| entry.path().is_dir()) {
        let here = Folder::new(entry.path());
        if let Some(recorded) = here.read()? {
            outcomes.push(Outcome::new(recorded, here.path()));
        }
    }
    let place = |outcome: &Outcome| {
        EXPERIMENTS.iter().position(|entry| entry.about.id == outcome.id()).unwrap_or(usize::MAX)
    };
    outcomes.sort_by_key(|outcome| (place(outcome), outcome.folder().to_path_buf()));
    Ok(outcomes)
}

/// Writes plots and reports beside the tables.
///
/// # Errors
/// A file that cannot be written.
pub fn write(folder: &Folder, recorded: &Recorded) -> Result<(), Failure> {
    let page = lab::report(recorded)?;
    let plots = lab::plots(recorded);
    if !plots.is_empty() {
        let place = folder.file("plots");
        std::fs::create_dir_all(&place).map_err(|error| {
            Failure::environment(format!("cannot make the folder {}", place.display())).because(&error)
        })?;
    }
    for (name, svg) in plots {
        atomic::write(folder.file("plots").join(format!("{name}.svg")), svg.as_str())?;
    }
    atomic::write(folder.file("report.md"), page.markdown())?;
    atomic::write(folder.file("report.tex"), page.latex())?;
    atomic::write(folder.file("report.html"), page.html())?;
    Ok(())
}

/// Writes what stands above several experiments: `index.html`, `index.md` and `summary.csv`.
///
/// # Errors
/// A file that cannot be written.
pub fn write_index(root: &Path, outcomes: &[Outcome]) -> Result<(), Failure> {
    let experiments: Vec<Experiment<'_>> = outcomes
        .iter()
        .map(|outcome| Experiment {
            recorded: &outcome.recorded,
            folder: outcome.folder().file_name().unwrap_or_default().to_string_lossy().into_owned(),
        })
        .collect();
    atomic::write(root.join("index.html"), lab::index(&experiments, "html")?.html())?;
    atomic::write(root.join("index.md"), lab::index(&experiments, "md")?.markdown())?;
    // Last: with it the run has finished.
    atomic::write(root.join("summary.csv"), lab::summary(&experiments)?.csv())?;
    Ok(())
}
