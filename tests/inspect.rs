//! `xexp inspect`: what it prints and writes, what it finds, and that watching a pass changes nothing.

use std::cell::Cell;

use serde_json::Value;
use xexp_backbones::families::Reading;
use xexp_backbones::folder::Folder;
use xexp_backbones::{Declarations, Input, Mode, Pass, Seed};
use xexp_kernels::Pool;

use crate::program::{Outcome, outcome, xexp};
use crate::support::stage::{Stage, listing};
use crate::support::tiny_bert::{TinyBert, safetensors};

fn inspect(stage: &Stage, more: &[&str]) -> Outcome {
    outcome(&mut stage.command(&[&["inspect", "model", "--quiet"], more].concat()))
}

fn json(outcome: &Outcome) -> Value {
    serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error}: {outcome:?}"))
}

/// Changes the values of a tensor of the stage's model.
fn change(stage: &Stage, name: &str, change: impl Fn(&mut [f32])) {
    let mut tensors = TinyBert::default().weights();
    let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
    change(&mut tensor.values);
    std::fs::write(stage.path("model/model.safetensors"), safetensors(&tensors)).unwrap();
}

/// The name of a query weight of the stage's model.
fn query() -> String {
    let all = TinyBert::default().weights();
    let found = all.iter().find(|tensor| tensor.name.ends_with("query.weight")).unwrap();
    found.name.clone()
}

#[test]
fn every_sheet_is_printed_and_written() {
    let stage = Stage::new();
    let without = json(&inspect(&stage, &["--format", "json"]));
    let sheets: Vec<&String> = without["sheets"].as_object().unwrap().keys().collect();
    assert_eq!(sheets, ["weights", "heads"], "what needs no data");
    let outcome =
        inspect(&stage, &["--data", "train.csv", "--limit", "20", "--format", "json", "--output", "out"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let found = json(&outcome);
    let sheets: Vec<&String> = found["sheets"].as_object().unwrap().keys().collect();
    assert_eq!(sheets, ["weights", "heads", "stream", "products", "gradients", "features"]);
    assert_eq!(stage.json("out/inspection.json"), found, "printed and written alike");
    assert_eq!(found["sheets"]["features"][0]["examples"], 20);
    assert!(found["facts"]["norms"].as_str().unwrap().starts_with("post"));
    let written = listing(&stage.path("out"));
    for file in [
        "report.html",
        "report.md",
        "weights.csv",
        "heads.csv",
        "stream.csv",
        "gradients.csv",
        "features.csv",
    ] {
        assert!(written.iter().any(|name| name.ends_with(file)), "{file} {written:?}");
    }
    let page = stage.text("out/report.html");
    assert!(page.contains("<h2 id=\"part-0\">Findings</h2>") && page.contains("<svg"), "{}", &page[..400]);
    let again = inspect(&stage, &["--output", "out"]);
    assert_eq!(again.code, Some(2), "a folder with something in it is left alone");
}

#[test]
fn blocks_are_chosen_and_those_that_are_not_there_are_refused() {
    let stage = Stage::new();
    let found = json(&inspect(&stage, &["--format", "json", "--layers", "0"]));
    let layers = |sheet: &str| -> Vec<Option<u64>> {
        found["sheets"][sheet].as_array().unwrap().iter().map(|row| row["layer"].as_u64()).collect()
    };
    assert!(layers("heads").iter().all(|layer| *layer == Some(0)));
    assert!(layers("weights").contains(&None) && !layers("weights").contains(&Some(1)));
    let outcome = inspect(&stage, &["--layers", "1-7"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("block 7: the model has"), "{}", outcome.stderr);
}

#[test]
fn a_fault_fails_the_rules_that_are_asked_for_and_no_others() {
    let stage = Stage::new();
    let code = |rules: &str| inspect(&stage, &["--fail-on", rules]).code;
    assert_eq!(code("any"), Some(0));
    change(&stage, &query(), |values| values[3] = 1e5);
    let outcome = inspect(&stage, &["--fail-on", "scale,f16"]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.stderr.contains(&query()) && outcome.stderr.contains("binary16"), "{}", outcome.stderr);
    assert_eq!((code("any"), code("dead,collapse")), (Some(1), Some(0)));
    let outcome = inspect(&stage, &["--fail-on", "everything"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("expected one of any, nan, f16"), "{}", outcome.stderr);
}

#[test]
fn values_that_are_no_numbers_are_reported_with_their_tensor() {
    let stage = Stage::new();
    change(&stage, &query(), |values| values[..2].copy_from_slice(&[f32::NAN, f32::INFINITY]));
    let outcome = inspect(&stage, &["--data", "train.csv", "--format", "json"]);
    assert_eq!(outcome.code, Some(2));
    let named = format!("{} has 2 values that are not finite", query());
    assert!(outcome.stderr.contains(&named), "{}", outcome.stderr);
    let found = json(&outcome);
    let row =
        found["sheets"]["weights"].as_array().unwrap().iter().find(|row| row["name"] == query()).unwrap();
    assert_eq!((&row["nan"], &row["inf"]), (&Value::from(1), &Value::from(1)));
    assert_eq!(found["findings"][0]["rule"], "nan");
}

#[test]
fn what_is_no_model_is_named() {
    let stage = Stage::new();
    let refused = |named: &str| {
        let outcome = inspect(&stage, &[]);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(2), ""));
        assert!(outcome.stderr.contains(named), "{named}: {}", outcome.stderr);
    };
    let mut tensors = TinyBert::default().weights();
    tensors.retain(|tensor| tensor.name != query());
    std::fs::write(stage.path("model/model.safetensors"), safetensors(&tensors)).unwrap();
    refused("query.weight");
    std::fs::write(stage.path("model/config.json"), r#"{ "model_type": "gpt5" }"#).unwrap();
    refused("gpt5");
    let outcome = xexp(&["inspect"]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("no model"), "{}", outcome.stderr);
    let outcome = xexp(&["inspect", "bundled:mini-text", "--data", "bundled:symbols", "--quiet"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}

#[test]
fn a_model_beside_itself_has_not_changed_and_a_larger_one_has() {
    let stage = Stage::new();
    TinyBert::default().write(&stage.path("other"));
    let changes = |stage: &Stage| {
        let found = json(&inspect(stage, &["--compare", "other", "--format", "json"]));
        found["sheets"]["changes"].as_array().unwrap().clone()
    };
    assert!(changes(&stage).iter().all(|row| row["moved"] == 0.0));
    // Half as large in front: from there to the other it doubles, in its own direction.
    change(&stage, &query(), |values| values.iter_mut().for_each(|v| *v *= 0.5));
    for row in changes(&stage) {
        let expected = if row["name"] == query() { (1.0, 2.0, 1.0) } else { (0.0, 1.0, 0.0) };
        let near =
            |column: &str, expected: f64| (row[column].as_f64().unwrap_or(expected) - expected).abs() < 1e-6;
        assert!(near("moved", expected.0) && near("size", expected.1) && near("share", expected.2), "{row}");
    }
}

/// The bundled models, watched and not: the same bits.
#[test]
fn watching_a_pass_changes_nothing() {
    for model in ["mini-text", "mini-vision"] {
        let files = xexp_bundled::model(model).unwrap().files;
        let folder = Folder::in_memory(model, files).unwrap();
        let mut declared = Declarations::default();
        let encoder = folder.family.declare(&folder.config, &mut declared, Reading::Features).unwrap();
        let (params, _) = declared.load(&folder.checkpoint().unwrap(), Seed(0)).unwrap();
        let input = match encoder.image() {
            Some(image) => {
                let count = image.channels * image.size * image.size;
                let pixels: Vec<f32> = (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
                Input::pack_images([&pixels[..], &pixels[..]], image.tokens).unwrap()
            }
            None => Input::pack([(&[2u32, 7, 9, 3][..], &[0; 4][..]), (&[2, 5][..], &[0; 2][..])]).unwrap(),
        };
        let (pool, seen) = (Pool::default(), Cell::new(0));
        let tap = |_: &str, _: &[f32], _: usize| seen.set(seen.get() + 1);
        let pass = |watched: bool| {
            let mut pass = Pass::new(&pool, Mode::Eval);
            if watched {
                pass.tap = Some(&tap);
            }
            encoder.forward(&params, &input, &mut pass).unwrap().features.to_vec()
        };
        assert_eq!(pass(false), pass(true), "{model}");
        assert!(seen.get() > 4, "{model}");
    }
}

#[test]
fn the_bundled_models_are_found_in_order() {
    for (model, data) in
        [("bundled:mini-text", "bundled:shop-requests"), ("bundled:mini-vision", "bundled:symbols")]
    {
        let outcome =
            xexp(&["inspect", model, "--data", data, "--fail-on", "any", "--format", "json", "--quiet"]);
        assert_eq!(outcome.code, Some(0), "{model}: {}", outcome.stderr);
        assert!(json(&outcome)["findings"].as_array().unwrap().is_empty(), "{model}");
    }
}

#[test]
fn the_largest_first_step_is_searched_for_on_labelled_data() {
    let stage = Stage::new();
    let found = json(&inspect(&stage, &["--data", "train.csv", "--max-lr", "--format", "json"]));
    let advice = found["advice"].as_array().unwrap();
    let advice = advice.iter().find(|advice| advice["about"] == "largest learning rate").unwrap();
    // Steps of Adam move every value by the rate: between what rounding swallows and what throws away all that was learned.
    let rate = advice["number"].as_f64().unwrap();
    assert!((1e-6..1.0).contains(&rate), "{advice}");
    let outcome = inspect(&stage, &["--max-lr"]);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
}
