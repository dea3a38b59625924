//! `xexp finetune`: a new head on a pretrained backbone, trained on labelled text.

mod args;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

pub use args::Args;

use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Existing};
use crate::{places, signals};

/// Where everything is, once the arguments have been held against this machine.
#[derive(Debug)]
#[expect(dead_code, reason = "read by the run itself")]
struct Plan {
    /// The folder of the pretrained model.
    model: PathBuf,
    /// The training data.
    train: PathBuf,
    /// The validation data, when it is not to be split off.
    valid: Option<PathBuf>,
    /// The test data.
    test: Option<PathBuf>,
    /// The folder for all results.
    output: PathBuf,
    /// The device that computes.
    device: Device,
}

/// Fine-tunes a model as the arguments say.
///
/// # Errors
/// Whatever ends the run early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let stop = signals::watch()?;
    let plan = plan(args)?;
    fit(args, &plan, &stop)
}

/// Checks what can be checked before any file is opened; the output folder last, so that a mistake
/// elsewhere leaves nothing behind.
fn plan(args: &Args) -> Result<Plan, Failure> {
    let existing = existing(args)?;
    let model = places::model(args.shared.model.as_deref())?;
    let train = args.train.as_deref().ok_or_else(|| {
        Failure::input("no training data: this build has no bundled set to fall back on")
            .hint("give a .csv, .tsv or .jsonl file: --train FILE")
    })?;
    let train = places::data("--train", train)?;
    let valid = args.valid.as_deref().map(|file| places::data("--valid", file)).transpose()?;
    let test = args.test.as_deref().map(|file| places::data("--test", file)).transpose()?;
    let device = device::choose(args.shared.device, args.shared.precision, args.shared.quiet)?;
    let output = args.shared.output.as_deref().map_or_else(|| output::fresh("finetune"), PathBuf::from);
    output::prepare(&output, existing)?;
    Ok(Plan { model, train, valid, test, output, device })
}

/// What may be done with results that are already there.
fn existing(args: &Args) -> Result<Existing, Failure> {
    match (args.shared.overwrite, args.resume) {
        (true, true) => Err(Failure::input("--overwrite and --resume exclude each other")
            .hint("--resume goes on from the results that are there, --overwrite begins anew")),
        (false, true) if args.shared.output.is_none() => Err(Failure::input("--resume: no output folder")
            .hint("give the folder of the run that was interrupted: --output DIR")),
        (_, true) => Ok(Existing::Resume),
        (true, false) => Ok(Existing::Overwrite),
        (false, false) => Ok(Existing::Refuse),
    }
}

/// Runs the plan.
fn fit(args: &Args, plan: &Plan, _stop: &AtomicBool) -> Result<Exit, Failure> {
    tracing::debug!(?plan, ?args, "plan");
    Err(Failure::new(Exit::Bug, "fine-tuning is not built into this program"))
}
