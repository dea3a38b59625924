//! `--precision bf16`: what it changes, what it leaves, and where there is nothing to round.

use crate::program::outcome;
use crate::support::stage::Stage;

/// Logits of the test file by a saved model.
fn logits(stage: &Stage, model: &str, precision: &str) -> Vec<f64> {
    let arguments = [
        "predict",
        "--model",
        model,
        "--input",
        "test.csv",
        "--precision",
        precision,
        "--quiet",
        "--device",
        "cpu",
    ];
    let done = outcome(&mut stage.command(&arguments));
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let values = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let values = line["logits"].as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect::<Vec<_>>()
    };
    done.stdout.lines().flat_map(values).collect()
}

#[test]
fn rounded_products_change_logits_by_their_eight_bits() {
    let stage = Stage::new();
    stage.finetuned("out", &[]);
    let (whole, brief) = (logits(&stage, "out", "f32"), logits(&stage, "out", "bf16"));
    let size = (whole.iter().map(|z| z * z).sum::<f64>() / whole.len() as f64).sqrt();
    let off = whole.iter().zip(&brief).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / whole.len() as f64;
    // A factor is off by up to 2⁻⁹ of itself; some ten products follow each other.
    assert!(off > 0.0, "nothing was rounded");
    assert!(off.sqrt() < 0.05 * size, "off by {} of {size}", off.sqrt());
}

#[test]
fn rounded_training_learns_repeats_itself_and_is_another_run() {
    let stage = Stage::new();
    for output in ["first", "second"] {
        stage.finetuned(output, &["--precision", "bf16"]);
    }
    assert_eq!(stage.hash("first"), stage.hash("second"));
    stage.finetuned("whole", &[]);
    assert_ne!(stage.hash("first"), stage.hash("whole"));
    for output in ["first", "whole"] {
        let results = stage.json(&format!("{output}/results.json"));
        // The bound of the same task in f32.
        assert!(results["valid"]["accuracy"].as_f64().unwrap() > 0.9, "{output}: {results}");
    }
    // The weights themselves are not rounded: they have more bits than bf16 keeps.
    let bytes = std::fs::read(stage.path("first/model.safetensors")).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let (_, weight) = file.tensors().into_iter().find(|(name, _)| name.ends_with("query.weight")).unwrap();
    let low = weight.data().chunks_exact(4).filter(|value| value[0] != 0 || value[1] != 0).count();
    assert!(low > weight.data().len() / 8, "{low} of {} weights have low bits", weight.data().len() / 4);
}

#[test]
fn a_run_goes_on_in_the_precision_that_it_began_in() {
    let stage = Stage::new();
    let long = ["--epochs", "25", "--checkpoint-every", "3"];
    let child = crate::resume::caught(stage.finetune("out", &long), &stage.path("out"), 4);
    crate::resume::killed_in(&stage.path("out"), child);
    let other =
        outcome(&mut stage.finetune("out", &[&long[..], &["--resume", "--precision", "bf16"]].concat()));
    assert_eq!(other.code, Some(2), "{}", other.stderr);
    assert!(other.stderr.contains("precision"), "{}", other.stderr);
}

#[test]
fn other_commands_and_backbones_without_dense_layers_refuse_it() {
    let stage = Stage::new();
    let pretrain =
        outcome(&mut stage.command(&["pretrain", "--precision", "bf16", "--output", "made", "--quiet"]));
    assert_eq!(pretrain.code, Some(2), "{}", pretrain.stderr);
    assert!(pretrain.stderr.contains("f32 alone"), "{}", pretrain.stderr);
    assert!(!stage.path("made").exists());
}
