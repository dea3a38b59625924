//! Everything that a finished run leaves in its output folder.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value};
use xexp_backbones::checkpoint::{Extent, LoadReport, Stored, serialize_extent};
use xexp_backbones::families::Family;
use xexp_backbones::folder::{ADAPTER, Folder};
use xexp_data::Labels;
use xexp_heads::{Classifier, HeadPlan};
use xexp_report::{History, atomic};
use xexp_train::Checkpoints;

use super::data::Examples;
use super::errors::Shown;
use super::lora::{self, Adapted};
use super::results::Results;
use super::{Args, Plan, published, report, trainer_state};
use crate::failure::Failure;
use crate::provenance;
use crate::stdout::json;

/// What a run makes another model of.
pub struct Subject<'a> {
    /// The pretrained model.
    pub folder: &'a Folder,
    /// The adapters, if these are trained.
    pub adapted: Option<&'a Adapted>,
}

/// The files that make a folder of a run's weights one that others open.
///
/// # Errors
/// A file that cannot be read.
pub fn companions(
    plan: &Plan,
    subject: &Subject<'_>,
    classifier: &Classifier,
    labels: &Labels,
    stored: Stored,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut files = whole_model(subject.folder, classifier, labels, stored)?;
    if let Some(adapted) = subject.adapted {
        files.push(adapted.file(plan, classifier)?);
    }
    Ok(files)
}

/// The files that make a folder of weights a model that transformers opens: the configuration with our classes,
/// and the tokenizer's files byte for byte, but for a field that says in which folder of this machine it was opened.
///
/// # Errors
/// A file that cannot be read.
pub fn whole_model(
    folder: &Folder,
    classifier: &Classifier,
    labels: &Labels,
    stored: Stored,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let config = config(folder, classifier, labels, stored)?;
    let mut files = vec![("config.json".to_string(), config.into_bytes())];
    files.extend(folder.companions()?);
    for (_, content) in files.iter_mut().filter(|(name, _)| name.ends_with("config.json")) {
        if let Some(without) = published::without_origin(content) {
            *content = without;
        }
    }
    Ok(files)
}

/// The base configuration with the classifier's own fields, in transformers' spelling.
fn config(
    folder: &Folder,
    classifier: &Classifier,
    labels: &Labels,
    stored: Stored,
) -> Result<String, Failure> {
    let (mut fields, names) = (folder.config.fields.clone(), labels.names());
    let id2label: Map<String, Value> =
        names.iter().enumerate().map(|(id, name)| (id.to_string(), serde_json::json!(name))).collect();
    let label2id: Map<String, Value> =
        names.iter().enumerate().map(|(id, name)| (name.clone(), serde_json::json!(id))).collect();
    for (field, value) in [
        ("architectures", serde_json::json!([classifier.family.classifier_architecture])),
        ("id2label", Value::Object(id2label)),
        ("label2id", Value::Object(label2id)),
        ("problem_type", serde_json::json!(labels.task().problem_type())),
        // Version 5 of transformers reads the first spelling, version 4 the second.
        ("dtype", serde_json::json!(stored.name())),
        ("torch_dtype", serde_json::json!(stored.name())),
    ] {
        fields.insert(field.to_string(), value);
    }
    if fields.contains_key("architecture") {
        // timm's own fields.
        fields.insert("num_classes".to_string(), serde_json::json!(names.len()));
        fields.insert("label_names".to_string(), serde_json::json!(names));
    }
    json(&Value::Object(fields))
}

/// Writes the model or adapter and its label table; returns the SHA-256 of the weights' file.
///
/// # Errors
/// When a file cannot be written.
pub fn model(
    args: &Args,
    plan: &Plan,
    subject: &Subject<'_>,
    classifier: &Classifier,
    examples: &Examples,
) -> Result<String, Failure> {
    let (stored, extent) = (args.save_dtype.stored(), lora::extent(args));
    // What an earlier run of the other kind has left would make the folder something else.
    for stale in match extent {
        Extent::Model => &[ADAPTER, "adapter_model.safetensors"][..],
        Extent::Adapter => &["model.safetensors"],
    } {
        provenance::remove(&plan.output.join(stale))?;
    }
    for (name, content) in companions(plan, subject, classifier, &examples.labels, stored)? {
        atomic::write(plan.output.join(name), content)?;
    }
    atomic::write(plan.output.join("labels.tsv"), examples.labels.to_tsv(&examples.train.data)?)?;
    let bytes = serialize_extent(&classifier.params, extent, stored)?;
    let hash = provenance::sha256(&bytes);
    atomic::write(plan.output.join(extent.file()), bytes)?;
    Ok(hash)
}

/// Writes the manifest, the course, the model card and the report.
///
/// # Errors
/// When a file cannot be written.
pub fn reports(
    args: &Args,
    plan: &Plan,
    (family, load): (&Family, &LoadReport),
    head: &HeadPlan,
    examples: &Examples,
    (results, shown): (&Results, Shown),
) -> Result<(), Failure> {
    let write = |name: &str, text: String| atomic::write(plan.output.join(name), text);
    write("run.json", json(&manifest(args, plan, load, examples)?)?)?;
    let history = History::read(plan.output.join("metrics.csv"))?;
    write("trainer_state.json", json(&trainer_state::of(args, results, &history))?)?;
    write("README.md", report::card(args, plan, family, examples, results)?)?;
    for (name, text) in results.files()? {
        write(name, text)?;
    }
    write("report.html", report::page((load, head), examples, results, shown, &history)?)?;
    Ok(())
}

/// What was run, on what, by what.
fn manifest(args: &Args, plan: &Plan, load: &LoadReport, examples: &Examples) -> Result<Value, Failure> {
    let mut inputs = Map::new();
    let mut model = serde_json::json!({ "path": plan.model.to_string(), "sha256": plan.model_sha256 });
    if let Some(commit) = plan.model.commit() {
        model["commit"] = serde_json::json!(commit);
    }
    inputs.insert("model".to_string(), model);
    for split in &examples.receipt.splits {
        let mut input = serde_json::json!({ "path": split.path, "sha256": split.sha256 });
        let places =
            [("train", Some(&plan.train)), ("valid", plan.valid.as_ref()), ("test", plan.test.as_ref())];
        let place = places.iter().find(|(name, _)| *name == split.name).and_then(|(_, place)| *place);
        // What is split off the training data is of its commit.
        if let Some(commit) = place.unwrap_or(&plan.train).commit() {
            input["commit"] = serde_json::json!(commit);
        }
        inputs.insert(split.name.clone(), input);
    }
    let seconds = |time: std::time::SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs());
    Ok(serde_json::json!({
        "command": provenance::command(),
        "config": args,
        "seeds": { "run": args.shared.seed },
        "versions": { "xexp": env!("CARGO_PKG_VERSION"), "target": provenance::target() },
        "device": plan.device,
        "threads": rayon::current_num_threads(),
        "inputs": inputs,
        "load_report": load,
        "started_unix": seconds(plan.started),
        "finished_unix": seconds(std::time::SystemTime::now()),
    }))
}

/// The run's checkpoints, to look for or remove, not to resume from.
fn checkpoints(plan: &Plan) -> Checkpoints {
    Checkpoints {
        output: plan.output.clone(),
        identity: Default::default(),
        companions: vec![],
        extent: Extent::Model,
    }
}

/// Whether the run has a checkpoint.
///
/// # Errors
/// When the output folder cannot be read.
pub fn has_checkpoint(plan: &Plan) -> Result<bool, Failure> {
    Ok(checkpoints(plan).exist()?)
}

/// Removes the checkpoints of a finished run.
///
/// # Errors
/// When one cannot be removed.
pub fn clear_checkpoints(plan: &Plan) -> Result<(), Failure> {
    Ok(checkpoints(plan).clear()?)
}
