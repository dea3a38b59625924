//! Seconds and losses of this engine's steps on given batches, for `tests/bench/` to set beside PyTorch's.
//!
//! ```text
//! speed step    --model DIR --batch FILE --steps N --lr X [--precision bf16] [--lora RANK]
//! speed forward --model DIR --batch FILE --steps N [--precision bf16]
//! speed matrix  --steps N [--precision bf16]
//! ```
//! A step is forward, backward and AdamW of a classifier that `DIR` holds with its head, or of adapters of a rank and the head. The batch is a safetensors file of f32:
//! `labels (batch)`, and either `ids (batch, length)` or `pixels (batch, channels, size, size)`. `matrix` multiplies
//! `(4096, 384)` by `(384, 1536)`: the rate that the machine allows. A line per repetition: seconds, then the loss (`forward`: the
//! mean of the squared logits; `matrix`: floating-point operations). The first warms up. `RAYON_NUM_THREADS` says how many threads.

use std::collections::BTreeMap;
use std::error::Error;
use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;
use xexp_backbones::checkpoint::Checkpoint;
use xexp_backbones::folder::Folder;
use xexp_backbones::{Grads, Mode, Pass, Seed};
use xexp_heads::{Classifier, LoraSpec, Targets};
use xexp_kernels::{Pool, Precision, linear};
use xexp_train::{Optimizer, OptimizerSettings, Sample, StepSettings, Supervised, pack, step};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
type Work = fn(&Options) -> Result<()>;

fn main() -> ExitCode {
    // On a thread of the pool, as the program does.
    match rayon::scope(|_| run().map_err(|error| error.to_string())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("speed: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mode, options) = words.split_first().ok_or("expected a mode: step, forward or matrix")?;
    let (known, work): (&[&str], Work) = match mode.as_str() {
        "matrix" => (&["steps", "precision"], matrix),
        "step" => (&["model", "batch", "steps", "lr", "precision", "lora"], steps),
        "forward" => (&["model", "batch", "steps", "precision"], forward),
        other => return Err(format!("expected step, forward or matrix, found {other:?}").into()),
    };
    let given = Options(options.chunks(2).map(|pair| (pair[0].clone(), pair.get(1).cloned())).collect());
    let strange =
        given.0.keys().find(|name| !known.iter().any(|known| name.strip_prefix("--") == Some(known)));
    match strange {
        Some(name) => Err(format!("{mode} has no option {name:?}").into()),
        None => work(&given),
    }
}

/// `--name VALUE` pairs.
struct Options(BTreeMap<String, Option<String>>);

impl Options {
    fn value(&self, name: &str) -> Result<&str> {
        let given = self.0.get(&format!("--{name}")).and_then(Option::as_deref);
        given.ok_or_else(|| format!("expected --{name} VALUE").into())
    }

    fn number<T: FromStr>(&self, name: &str) -> Result<T> {
        let text = self.value(name)?;
        text.parse().map_err(|_| format!("--{name}: expected a number, found {text:?}").into())
    }

    fn precision(&self) -> Result<Precision> {
        match self.0.get("--precision").map(Option::as_deref) {
            None | Some(Some("f32")) => Ok(Precision::F32),
            Some(Some("bf16")) => Ok(Precision::Bf16),
            Some(other) => Err(format!("--precision: expected f32 or bf16, found {other:?}").into()),
        }
    }
}

/// One line about one repetition.
fn tell(begun: Instant, value: f64) -> Result<()> {
    Ok(writeln!(std::io::stdout(), "{} {value}", begun.elapsed().as_secs_f64())?)
}

/// The classifier and the batch.
fn subject(given: &Options) -> Result<(Classifier, Vec<Sample>)> {
    let (mut classifier, _) = Classifier::open(&Folder::open(Path::new(given.value("model")?))?)?;
    classifier.multiply_in(given.precision()?);
    let batch = Checkpoint::open(Path::new(given.value("batch")?))?;
    let labels = batch.values("labels")?;
    let (name, image) = match classifier.backbone.image() {
        Some(image) => ("pixels", Some(image)),
        None => ("ids", None),
    };
    let values = batch.values(name)?;
    let samples =
        values.chunks(values.len() / labels.len()).zip(&labels).map(|(values, &label)| match image {
            Some(image) => Sample::image(Arc::from(values), image.tokens, label as u32),
            None => Sample::text(
                values.iter().map(|&id| id as u32).collect(),
                vec![0; values.len()],
                label as u32,
            ),
        });
    Ok((classifier, samples.collect()))
}

fn steps(given: &Options) -> Result<()> {
    let (mut classifier, train) = subject(given)?;
    if given.0.contains_key("--lora") {
        let spec =
            LoraSpec { rank: given.number("lora")?, alpha: 16.0, dropout: 0.0, targets: Targets::Usual };
        classifier.adapt(&spec, &[], Seed(1))?;
    }
    let (count, lr): (u64, f64) = (given.number("steps")?, given.number("lr")?);
    let mut grads = Grads::new(&classifier.params);
    let mut optimizer = Optimizer::new(&classifier.params, OptimizerSettings::default());
    let objective = Supervised::new(&classifier, &train, &[]);
    let (chosen, pool): (Vec<usize>, _) = ((0..train.len()).collect(), Pool::default());
    for number in 0..=count {
        let settings = StepSettings {
            step: number,
            epoch: number,
            seed: Seed(3),
            micro_batch: train.len(),
            accumulate: 1,
            lr,
            head_lr: lr,
            clip: 0.0,
        };
        let begun = Instant::now();
        let outcome = step(&objective, &chosen, &settings, (&mut grads, &mut optimizer), &pool)?;
        tell(begun, outcome.loss)?;
    }
    Ok(())
}

fn forward(given: &Options) -> Result<()> {
    let (classifier, batch) = subject(given)?;
    let (input, pool) = (pack(batch.iter())?.0, Pool::default());
    for _ in 0..=given.number::<usize>("steps")? {
        let begun = Instant::now();
        let logits = classifier.forward(&input, &mut Pass::new(&pool, Mode::Eval))?;
        let square = |z: &f32| f64::from(*z).powi(2);
        tell(begun, logits.values.iter().map(square).sum::<f64>() / logits.values.len() as f64)?;
    }
    Ok(())
}

fn matrix(given: &Options) -> Result<()> {
    let (count, precision): (usize, _) = (given.number("steps")?, given.precision()?);
    let (rows, input, output) = (4096, 384, 1536);
    let wave = |n: usize| (0..n).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<f32>>();
    let (x, w, mut y) = (wave(rows * input), wave(input * output), vec![0.0; rows * output]);
    for _ in 0..=count {
        let begun = Instant::now();
        let mut columns = linear::Columns { data: &mut y, stride: output, start: 0, width: output };
        linear::forward_into(&x, &w, None, &mut columns, input, precision);
        black_box(&y);
        tell(begun, 2.0 * (rows * input * output) as f64)?;
    }
    Ok(())
}
