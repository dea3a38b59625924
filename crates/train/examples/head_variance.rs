//! The variance of a new head's logits on real features: predicted from the features' moments, measured over many
//! draws, and a head of the wrong fan that the same data must refute.
//!
//! `cargo run --release -p xexp-train --example head_variance -- MODEL_DIR TEXTS.csv OUT_DIR`

use sha2::{Digest, Sha256};
use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use xexp_backbones::Seed;
use xexp_backbones::folder::Folder;
use xexp_data::{Source, Tokenizer, read};
use xexp_heads::{Classifier, Features, HeadInit, Moments};
use xexp_init::head_theory;
use xexp_init::{Dist, Init, Layer, Mode};
use xexp_kernels::{linear, sum_of_squares};
use xexp_report::{Cell, Estimate, Table, Verdict, atomic};
use xexp_train::{Sample, predict};

/// As in `experiments/head-variance/manifest.toml`, which was written first.
const SEED: Seed = Seed(20_261_124);
const CLASSES: usize = 6;
const EXAMPLES: usize = 512;
const DRAWS: usize = 2_000;
const MAX_LENGTH: usize = 256;
const TOLERANCE: f64 = 0.03;
const HF_STD: f64 = 0.02;

/// One row of the experiment: a law to draw by, and what is predicted of it.
struct Law {
    name: &'static str,
    init: Init,
    predicted: f64,
    /// A wrong formula, which must come out refuted.
    control: bool,
    /// What the document's premise, features of zero mean and unit variance, would give.
    claimed: Option<f64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, output] = &arguments[..] else {
        return Err("expected MODEL_DIR TEXTS.csv OUT_DIR".into());
    };
    let features = features(model.as_ref(), texts.as_ref())?;
    let laws = laws(&features)?;
    let output = Path::new(output);
    std::fs::create_dir_all(output)?;

    let mut predicted = Table::new(["row", "quantity", "predicted", "tolerance"]);
    for law in &laws {
        let tolerance = number(TOLERANCE * law.predicted);
        predicted.push([law.name.into(), "logit variance".into(), number(law.predicted), tolerance])?;
    }
    let text = predicted.csv();
    atomic::write(output.join("predicted.csv"), &text)?;
    let hash: String = Sha256::digest(&text).iter().map(|b| format!("{b:02x}")).collect();
    atomic::write(output.join("predicted.sha256"), format!("{hash}  predicted.csv\n"))?;

    let mut measured = Table::new(["row", "mean", "median", "low", "high", "draws"]);
    let mut verdicts = Table::new([
        "experiment",
        "row",
        "quantity",
        "unit",
        "predicted",
        "measured",
        "low",
        "high",
        "draws",
        "tolerance",
        "verdict",
        "control",
        "claim",
        "claim_verdict",
    ]);
    let mut as_expected = true;
    for law in &laws {
        let draws = measure(law, &features)?;
        let (estimate, verdict) = judge(law, &draws)?;
        let Estimate { mean, median, low, high, draws } = estimate;
        measured.push([
            law.name.into(),
            number(mean),
            number(median),
            number(low),
            number(high),
            draws.into(),
        ])?;
        let claim = law.claimed.map(|claimed| estimate_verdict(&estimate, claimed)).transpose()?;
        as_expected &= verdict == if law.control { Verdict::Refuted } else { Verdict::Confirmed };
        verdicts.push([
            "head-variance".into(),
            law.name.into(),
            "logit variance".into(),
            "1".into(),
            number(law.predicted),
            number(mean),
            number(low),
            number(high),
            draws.into(),
            number(TOLERANCE * law.predicted),
            verdict.name().into(),
            law.control.into(),
            law.claimed.map_or(Cell::Empty, |c| Cell::from(format!("unit features: {c:.4}"))),
            claim.map_or(Cell::Empty, |c| c.name().into()),
        ])?;
    }
    atomic::write(output.join("measured.csv"), measured.csv())?;
    atomic::write(output.join("verdicts.csv"), verdicts.csv())?;
    let moments = Moments::of(&features.values, features.width);
    let table = format!(
        "{} examples, width {}, {CLASSES} classes: mean {:+.5}, variance {:.5}, second moment {:.5}, \
         {:.1} % of the energy common to all\n\n{}",
        moments.examples,
        moments.width,
        moments.mean,
        moments.variance,
        moments.second_moment,
        100.0 * moments.mean_share,
        verdicts.markdown()
    );
    atomic::write(output.join("table.md"), &table)?;
    if as_expected { Ok(()) } else { Err(format!("a verdict is not as expected:\n{table}").into()) }
}

fn number(value: f64) -> Cell {
    Cell::significant(value, 6)
}

/// The backbone's features of the first examples, run once.
fn features(model: &Path, texts: &Path) -> Result<Features, Box<dyn Error>> {
    let folder = Folder::open(model)?;
    let (classifier, _) = Classifier::with_new_head(&folder, CLASSES, SEED)?;
    let mut data = read(&Source::new(texts), true)?;
    SEED.stream("examples").shuffle(&mut data.examples);
    data.examples.truncate(EXAMPLES);
    let encoded = Tokenizer::from_bytes(&folder.path.join("tokenizer.json"), &folder.companion()?)?
        .encode_examples(&data.examples, MAX_LENGTH)?;
    let samples: Vec<Sample> = encoded.into_iter().map(|e| Sample::text(e.ids, e.type_ids, 0)).collect();
    let features = predict::features(&classifier, &samples, 32, &AtomicBool::new(false), |_| ())?;
    features.ok_or_else(|| "interrupted".into())
}

fn laws(features: &Features) -> Result<Vec<Law>, Box<dyn Error>> {
    let moments = Moments::of(&features.values, features.width);
    let layer = Layer::Linear { input: features.width, output: CLASSES };
    let theory = head_theory::Features {
        width: features.width,
        second_moment: moments.second_moment,
        variance: moments.variance,
    };
    let mut laws = vec![];
    for name in ["xavier", "he", "lecun", "normal:0.02", "orthogonal", "zero"] {
        let init =
            name.parse::<HeadInit>()?.resolve(&layer, 1.0, Init::Normal { std: HF_STD }, Some(&moments))?;
        let std = init.std(&layer)?;
        let predicted = theory.logit_variance(std)?.total;
        let claimed = (name == "xavier").then_some(features.width as f64 * std * std);
        laws.push(Law { name, init, predicted, control: false, claimed });
    }
    // Drawn by the number of classes in place of the width, and held against the prediction of the right fan.
    let init = Init::Scaled { gain: 1.0, mode: Mode::FanOut, dist: Dist::Normal };
    let predicted = theory.logit_variance(Init::lecun().std(&layer)?)?.total;
    laws.push(Law { name: "lecun, wrong fan", init, predicted, control: true, claimed: None });
    Ok(laws)
}

/// The logits' mean square over examples and classes, for each draw of the head.
fn measure(law: &Law, features: &Features) -> Result<Vec<f64>, Box<dyn Error>> {
    let layer = Layer::Linear { input: features.width, output: CLASSES };
    let mut logits = vec![0.0; features.values.len() / features.width * CLASSES];
    let draw = |i: usize| -> Result<f64, Box<dyn Error>> {
        let w = law.init.fill(&layer, &mut SEED.stream(&format!("{}/{i}", law.name)))?;
        linear::forward(&features.values, &w, None, &mut logits);
        Ok(sum_of_squares(&logits) / logits.len() as f64)
    };
    (0..DRAWS).map(draw).collect()
}

fn judge(law: &Law, draws: &[f64]) -> Result<(Estimate, Verdict), Box<dyn Error>> {
    let estimate = Estimate::from_draws(draws)?;
    if law.predicted == 0.0 {
        // Zero is exact: one logit that is not zero refutes it.
        let verdict = if draws.iter().all(|&v| v == 0.0) { Verdict::Confirmed } else { Verdict::Refuted };
        return Ok((estimate, verdict));
    }
    let verdict = estimate_verdict(&estimate, law.predicted)?;
    Ok((estimate, verdict))
}

fn estimate_verdict(estimate: &Estimate, predicted: f64) -> Result<Verdict, Box<dyn Error>> {
    Ok(estimate.verdict(predicted, TOLERANCE * predicted)?)
}
