//! `xexp predict`: labels or values for new input, one JSON object a line.

use clap::ValueHint;
use serde::Serialize;
use serde_json::{Map, Value, json};
use xexp_data::{Augment, Dataset, Example, Labels, Task};
use xexp_kernels::binary_cross_entropy::sigmoid;
use xexp_report::atomic;
use xexp_train::metrics::Logits;
use xexp_train::predict;

use crate::args::{Reading, Shared, Temperature};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::judged::{Judged, judged};
use crate::progress::Progress;
use crate::reading::Wanted;
use crate::saved::{Job, Model};
use crate::thresholds::Threshold;
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
    /// From which probability on a label applies, where several may: a number, or `fitted` for those that were tuned on
    /// validation, in the model's thresholds.json.
    #[arg(long, env = "XEXP_THRESHOLD", value_name = "P", default_value = "0.5")]
    pub threshold: Threshold,
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
    let Model { classifier, labels, mut encoder, .. } = job.open(&args.shared, &reading)?;
    fits(args, labels.task())?;
    let threshold = match labels.task() {
        Task::MultiLabel => args.threshold.settle(job.model.folder(), labels.names())?,
        Task::SingleLabel | Task::Regression => vec![],
    };
    let data = encoder.read(&job.data, &reading, Wanted::Nothing)?;
    let samples = encoder.prepare(&data, Augment::default())?.samples;

    let mut display = Progress::new("predicting", 0, samples.len() as u64, args.shared.quiet);
    let mut before = 0;
    let logits = predict::logits(&classifier, &samples, args.shared.batch_size.get(), &stop, |done| {
        display.tick(done as u64, None, done - std::mem::replace(&mut before, done));
    })?;
    display.finish();
    let Some(logits) = logits else { return Ok(Exit::Interrupted) };
    let lines = lines(&data, &logits, &labels, (temperature, &threshold))?;
    match &job.output {
        Some(folder) => atomic::write(folder.join("predictions.jsonl"), lines)?,
        None => stdout::write(lines.as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Sees that the flags have a meaning for the model's task.
fn fits(args: &Args, task: Task) -> Result<(), Failure> {
    let temperature = (args.temperature != Temperature::Of(1.0), "--temperature", Task::SingleLabel);
    let threshold = (args.threshold != Threshold::Of(0.5), "--threshold", Task::MultiLabel);
    match [temperature, threshold].into_iter().find(|(given, _, of)| *given && *of != task) {
        Some((_, flag, of)) => {
            Err(Failure::input(format!("{flag}: the model's task is {task}, expected {of}"))
                .hint("leave the flag away"))
        }
        None => Ok(()),
    }
}

/// One JSON object an example, in the input's order: `id`, `label`, its probability `score` at this temperature, `logits`; of
/// several labels `labels` and `scores`, the probability of each label by name; of a value `value`.
fn lines(
    data: &Dataset,
    logits: &[f32],
    labels: &Labels,
    (temperature, thresholds): (f64, &[f64]),
) -> Result<String, Failure> {
    let (names, mut text) = (labels.names(), String::new());
    let lines: Vec<Value> = match labels.task() {
        Task::SingleLabel => {
            let all = judged(logits, names.len(), temperature)?;
            let line = |(example, one): (&Example, Judged<'_>)| {
                let (label, score) = (&names[one.best], one.shares[one.best]);
                json!({ "id": example.id, "label": label, "score": score, "logits": one.logits })
            };
            data.examples.iter().zip(all).map(line).collect()
        }
        Task::MultiLabel | Task::Regression => {
            let all = Logits::new(logits, names.len())?;
            data.examples
                .iter()
                .zip(all.rows())
                .map(|(example, row)| of_row(example, row, labels, thresholds))
                .collect()
        }
    };
    for line in lines {
        text.push_str(&line.to_string());
        text.push('\n');
    }
    Ok(text)
}

/// An example's line where it has not one class.
fn of_row(example: &Example, row: &[f32], labels: &Labels, thresholds: &[f64]) -> Value {
    if labels.task() == Task::Regression {
        return json!({ "id": example.id, "value": row[0], "logits": row });
    }
    let names = labels.names();
    let scores: Vec<f64> = row.iter().map(|&z| sigmoid(f64::from(z))).collect();
    let said = names.iter().zip(scores.iter().zip(thresholds)).filter(|(_, (p, t))| p >= t);
    let said: Vec<&String> = said.map(|(name, _)| name).collect();
    let scores: Map<String, Value> = names.iter().cloned().zip(scores.iter().map(|p| json!(p))).collect();
    json!({ "id": example.id, "labels": said, "scores": scores, "logits": row })
}
