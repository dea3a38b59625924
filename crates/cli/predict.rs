//! `xexp predict`: labels for new input, one JSON object a line.

use clap::ValueHint;
use serde::Serialize;
use serde_json::json;
use xexp_data::{Augment, Dataset};
use xexp_report::atomic;
use xexp_train::metrics::{Logits, log_softmax};
use xexp_train::predict;

use crate::args::{Reading, Shared};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::saved::{Job, Model};
use crate::{signals, stdout};

/// The arguments of `xexp predict`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// The input to label: a file, an image or a folder of images; predictions go to stdout, or to predictions.jsonl in the output folder.
    #[arg(long, env = "XEXP_INPUT", value_name = "DATA", value_hint = ValueHint::AnyPath, help_heading = "Data")]
    pub input: Option<String>,
    /// How the file is read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
}

/// Labels the input.
///
/// # Errors
/// Whatever ends the command early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let job = Job::new(&args.shared, "--input", args.input.as_deref())?;
    let stop = signals::watch()?;
    let Model { classifier, names, mut encoder } = job.open(&args.shared, &args.reading)?;
    let data = encoder.read(&job.data, &args.reading, false)?;
    let samples = encoder.prepare(&data, Augment::default())?.samples;

    let mut display = Progress::new("predicting", 0, samples.len() as u64, args.shared.quiet);
    let mut before = 0;
    let logits = predict::logits(&classifier, &samples, args.shared.batch_size.get(), &stop, |done| {
        display.tick(done as u64, None, done - std::mem::replace(&mut before, done));
    })?;
    display.finish();
    let Some(logits) = logits else { return Ok(Exit::Interrupted) };
    let lines = lines(&data, &logits, &names)?;
    match &job.output {
        Some(folder) => atomic::write(folder.join("predictions.jsonl"), lines)?,
        None => stdout::write(lines.as_bytes())?,
    }
    Ok(Exit::Done)
}

/// One JSON object an example, in the input's order: `id`, `label`, its probability `score`, `logits`.
fn lines(data: &Dataset, logits: &[f32], names: &[String]) -> Result<String, Failure> {
    let logits = Logits::new(logits, names.len())?;
    let mut text = String::new();
    for ((example, row), best) in data.examples.iter().zip(logits.rows()).zip(logits.predictions()) {
        let best = best as usize;
        let score = log_softmax(row)[best].exp();
        let line = json!({ "id": example.id, "label": names[best], "score": score, "logits": row });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    Ok(text)
}
