//! `--strategy lora` and `xexp merge`.

use std::collections::BTreeSet;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};
use xexp_backbones::{Mode, Params, Pass, Seed};
use xexp_heads::{Classifier, LoraSpec, Targets};
use xexp_kernels::Pool;

use crate::gradients::{TRAIN, classifier, gradients, loss, packed, samples};
use crate::program::outcome;
use crate::resume::{caught, killed_in};
use crate::support::slopes;
use crate::support::stage::{Stage, listing, sha256};

/// Query and value of two blocks, and the head.
const USUAL: [&str; 10] = [
    "bert.encoder.layer.0.attention.self.query.lora_A.weight",
    "bert.encoder.layer.0.attention.self.query.lora_B.weight",
    "bert.encoder.layer.0.attention.self.value.lora_A.weight",
    "bert.encoder.layer.0.attention.self.value.lora_B.weight",
    "bert.encoder.layer.1.attention.self.query.lora_A.weight",
    "bert.encoder.layer.1.attention.self.query.lora_B.weight",
    "bert.encoder.layer.1.attention.self.value.lora_A.weight",
    "bert.encoder.layer.1.attention.self.value.lora_B.weight",
    "classifier.bias",
    "classifier.weight",
];

fn endings(names: &[&str]) -> Targets {
    Targets::Endings(names.iter().map(|name| name.to_string()).collect())
}

/// A tiny classifier with adapters that have learned something.
fn adapted(targets: Targets, dropout: f64) -> Classifier {
    let mut classifier = classifier(dropout);
    classifier.adapt(&LoraSpec { rank: 3, alpha: 6.0, dropout, targets }, &[], Seed(2)).unwrap();
    let drawn: Vec<_> = classifier.params.adapted().map(|(_, [_, b])| b).collect();
    for b in drawn {
        let weight = classifier.params.weight(b);
        let mut stream = Seed(8).stream(&weight.name);
        let values: Vec<f32> = (0..weight.var.elem_count()).map(|_| 0.2 * stream.normal() as f32).collect();
        classifier.params.set(b, &values).unwrap();
    }
    classifier
}

fn trained(params: &Params) -> BTreeSet<&str> {
    params.iter().filter(|(_, weight)| weight.trainable).map(|(_, weight)| weight.name.as_str()).collect()
}

fn logits(classifier: &Classifier) -> Vec<f32> {
    let pool = Pool::default();
    let mut pass = Pass::new(&pool, Mode::Eval);
    classifier.forward(&packed(&samples()).0, &mut pass).unwrap().values.to_vec()
}

#[test]
fn gradients_of_adapters_are_the_slopes_of_the_loss() {
    for dropout in [0.0, 0.2] {
        let classifier = adapted(Targets::AllLinear, dropout);
        let batch = packed(&samples());
        let grads = gradients(&classifier, &batch, TRAIN);
        let steepest = slopes::check(&classifier.params, &grads, || loss(&classifier, &batch, TRAIN));
        // Six layers in each of two blocks and the pooler, two matrices each; weight and bias of the head.
        assert_eq!(steepest.len(), 13 * 2 + 2);
        for (name, slope) in steepest {
            assert!(slope > 10.0 * slopes::TOLERANCE, "{name}: a slope of {slope} shows nothing");
        }
    }
}

#[test]
fn adapters_and_head_alone_are_trained_and_nothing_below_the_lowest_is_come_to() {
    let classifier = adapted(Targets::Usual, 0.0);
    assert_eq!(trained(&classifier.params), USUAL.into());
    let upper = adapted(endings(&["layer.1.attention.self.query"]), 0.0);
    let grads = gradients(&upper, &packed(&samples()), TRAIN);
    for (id, weight) in upper.params.iter() {
        let below = weight.name.contains("layer.0") || weight.name.contains("embeddings");
        assert!(!(below && grads.reached(id)), "{}", weight.name);
        assert_eq!(grads.get(id).is_some(), weight.trainable, "{}", weight.name);
    }
}

#[test]
fn weights_of_the_backbone_that_are_new_are_trained_too() {
    let mut classifier = classifier(0.0);
    let new = ["bert.pooler.dense.weight".to_string(), "bert.pooler.dense.bias".to_string()];
    let spec = LoraSpec { rank: 1, alpha: 1.0, dropout: 0.0, targets: endings(&["key"]) };
    classifier.adapt(&spec, &new, Seed(2)).unwrap();
    assert!(new.iter().all(|name| trained(&classifier.params).contains(name.as_str())));
    let config = classifier.adapter_config(&spec, "org/base", Some("main"));
    assert_eq!(config["modules_to_save"], json!(["bert.pooler.dense", "classifier"]));
}

#[test]
fn new_adapters_change_nothing_and_follow_the_law() {
    let mut classifier = classifier(0.0);
    let before = logits(&classifier);
    let spec = LoraSpec { rank: 32, alpha: 6.0, dropout: 0.0, targets: Targets::AllLinear };
    classifier.adapt(&spec, &[], Seed(2)).unwrap();
    // B is zero. The last block makes keys and values of all tokens where they have adapters, and else of none: what the logits,
    // of order 1, then differ by are some thirty roundings of 6e-8.
    assert!(logits(&classifier).iter().zip(&before).all(|(a, b)| (a - b).abs() < 2e-6));
    let mut squares = vec![];
    for (_, [a, b]) in classifier.params.adapted() {
        let input = classifier.params.weight(a).layer.shape()[1] as f32;
        let a = classifier.params.values(a).unwrap();
        assert!(classifier.params.values(b).unwrap().iter().all(|b| *b == 0.0));
        assert!(a.iter().all(|a| a.abs() <= 1.0 / input.sqrt()));
        squares.extend(a.iter().map(|a| f64::from(a * a * input)));
    }
    // A uniform variable within ±1 has a mean square of 1/3, and that square a variance of 4/45.
    let (count, mean) = (squares.len() as f64, squares.iter().sum::<f64>() / squares.len() as f64);
    assert!((mean - 1.0 / 3.0).abs() < 5.0 * (4.0 / 45.0 / count).sqrt(), "{mean} of {count}");
}

#[test]
fn a_merged_model_is_the_adapted_one() {
    let mut classifier = adapted(Targets::AllLinear, 0.0);
    let (with, weights) = (logits(&classifier), classifier.params.len());
    assert_eq!(classifier.params.merge().unwrap(), 13);
    assert_eq!(classifier.params.len(), weights - 26);
    assert!(classifier.params.iter().all(|(_, weight)| !weight.adapts));
    for (a, b) in logits(&classifier).iter().zip(&with) {
        // Logits of order 1, some thirty roundings of 6e-8 apart.
        assert!((a - b).abs() < 1e-5, "{a} and {b}");
    }
    let plain = logits(&self::classifier(0.0));
    assert!(with.iter().zip(&plain).any(|(a, b)| (a - b).abs() > 0.1), "the adapters do something");
}

#[test]
fn targets_that_are_not_there_are_refused_with_those_that_are() {
    let mut classifier = classifier(0.0);
    for (targets, rank, named) in [
        (endings(&["query", "q_proj"]), 2, "q_proj"),
        (endings(&["word_embeddings"]), 2, "word_embeddings"),
        (endings(&["classifier"]), 2, "classifier"),
        (endings(&[""]), 2, "\"\""),
        (Targets::Usual, 1 << 40, "rank"),
    ] {
        let spec = LoraSpec { rank, alpha: 1.0, dropout: 0.0, targets };
        let error = classifier.adapt(&spec, &[], Seed(2)).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
        assert!(rank > 2 || error.to_string().contains("dense, key, query, value"), "{error}");
    }
}

/// The tensors of a file, with their bytes.
fn tensors(path: &Path) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut found: Vec<_> =
        file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
    found.sort();
    found
}

const LORA: [&str; 4] = ["--strategy", "lora", "--lora-rank", "4"];

fn predictions(stage: &Stage, model: &str) -> Vec<Value> {
    let done = outcome(&mut stage.command(&["predict", "--model", model, "--input", "test.csv", "--quiet"]));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_run_leaves_an_adapter_that_predicts_evaluates_and_merges() {
    let stage = Stage::new();
    let base = tensors(&stage.path("model/model.safetensors"));
    stage.finetuned("out", &[&LORA[..], &["--lr", "2e-2", "--epochs", "6", "--test", "test.csv"]].concat());
    assert_eq!(tensors(&stage.path("model/model.safetensors")), base);
    let files = listing(&stage.path("out"));
    assert!(!files.contains(&"model.safetensors".to_string()), "{files:?}");
    let saved = tensors(&stage.path("out/adapter_model.safetensors"));
    let names: Vec<&str> =
        saved.iter().map(|(name, _)| name.strip_prefix("base_model.model.").unwrap()).collect();
    assert_eq!(names, USUAL);
    let results = stage.json("out/results.json");
    assert_eq!(stage.hash("out"), sha256(&stage.path("out/adapter_model.safetensors")));
    let (rank, width, classes) = (4, 32, results["test"]["confusion"].as_array().unwrap().len());
    assert_eq!(results["lora"]["trained"], json!(4 * 2 * rank * width + classes * (width + 1)));
    assert!(results["test"]["accuracy"].as_f64().unwrap() > 0.8, "{}", results["test"]["accuracy"]);
    let config = stage.json("out/adapter_config.json");
    assert_eq!(config["target_modules"], json!(["query", "value"]));
    let base = stage.path("model").canonicalize().unwrap();
    assert_eq!(config["base_model_name_or_path"], json!(base));
    assert!(stage.text("out/README.md").contains("library_name: peft\n"));

    let evaluated = ["evaluate", "--model", "out", "--data", "test.csv", "--format", "json", "--quiet"];
    let evaluated = outcome(&mut stage.command(&evaluated));
    let scores: Value = serde_json::from_str(&evaluated.stdout).unwrap();
    assert_eq!(scores, results["test"], "what was scored is what was saved");

    let merged = outcome(&mut stage.command(&["merge", "out", "--output", "whole", "--quiet"]));
    assert_eq!(merged.code, Some(0), "{}", merged.stderr);
    assert!(merged.stdout.contains(&sha256(&stage.path("whole/model.safetensors"))), "{}", merged.stdout);
    for (one, other) in predictions(&stage, "out").iter().zip(&predictions(&stage, "whole")) {
        for (a, b) in one["logits"].as_array().unwrap().iter().zip(other["logits"].as_array().unwrap()) {
            assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-4, "{one} {other}");
        }
    }
    assert_eq!(stage.text("whole/labels.tsv"), stage.text("out/labels.tsv"));
}

#[test]
fn a_folder_is_of_the_last_kind_that_was_written_there() {
    let stage = Stage::new();
    let file = |name: &str| stage.path(&format!("out/{name}")).is_file();
    for (strategy, adapter) in [("lora", true), ("full", false), ("lora", true)] {
        stage.finetuned("out", &["--strategy", strategy, "--max-steps", "2", "--overwrite"]);
        assert_eq!([file("adapter_config.json"), file("adapter_model.safetensors")], [adapter; 2]);
        assert_eq!(file("model.safetensors"), !adapter);
    }
}

#[test]
fn sixteen_bits_are_for_what_is_saved_alone() {
    let stage = Stage::new();
    let more = ["--max-steps", "8", "--save-dtype", "bf16", "--precision", "bf16", "--test", "test.csv"];
    stage.finetuned("out", &[&LORA[..], &more].concat());
    let arguments = [
        "evaluate",
        "--model",
        "out",
        "--data",
        "test.csv",
        "--format",
        "json",
        "--quiet",
        "--precision",
        "bf16",
    ];
    let evaluated = outcome(&mut stage.command(&arguments));
    let scores: Value = serde_json::from_str(&evaluated.stdout).unwrap();
    assert_eq!(scores, stage.json("out/results.json")["test"]);
}

#[test]
fn adapters_killed_while_they_learn_end_as_those_that_were_not() {
    let stage = Stage::new();
    let long = ["--epochs", "25", "--lora-dropout", "0.1", "--log-every", "5", "--lr", "1e-2"];
    let long = [&LORA[..], &long].concat();
    let every = [&long[..], &["--checkpoint-every", "3"]].concat();
    let child = caught(stage.finetune("out", &every), &stage.path("out"), 4);
    let step = killed_in(&stage.path("out"), child);
    let newest = stage.path(&format!("out/checkpoint-{step}"));
    assert!(newest.join("adapter_model.safetensors").is_file() && !newest.join("model.safetensors").exists());
    assert_eq!(predictions(&stage, newest.to_str().unwrap()).len(), 80, "a checkpoint is an adapter itself");
    let refused =
        outcome(&mut stage.finetune("out", &[&every[..], &["--resume", "--lora-alpha", "3"]].concat()));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("adapters was"), "{}", refused.stderr);
    stage.finetuned("out", &[&every[..], &["--resume"]].concat());
    stage.finetuned("whole", &long);
    assert_eq!(stage.hash("out"), stage.hash("whole"));
    assert_eq!(stage.text("out/metrics.csv"), stage.text("whole/metrics.csv"));
}

#[test]
fn what_does_not_fit_is_refused() {
    let stage = Stage::new();
    stage.finetuned("out", &[&LORA[..], &["--max-steps", "2"]].concat());
    stage.finetuned("full", &["--max-steps", "2"]);
    let refuse = |arguments: &[&str], needles: &[&str]| {
        let done = outcome(&mut stage.command(arguments));
        assert_eq!(done.code, Some(2), "{arguments:?}: {}", done.stderr);
        for needle in needles.iter().chain(&["hint: "]) {
            assert!(done.stderr.contains(needle), "{arguments:?}: {needle}: {}", done.stderr);
        }
    };
    let finetune = ["finetune", "--train", "train.csv", "--output", "new", "--model"];
    let with = |more: &[&'static str]| [&finetune[..], more].concat();
    refuse(&with(&["model", "--lora-rank", "4"]), &["--lora-rank", "--strategy lora"]);
    refuse(&with(&["model", "--strategy", "lora", "--backbone", "random"]), &["--strategy full"]);
    refuse(
        &with(&["model", "--strategy", "lora", "--lora-targets", "query,qeury"]),
        &["qeury", "dense, key"],
    );
    refuse(&with(&["model", "--strategy", "lora", "--lora-rank", "65"]), &["rank", "65"]);
    refuse(&with(&["out"]), &["adapter", "xexp merge out"]);
    refuse(&["merge", "full", "--output", "new"], &["whole model"]);
    refuse(&["merge", "out", "--output", "full"], &["not empty"]);
    assert!(!stage.path("new").exists());
    std::fs::rename(stage.path("model"), stage.path("moved")).unwrap();
    refuse(&["predict", "--model", "out", "--input", "test.csv"], &["base_model_name_or_path", "moved?"]);
    let merged = outcome(&mut stage.command(&["merge", "out", "--model", "moved", "--output", "whole"]));
    assert_eq!(merged.code, Some(0), "{}", merged.stderr);
}
