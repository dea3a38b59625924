//! `xexp predict`: labels for new input, one JSON object a line.

use std::path::PathBuf;

use clap::ValueHint;
use serde::Serialize;

use crate::args::{Reading, Shared};
use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Existing};
use crate::places;

/// The arguments of `xexp predict`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// The input to label; predictions go to stdout, or to predictions.jsonl in the output folder.
    #[arg(long, env = "XEXP_INPUT", value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Data")]
    pub input: Option<String>,
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
    /// The input to label.
    input: PathBuf,
    /// The folder for `predictions.jsonl`; stdout without it.
    output: Option<PathBuf>,
    /// The device that computes.
    device: Device,
}

/// Labels the input.
///
/// # Errors
/// Whatever ends the command early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let plan = plan(args)?;
    tracing::debug!(?plan, ?args, "plan");
    Err(Failure::new(Exit::Bug, "prediction is not built into this program"))
}

/// Checks what can be checked before any file is opened.
fn plan(args: &Args) -> Result<Plan, Failure> {
    let shared = &args.shared;
    let model = places::model(shared.model.as_deref())?;
    let input = args
        .input
        .as_deref()
        .ok_or_else(|| Failure::input("no input").hint("give a .csv, .tsv or .jsonl file: --input FILE"))?;
    let input = places::data("--input", input)?;
    let device = device::choose(shared.device, shared.precision, shared.quiet)?;
    let output = shared.output.as_deref().map(PathBuf::from);
    if let Some(folder) = &output {
        output::prepare(folder, if shared.overwrite { Existing::Overwrite } else { Existing::Refuse })?;
    }
    Ok(Plan { model, input, output, device })
}
