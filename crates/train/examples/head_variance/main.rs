//! Measures the second moment of new heads' logits on features of a real backbone, against its prediction.
//!
//! ```text
//! head_variance --model DIR --data FILE.csv --experiment experiments/head-variance
//! ```
//! Reads `manifest.toml` in the experiment's folder and writes its `cpu/`: `predicted.csv` before anything is
//! drawn, then `measured.csv`, `verdicts.csv`, `table.md` and `run.json`. Exits with 1 when a row is not
//! confirmed, or a control not refuted.

mod features;
mod law;
mod manifest;
mod record;

use law::Law;
use manifest::Manifest;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use xexp_heads::{Features, Moments};
use xexp_init::Seed;
use xexp_kernels::{linear, sum_of_squares};
use xexp_report::Estimate;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("head_variance: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let [model, data, experiment] = places()?;
    let manifest = Manifest::read(&experiment.join("manifest.toml"))?;
    let features = features::of(&model, &data, manifest.sentences, Seed(manifest.seed))?;
    let moments = Moments::of(&features.values, features.width);
    eprintln!(
        "features: mean {:+.4}, variance {:.4}, second moment {:.4}, common to all {:.1} %",
        moments.mean,
        moments.variance,
        moments.second_moment,
        100.0 * moments.mean_share
    );
    let laws = law::all(&manifest, &moments)?;
    let folder = experiment.join("cpu");
    let hash = record::predicted(&folder, &laws, features::concentration(&features))?;
    eprintln!("predicted.csv: sha256 {hash}");
    let mut measured: Vec<Estimate> = vec![];
    for (row, law) in laws.iter().enumerate() {
        let same = laws[..row].iter().position(|earlier| earlier.stream == law.stream);
        measured.push(match same {
            Some(earlier) => measured[earlier],
            None => measure(law, &manifest, &features)?,
        });
    }
    record::results(&folder, &manifest, &laws, &measured, &moments, &hash)
}

/// Mean square of the logits, draw by draw, each head from a stream of its own name.
fn measure(law: &Law, manifest: &Manifest, features: &Features) -> Result<Estimate> {
    let mut logits = vec![0.0; features.values.len() / features.width * law.classes];
    let mut draws = Vec::with_capacity(manifest.draws);
    for draw in 0..manifest.draws {
        let mut stream = Seed(manifest.seed).stream(&format!("{}/{draw}", law.stream));
        let head = law.drawn.fill(&law.layer(features.width), &mut stream)?;
        linear::forward(&features.values, &head, None, &mut logits);
        draws.push(sum_of_squares(&logits) / logits.len() as f64);
    }
    Ok(Estimate::from_draws(&draws)?)
}

/// The model, the data and the experiment's folder.
fn places() -> Result<[PathBuf; 3]> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let usage = "expected --model DIR --data FILE.csv --experiment FOLDER";
    if words.len() != 6 {
        return Err(usage.into());
    }
    let place = |name: &str| {
        let found = words.chunks_exact(2).find(|pair| pair[0] == name).map(|pair| PathBuf::from(&pair[1]));
        found.ok_or(usage)
    };
    Ok([place("--model")?, place("--data")?, place("--experiment")?])
}
