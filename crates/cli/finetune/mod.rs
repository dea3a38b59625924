//! `xexp finetune`: a new head on a pretrained backbone, trained on labelled texts or images.

mod args;
mod beginning;
mod calibration;
mod data;
mod errors;
mod forecast;
mod head;
mod layers;
mod lora;
mod probe;
mod published;
mod push;
mod rates;
mod report;
mod results;
mod save;
mod seeds;
mod task;
mod trainer_state;
mod training;
mod watching;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::SystemTime;

use xexp_backbones::families::{Modality, Reading};
use xexp_backbones::folder::Folder;
use xexp_backbones::{Declarations, Seed};
use xexp_heads::{Classifier, Truth};
use xexp_hub::Repository;
use xexp_report::atomic;
use xexp_train::metrics::{Logits, tuned_thresholds};
use xexp_train::{Sample, truth};

pub use args::Args;
pub use save::whole_model;

use crate::device::{self, Device};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Existing};
use crate::{image_size, places, predictions, provenance, scoring, signals, stdout, thresholds};
use calibration::Calibration;
use data::Examples;
use results::Results;

/// Where everything is, once the arguments have been held against this machine.
pub struct Plan {
    /// The pretrained model.
    pub model: places::Model,
    /// SHA-256 of its weights, or of its configuration where they do not matter.
    pub model_sha256: String,
    /// The training data.
    pub train: places::Data,
    /// The validation data, when it is not to be split off.
    pub valid: Option<places::Data>,
    /// The test data.
    pub test: Option<places::Data>,
    /// The folder for all results.
    pub output: PathBuf,
    /// Where the model is uploaded to, if anywhere.
    pub to: Option<Repository>,
    /// The device that computes.
    pub device: Device,
    /// When the command began.
    pub started: SystemTime,
}

/// The text backbone where no model is named.
const TEXT_MODEL: &str = "bundled:mini-text";
/// The image backbone where only image data is named.
const IMAGE_MODEL: &str = "bundled:mini-vision";
/// The data where none is named.
const TEXT_SET: &str = "bundled:shop-requests";
/// The same for an image model.
const IMAGE_SET: &str = "bundled:symbols";

/// How a run ended.
enum Ended {
    /// Its results are written.
    Finished(Box<(Plan, Results)>),
    /// A signal came first.
    Interrupted,
    /// It was only planned.
    Planned,
}

/// Fine-tunes a model as the arguments say.
///
/// # Errors
/// Whatever ends the run early, with its exit code.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    if args.seeds.get() > 1 && !args.plan {
        return seeds::run(args, args.seeds.get());
    }
    if let (true, false, Some(output)) = (args.resume, args.shared.overwrite, args.shared.output.as_deref()) {
        let output = Path::new(output);
        if let (Some(to), true) = (push::destination(args)?, output.join("results.json").is_file()) {
            return push::again(args, &to, output);
        }
    }
    match one(args)? {
        Ended::Planned => Ok(Exit::Done),
        Ended::Interrupted => Ok(Exit::Interrupted),
        Ended::Finished(finished) => {
            let (plan, results) = *finished;
            results.print(args.shared.format, &plan.output)?;
            let Some(to) = &plan.to else { return Ok(Exit::Done) };
            let stop = signals::watch()?;
            push::upload(args, to, &plan.output, &stop)
        }
    }
}

/// A single run.
fn one(args: &Args) -> Result<Ended, Failure> {
    let existing = output::existing(args.shared.overwrite, args.resume, args.shared.output.is_some())?;
    // Nobody should train for an hour to learn that a token is missing.
    let to = push::destination(args)?;
    let mut plan = plan(args, to)?;
    // Not before the model is here: a signal ends a download at once, and the next run goes on with it.
    let stop = signals::watch()?;
    // Looked at before the long reading, made only when everything else has been found in order.
    output::check(&plan.output, existing)?;
    if existing == Existing::Resume {
        output::resumable(&plan.output, "head.json")?;
    }
    let mut folder = match args.training.backbone {
        args::Backbone::Pretrained => plan.model.open()?,
        args::Backbone::Random => plan.model.open_without_weights()?,
    };
    trainable(args, &folder)?;
    lora::check(args, &plan.model)?;
    layers::check(args)?;
    args.tasks.check(args)?;
    beginning::check(args)?;
    watching::check(args)?;
    plan.model_sha256 = match args.training.backbone {
        args::Backbone::Pretrained => provenance::weights_sha256(&folder.checkpoint()?),
        // All that such a run takes from the model.
        args::Backbone::Random => provenance::sha256(stdout::json(&folder.config.fields)?.as_bytes()),
    };
    if args.augmentation.is_on() {
        augmentable(args, &folder)?;
    }
    image_size::agree(&mut folder, args.shared.quiet)?;
    fit(args, plan, &folder, existing, &stop)
}

/// Whether the strategy trains only what has gradients.
fn trainable(args: &Args, folder: &Folder) -> Result<(), Failure> {
    if folder.family.frozen && args.training.strategy != args::Strategy::Probe {
        let message = format!(
            "{}: a backbone of the family {} is computed without gradients and cannot be trained",
            folder.path.display(),
            folder.family.model_type
        );
        return Err(Failure::input(message).hint("train a head on its features: --strategy probe"));
    }
    Ok(())
}

/// Whether what is trained on can be changed at random.
fn augmentable(args: &Args, folder: &Folder) -> Result<(), Failure> {
    let wrong = |message: &str| Err(Failure::input(message).hint("leave the flags of augmentation away"));
    match (folder.family.modality, args.training.strategy) {
        (Modality::Text, _) => wrong("augmentation is for images, and this model reads texts"),
        (_, args::Strategy::Probe) => {
            wrong("a probe keeps the features of each image once: nothing is augmented")
        }
        _ => Ok(()),
    }
}

/// Checks what can be checked before any file is opened.
fn plan(args: &Args, to: Option<Repository>) -> Result<Plan, Failure> {
    let started = SystemTime::now();
    let (model, train) = subject(args)?;
    // What has splits brings its own validation and test examples.
    let named = |flag: &'static str, given: &Option<String>, usual: &str| match given {
        Some(given) => places::data(flag, given, usual, &args.shared).map(Some),
        None => train.sibling(usual, &args.shared),
    };
    let valid = named("--valid", &args.valid, "valid")?;
    let test = named("--test", &args.test, "test")?;
    let device = device::choose(args.shared.device, args.shared.quiet)?;
    let output = args.shared.output.as_deref().map_or_else(|| output::fresh("finetune"), PathBuf::from);
    Ok(Plan { model, model_sha256: String::new(), train, valid, test, output, to, device, started })
}

/// Model and training data; what is not named is bundled, of the kind of what is.
fn subject(args: &Args) -> Result<(places::Model, places::Data), Failure> {
    let train = args
        .train
        .as_deref()
        .map(|given| places::data("--train", given, "train", &args.shared))
        .transpose()?;
    let model = match args.shared.model.as_deref() {
        Some(given) => places::model("--model", given, args.shared.access())?,
        None => {
            let images =
                args.reading.image_column.is_some() || train.as_ref().is_some_and(places::Data::is_images);
            places::model("--model", if images { IMAGE_MODEL } else { TEXT_MODEL }, args.shared.access())?
        }
    };
    let train = match train {
        Some(train) => train,
        None => {
            let images = model.open_without_weights()?.family.modality == Modality::Image;
            places::data("--train", if images { IMAGE_SET } else { TEXT_SET }, "train", &args.shared)?
        }
    };
    Ok((model, train))
}

/// The journey: data, receipt, model, head plan, training, scores, files.
fn fit(
    args: &Args,
    plan: Plan,
    folder: &Folder,
    existing: Existing,
    stop: &AtomicBool,
) -> Result<Ended, Failure> {
    let say = |text: &dyn std::fmt::Display| {
        if !args.shared.quiet {
            eprintln!("{text}");
        }
    };
    let seed = Seed(args.shared.seed);
    // The images that the backbone takes are known from its declaration alone.
    let mut declared = Declarations::default();
    let image = folder.family.declare(&folder.config, &mut declared, Reading::Hidden)?.image();
    let examples = Examples::read(args, &plan, folder, image)?;
    say(&examples.receipt);
    // Before anything is computed that a misspelt name would spoil.
    let outside = args.tasks.out_of_scope(&examples.labels)?;
    args.tasks.counting(&examples)?;
    let classes = examples.labels.names().len();
    let (mut classifier, load) = match args.training.backbone {
        args::Backbone::Pretrained => Classifier::with_new_head(folder, classes, seed)?,
        args::Backbone::Random => Classifier::untrained(folder.family, &folder.config, classes, seed)?,
    };
    args.shared.precision.settle(&mut classifier, args.shared.quiet)?;
    training::freeze(args, &mut classifier)?;
    say(&format_args!("{}: {load}", plan.model));
    let adapted = lora::adapt(args, &mut classifier, &load)?;
    layers::begin(args, &mut classifier)?;
    let head = head::plan(args, &mut classifier, &examples.train.samples)?;
    say(&head);
    if args.plan {
        forecast::show(args, &plan, &classifier, &examples)?;
        return Ok(Ended::Planned);
    }

    let subject = save::Subject { folder, adapted: adapted.as_ref() };
    output::prepare(&plan.output, existing)?;
    let write = |name: &str, text: String| atomic::write(plan.output.join(name), text);
    // A folder with results.json is a finished run, which this one is not yet.
    provenance::remove(&plan.output.join("results.json"))?;
    // A run with a checkpoint has these files, and may yet be refused for being another than this.
    if existing != Existing::Resume || !save::has_checkpoint(&plan)? {
        write("data.json", stdout::json(&examples.receipt)?)?;
        write("head.json", stdout::json(&head)?)?;
    }

    let Some(trained) = training::train(args, &plan, &subject, &mut classifier, &examples, stop)? else {
        return Ok(Ended::Interrupted);
    };

    args.save_dtype.stored().round(&classifier.params, lora::extent(args))?;
    let logits = |part: &data::Part, name: &'static str| {
        scoring::logits(&classifier, &part.samples, &args.shared, name, stop)
    };
    let interrupted = || {
        eprintln!("interrupted while scoring: --resume goes on from the last checkpoint, or the beginning");
        Ok(Ended::Interrupted)
    };
    let Some(of_valid) = logits(&examples.valid, "valid")? else { return interrupted() };
    let of_test = match &examples.test {
        Some(test) => match logits(test, "test")? {
            Some(logits) => Some((logits, &test.samples)),
            None => return interrupted(),
        },
        None => None,
    };
    let (labels, seed) = (&examples.labels, args.shared.seed);
    let tuned = match truth(examples.valid.samples.iter())? {
        Truth::Labels(truth) => Some(tuned_thresholds(&Logits::new(&of_valid, classes)?, &truth)?),
        Truth::Classes(_) | Truth::Values(_) => None,
    };
    let score = |logits, samples: &[Sample], name| {
        scoring::score(logits, samples, labels, tuned.as_deref(), (seed, name))?
            .with_out_of_scope(outside.as_ref())
    };
    let valid = score(of_valid, &examples.valid.samples, "valid")?;
    let test = of_test.map(|(logits, samples)| score(logits, samples, "test")).transpose()?;
    let calibration = Calibration::new(&valid, test.as_ref(), classes)?;
    let (scored, data) = match (&test, &examples.test) {
        (Some(scored), Some(part)) => (scored, &part.data),
        _ => (&valid, &examples.valid.data),
    };
    let shown = errors::Shown::new(data, scored, labels)?;
    write(predictions::FILE, predictions::table(data, scored, labels)?)?;
    let thresholds = tuned.as_ref().map(|tuned| thresholds::by_name(labels.names(), tuned));
    match &thresholds {
        Some(thresholds) => write(thresholds::FILE, stdout::json(thresholds)?)?,
        // Those of an earlier run in this folder.
        None => provenance::remove(&plan.output.join(thresholds::FILE))?,
    }
    let sha256 = save::model(args, &plan, &subject, &classifier, &examples)?;
    let scores = (valid.scores, test.map(|test| test.scores), calibration);
    let results = Results::new(args, &plan, &examples, &head, &trained, scores, sha256)
        .with_adapters(adapted.as_ref().map(|adapted| adapted.adapters.clone()))
        .with_thresholds(thresholds);
    save::reports(args, &plan, (folder.family, &load), &head, &examples, (&results, shown))?;
    // Written last: a folder with results.json is a finished run.
    write("results.json", stdout::json(&results)?)?;
    save::clear_checkpoints(&plan)?;
    Ok(Ended::Finished(Box::new((plan, results))))
}
