//! `xexp doctor`, for people and for programs.

use serde_json::Value;

use crate::program::{command, outcome, xexp};

#[test]
fn the_report_as_json_is_one_object_with_the_facts() {
    let outcome = outcome(command(&["doctor", "--format", "json"]).env("HF_HOME", "/nowhere"));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["device"]["auto"], "cpu");
    assert_eq!(report["caches"]["hub_cache"], "/nowhere/hub");
    assert_eq!(report["environment"]["HF_HOME"], "/nowhere");
    assert!(report["threads"].as_u64().unwrap() >= 1);
}

#[test]
fn the_threads_are_those_that_compute() {
    let outcome = outcome(command(&["doctor", "--format=json"]).env("RAYON_NUM_THREADS", "3"));
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(report["threads"], 3);
}

#[test]
fn the_report_for_people_has_a_line_a_subject_and_no_token() {
    let text = outcome(command(&["doctor"]).env("HF_TOKEN", "hf_secret")).stdout;
    for subject in ["xexp ", "cpu ", "threads ", "memory ", "device ", "hub cache ", "environment"] {
        assert!(text.lines().any(|line| line.starts_with(subject)), "{subject}: {text}");
    }
    assert!(!text.contains("hf_secret"), "{text}");
}

#[test]
fn the_form_follows_the_environment_variable() {
    assert!(outcome(command(&["doctor"]).env("XEXP_FORMAT", "json")).stdout.starts_with('{'));
    assert!(!xexp(&["doctor"]).stdout.starts_with('{'));
}
