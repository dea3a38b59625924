//! `xexp compare`: finished runs on the same examples, side by side, and whether their difference could be chance.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use serde::Serialize;
use serde_json::Value;
use xexp_backbones::Seed;
use xexp_report::{Cell, Table};
use xexp_train::metrics::{Answers, Confusion, Difference, Paired, holm};

use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::predictions::{self, Predictions};
use crate::stdout;

/// The chance of a false alarm among all comparisons.
const LEVEL: f64 = 0.05;
/// Digits of a score.
const DIGITS: u8 = 4;

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders with a predictions.csv each: outputs of `xexp finetune`, or of `xexp evaluate --output DIR`, on the same examples.
    /// The others are held against the first.
    #[arg(value_name = "RUN", required = true, num_args = 2.., value_hint = ValueHint::DirPath)]
    runs: Vec<PathBuf>,
    /// The seed of the intervals' samples.
    #[arg(long, env = "XEXP_SEED", value_name = "N", default_value_t = 42)]
    seed: u64,
    /// The form of the result on stdout.
    #[arg(long, env = "XEXP_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// A run, and what it is held against the first by.
#[derive(Debug, Serialize)]
struct Line {
    run: String,
    accuracy: f64,
    macro_f1: f64,
    loss: f64,
    /// Of training; of a run of `finetune`.
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_first: Option<Against>,
}

#[derive(Debug, Serialize)]
struct Against {
    #[serde(flatten)]
    paired: Paired,
    /// Raised for the number of comparisons.
    adjusted_p_value: f64,
    verdict: &'static str,
}

/// Compares the runs.
///
/// # Errors
/// A folder without predictions, or with those of other examples than the first's.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let all = args.runs.iter().map(|run| predictions::read(run)).collect::<Result<Vec<_>, _>>()?;
    let (first, others) = (&all[0], &all[1..]);
    for (run, other) in args.runs[1..].iter().zip(others) {
        same_examples((&args.runs[0], first), (run, other))?;
    }
    let known = all.iter().flat_map(|run| run.labels.iter().chain(&run.predicted));
    let names: Vec<&String> = known.collect::<BTreeSet<_>>().into_iter().collect();
    let ids = |of: &[String]| -> Vec<u32> {
        let id = |name: &String| names.binary_search(&name).unwrap_or_default() as u32;
        of.iter().map(id).collect()
    };
    let truth = ids(&first.labels);
    let predicted: Vec<Vec<u32>> = all.iter().map(|run| ids(&run.predicted)).collect();
    let answers = |i: usize| Answers { predicted: &predicted[i], losses: &all[i].losses };
    let paired = (1..all.len())
        .map(|i| {
            let mut stream = Seed(args.seed).stream(&format!("compare/{i}"));
            let mut below = |n: usize| stream.below(n as u64) as usize;
            Ok(Paired::measure(&truth, [answers(0), answers(i)], names.len(), &mut below)?)
        })
        .collect::<Result<Vec<Paired>, Failure>>()?;
    let p_values: Vec<f64> = paired.iter().map(|paired| paired.p_value).collect();
    let mut against = paired.into_iter().zip(holm(&p_values)).map(|(paired, adjusted_p_value)| Against {
        verdict: verdict(&paired, adjusted_p_value),
        paired,
        adjusted_p_value,
    });
    let mut lines = vec![];
    for (i, (run, predictions)) in args.runs.iter().zip(&all).enumerate() {
        let confusion = Confusion::new(&truth, &predicted[i], names.len())?;
        lines.push(Line {
            run: run.display().to_string(),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            loss: predictions.losses.iter().sum::<f64>() / predictions.losses.len() as f64,
            seconds: seconds(run),
            against_first: if i == 0 { None } else { against.next() },
        });
    }
    match args.format {
        Format::Json => stdout::write(stdout::json(&lines)?.as_bytes())?,
        Format::Text => stdout::write(text(&lines, truth.len())?.as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Refuses runs on other examples than the first's.
fn same_examples((first, a): (&Path, &Predictions), (run, b): (&Path, &Predictions)) -> Result<(), Failure> {
    let refuse = |what: String| {
        Err(Failure::input(format!("{} and {}: {what}", first.display(), run.display()))
            .hint("compare runs that were scored on the same file: give both the same --test, or `xexp evaluate` both on it"))
    };
    if a.ids.len() != b.ids.len() {
        return refuse(format!("expected as many examples, found {} and {}", a.ids.len(), b.ids.len()));
    }
    let pairs = |p: &'_ Predictions, i: usize| (p.ids[i].clone(), p.labels[i].clone());
    match (0..a.ids.len()).find(|&i| pairs(a, i) != pairs(b, i)) {
        None => Ok(()),
        Some(i) => refuse(format!(
            "expected the same examples, found `{}` labelled `{}` and `{}` labelled `{}` on line {}",
            a.ids[i],
            a.labels[i],
            b.ids[i],
            b.labels[i],
            i + 2
        )),
    }
}

/// How long training took, where a run says so.
fn seconds(run: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(run.join("results.json")).ok()?;
    serde_json::from_str::<Value>(&text).ok()?["seconds"].as_f64()
}

fn verdict(paired: &Paired, p_value: f64) -> &'static str {
    match (p_value < LEVEL, paired.second_alone > paired.first_alone) {
        (true, true) => "better",
        (true, false) => "worse",
        (false, _) => "no difference shown",
    }
}

/// Two tables: the runs, and the others against the first.
fn text(lines: &[Line], examples: usize) -> Result<String, Failure> {
    let mut runs = Table::new(["run", "accuracy", "macro F1", "loss", "training, s"]);
    let mut pairs = Table::new([
        "against the first",
        "accuracy",
        "macro F1",
        "loss",
        "right alone: first, this",
        "p, adjusted",
        "verdict",
    ]);
    let score = |value: f64| Cell::decimals(value, DIGITS);
    for line in lines {
        let seconds = line.seconds.map_or(Cell::Empty, |seconds| Cell::decimals(seconds, 1));
        runs.push([
            line.run.as_str().into(),
            score(line.accuracy),
            score(line.macro_f1),
            score(line.loss),
            seconds,
        ])?;
        if let Some(Against { paired, adjusted_p_value, verdict }) = &line.against_first {
            let between = |d: &Difference| {
                let digits = usize::from(DIGITS);
                Cell::from(format!(
                    "{:+.digits$} ({:+.digits$} to {:+.digits$})",
                    d.value, d.interval.low, d.interval.high
                ))
            };
            pairs.push([
                line.run.as_str().into(),
                between(&paired.accuracy),
                between(&paired.macro_f1),
                between(&paired.loss),
                format!("{}, {}", paired.first_alone, paired.second_alone).into(),
                score(*adjusted_p_value),
                (*verdict).into(),
            ])?;
        }
    }
    Ok(format!(
        "{}\n{}\n{examples} examples. In brackets 95 % over samples of them, both runs on the same sample; p by McNemar's exact test, \
         raised by Holm's rule for {} comparison(s). One run each: how a recipe varies from seed to seed is another question.\n",
        runs.markdown(),
        pairs.markdown(),
        lines.len() - 1
    ))
}
