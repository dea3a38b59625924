//! Training, by one of the strategies, with its progress on stderr.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use xexp_backbones::checkpoint::Stored;
use xexp_bundled::Recipe;
use xexp_heads::Classifier;
use xexp_report::History;
use xexp_train::probe::ProbeSettings;
use xexp_train::{Checkpoints, Settings, Supervised};

use super::args::{BatchNorm, Strategy};
use super::data::Examples;
use super::rates::{self, Measured, Rate};
use super::save::{self, Subject};
use super::{Args, Plan, layers, lora, probe, watching};
use crate::args::course;
use crate::failure::Failure;
use crate::places;
use crate::running;

/// Passes and learning rate where nothing is said and the model recommends nothing.
const USUAL: Recipe = Recipe { epochs: 3, lr: 5e-5 };

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
    /// What the monitor found, where there was one.
    pub warnings: Option<Vec<String>>,
    /// What `--lr auto` came to, where it was asked for.
    pub measured: Option<Measured>,
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
    subject: &Subject<'_>,
    classifier: &mut Classifier,
    examples: &Examples,
    stop: &AtomicBool,
) -> Result<Option<Trained>, Failure> {
    match args.training.strategy {
        Strategy::Full | Strategy::Lora => full(args, plan, subject, classifier, examples, stop),
        Strategy::Probe => {
            let t = &args.training;
            let settings = ProbeSettings {
                passes: t.epochs.map_or(probe::PASSES, u32::from),
                lr: t.head_lr.or(t.lr.and_then(Rate::fixed)),
                patience: t.course.patience.map(u32::from),
            };
            let history = History::create(plan.output.join("metrics.csv"))?;
            probe::train(args, classifier, examples, &settings, Some(history), stop)
        }
        Strategy::LpFt => {
            // A checkpoint has a later head than a probe would find.
            let goes_on = args.resume && save::has_checkpoint(plan)?;
            if !goes_on && probe::train(args, classifier, examples, &probe::USUAL, None, stop)?.is_none() {
                return Ok(None);
            }
            full(args, plan, subject, classifier, examples, stop)
        }
    }
}

/// Marks the weights that stay: under a probe the backbone, and with frozen batch norms those.
///
/// # Errors
/// Batch norms to freeze in a model that has none.
pub fn freeze(args: &Args, classifier: &mut Classifier) -> Result<(), Failure> {
    if args.training.strategy == Strategy::Probe {
        let head = |name: &str| classifier.family.head.holds(name);
        classifier.params.train_only(head);
    } else if args.training.batch_norm == BatchNorm::Frozen {
        let names =
            classifier.params.iter().filter_map(|(_, weight)| weight.name.strip_suffix("running_mean"));
        let norms: Vec<String> = names.map(str::to_string).collect();
        if norms.is_empty() {
            let model = classifier.family.model_type;
            return Err(Failure::input(format!("--batch-norm frozen: a {model} model has no batch norms"))
                .hint("leave the flag away"));
        }
        let in_norm = |name: &str| norms.iter().any(|norm| name.starts_with(norm.as_str()));
        classifier.params.train_only(|name| !in_norm(name));
    }
    Ok(())
}

/// The settings of the steps, as flags, model and strategy give them.
pub fn settings(args: &Args, plan: &Plan) -> Settings {
    let t = &args.training;
    let usual = match &plan.model {
        places::Model::Bundled(model) => model.recipe,
        places::Model::Folder(_) | places::Model::Hub(_) => USUAL,
    };
    let factor = if t.strategy == Strategy::Lora { lora::RATE } else { 1.0 };
    let lr = t.lr.and_then(Rate::fixed).unwrap_or(factor * usual.lr);
    let epochs = t.epochs.map_or(usual.epochs, u32::from);
    let rates = (lr, t.head_lr.unwrap_or(lr));
    let settings = t.course.settings(epochs, rates, args.shared.batch_size.get(), args.shared.seed);
    Settings { average: args.layers.ema, ..settings }
}

fn full(
    args: &Args,
    plan: &Plan,
    subject: &Subject<'_>,
    classifier: &mut Classifier,
    examples: &Examples,
    stop: &AtomicBool,
) -> Result<Option<Trained>, Failure> {
    let usual = settings(args, plan);
    let (train, valid) = (&examples.train.samples, &examples.valid.samples);
    let objective = Supervised::new(classifier, train, valid).mixed(args.augmentation.mixing());
    let objective = objective.counted(args.tasks.counting(examples)?).sampled(args.tasks.sampling());
    let epoch_steps = usual.steps_per_epoch(train.len());
    let objective = objective.paced(layers::by_depth(args, classifier, epoch_steps, usual.epochs));
    let goes_on = args.resume && save::has_checkpoint(plan)?;
    let monitor = watching::monitor(args, plan, classifier, examples.labels.names(), goes_on)?;
    let objective = objective.watched(monitor);
    let measured = rates::settle(args, plan, &objective, &usual, goes_on)?;
    let settings = match &measured {
        Some(Measured { lr, head_lr, .. }) => Settings { lr: *lr, head_lr: *head_lr, ..usual },
        None => usual,
    };
    let recommended = args.training.epochs.is_none() || args.training.lr.is_none();
    if let (places::Model::Bundled(model), true, false) = (&plan.model, recommended, args.shared.quiet) {
        let Recipe { epochs, .. } = model.recipe;
        let lr = settings.lr;
        eprintln!(
            "{} recommends {epochs} epochs at a learning rate of {lr}: taken where no flag says otherwise",
            plan.model
        );
    }
    let checkpoints = Checkpoints {
        output: plan.output.clone(),
        identity: identity(args, plan, &settings, examples),
        companions: save::companions(plan, subject, classifier, &examples.labels, Stored::F32)?,
        extent: lora::extent(args),
    };
    let resume = running::resumes(&checkpoints, args.resume, args.shared.quiet)?;
    let Some(ran) = running::fit(&objective, &settings, &checkpoints, resume, args.shared.quiet, stop)?
    else {
        return Ok(None);
    };
    Ok(Some(Trained {
        steps: ran.steps,
        best_step: ran.best_step,
        epochs: u64::from(settings.epochs),
        lr: (settings.lr, settings.head_lr),
        measured,
        warnings: watching::warnings(args, &objective),
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
        ("batch-norm", json!(args.training.batch_norm)),
        ("precision", json!(args.shared.precision)),
    ];
    let adapters = (args.training.strategy == Strategy::Lora).then(|| ("adapters", args.lora.identity()));
    let task = args.tasks.identity(examples.labels.task()).map(|task| ("task", task));
    let bias = args.head.head_bias.map(|bias| ("head-bias", json!(bias)));
    let layers = args.layers.given().is_some().then(|| ("layers", json!(args.layers)));
    entries
        .into_iter()
        .chain(adapters)
        .chain(task)
        .chain(bias)
        .chain(layers)
        .chain(course::identity(s))
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}
