//! Several experiments in one run.

use serde_json::Value;

use super::{json, place, tables, text};
use crate::program::xexp;

/// The id of the experiment, other than the one that the other tests run, that says it costs least.
fn cheapest() -> Option<String> {
    let list = json(&xexp(&["list", "--format", "json"]).stdout);
    let cost = |one: &Value| {
        let text = one["cost"].as_str().unwrap().to_owned();
        let number: f64 = text.split(' ').next().unwrap().parse().unwrap_or(f64::MAX);
        if text.contains("min") { number * 60.0 } else { number }
    };
    let others = list.as_array().unwrap().iter().filter(|one| one["id"] != "conv-fan");
    let least = others.min_by(|a, b| cost(a).total_cmp(&cost(b)))?;
    Some(least["id"].as_str().unwrap().to_owned())
}

#[test]
fn several_experiments_have_a_folder_each_and_an_index() {
    let Some(other) = cheapest() else { return };
    let (_folder, out) = place();
    let base = ["run", "conv-fan", &other, "--quiet", "--draws", "20", "--output", out.to_str().unwrap()];
    let set = ["--set", "conv-fan.layers=[[32, 32, 3], [16, 64, 3]]", "--set", "conv-fan.side=12"];
    let run = |more: &[&str]| xexp(&[&base[..], &set, more].concat());
    let first = run(&[]);
    assert!(matches!(first.code, Some(0 | 1)), "{}", first.stderr);
    for id in ["conv-fan", &other] {
        let line = first.stdout.lines().find(|line| line.starts_with(&format!("{id}: "))).unwrap();
        assert!(line.contains(" s; ") && line.contains("predictions confirmed"), "{line}");
        assert!(out.join(id).join("report.html").is_file());
    }
    assert_eq!(json(&text(&out.join("conv-fan/run.json")))["parameters"]["side"], 12);
    let index = text(&out.join("index.html"));
    assert!(index.contains("href=\"conv-fan/report.html\"") && !index.contains("<script"), "{index}");
    assert!(text(&out.join("index.md")).contains(&format!("[{other}]({other}/report.md)")));
    let summary = text(&out.join("summary.csv"));
    assert_eq!(summary.lines().count(), 3, "{summary}");
    assert!(xexp(&["check", out.to_str().unwrap()]).stdout.lines().count() == 2);

    // Killed between two experiments: the first is kept as it is, the second is measured again.
    assert!(run(&["--resume"]).stderr.contains("finished"));
    let kept = text(&out.join("conv-fan/run.json"));
    let before = tables(&out.join(&other));
    std::fs::remove_dir_all(out.join(&other)).unwrap();
    std::fs::remove_file(out.join("summary.csv")).unwrap();
    let resumed = run(&["--resume"]);
    assert_eq!(resumed.code, first.code, "{}", resumed.stderr);
    assert_eq!(text(&out.join("conv-fan/run.json")), kept);
    assert_eq!(tables(&out.join(&other)), before);
    assert_eq!(text(&out.join("summary.csv")), summary);

    // From the tables alone.
    std::fs::remove_file(out.join("index.html")).unwrap();
    let again = xexp(&["report", out.to_str().unwrap()]);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(text(&out.join("index.html")).contains("Claims of the document"));
}
