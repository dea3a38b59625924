//! `xexp evaluate`: a saved model's scores on labelled input.

use std::path::PathBuf;

use clap::ValueHint;
use serde::Serialize;
use xexp_backbones::folder::Folder;
use xexp_data::{Labels, Receipt, SplitInput};
use xexp_heads::Classifier;
use xexp_report::atomic;

use crate::args::{Format, Reading, Shared};
use crate::device;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inputs::{Encoder, labelled};
use crate::output::{self, Existing};
use crate::reading::read;
use crate::stdout::{self, json};
use crate::{places, scoring, signals};

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
struct Plan {
    /// The folder of the saved model.
    model: PathBuf,
    /// The labelled data.
    data: PathBuf,
    /// The folder for the scores and the receipt; without it they are only printed.
    output: Option<PathBuf>,
}

/// Scores the model.
///
/// # Errors
/// Whatever ends the command early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let stop = signals::watch()?;
    let plan = plan(args)?;
    let folder = Folder::open(&plan.model)?;
    let (classifier, names) = Classifier::open(&folder)?;
    let data = read(&plan.data, &args.reading, true)?;
    let labels = Labels::from_names(names.clone())?;
    let encoder = Encoder::new(&folder, classifier.backbone.max_length(), &args.shared)?;
    let encoded = encoder.encode(&data)?;
    let split = SplitInput { name: "test", data: &data, encoded: &encoded };
    let receipt = Receipt::new(&[split], Some(&labels), encoder.max_length)?;
    if !args.shared.quiet {
        eprintln!("{receipt}");
    }
    let samples = labelled(&encoded, &data, &labels)?;
    let Some(scores) = scoring::score(&classifier, &samples, &names, &args.shared, "test", &stop)? else {
        return Ok(Exit::Interrupted);
    };
    let object = json(&scores)?;
    if let Some(folder) = &plan.output {
        atomic::write(folder.join("data.json"), crate::stdout::json(&receipt)?)?;
        atomic::write(folder.join("results.json"), &object)?;
    }
    match args.shared.format {
        Format::Json => stdout::write(object.as_bytes())?,
        Format::Text => {
            let text = format!("{}\n{}", scores.table()?.markdown(), scores.class_table()?.markdown());
            stdout::write(text.as_bytes())?;
        }
    }
    Ok(Exit::Done)
}

/// Checks what can be checked before any file is opened.
fn plan(args: &Args) -> Result<Plan, Failure> {
    let shared = &args.shared;
    let model = places::model(shared.model.as_deref())?;
    let data = args.data.as_deref().ok_or_else(|| {
        Failure::input("no data to score").hint("give a .csv, .tsv or .jsonl file: --data FILE")
    })?;
    let data = places::data("--data", data)?;
    device::choose(shared.device, shared.precision, shared.quiet)?;
    let output = shared.output.as_deref().map(PathBuf::from);
    if let Some(folder) = &output {
        output::prepare(folder, if shared.overwrite { Existing::Overwrite } else { Existing::Refuse })?;
    }
    Ok(Plan { model, data, output })
}
