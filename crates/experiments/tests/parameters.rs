//! Other sizes than the usual ones: what is predicted are formulas, not constants.
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

use std::sync::atomic::AtomicBool;

use candle_core::Device;
use serde_json::{Value, json};
use xexp_experiments::EXPERIMENTS;
use xexp_experiments::bench::Bench;
use xexp_init::Seed;
use xexp_report::Verdict;
use xexp_report::lab::{Judgement, judge};

/// Runs an experiment with other parameters; every row must hold, every control must fail. At most `open` predictions
/// may stay undecided.
fn holds(id: &str, changes: Value, open: usize) {
    let entry = EXPERIMENTS.iter().find(|entry| entry.about.id == id).unwrap();
    let mut parameters = (entry.usual)().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        assert!(parameters.get(key).is_some(), "{id} has no parameter {key}");
        parameters[key] = value.clone();
    }
    let opened = (entry.open)(parameters).unwrap();
    let stop = AtomicBool::new(false);
    let bench = Bench { seed: Seed(3), device: &Device::Cpu, draws: None, stop: &stop };
    let mut all: Vec<Judgement> = vec![];
    for (setup, planned) in opened.plan().unwrap().iter().enumerate() {
        all.extend(judge(&planned.rows, &bench.measure(&*opened, setup, planned).unwrap()).unwrap());
    }
    let said: Vec<String> = all
        .iter()
        .filter(|j| j.verdict.is_some_and(|verdict| verdict != Verdict::Confirmed) && !j.row.control)
        .map(|j| format!("{}: {:?}, measured {:?}", j.row.row, j.row.predicted, j.measured.estimate))
        .collect();
    let failing: Vec<&str> = all.iter().filter(|j| j.fails()).map(|j| j.row.row.as_str()).collect();
    assert!(failing.is_empty(), "{id} {changes}: {failing:?}: {said:#?}");
    assert!(said.len() <= open, "{id} {changes}: {said:#?}");
}

#[test]
fn convolutions_of_other_kernels_and_strides() {
    holds("conv-fan", json!({"layers": [[24, 40, 5]], "dense": [[96, 24]]}), 0);
    holds("conv-stride-backward", json!({"layers": [[24, 40, 5, 3]]}), 0);
    holds("conv-padding-leak", json!({"kernel": 5, "side": 12, "depths": [5], "channels": 32}), 1);
    holds(
        "depthwise-fan",
        json!({"channels": 24, "kernel": 5, "depths": [1, 3], "multipliers": [[12, 3]]}),
        1,
    );
    holds("pointwise-fan", json!({"blocks": [[48, 96, 5]]}), 0);
    holds("transposed-phase", json!({"kernels": [[7, 3]]}), 0);
    holds("checkerboard-energy", json!({"kernels": [[4, 3]]}), 0);
}

#[test]
fn sums_of_other_counts_and_depths() {
    holds("inception-sum", json!({"branches": [5], "width": 96}), 0);
    holds("residual-doubling", json!({"depth": 6, "normalised_depth": 12, "scaled_depth": 20}), 1);
    holds("unet-concat", json!({"channels": 96, "output": 160}), 0);
    holds("rnn-driven-variance", json!({"hidden": 256, "inputs": [96], "steps": 7}), 0);
    holds("dropout-scaling", json!({"cases": [[0.3, 0.5]], "stack_p": 0.3, "depth": 5}), 0);
    holds("fp16-range", json!({"gains": [4.0], "layers": [7, 8, 9]}), 1);
}

#[test]
fn attention_of_other_widths_heads_and_depths() {
    holds("attn-logit-variance", json!({"width": 96, "heads": 6, "gain": 4.0, "tokens": 64}), 1);
    holds(
        "attn-entropy-law",
        json!({"variances": [[200, 1.5]], "multiples": [[200, 3.0]], "causal": [[50, 0.5]]}),
        0,
    );
    let deep = json!({
        "width": 96, "heads": 6, "hidden": 288, "tokens": 32, "depth": 20, "blocks": [0, 9, 19],
        "stacks": ["pre", "peri"],
    });
    holds("ln-placement-forward", deep, 1);
}

#[test]
fn gains_rates_and_heads_of_other_sizes() {
    holds("adam-vs-sgd-gain", json!({"gains": [4.0], "train_gains": [1.0], "runs": 2, "steps": 50}), 0);
    holds("lipschitz-max-lr", json!({"depths": [2], "width": 96, "classes": [5], "shapes": [[96, 240]]}), 1);
    holds("head-init", json!({"width": 320, "classes": [7]}), 0);
}
