//! Training, by either strategy, with its progress on stderr.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use serde_json::{Value, json};
use xexp_backbones::checkpoint::Stored;
use xexp_backbones::folder::Folder;
use xexp_bundled::Recipe;
use xexp_heads::Classifier;
use xexp_report::{History, Row};
use xexp_train::probe::{self, ProbeSettings};
use xexp_train::{Checkpoints, Settings, Supervised, predict};

use super::args::Strategy;
use super::data::Examples;
use super::{Args, Plan};
use crate::args::course;
use crate::failure::Failure;
use crate::places;
use crate::progress::Progress;
use crate::running;

/// Passes and learning rate where nothing is said and the model recommends nothing.
const USUAL: Recipe = Recipe { epochs: 3, lr: 5e-5 };
/// Full-batch passes of a probe where nothing is said.
const PASSES: u32 = 300;

/// How training went.
pub struct Trained {
    /// Optimiser steps, or passes of a probe.
    pub steps: u64,
    /// The step whose weights were kept.
    pub best_step: u64,
    /// Epochs asked for, or passes of a probe made.
    pub epochs: u64,
    /// Peak learning rate of backbone and head.
    pub lr: (f64, f64),
    /// Wall time, in seconds, of this process's part.
    pub seconds: f64,
    /// Training examples that this process's steps saw, repeats counted.
    pub examples_seen: u64,
}

/// Trains; `None` when a signal came first (and a checkpoint was written, where there are any).
///
/// # Errors
/// Whatever stops the run: see [`xexp_train::Error`].
pub fn train(
    args: &Args,
    plan: &Plan,
    folder: &Folder,
    classifier: &mut Classifier,
    examples: &Examples,
    stop: &AtomicBool,
) -> Result<Option<Trained>, Failure> {
    match args.training.strategy {
        Strategy::Full => full(args, plan, folder, classifier, examples, stop),
        Strategy::Probe => probe(args, plan, classifier, examples, stop),
    }
}

fn settings(args: &Args, plan: &Plan) -> Settings {
    let t = &args.training;
    let usual = match &plan.model {
        places::Model::Bundled(model) => model.recipe,
        places::Model::Folder(_) | places::Model::Hub(_) => USUAL,
    };
    let lr = t.lr.unwrap_or(usual.lr);
    let epochs = t.epochs.map_or(usual.epochs, u32::from);
    let rates = (lr, t.head_lr.unwrap_or(lr));
    t.course.settings(epochs, rates, args.shared.batch_size.get(), args.shared.seed)
}

fn full(
    args: &Args,
    plan: &Plan,
    folder: &Folder,
    classifier: &mut Classifier,
    examples: &Examples,
    stop: &AtomicBool,
) -> Result<Option<Trained>, Failure> {
    let settings = settings(args, plan);
    let recommended = args.training.epochs.is_none() || args.training.lr.is_none();
    if let (places::Model::Bundled(model), true, false) = (&plan.model, recommended, args.shared.quiet) {
        let Recipe { epochs, lr } = model.recipe;
        eprintln!(
            "{} recommends {epochs} epochs at a learning rate of {lr}: taken where no flag says otherwise",
            plan.model
        );
    }
    let checkpoints = Checkpoints {
        output: plan.output.clone(),
        identity: identity(args, plan, &settings, examples),
        companions: super::save::companions(folder, classifier, &examples.labels, Stored::F32)?,
    };
    let resume = running::resumes(&checkpoints, args.resume, args.shared.quiet)?;
    let (train, valid) = (&examples.train.samples, &examples.valid.samples);
    let objective = Supervised::new(classifier, train, valid).mixed(args.augmentation.mixing());
    let Some(ran) = running::fit(&objective, &settings, &checkpoints, resume, args.shared.quiet, stop)?
    else {
        return Ok(None);
    };
    Ok(Some(Trained {
        steps: ran.steps,
        best_step: ran.best_step,
        epochs: u64::from(settings.epochs),
        lr: (settings.lr, settings.head_lr),
        seconds: ran.seconds,
        examples_seen: ran.examples_seen,
    }))
}

/// What must be the same for a resumed run to be the same run.
fn identity(args: &Args, plan: &Plan, s: &Settings, examples: &Examples) -> BTreeMap<String, Value> {
    let hash = |part: &super::data::Part| Value::from(part.data.sha256.clone());
    let entries = [
        ("model", json!(plan.model_sha256)),
        ("train", hash(&examples.train)),
        ("valid", hash(&examples.valid)),
        ("reading", json!(args.reading)),
        ("split", json!(args.split)),
        ("limit-train", json!(args.limit_train)),
        ("train examples", json!(examples.train.samples.len())),
        ("max-length", json!(examples.receipt.max_length)),
        ("labels", json!(examples.labels.names())),
        ("head-init", json!(args.head.head_init)),
        ("head-scale", json!(args.head.head_scale)),
        ("augmentation", json!(args.augmentation)),
        ("strategy", json!(args.training.strategy)),
        ("backbone", json!(args.training.backbone)),
    ];
    entries.into_iter().chain(course::identity(s)).map(|(name, value)| (name.to_string(), value)).collect()
}

fn probe(
    args: &Args,
    plan: &Plan,
    classifier: &mut Classifier,
    examples: &Examples,
    stop: &AtomicBool,
) -> Result<Option<Trained>, Failure> {
    let t = &args.training;
    let settings = ProbeSettings {
        passes: t.epochs.map_or(PASSES, u32::from),
        lr: t.head_lr.or(t.lr),
        patience: t.course.patience.map(u32::from),
    };
    let (started, batch) = (Instant::now(), args.shared.batch_size.get());
    let parts = [("features", &examples.train), ("validation features", &examples.valid)];
    let mut features = vec![];
    for (what, part) in parts {
        let total = part.samples.len() as u64;
        let mut display = Progress::new(what, 0, total, args.shared.quiet);
        let mut before = 0;
        let found = predict::features(classifier, &part.samples, batch, stop, |done| {
            display.tick(done as u64, None, done - std::mem::replace(&mut before, done));
        })?;
        display.finish();
        match found {
            Some(found) => features.push(found),
            None => return interrupted_probe(),
        }
    }
    let labels = parts.map(|(_, part)| part.samples.iter().map(|s| s.label).collect::<Vec<u32>>());
    let count = examples.train.samples.len();
    let mut history = History::create(plan.output.join("metrics.csv"))?;
    let mut heard = |pass: u32, head_lr: f64, loss: f64, valid| {
        let examples = u64::from(pass) * count as u64;
        let step = u64::from(pass);
        let (lr, grad_norm) = (0.0, None);
        Ok(history.append(&Row {
            step,
            epoch: f64::from(pass),
            examples,
            lr,
            head_lr,
            loss: Some(loss),
            grad_norm,
            valid,
        })?)
    };
    let (train, valid) = ((&features[0], &labels[0][..]), (&features[1], &labels[1][..]));
    let Some(probed) = probe::fit(classifier, train, valid, &settings, stop, &mut heard)? else {
        return interrupted_probe();
    };
    if !args.shared.quiet {
        eprintln!(
            "probe: {} passes at learning rate {:.4} (guaranteed limit 4/λ with λ = {:.3}), best after {}",
            probed.passes, probed.lr, probed.lambda_max, probed.best_pass
        );
    }
    Ok(Some(Trained {
        steps: u64::from(probed.passes),
        best_step: u64::from(probed.best_pass),
        epochs: u64::from(probed.passes),
        lr: (0.0, probed.lr),
        seconds: started.elapsed().as_secs_f64(),
        examples_seen: u64::from(probed.passes) * count as u64,
    }))
}

fn interrupted_probe() -> Result<Option<Trained>, Failure> {
    eprintln!("interrupted: a probe keeps no checkpoint; --resume computes its features again");
    Ok(None)
}
