//! `xexp pretrain` and `xexp distill` from end to end: what they learn, leave, refuse, and that they resume.

use std::process::Command;

use crate::program::{Outcome, outcome};
use crate::resume::{caught, killed_in};
use crate::support::stage::{Stage, listing, sha256};

/// A small encoder on the stage's sentences.
const PRETRAIN: [&str; 10] = [
    "pretrain",
    "--train=train.csv",
    "--width=16",
    "--layers=2",
    "--heads=2",
    "--vocabulary=120",
    "--lr=3e-3",
    "--split=0.1",
    "--quiet",
    "--log-every=7",
];

/// A student of the stage's model.
const DISTILL: [&str; 9] = [
    "distill",
    "--model=model",
    "--train=train.csv",
    "--layers=1",
    "--hidden=8",
    "--lr=3e-3",
    "--split=0.1",
    "--quiet",
    "--log-every=7",
];

fn run(stage: &Stage, flags: &[&str], more: &[&str]) -> Command {
    stage.command(&[flags, more].concat())
}

fn finished(stage: &Stage, flags: &[&str], more: &[&str]) -> Outcome {
    let outcome = outcome(&mut run(stage, flags, more));
    assert_eq!(outcome.code, Some(0), "{more:?}: {}", outcome.stderr);
    outcome
}

/// Training losses of a run, in its order.
fn losses(stage: &Stage, output: &str) -> Vec<f64> {
    let table = stage.text(&format!("{output}/metrics.csv"));
    table.lines().skip(1).filter_map(|line| line.split(',').nth(5)?.parse().ok()).collect()
}

#[test]
fn losses_fall_and_the_folder_is_a_model() {
    let stage = Stage::new();
    for (flags, output, architecture) in
        [(&PRETRAIN[..], "pretrained", "BertForMaskedLM"), (&DISTILL[..], "distilled", "BertModel")]
    {
        finished(&stage, flags, &["--epochs=30", "--output", output]);
        let losses = losses(&stage, output);
        // The mean of the last five rows against the first. The sentences' words are independent draws, of which no
        // more can be learned than how often each comes; that is most of a tenth.
        let last = losses[losses.len() - 5..].iter().sum::<f64>() / 5.0;
        assert!(last < 0.92 * losses[0], "{output}: {losses:?}");
        let left = listing(&stage.path(output));
        for file in [
            "README.md",
            "config.json",
            "metrics.csv",
            "model.safetensors",
            "results.json",
            "run.json",
            "tokenizer.json",
        ] {
            assert!(left.contains(&file.to_string()), "{output}: {left:?}");
        }
        assert!(!left.iter().any(|name| name.starts_with("checkpoint")), "{left:?}");
        let config = stage.json(&format!("{output}/config.json"));
        assert_eq!(config["architectures"][0], architecture);
        assert_eq!(config["dtype"], "float32");
        let weights = stage.path(output).join("model.safetensors");
        assert_eq!(stage.hash(output), sha256(&weights));
        // What was made is what finetune takes.
        stage.finetuned(&format!("{output}-tuned"), &["--model", output, "--epochs", "1"]);
    }
}

#[test]
fn a_student_goes_on_from_where_it_was_left() {
    let stage = Stage::new();
    finished(&stage, &DISTILL, &["--epochs=30", "--vocabulary=130", "--output=first"]);
    // Its sizes and vocabulary are its own: the flags that say them are for a new one.
    let on: Vec<&str> =
        DISTILL.into_iter().filter(|f| !f.contains("layers") && !f.contains("hidden")).collect();
    finished(&stage, &on, &["--epochs=10", "--student=first", "--output=second"]);
    let (first, second) = (losses(&stage, "first"), losses(&stage, "second"));
    assert!(second[0] < 0.8 * first[0], "{first:?} {second:?}");
    let valid = |output: &str| stage.json(&format!("{output}/results.json"))["valid_loss"].as_f64().unwrap();
    assert!(valid("second") < valid("first"), "{} {}", valid("first"), valid("second"));
    for file in ["config.json", "tokenizer.json"] {
        assert_eq!(stage.text(&format!("first/{file}")), stage.text(&format!("second/{file}")), "{file}");
    }
    let both = outcome(&mut run(&stage, &DISTILL, &["--student=first", "--output=third"]));
    assert_eq!(both.code, Some(2), "{}", both.stderr);
    let nobody = outcome(&mut run(&stage, &on, &["--student=nobody", "--output=third"]));
    assert_eq!(nobody.code, Some(2), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("--student nobody: no such folder"), "{}", nobody.stderr);
    // Where the program lies says nothing about the run.
    let command = stage.json("second/run.json")["command"].as_str().unwrap().to_string();
    assert!(command.starts_with("xexp distill "), "{command}");
    let stranger = outcome(&mut run(&stage, &on, &["--student=bundled:mini-text", "--output=third"]));
    assert_eq!(stranger.code, Some(2), "{}", stranger.stderr);
}

#[test]
fn a_run_killed_in_the_middle_ends_as_one_that_was_not() {
    let stage = Stage::new();
    for (flags, name) in [(&PRETRAIN[..], "pretrain"), (&DISTILL[..], "distill")] {
        let (killed, whole) = (format!("{name}-killed"), format!("{name}-whole"));
        let long = |output: &str, more: &str| {
            run(
                &stage,
                flags,
                &["--epochs=40", "--batch-size=16", "--output", output, "--checkpoint-every=5", more],
            )
        };
        let folder = stage.path(&killed);
        let child = caught(long(&killed, "--seed=9"), &folder, 4);
        let step = killed_in(&folder, child);
        let mut again = long(&killed, "--seed=9");
        let child = caught(
            {
                again.arg("--resume");
                again
            },
            &folder,
            step + 10,
        );
        killed_in(&folder, child);
        let mut again = long(&killed, "--seed=9");
        let resumed = outcome(again.arg("--resume"));
        assert_eq!(resumed.code, Some(0), "{}", resumed.stderr);
        finished(&stage, flags, &["--epochs=40", "--batch-size=16", "--output", &whole, "--seed=9"]);
        assert_eq!(stage.hash(&killed), stage.hash(&whole), "{name}");
        let table = |output: &str| stage.text(&format!("{output}/metrics.csv"));
        assert_eq!(table(&killed), table(&whole), "{name}");
        let other = outcome(&mut long(&killed, "--resume"));
        assert_eq!(other.code, Some(2), "a finished run is not resumed");
    }
}

#[test]
fn another_run_is_not_resumed_and_what_is_there_is_not_written_over() {
    let stage = Stage::new();
    let folder = stage.path("out");
    let flags = ["--epochs=40", "--output=out", "--checkpoint-every=2"];
    let child = caught(run(&stage, &PRETRAIN, &flags), &folder, 1);
    killed_in(&folder, child);
    let before = listing(&folder);
    let refused = |more: &[&str]| {
        let outcome = outcome(&mut run(&stage, &PRETRAIN, &[&flags[..], more].concat()));
        assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
        assert_eq!(listing(&folder), before);
        outcome.stderr
    };
    assert!(refused(&[]).contains("not empty"));
    assert!(refused(&["--resume", "--mask=0.3"]).contains("mask was 0.15, and is now 0.3"));
    assert!(refused(&["--resume", "--overwrite"]).contains("exclude each other"));
}

#[test]
fn what_cannot_be_made_is_refused_before_anything_is_written() {
    let stage = Stage::new();
    std::fs::write(stage.path("empty.txt"), "").unwrap();
    let cases: [(&[&str], &str); 11] = [
        (&["pretrain", "--output=o"], "--train FILE"),
        (&["pretrain", "--output=o", "--train=no.csv"], "no such file"),
        (&["pretrain", "--output=o", "--train=empty.txt"], "expected rows"),
        (&["pretrain", "--output=o", "--train=train.csv", "--vocabulary=9"], "larger --vocabulary"),
        (&["pretrain", "--output=o", "--train=train.csv", "--width=10", "--heads=3"], "num_attention_heads"),
        (&["distill", "--output=o", "--train=train.csv"], "no teacher"),
        (&["distill", "--output=o", "--train=train.csv", "--model=model", "--take=0,9"], "blocks 0 to 1"),
        (&["distill", "--output=o", "--train=train.csv", "--model=model", "--width=8"], "--begin random"),
        (
            &[
                "distill",
                "--output=o",
                "--train=train.csv",
                "--model=model",
                "--begin=random",
                "--width=8",
                "--states=1",
            ],
            "teacher's width",
        ),
        (
            &["distill", "--output=o", "--train=train.csv", "--model=model", "--pooling=max"],
            "mean, first or features",
        ),
        (
            &["distill", "--output=o", "--train=train.csv", "--model=model", "--vocabulary=3"],
            "larger --vocabulary",
        ),
    ];
    for (arguments, expected) in cases {
        let outcome = outcome(&mut stage.command(arguments));
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{arguments:?}: {}", outcome.stderr);
        assert!(!stage.path("o").exists(), "{arguments:?}");
    }
}

#[test]
fn a_student_of_another_width_and_a_model_that_goes_on_are_made_too() {
    let stage = Stage::new();
    let narrow =
        ["--begin=random", "--width=8", "--heads=2", "--epochs=2", "--output=narrow", "--save-dtype=bf16"];
    finished(&stage, &DISTILL, &narrow);
    let config = stage.json("narrow/config.json");
    assert_eq!((config["hidden_size"].as_u64(), config["dtype"].as_str()), (Some(8), Some("bfloat16")));
    stage.finetuned("narrow-tuned", &["--model", "narrow", "--epochs", "1"]);

    // Several files, from a config file.
    std::fs::write(stage.path("pretrain.toml"), "train = [\"train.csv\", \"test.csv\"]\nepochs = 2\n")
        .unwrap();
    let flags: Vec<&str> = PRETRAIN.iter().copied().filter(|flag| !flag.starts_with("--train")).collect();
    finished(&stage, &flags, &["--config=pretrain.toml", "--output=first"]);
    assert_eq!(stage.json("first/run.json")["inputs"].as_array().unwrap().len(), 2);
    let further =
        ["pretrain", "--model=first", "--train=train.csv", "--epochs=1", "--quiet", "--output=further"];
    finished(&stage, &further, &[]);
    let parameters = |output: &str| stage.json(&format!("{output}/results.json"))["parameters"].clone();
    assert_eq!(parameters("further"), parameters("first"));
    assert_eq!(stage.text("further/tokenizer.json"), stage.text("first/tokenizer.json"));
}
