//! `--push`: the finished model at the Hugging Face Hub.
//!
//! What goes up is what `from_pretrained`, `xexp predict` and a reader of the model card use: [`MODEL`] and the tokenizer's
//! or preprocessor's files. What stays is what speaks of this machine rather than of the model: `run.json` (the command, all
//! flags, the paths of inputs), `data.json` (paths and the rows found wrong), `report.html` (the command), TensorBoard's
//! `logs/` and checkpoints.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};
use xexp_backbones::checkpoint::Extent;
use xexp_backbones::folder::{ADAPTER, COMPANIONS};
use xexp_hub::{Error, Pushed, Repository};
use xexp_report::{Card, atomic};

use super::{Args, lora, published};
use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::provenance::quoted;
use crate::{hub, signals, stdout, thresholds};

/// The files of a finished run that are of use to others, beside those of the tokenizer or preprocessor.
const MODEL: [&str; 10] = [
    "config.json",
    "model.safetensors",
    ADAPTER,
    "adapter_model.safetensors",
    "README.md",
    "labels.tsv",
    thresholds::FILE,
    "head.json",
    "results.json",
    "metrics.csv",
];

/// Where the model goes, if anywhere; before anything else is done, everything is looked at that could keep it from there.
///
/// # Errors
/// A name that is none; no network, no token, one that may not write, or not there.
pub fn destination(args: &Args) -> Result<Option<Repository>, Failure> {
    args.push.as_deref().map(|given| hub::may_push(given, &args.shared)).transpose()
}

/// The branch, where it is not the one that everyone takes.
pub fn branch(to: &Repository) -> Option<&str> {
    Some(to.revision.as_str()).filter(|revision| *revision != "main")
}

/// Uploads the model of a run that finished earlier, as it is. Model and data are not looked at.
///
/// # Errors
/// As [`upload`]; a folder without a model.
pub fn again(args: &Args, to: &Repository, output: &Path) -> Result<Exit, Failure> {
    let stop = signals::watch()?;
    if !args.shared.quiet {
        eprintln!("the run in {} has finished: its model is uploaded as it is", output.display());
    }
    let read = |name: &str| {
        std::fs::read_to_string(output.join(name)).map_err(|error| {
            Failure::environment(format!("cannot read {}", output.join(name).display())).because(&error)
        })
    };
    if output.join("README.md").is_file() {
        let card = read("README.md")?;
        let mut moved = Card::relocated(&card, &to.id, branch(to));
        let record = record(&output.join("run.json"))?;
        if let Some(command) = record["command"].as_str() {
            moved = moved.replace(command, &published::command(command));
        }
        if moved != card {
            atomic::write(output.join("README.md"), moved)?;
        }
    }
    if args.shared.format == Format::Json {
        stdout::write(read("results.json")?.as_bytes())?;
    }
    upload(args, to, output, &stop)
}

/// Uploads the model in `output`, notes it in `run.json`, and tells the commit's address.
///
/// # Errors
/// Whatever the Hub refuses; the model here stays as it is, and the hint says how to upload it later.
pub fn upload(args: &Args, to: &Repository, output: &Path, stop: &AtomicBool) -> Result<Exit, Failure> {
    let shown = output.display();
    let later = format!(
        "the model is whole in {shown}; to upload it: xexp finetune --resume --output {} --push {}",
        quoted(&shown.to_string()),
        quoted(args.push.as_deref().unwrap_or(&to.id))
    );
    let names = MODEL.iter().chain(COMPANIONS);
    let files: Vec<_> = names
        .map(|name| ((*name).to_owned(), output.join(name)))
        .filter(|(_, path)| path.is_file())
        .collect();
    // The files without which there is no model, or no adapter.
    let adapter = output.join(ADAPTER).is_file();
    let needed = ["config.json", if adapter { Extent::Adapter } else { Extent::Model }.file()];
    if adapter {
        let base =
            record(&output.join(ADAPTER))?["base_model_name_or_path"].as_str().unwrap_or_default().to_owned();
        if base.starts_with("bundled:") || Path::new(&base).is_absolute() {
            return Err(lora::unreachable_base(&base));
        }
    }
    if let Some(lacking) = needed.iter().find(|name| !files.iter().any(|(found, _)| found == *name)) {
        return Err(Failure::input(format!("--push: {shown} has no {lacking}"))
            .hint("give the --output of a run that has finished"));
    }
    let pushed = match hub::push(to, &files, &args.shared, stop) {
        Ok(pushed) => pushed,
        Err(Error::Stopped) => {
            eprintln!("interrupted while uploading: {later}");
            return Ok(Exit::Interrupted);
        }
        Err(error) => return Err(Failure::from(error).also(later)),
    };
    if !args.shared.quiet && !pushed.ignored.is_empty() {
        eprintln!("{to}: its .gitignore keeps out {}", pushed.ignored.join(", "));
    }
    let line = match pushed.unchanged {
        true => format!("{to} has this model already: {}", pushed.url),
        false => format!("pushed to {to}: {}", pushed.url),
    };
    match args.shared.format {
        Format::Text => stdout::write(format!("{line}\n").as_bytes())?,
        Format::Json if args.shared.quiet => {}
        Format::Json => eprintln!("{line}"),
    }
    note(output, to, &pushed)?;
    Ok(Exit::Done)
}

/// A run's record.
fn record(path: &Path) -> Result<Value, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::environment(format!("cannot read {shown}")).because(&error))?;
    let wrong = || Failure::input(format!("{shown}: expected an object of JSON"));
    let record: Value = serde_json::from_str(&text).map_err(|error| wrong().because(&error))?;
    if record.is_object() { Ok(record) } else { Err(wrong()) }
}

/// Adds the push to the run's record, which itself is not uploaded.
fn note(output: &Path, to: &Repository, pushed: &Pushed) -> Result<(), Failure> {
    let path = output.join("run.json");
    let mut record = record(&path)?;
    record["push"] = json!({
        "repository": to.id,
        "branch": to.revision,
        "commit": pushed.commit,
        "url": pushed.url,
    });
    Ok(atomic::write(path, stdout::json(&record)?)?)
}
