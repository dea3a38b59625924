//! `xexp run`: experiments, from predictions to reports.

use std::path::PathBuf;

use clap::ValueHint;
use clap::builder::RangedU64ValueParser;
use xexp_experiments::Plan;
use xexp_report::lab::{Folder, Status};

use super::one::{Ended, Job};
use super::outcome::{Outcome, print};
use super::progress::{Progress, seconds};
use super::subject::{Subject, subjects};
use crate::args::Format;
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Existing};
use crate::signals;

/// What to run, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Ids of experiments, as `xexp list` names them, or `all` for the claims of the document.
    #[arg(value_name = "ID", required = true)]
    ids: Vec<String>,
    /// The folder to write into [default: runs/TIME-ID]; with several experiments, a folder in it for each.
    #[arg(long, env = "XEXP_OUTPUT", value_name = "DIR", value_hint = ValueHint::DirPath)]
    output: Option<String>,
    /// Writes into an output folder that is not empty.
    #[arg(long, env = "XEXP_OVERWRITE")]
    overwrite: bool,
    /// Goes on where an interrupted run stopped.
    #[arg(long, env = "XEXP_RESUME")]
    resume: bool,
    /// The device: auto, cpu, cuda or cuda:N.
    #[arg(long, env = "XEXP_DEVICE", value_name = "DEVICE", default_value = "auto")]
    device: Device,
    /// The seed of everything random.
    #[arg(long, env = "XEXP_SEED", value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// The most draws of a set-up [default: each experiment's own looks at its data].
    #[arg(long, env = "XEXP_DRAWS", value_name = "N", value_parser = RangedU64ValueParser::<u32>::new().range(2..=1_000_000))]
    pub draws: Option<u32>,
    /// Larger sizes and depths.
    #[arg(long, env = "XEXP_FULL")]
    pub full: bool,
    /// A parameter, its value written as in TOML; repeated for more. With several experiments, id.key=value means one of
    /// them, key=value all that have it.
    #[arg(long, env = "XEXP_SET", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The form of the outcome on stdout.
    #[arg(long, env = "XEXP_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// Shows neither progress nor notes on stderr, only errors.
    #[arg(long, env = "XEXP_QUIET")]
    quiet: bool,
}

impl Args {
    /// The most draws of a set-up, if limited.
    pub fn draws(&self) -> Option<usize> {
        self.draws.map(|draws| draws as usize)
    }
}

/// Runs what is asked for.
///
/// # Errors
/// Whatever ends the run early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let stop = signals::watch()?;
    let subjects = subjects(&args.ids, args.full, &args.set)?;
    let existing = output::existing(args.overwrite, args.resume, args.output.is_some())?;
    let device = device::choose(args.device, args.quiet)?;
    let several = subjects.len() > 1;
    let root = args.output.as_deref().map_or_else(|| fresh(args, &subjects), PathBuf::from);
    output::check(&root, existing)?;
    // Everything is predicted before anything is measured, so that a mistake in the last experiment costs no time.
    let jobs = subjects
        .into_iter()
        .map(|subject| {
            let folder = if several { root.join(subject.entry.about.id) } else { root.clone() };
            let plan = Plan::new(&*subject.opened, args.seed, args.draws())?;
            let work = seconds(subject.entry.about.cost) / plan.setups.len().max(1) as f64;
            Ok(Job { subject, plan, folder: Folder::new(folder), work })
        })
        .collect::<Result<Vec<Job>, Failure>>()?;
    if existing == Existing::Resume {
        resumable(args, &jobs, &root, device)?;
    }
    output::prepare(&root, existing)?;

    let total = jobs.iter().map(|job| job.work * job.plan.setups.len() as f64).sum();
    let mut progress = Progress::new(total, args.quiet);
    let mut outcomes = vec![];
    for job in &jobs {
        if several {
            output::prepare(
                job.folder.path(),
                if existing == Existing::Resume { Existing::Overwrite } else { existing },
            )?;
        }
        match job.run(args, (device, existing), &stop, &mut progress)? {
            Ended::Recorded(recorded) => {
                let outcome = Outcome::new(*recorded, job.folder.path());
                if several {
                    progress.say(&outcome.line());
                }
                outcomes.push(outcome);
            }
            Ended::Interrupted => {
                progress.finish();
                let place = root.display();
                eprintln!("interrupted at {}: go on with --resume --output {place}", job.id());
                return Ok(Exit::Interrupted);
            }
        }
    }
    progress.finish();
    if several {
        super::report::write_index(&root, &outcomes)?;
    }
    print(&outcomes, &root, args.format)
}

/// Sees that there is something to go on with, and that it is this run.
fn resumable(args: &Args, jobs: &[Job], root: &std::path::Path, device: Device) -> Result<(), Failure> {
    let mut runs = vec![];
    for job in jobs {
        runs.push(job.earlier(args, device)?);
    }
    if runs.iter().all(Option::is_none) {
        let message = format!("--resume: {} is not the folder of a run that has begun", root.display());
        return Err(Failure::input(message).hint("give the --output of the run that was interrupted"));
    }
    let finished = runs.iter().all(|run| run.as_ref().is_some_and(|run| run.status == Status::Finished));
    if finished && (jobs.len() == 1 || root.join("summary.csv").is_file()) {
        let message = format!("--resume: the run in {} has finished", root.display());
        return Err(Failure::input(message).hint("a new run needs --overwrite or another folder"));
    }
    Ok(())
}

fn fresh(args: &Args, subjects: &[Subject]) -> PathBuf {
    match (subjects, args.ids.as_slice()) {
        ([subject], _) => output::fresh(subject.entry.about.id),
        (_, [all]) if all == "all" => output::fresh("all"),
        _ => output::fresh("experiments"),
    }
}
