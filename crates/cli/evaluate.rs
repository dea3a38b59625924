//! `xexp evaluate`: a saved model's scores on labelled input.

use std::path::PathBuf;

use clap::ValueHint;
use serde::Serialize;

use crate::args::{Reading, Shared};
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Existing};
use crate::places;

/// The arguments of `xexp evaluate`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// The labelled data to score the model on.
    #[arg(long, env = "XEXP_DATA", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Data")]
    pub data: Option<String>,
    /// How the file is read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
}

/// Where everything is, once the arguments have been held against this machine.
#[derive(Debug)]
#[expect(dead_code, reason = "read by the run itself")]
struct Plan {
    /// The folder of the saved model.
    model: PathBuf,
    /// The labelled data.
    data: PathBuf,
    /// The folder for the scores and the receipt; without it they are only printed.
    output: Option<PathBuf>,
    /// The device that computes.
    device: Device,
}

/// Scores the model.
///
/// # Errors
/// Whatever ends the command early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    tracing::debug!(?plan, ?args, "plan");
    Err(Failure::new(Exit::Bug, "evaluation is not built into this program"))
}

/// Checks what can be checked before any file is opened.
fn plan(args: &Args) -> Result<Plan, Failure> {
    let shared = &args.shared;
    let model = places::model(shared.model.as_deref())?;
    let data = args.data.as_deref().ok_or_else(|| {
        Failure::input("no data to score").hint("give a .csv, .tsv or .jsonl file: --data FILE")
    })?;
    let data = places::data("--data", data)?;
    let device = device::choose(shared.device, shared.precision, shared.quiet)?;
    let output = shared.output.as_deref().map(PathBuf::from);
    if let Some(folder) = &output {
        output::prepare(folder, if shared.overwrite { Existing::Overwrite } else { Existing::Refuse })?;
    }
    Ok(Plan { model, data, output, device })
}
