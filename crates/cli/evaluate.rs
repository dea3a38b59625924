//! `xexp evaluate`: a saved model's scores on labelled input.

use clap::ValueHint;
use serde::Serialize;
use xexp_data::{Augment, Receipt, SplitInput, Task};
use xexp_report::atomic;

use crate::args::{Format, Reading, Shared};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::reading::Wanted;
use crate::saved::{Job, Model};
use crate::stdout::{self, json};
use crate::{predictions, scoring, signals, thresholds};

/// The arguments of `xexp evaluate`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// The labelled data to score the model on: a file, or a folder of class folders.
    #[arg(long, env = "XEXP_DATA", value_name = "DATA", value_hint = ValueHint::AnyPath, help_heading = "Data")]
    pub data: Option<String>,
    /// How the file is read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
}

/// Scores the model.
///
/// # Errors
/// Whatever ends the command early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let job = Job::new(&args.shared, "--data", args.data.as_deref())?;
    let stop = signals::watch()?;
    let Model { classifier, labels, mut encoder, .. } = job.open(&args.shared, &args.reading)?;
    let data = encoder.read(&job.data, &args.reading, Wanted::Labels(Some(labels.task())))?;
    let tuned = match (labels.task(), job.model.folder()) {
        (Task::MultiLabel, Some(folder)) => thresholds::read(folder, labels.names())?,
        _ => None,
    };
    let prepared = encoder.prepare(&data, Augment::default())?;
    let split = SplitInput { name: "test", data: &data, encoded: prepared.encoded.as_deref() };
    let receipt = Receipt::new(&[split], Some(&labels), encoder.max_length())?;
    if !args.shared.quiet {
        eprintln!("{receipt}");
    }
    let samples = prepared.labelled(&data, &labels)?;
    let logits = scoring::logits(&classifier, &samples, &args.shared, "test", &stop)?;
    let Some(logits) = logits else { return Ok(Exit::Interrupted) };
    let scored = scoring::score(logits, &samples, &labels, tuned.as_deref(), (args.shared.seed, "test"))?;
    let scores = &scored.scores;
    let object = json(scores)?;
    if let Some(folder) = &job.output {
        atomic::write(folder.join("data.json"), crate::stdout::json(&receipt)?)?;
        atomic::write(folder.join(predictions::FILE), predictions::table(&data, &scored, &labels)?)?;
        atomic::write(folder.join("results.json"), &object)?;
    }
    match args.shared.format {
        Format::Json => stdout::write(object.as_bytes())?,
        Format::Text => {
            let tables = [Some(scores.table()?), scores.class_table()?];
            let text: Vec<String> = tables.into_iter().flatten().map(|table| table.markdown()).collect();
            stdout::write(text.join("\n").as_bytes())?;
        }
    }
    Ok(Exit::Done)
}
