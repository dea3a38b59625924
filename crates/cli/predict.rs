//! `xexp predict`: labels for new input, one JSON object a line.

use clap::ValueHint;
use serde::Serialize;
use serde_json::json;
use xexp_data::{Augment, Dataset};
use xexp_report::atomic;
use xexp_train::predict;

use crate::args::{Reading, Shared, Temperature};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::judged::judged;
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
    /// The input to label: a file, an image, a folder of images, or - for standard input, one text a line unless --data-format
    /// says otherwise; predictions go to stdout, or to predictions.jsonl in the output folder.
    #[arg(long, env = "XEXP_INPUT", value_name = "DATA", value_hint = ValueHint::AnyPath, help_heading = "Data")]
    pub input: Option<String>,
    /// What logits are divided by before they become probabilities: a number, or `fitted` for the temperature that the model's
    /// results.json holds. Labels and logits stay.
    #[arg(long, env = "XEXP_TEMPERATURE", value_name = "X", default_value = "1")]
    pub temperature: Temperature,
    /// How the file is read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
}

/// Where standard input is a file.
const STANDARD_INPUT: &str = "/dev/stdin";

/// Labels the input.
///
/// # Errors
/// Whatever ends the command early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let (input, reading) = match args.input.as_deref() {
        Some("-") => (Some(STANDARD_INPUT), args.reading.or_lines()),
        input => (input, args.reading.clone()),
    };
    let job = Job::new(&args.shared, "--input", input)?;
    let stop = signals::watch()?;
    let temperature = args.temperature.settle(&job.model)?;
    let Model { classifier, names, mut encoder, .. } = job.open(&args.shared, &reading)?;
    let data = encoder.read(&job.data, &reading, false)?;
    let samples = encoder.prepare(&data, Augment::default())?.samples;

    let mut display = Progress::new("predicting", 0, samples.len() as u64, args.shared.quiet);
    let mut before = 0;
    let logits = predict::logits(&classifier, &samples, args.shared.batch_size.get(), &stop, |done| {
        display.tick(done as u64, None, done - std::mem::replace(&mut before, done));
    })?;
    display.finish();
    let Some(logits) = logits else { return Ok(Exit::Interrupted) };
    let lines = lines(&data, &logits, &names, temperature)?;
    match &job.output {
        Some(folder) => atomic::write(folder.join("predictions.jsonl"), lines)?,
        None => stdout::write(lines.as_bytes())?,
    }
    Ok(Exit::Done)
}

/// One JSON object an example, in the input's order: `id`, `label`, its probability `score` at this temperature, `logits`.
fn lines(data: &Dataset, logits: &[f32], names: &[String], temperature: f64) -> Result<String, Failure> {
    let mut text = String::new();
    for (example, one) in data.examples.iter().zip(judged(logits, names.len(), temperature)?) {
        let (label, score) = (&names[one.best], one.shares[one.best]);
        let line = json!({ "id": example.id, "label": label, "score": score, "logits": one.logits });
        text.push_str(&line.to_string());
        text.push('\n');
    }
    Ok(text)
}
