//! `xexp predict` and `xexp evaluate` on a model that `finetune` saved.

use serde_json::Value;

use crate::program::{Outcome, outcome};
use crate::support::sentences::{TOPICS, sentences};
use crate::support::stage::{Stage, TEST};

/// A stage with a trained model in `out/`.
fn trained() -> Stage {
    let stage = Stage::new();
    stage.finetuned("out", &["--test", "test.csv", "--epochs", "2"]);
    stage
}

fn predict(stage: &Stage, input: &str, more: &[&str]) -> Outcome {
    let base = ["predict", "--model", "out", "--input", input, "--quiet"];
    outcome(&mut stage.command(&[&base, more].concat()))
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn predictions_are_the_largest_logit_and_its_share() {
    let stage = trained();
    let outcome = predict(&stage, "test.csv", &[]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let predictions = objects(&outcome.stdout);
    assert_eq!(predictions.len(), TEST);
    let mut hits = 0;
    for (index, (prediction, sentence)) in predictions.iter().zip(sentences("test", TEST)).enumerate() {
        let fields: Vec<&String> = prediction.as_object().unwrap().keys().collect();
        assert_eq!(fields, ["id", "label", "score", "logits"]);
        assert_eq!(prediction["id"], (index + 1).to_string(), "rows without an id are numbered");
        let logits = prediction["logits"].as_array().unwrap();
        let logits: Vec<f64> = logits.iter().map(|z| z.as_f64().unwrap()).collect();
        let best = (0..TOPICS.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        assert_eq!(prediction["label"], TOPICS[best].0);
        let share = logits[best].exp() / logits.iter().map(|z| z.exp()).sum::<f64>();
        // Computed from f32 logits either way.
        assert!((prediction["score"].as_f64().unwrap() - share).abs() < 1e-6, "{prediction}");
        hits += usize::from(prediction["label"] == sentence.label);
    }
    let accuracy = stage.json("out/results.json")["test"]["accuracy"].as_f64().unwrap();
    assert!((hits as f64 / TEST as f64 - accuracy).abs() < 1e-12, "{hits} of {TEST}, and {accuracy}");
}

#[test]
fn a_fitted_temperature_changes_how_sure_predictions_are_and_nothing_else() {
    let stage = trained();
    let calibration = &stage.json("out/results.json")["calibration"];
    assert_eq!(calibration["split"], "test");
    let fitted = &calibration["fitted"];
    let temperature = fitted["temperature"].as_f64().unwrap();
    let plain = objects(&predict(&stage, "test.csv", &[]).stdout);
    let outcome = predict(&stage, "test.csv", &["--temperature", "fitted"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let cooled = objects(&outcome.stdout);
    let mut loss = 0.0;
    for ((plain, cooled), sentence) in plain.iter().zip(&cooled).zip(sentences("test", TEST)) {
        assert_eq!((&plain["label"], &plain["logits"]), (&cooled["label"], &cooled["logits"]));
        let logits = cooled["logits"].as_array().unwrap();
        let logits: Vec<f64> = logits.iter().map(|z| z.as_f64().unwrap() / temperature).collect();
        let sum: f64 = logits.iter().map(|z| z.exp()).sum();
        let most = logits.iter().copied().fold(f64::MIN, f64::max);
        // Computed from f32 logits either way.
        assert!((cooled["score"].as_f64().unwrap() - most.exp() / sum).abs() < 1e-6, "{cooled}");
        let truth = TOPICS.iter().position(|(name, _)| *name == sentence.label).unwrap();
        loss -= logits[truth] - sum.ln();
    }
    let found = fitted["loss"].as_f64().unwrap();
    assert!((loss / TEST as f64 - found).abs() < 1e-5, "{loss}, {found}");
}

#[test]
fn standard_input_is_labelled_line_by_line_or_as_the_format_says() {
    use std::io::Write;
    use std::process::Stdio;
    let stage = trained();
    let piped = |text: &str, more: &[&str]| {
        let base = ["predict", "--model", "out", "--input", "-", "--quiet"];
        let mut command = stage.command(&[&base, more].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        objects(&String::from_utf8(output.stdout).unwrap())
    };
    let texts: Vec<String> = sentences("test", TEST).into_iter().map(|s| s.text).collect();
    let from_file = objects(&predict(&stage, "test.csv", &[]).stdout);
    let logits = |lines: &[Value]| lines.iter().map(|line| line["logits"].clone()).collect::<Vec<_>>();
    assert_eq!(logits(&piped(&(texts.join("\n") + "\n"), &[])), logits(&from_file));
    let csv = stage.text("test.csv");
    assert_eq!(piped(&csv, &["--data-format", "csv"]), from_file);
}

#[test]
fn a_temperature_that_is_none_or_not_there_is_refused() {
    let stage = trained();
    for wrong in ["0", "-1", "nan", "inf", "warm"] {
        let outcome = predict(&stage, "test.csv", &[&format!("--temperature={wrong}")]);
        assert_eq!(outcome.code, Some(2), "{wrong}");
        assert!(outcome.stderr.contains("positive number, or fitted"), "{}", outcome.stderr);
    }
    std::fs::write(stage.path("out/results.json"), r#"{"calibration": {"fitted": null}}"#).unwrap();
    let refused = |stage: &Stage, expected: &str| {
        let outcome = predict(stage, "test.csv", &["--temperature", "fitted"]);
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.stderr.contains(expected) && outcome.stderr.contains("hint"), "{}", outcome.stderr);
    };
    refused(&stage, "calibration.fitted.temperature is null");
    std::fs::remove_file(stage.path("out/results.json")).unwrap();
    refused(&stage, "results.json");
}

#[test]
fn predictions_need_no_labels_keep_ids_and_do_not_depend_on_the_batch() {
    let stage = trained();
    let rows: String = sentences("test", TEST)
        .iter()
        .enumerate()
        .map(|(index, s)| {
            serde_json::json!({ "id": format!("row-{index}"), "text": s.text }).to_string() + "\n"
        })
        .collect();
    std::fs::write(stage.path("new.jsonl"), rows).unwrap();
    let (named, one) =
        (predict(&stage, "new.jsonl", &[]), predict(&stage, "test.csv", &["--batch-size", "1"]));
    assert_eq!((named.code, one.code), (Some(0), Some(0)), "{}{}", named.stderr, one.stderr);
    for (index, (a, b)) in objects(&named.stdout).iter().zip(objects(&one.stdout)).enumerate() {
        assert_eq!(a["id"], format!("row-{index}"));
        assert_eq!(a["label"], b["label"]);
        // Thirty roundings of 6e-8 on scores below 1, in another order.
        assert!((a["score"].as_f64().unwrap() - b["score"].as_f64().unwrap()).abs() < 1e-5, "{a} and {b}");
    }
    let written = predict(&stage, "test.csv", &["--output", "predicted", "--batch-size", "1"]);
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    assert_eq!(stage.text("predicted/predictions.jsonl"), one.stdout);
}

#[test]
fn evaluation_finds_the_test_scores_of_the_run_again() {
    let stage = trained();
    let evaluate = |more: &[&str]| {
        let base = ["evaluate", "--model", "out", "--data", "test.csv", "--quiet"];
        let outcome = outcome(&mut stage.command(&[&base, more].concat()));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
        outcome.stdout
    };
    let scores: Value = serde_json::from_str(&evaluate(&["--format", "json"])).unwrap();
    let results = stage.json("out/results.json");
    for (name, value) in results["test"].as_object().unwrap() {
        match value.as_f64() {
            // The same examples in other batches differ by roundings.
            Some(value) => assert!((scores[name].as_f64().unwrap() - value).abs() < 1e-5, "{name}"),
            None => assert!(!scores[name].is_null(), "{name}"),
        }
    }
    assert_eq!(scores["confusion"], results["test"]["confusion"]);
    let accuracy = results["test"]["accuracy"].as_f64().unwrap();
    assert!(evaluate(&[]).contains(&format!("{accuracy:.2}")), "{}", evaluate(&[]));
    evaluate(&["--output", "scores"]);
    assert_eq!(stage.json("scores/results.json")["accuracy"], results["test"]["accuracy"]);
}

#[test]
fn a_base_model_is_no_classifier() {
    let stage = Stage::new();
    for (verb, input) in [("predict", "--input"), ("evaluate", "--data")] {
        let outcome = outcome(&mut stage.command(&[verb, "--model", "model", input, "test.csv"]));
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("id2label"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
    }
}

#[test]
fn a_label_that_the_model_lacks_is_named_with_its_line() {
    let stage = trained();
    std::fs::write(stage.path("odd.csv"), "text,label\nplay a song,music\nrain again,wether\n").unwrap();
    let outcome = outcome(&mut stage.command(&["evaluate", "--model", "out", "--data", "odd.csv"]));
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    for needle in ["odd.csv:3", "wether", "did you mean `weather`"] {
        assert!(outcome.stderr.contains(needle), "{needle}: {}", outcome.stderr);
    }
}
