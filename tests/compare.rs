//! `xexp compare`.

use serde_json::Value;

use crate::program::{Outcome, outcome};
use crate::support::stage::Stage;

/// A stage with the folders `a`, `b`, … of predictions: of each example whether it is right, and its loss.
fn stage(runs: &[&[(bool, f64)]]) -> Stage {
    let stage = Stage::new();
    for (run, rows) in ["a", "b", "c"].iter().zip(runs) {
        let mut text = "id,label,prediction,probability,loss\n".to_string();
        for (i, (right, loss)) in rows.iter().enumerate() {
            let label = ["x", "y, z"][i % 2];
            let other = ["y, z", "x"][i % 2];
            let predicted = if *right { label } else { other };
            text.push_str(&format!("{i},\"{label}\",\"{predicted}\",0.5,{loss}\n"));
        }
        std::fs::create_dir(stage.path(run)).unwrap();
        std::fs::write(stage.path(&format!("{run}/predictions.csv")), text).unwrap();
    }
    stage
}

fn compare(stage: &Stage, more: &[&str]) -> Outcome {
    outcome(&mut stage.command(&[&["compare"], more].concat()))
}

#[test]
fn runs_are_held_against_the_first_by_paired_tests() {
    let right = |wrong: std::ops::Range<usize>| -> Vec<(bool, f64)> {
        (0..200).map(|i| (!wrong.contains(&i), if wrong.contains(&i) { 2.0 } else { 0.5 })).collect()
    };
    // The second is wrong where the first is not, 10 times, and right where it is not, 30 times; the third as the first.
    let stage = stage(&[&right(0..40), &right(30..50), &right(0..40)]);
    let outcome = compare(&stage, &["a", "b", "c", "--format", "json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let lines: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&lines[0]["accuracy"], &lines[1]["accuracy"]), (&0.8.into(), &0.9.into()));
    assert!(lines[0].get("against_first").is_none());
    let against = &lines[1]["against_first"];
    assert_eq!((&against["first_alone"], &against["second_alone"]), (&10.into(), &30.into()));
    // scipy.stats.binomtest(10, 40, 0.5).pvalue, and twice that by Holm's rule for two comparisons.
    let p = against["p_value"].as_f64().unwrap();
    assert!((p / 0.002_221_433_773_229_364_3 - 1.0).abs() < 1e-6, "{p}");
    assert!((against["adjusted_p_value"].as_f64().unwrap() / (2.0 * p) - 1.0).abs() < 1e-12);
    assert_eq!(against["verdict"], "better");
    assert!((against["accuracy"]["value"].as_f64().unwrap() - 0.1).abs() < 1e-12);
    assert!(against["accuracy"]["interval"]["low"].as_f64().unwrap() > 0.0);
    // 20 of 200 examples fewer at 2.0 instead of 0.5.
    assert!((against["loss"]["value"].as_f64().unwrap() + 0.15).abs() < 1e-12);
    assert_eq!(lines[2]["against_first"]["verdict"], "no difference shown");
    assert_eq!(lines[2]["against_first"]["p_value"], 1.0);
    let text = compare(&stage, &["a", "b"]).stdout;
    assert!(text.contains("| 10, 30 |") && text.contains("+0.1000"), "{text}");
}

#[test]
fn runs_of_other_examples_are_refused_with_the_first_that_differs() {
    let rows: Vec<(bool, f64)> = (0..4).map(|_| (true, 0.5)).collect();
    let stage = stage(&[&rows, &rows, &rows[..3]]);
    let text = stage.text("b/predictions.csv").replace("2,\"x\"", "two,\"x\"");
    std::fs::write(stage.path("b/predictions.csv"), text).unwrap();
    for (other, expected) in [
        ("b", "`2` labelled `x` and `two` labelled `x` on line 4"),
        ("c", "found 4 and 3"),
        ("model", "predictions.csv: cannot read it"),
    ] {
        let outcome = compare(&stage, &["a", other]);
        assert_eq!(outcome.code, Some(2), "{other}");
        assert!(outcome.stderr.contains(expected) && outcome.stderr.contains("hint"), "{}", outcome.stderr);
    }
    for (found, expected) in
        [("0.5,inf\n", "line 2: expected a finite number"), ("0.5\n", "line 2: expected a row")]
    {
        let text = format!("id,label,prediction,probability,loss\n0,x,x,{found}");
        std::fs::write(stage.path("b/predictions.csv"), text).unwrap();
        let outcome = compare(&stage, &["a", "b"]);
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.stderr.contains(expected), "{}", outcome.stderr);
    }
    std::fs::write(stage.path("b/predictions.csv"), "id,label\n").unwrap();
    assert!(compare(&stage, &["a", "b"]).stderr.contains("expected the columns id,label,prediction"));
}

#[test]
fn what_fine_tuning_and_evaluation_write_can_be_compared() {
    let stage = Stage::new();
    stage.finetuned("one", &["--test", "test.csv", "--epochs", "1"]);
    let evaluate = ["evaluate", "--model", "one", "--data", "test.csv", "--output", "again", "--quiet"];
    assert_eq!(outcome(&mut stage.command(&evaluate)).code, Some(0));
    assert_eq!(stage.text("one/predictions.csv"), stage.text("again/predictions.csv"));
    let outcome = compare(&stage, &["one", "again", "--format", "json"]);
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let lines: Vec<Value> = serde_json::from_str(&outcome.stdout).unwrap();
    let results = stage.json("one/results.json");
    assert_eq!(lines[0]["accuracy"], results["test"]["accuracy"]);
    assert_eq!(lines[0]["macro_f1"], results["test"]["macro_f1"]);
    assert!((lines[0]["loss"].as_f64().unwrap() - results["test"]["loss"].as_f64().unwrap()).abs() < 1e-12);
    assert_eq!(lines[0]["seconds"], results["seconds"]);
    assert_eq!(lines[1]["seconds"], Value::Null);
}
