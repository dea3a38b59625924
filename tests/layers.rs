//! `--layer-decay`, `--gradual-unfreeze`, `--freeze`, `--reinit-layers` and `--ema`.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;

use crate::program::outcome;
use crate::resume::{caught, killed_in};
use crate::support::stage::Stage;

/// Steps on all examples at once, at a rate that does not change, without decay.
const STEP: [&str; 8] =
    ["--batch-size", "240", "--warmup", "0", "--schedule", "constant", "--weight-decay", "0"];
/// That is the whole run.
const ONE: [&str; 12] = [
    "--batch-size",
    "240",
    "--warmup",
    "0",
    "--schedule",
    "constant",
    "--weight-decay",
    "0",
    "--epochs",
    "1",
    "--lr",
    "1e-3",
];

type Tensors = BTreeMap<String, Vec<f32>>;

fn tensors(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let read =
        |data: &[u8]| data.chunks_exact(4).map(|v| f32::from_le_bytes(v.try_into().unwrap())).collect();
    file.tensors().into_iter().map(|(name, view)| (name, read(view.data()))).collect()
}

/// The backbone as pretrained, by the names of a classifier.
fn base(stage: &Stage) -> Tensors {
    let named = tensors(&stage.path("model/model.safetensors")).into_iter();
    named.map(|(name, values)| (format!("bert.{name}"), values)).collect()
}

fn trained(stage: &Stage, output: &str) -> Tensors {
    tensors(&stage.path(&format!("{output}/model.safetensors")))
}

/// The largest change of a tensor's values.
fn moved(before: &Tensors, after: &Tensors, name: &str) -> f32 {
    let pairs = before[name].iter().zip(&after[name]);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// How far below the head a tensor of the tiny model is: two blocks.
fn below_head(name: &str) -> i32 {
    match name {
        _ if name.contains("embeddings") => 3,
        _ if name.contains("layer.0") => 2,
        _ if name.contains("layer.1") => 1,
        _ => 0,
    }
}

/// The first step of Adam moves a weight by its rate, whatever the gradient, if that is far from ε = 1e-8; and by less if not.
#[test]
fn the_first_step_of_a_weight_is_as_long_as_its_depth_says() {
    let stage = Stage::new();
    stage.finetuned("out", &[&ONE[..], &["--layer-decay", "0.5"]].concat());
    let (before, after) = (base(&stage), trained(&stage, "out"));
    for name in before.keys() {
        let expected = 1e-3 * 0.5f32.powi(below_head(name));
        let found = moved(&before, &after, name);
        // Values of order 1 are rounded by 6e-8.
        assert!(found < expected + 3e-7, "{name}: {found}, expected {expected}");
        assert!(
            name.ends_with("key.bias") || found > 0.95 * expected,
            "{name}: {found}, expected {expected}"
        );
    }
}

#[test]
fn blocks_wait_for_their_epoch_and_begin_with_a_whole_step() {
    let stage = Stage::new();
    let before = base(&stage);
    let mut last = None;
    for epochs in ["1", "2", "3", "4"] {
        stage.finetuned(
            epochs,
            &[&STEP[..], &["--gradual-unfreeze", "--epochs", epochs, "--lr", "1e-3"]].concat(),
        );
        let learning = epochs.parse::<i32>().unwrap() - 1;
        assert_eq!(
            stage.json(&format!("{epochs}/results.json"))["best_step"],
            learning + 1,
            "the last weights are kept"
        );
        let after = trained(&stage, epochs);
        for name in before.keys().filter(|name| !name.ends_with("key.bias")) {
            let found = moved(last.as_ref().unwrap_or(&before), &after, name);
            match below_head(name).cmp(&learning) {
                std::cmp::Ordering::Greater => assert_eq!(found, 0.0, "{epochs}: {name}"),
                // Its first step, whose moments are new: exactly the rate, and not the 3.2 times that of a late beginner.
                std::cmp::Ordering::Equal => {
                    assert!((found - 1e-3).abs() < 5e-5, "{epochs}: {name}: {found}")
                }
                std::cmp::Ordering::Less => assert!(found > 0.0, "{epochs}: {name}"),
            }
        }
        last = Some(after);
    }
}

#[test]
fn what_is_frozen_stays_and_the_rest_learns() {
    let stage = Stage::new();
    let before = base(&stage);
    for (freeze, least) in [("embeddings", 2), ("1", 1), ("2", 0)] {
        stage.finetuned(freeze, &[&ONE[..], &["--freeze", freeze]].concat());
        let after = trained(&stage, freeze);
        for name in before.keys() {
            let learns = below_head(name) <= least && !name.ends_with("key.bias");
            let still = below_head(name) > least;
            let found = moved(&before, &after, name);
            assert!(!still || found == 0.0, "{freeze}: {name}: {found}");
            assert!(!learns || found > 0.0, "{freeze}: {name}");
        }
    }
}

#[test]
fn the_upper_blocks_begin_by_the_familys_law() {
    let stage = Stage::new();
    stage.finetuned("out", &[&STEP[..], &["--reinit-layers", "1", "--epochs", "1", "--lr", "1e-9"]].concat());
    let (before, after) = (base(&stage), trained(&stage, "out"));
    for (name, values) in &before {
        let after = &after[name];
        let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
        let square = mean(&after.iter().map(|v| v * v).collect::<Vec<_>>());
        match (below_head(name), name) {
            (2.., _) => {
                assert!(moved(&before, &BTreeMap::from([(name.clone(), after.clone())]), name) < 1e-7)
            }
            (_, norm) if norm.ends_with("LayerNorm.weight") => {
                assert!((mean(after) - 1.0).abs() < 1e-6, "{norm}")
            }
            (_, bias) if bias.ends_with("bias") => assert!(square < 1e-12, "{bias}"),
            // A normal law of 0.02, in at least 1024 draws: five standard errors of the mean square are 22 % of it.
            (_, matrix) => {
                assert!((square / 4e-4 - 1.0).abs() < 0.22, "{matrix}: {square}");
                assert!(
                    mean(&values.iter().map(|v| v * v).collect::<Vec<_>>()) > 1e-2,
                    "{matrix}: it was larger"
                );
            }
        }
    }
}

#[test]
fn an_average_lies_between_the_weights_of_the_steps() {
    let stage = Stage::new();
    stage.finetuned("plain", &ONE);
    stage.finetuned("average", &[&ONE[..], &["--ema", "0.75"]].concat());
    let (before, plain, average) = (base(&stage), trained(&stage, "plain"), trained(&stage, "average"));
    for (name, values) in &before {
        for ((begun, stepped), found) in values.iter().zip(&plain[name]).zip(&average[name]) {
            let expected = 0.75 * begun + 0.25 * stepped;
            // Three roundings of 6e-8 of the value.
            assert!(
                (found - expected).abs() < 2e-7 * (1.0 + begun.abs()),
                "{name}: {found}, expected {expected}"
            );
        }
    }
    let scores = |output: &str| stage.json(&format!("{output}/results.json"))["valid"]["loss"].clone();
    assert_ne!(scores("average"), scores("plain"), "the average is what is scored");
}

#[test]
fn all_of_them_go_on_where_they_were_killed() {
    let stage = Stage::new();
    let more = ["--layer-decay", "0.8", "--gradual-unfreeze", "--ema", "0.9", "--reinit-layers", "1"];
    let long = [&["--epochs", "12", "--log-every", "5"][..], &more].concat();
    let every = [&long[..], &["--checkpoint-every", "3"]].concat();
    let child = caught(stage.finetune("out", &every), &stage.path("out"), 4);
    let step = killed_in(&stage.path("out"), child);
    // Once more, when the first block has begun to learn.
    let child = caught(
        stage.finetune("out", &[&every[..], &["--resume"]].concat()),
        &stage.path("out"),
        step.max(18),
    );
    killed_in(&stage.path("out"), child);
    let refused = outcome(&mut stage.finetune("out", &[&every[..], &["--resume", "--freeze", "1"]].concat()));
    assert!(refused.code == Some(2) && refused.stderr.contains("layers was"), "{}", refused.stderr);
    stage.finetuned("out", &[&every[..], &["--resume"]].concat());
    stage.finetuned("whole", &long);
    assert_eq!(stage.hash("out"), stage.hash("whole"));
    assert_eq!(stage.text("out/metrics.csv"), stage.text("whole/metrics.csv"));
}

#[test]
fn flags_about_layers_that_are_not_trained_are_refused() {
    let stage = Stage::new();
    for (more, needle) in [
        (&["--strategy", "probe", "--ema", "0.9"][..], "--ema"),
        (&["--strategy", "lora", "--freeze", "1"], "--lora-targets"),
        (&["--strategy", "lora", "--reinit-layers", "1"], "--reinit-layers"),
        (&["--freeze", "3"], "2 blocks"),
        (&["--freeze", "0"], "embeddings"),
        (&["--reinit-layers", "3"], "2 blocks"),
        (&["--freeze", "1", "--reinit-layers", "2"], "2 blocks"),
        (&["--ema", "1"], "below 1"),
        (&["--layer-decay", "1.5"], "at most 1"),
    ] {
        let outcome = outcome(&mut stage.finetune("out", more));
        assert_eq!(outcome.code, Some(2), "{more:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(needle), "{more:?}: {}", outcome.stderr);
    }
}
