//! `xexp evaluate`: a saved model's scores on labelled input.

use clap::ValueHint;
use serde::Serialize;
use xexp_data::{Augment, Labels, Receipt, SplitInput};
use xexp_report::atomic;

use crate::args::{Format, Reading, Shared};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::saved::{Job, Model};
use crate::stdout::{self, json};
use crate::{predictions, scoring, signals};

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
    let Model { classifier, names, mut encoder, .. } = job.open(&args.shared, &args.reading)?;
    let data = encoder.read(&job.data, &args.reading, true)?;
    let labels = Labels::from_names(names.clone())?;
    let prepared = encoder.prepare(&data, Augment::default())?;
    let split = SplitInput { name: "test", data: &data, encoded: prepared.encoded.as_deref() };
    let receipt = Receipt::new(&[split], Some(&labels), encoder.max_length())?;
    if !args.shared.quiet {
        eprintln!("{receipt}");
    }
    let samples = prepared.labelled(&data, &labels)?;
    let scored = scoring::score(&classifier, &samples, &names, &args.shared, "test", &stop)?;
    let Some(scored) = scored else { return Ok(Exit::Interrupted) };
    let scores = &scored.scores;
    let object = json(scores)?;
    if let Some(folder) = &job.output {
        atomic::write(folder.join("data.json"), crate::stdout::json(&receipt)?)?;
        atomic::write(folder.join(predictions::FILE), predictions::table(&data, &scored, &names)?)?;
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
