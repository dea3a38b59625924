//! `xexp finetune --plan`.

use crate::support::stage::{Stage, TRAIN, listing};

fn numbers(stage: &Stage, flags: &[&str]) -> serde_json::Value {
    let flags = [&["--plan", "--format", "json"], flags].concat();
    serde_json::from_str(&stage.finetuned("planned", &flags).stdout).unwrap()
}

#[test]
fn a_plan_counts_what_the_run_then_does_and_writes_nothing() {
    let stage = Stage::new();
    let before = listing(&stage.path(""));
    let flags = ["--batch-size", "8", "--accumulate", "2", "--epochs", "3", "--valid", "test.csv"];
    let plan = numbers(&stage, &flags);
    assert_eq!(listing(&stage.path("")), before);

    stage.finetuned("out", &flags);
    let (results, receipt) = (stage.json("out/results.json"), stage.json("out/data.json"));
    assert_eq!(plan["steps"], results["steps"]);
    assert_eq!((plan["train_examples"].as_u64(), plan["epochs"].as_u64()), (Some(TRAIN as u64), Some(3)));
    let longest = receipt["lengths"]["longest"].as_u64();
    assert!(longest.is_none_or(|longest| plan["tokens"]["longest_example"] == longest), "{receipt}");
    // Sixteen of the longest have at least as many tokens as any other sixteen, and at most sixteen times the longest.
    let tokens = |name: &str| plan["tokens"][name].as_u64().unwrap();
    assert!(tokens("longest_step") >= tokens("typical_step"));
    assert!(tokens("longest_step") <= 16 * tokens("longest_example"));
    assert!(tokens("longest_step") * (TRAIN as u64) >= 16 * tokens("train"));
    // What is saved is the safetensors file without its header.
    let file = std::fs::metadata(stage.path("out/model.safetensors")).unwrap().len();
    let model = plan["disk"]["model"].as_u64().unwrap();
    assert!(model < file && file < model + 10_000, "{model} of {file}");
    for name in ["longest_step", "typical_step", "evaluation", "total"] {
        assert!(plan["seconds"][name].as_f64().unwrap() > 0.0, "{name}");
    }
}

#[test]
fn a_probe_has_no_steps_and_an_adapter_little_to_keep() {
    let stage = Stage::new();
    let probe = numbers(&stage, &["--strategy", "probe"]);
    assert_eq!((probe["steps"].as_u64(), probe["disk"]["checkpoints"].as_u64()), (Some(0), Some(0)));
    let [whole, adapter] = ["full", "lora"].map(|strategy| numbers(&stage, &["--strategy", strategy]));
    let kept = |plan: &serde_json::Value| plan["disk"]["model"].as_u64().unwrap();
    assert!(2 * kept(&adapter) < kept(&whole));
}

#[test]
fn people_read_it_in_lines() {
    let stage = Stage::new();
    let told = stage.finetuned("planned", &["--plan"]).stdout;
    for word in ["examples", "steps", "a step", "longest", "time", "memory", "disk"] {
        assert!(told.lines().any(|line| line.starts_with(word)), "{word}: {told}");
    }
}
