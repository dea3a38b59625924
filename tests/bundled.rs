//! What the program carries: whole, of the recorded recipe, used where nothing is named, and worth its room.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use xexp_bundled::{MODELS, SPLITS, TEXTS};

use crate::program::{outcome, xexp};
use crate::support::stage::{Stage, listing};

/// What a recorded run says of its own weights.
fn recorded(kind: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/bundled-backbone").join(kind);
    serde_json::from_str(&std::fs::read_to_string(path.join("results.json")).unwrap()).unwrap()
}

/// The labelled rows of a bundled text set's split.
fn rows(split: &str) -> Vec<(String, String)> {
    let bytes = TEXTS[0].split(split).unwrap();
    let source = xexp_data::Source { format: Some(xexp_data::Format::Csv), ..xexp_data::Source::new(split) };
    let data = xexp_data::read_bytes(&source, bytes, true).unwrap();
    data.examples.into_iter().map(|e| (e.text.clone(), e.class().unwrap().to_string())).collect()
}

/// Lower-case words, and pairs of neighbours.
fn parts(text: &str) -> (BTreeSet<String>, BTreeSet<(String, String)>) {
    let plain = |c: char| if c.is_alphanumeric() || c == '\'' { c.to_ascii_lowercase() } else { ' ' };
    let text: String = text.chars().map(plain).collect();
    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let pairs = words.windows(2).map(|w| (w[0].clone(), w[1].clone())).collect();
    (words.into_iter().collect(), pairs)
}

fn overlap<T: Ord>(a: &BTreeSet<T>, b: &BTreeSet<T>) -> f64 {
    let shared = a.intersection(b).count();
    shared as f64 / (a.len() + b.len() - shared).max(1) as f64
}

#[test]
fn every_model_is_the_one_that_its_recorded_recipe_made() {
    for (model, kind, most) in [("mini-text", "text", 12_000_000), ("mini-vision", "vision", 4_000_000)] {
        let files = xexp_bundled::model(model).unwrap().files;
        let (_, weights) = files.iter().find(|(name, _)| *name == "model.safetensors").unwrap();
        let hash: String =
            <sha2::Sha256 as sha2::Digest>::digest(weights).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            recorded(kind)["weights_sha256"].as_str(),
            Some(hash.as_str()),
            "{model}: make it anew with make.sh"
        );
        let size: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(size <= most, "{model}: {size} bytes");
    }
    assert_eq!(MODELS.len(), 2, "a new model gets its recorded recipe here");
}

#[test]
fn the_text_set_is_balanced_and_spans_the_lengths_that_it_promises() {
    let classes: Vec<BTreeSet<String>> =
        SPLITS.iter().map(|split| rows(split).into_iter().map(|row| row.1).collect()).collect();
    assert!(classes.iter().all(|c| *c == classes[0]) && (10..=20).contains(&classes[0].len()));
    let all: Vec<(String, String)> = SPLITS.iter().flat_map(|split| rows(split)).collect();
    for class in &classes[0] {
        let count = all.iter().filter(|(_, label)| label == class).count();
        assert!(count >= 150, "{class}: {count}");
    }
    let mut lengths: Vec<usize> = all.iter().map(|(text, _)| text.split_whitespace().count()).collect();
    lengths.sort_unstable();
    assert!(lengths[0] == 3 && (55..=60).contains(&lengths[lengths.len() - 1]));
    // Spread, and not all of one length.
    let [tenth, nine_tenths] = [1, 9].map(|part| lengths[lengths.len() * part / 10]);
    assert!(tenth <= 10 && nine_tenths >= 30, "{tenth} and {nine_tenths}");
}

#[test]
fn no_text_is_nearly_another() {
    // Near is more than three words in five the same, or more than a third of the pairs of neighbours: what that leaves
    // apart are texts on the same matter in other words.
    let texts: Vec<String> = SPLITS.iter().flat_map(|split| rows(split)).map(|row| row.0).collect();
    let parts: Vec<_> = texts.iter().map(|text| parts(text)).collect();
    let mut near = vec![];
    for (i, (words, pairs)) in parts.iter().enumerate() {
        for (j, (other_words, other_pairs)) in parts[..i].iter().enumerate() {
            let long = pairs.len() > 3 && other_pairs.len() > 3;
            if overlap(words, other_words) > 0.61 || (long && overlap(pairs, other_pairs) > 0.36) {
                near.push((&texts[j], &texts[i]));
            }
        }
    }
    assert!(near.is_empty(), "{near:#?}");
}

#[test]
fn with_no_argument_it_fine_tunes_what_it_carries() {
    let stage = Stage::new();
    // Shorter than by itself: the environment says what no flag does.
    let mut command = stage.command(&["finetune"]);
    let outcome = outcome(command.env("XEXP_LIMIT_TRAIN", "280").env("XEXP_EPOCHS", "1"));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for shown in ["rows used", "Head 384 × 14", "validation loss", "step 9"] {
        assert!(outcome.stderr.contains(shown), "{shown}: {}", outcome.stderr);
    }
    assert!(
        outcome.stdout.contains("accuracy") && outcome.stdout.contains("report.html"),
        "{}",
        outcome.stdout
    );
    let runs = listing(&stage.path("runs"));
    assert_eq!(runs.len(), 1, "{runs:?}");
    let output = format!("runs/{}", runs[0]);
    let results = stage.json(&format!("{output}/results.json"));
    for field in [
        "task",
        "train_examples",
        "epochs",
        "steps",
        "seconds",
        "examples_per_second",
        "valid",
        "test",
        "head",
        "device",
        "seed",
        "weights_sha256",
    ] {
        assert!(!results[field].is_null(), "{field}: {results}");
    }
    assert_eq!((results["train_examples"].as_u64(), results["lr"].as_f64()), (Some(280), Some(3e-4)));
    assert!(stage.path(&output).join("report.html").is_file());

    // What it saved is a model like any other, and so is what it carries.
    let evaluated = stage.command(&[
        "evaluate",
        "--model",
        &output,
        "--data=bundled:shop-requests/valid",
        "--format=json",
        "--quiet",
    ]);
    let evaluated = crate::program::outcome(&mut { evaluated });
    let scores: Value = serde_json::from_str(&evaluated.stdout).unwrap();
    assert_eq!(scores["accuracy"], results["valid"]["accuracy"]);
}

#[test]
fn the_image_backbone_labels_the_shapes_that_it_was_trained_on() {
    let outcome = xexp(&[
        "evaluate",
        "--model=bundled:mini-vision",
        "--data=bundled:shapes/valid",
        "--format=json",
        "--quiet",
    ]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let scores: Value = serde_json::from_str(&outcome.stdout).unwrap();
    // The weights were rounded before they were scored: what stands in the record is what comes out here.
    assert_eq!(scores["accuracy"], recorded("vision")["valid"]["accuracy"]);
}

/// Test accuracy of a fine-tuning on few examples, from a pretrained or a random backbone.
fn accuracy(stage: &Stage, data: &str, backbone: &str, more: &[&str]) -> f64 {
    let output = format!("{backbone}-{}", data.trim_start_matches("bundled:"));
    let flags = [
        "finetune",
        "--train",
        data,
        "--backbone",
        backbone,
        "--quiet",
        "--output",
        &output,
        "--format=json",
    ];
    let outcome = outcome(&mut stage.command(&[&flags[..], more].concat()));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    serde_json::from_str::<Value>(&outcome.stdout).unwrap()["test"]["accuracy"].as_f64().unwrap()
}

#[test]
fn pretraining_is_worth_what_the_table_says() {
    // `tests/parity/transfer.py` in short: one seed, fewer passes, the pretrained side's learning rate for both. The
    // full comparison's gaps are some 30 points each, a run's standard deviation at most 3.
    let stage = Stage::new();
    let text = ["--limit-train=224", "--epochs=10", "--batch-size=16", "--lr=3e-4"];
    let image = ["--limit-train=192", "--epochs=20", "--batch-size=32", "--lr=1e-3"];
    for (data, flags, least) in [("bundled:shop-requests", text, 0.15), ("bundled:symbols", image, 0.05)] {
        let [pretrained, random] = ["pretrained", "random"].map(|side| accuracy(&stage, data, side, &flags));
        assert!(pretrained > random + least, "{data}: {pretrained} and {random}");
    }
}

#[test]
fn texts_and_images_are_kept_apart() {
    let stage = Stage::new();
    for (arguments, expected) in [
        (&["finetune", "--model=bundled:mini-vision", "--train=train.csv"][..], "no column for the image"),
        (&["finetune", "--model=bundled:mini-text", "--train=bundled:symbols"], "holds images"),
        (&["finetune", "--train=bundled:symbols", "--max-length=9"], "no length"),
        (&["finetune", "--model=bundled:mini-txt"], "did you mean bundled:mini-text?"),
        (&["finetune", "--train=bundled:shop-requests/dev"], "train, valid, test"),
        (&["pretrain", "--train=bundled:shapes"], "expected texts"),
        (&["distill", "--model=bundled:mini-vision", "--train=train.csv"], "expected a text encoder"),
    ] {
        let outcome = outcome(&mut stage.command(arguments));
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{arguments:?}: {}", outcome.stderr);
    }
    assert!(!stage.path("runs").exists());
}
