//! The command line: help, exit codes, and what is refused before any work begins.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::xexp;

const COMMANDS: [&str; 13] = [
    "finetune",
    "predict",
    "evaluate",
    "serve",
    "compare",
    "config",
    "list",
    "run",
    "check",
    "report",
    "doctor",
    "completions",
    "man",
];

/// A folder with an empty model folder and an empty training file: enough to pass for input until
/// somebody reads it.
fn stage() -> (TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (model, train) = (folder.path().join("model"), folder.path().join("train.csv"));
    std::fs::create_dir(&model).unwrap();
    std::fs::write(&train, "").unwrap();
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    (folder, text(model), text(train))
}

#[test]
fn help_names_every_command_and_every_command_has_help() {
    let help = xexp(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for command in COMMANDS {
        assert!(help.stdout.contains(&format!("\n  {command} ")), "{}", help.stdout);
        let own = xexp(&[command, "--help"]);
        assert_eq!(own.code, Some(0), "{command}");
        assert!(own.stdout.contains("Usage: xexp"), "{}", own.stdout);
    }
}

#[test]
fn help_is_fast() {
    // The aim is 10 ms; the bound leaves room for a busy machine, and the best of ten runs is what
    // the program itself needs.
    let best = (0..10).map(|_| {
        let start = Instant::now();
        assert_eq!(xexp(&["finetune", "--help"]).code, Some(0));
        start.elapsed()
    });
    let best = best.min().unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
}

#[test]
fn version_is_the_packages() {
    let version = xexp(&["--version"]);
    assert_eq!((version.code, version.stdout), (Some(0), format!("xexp {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn mistakes_in_the_arguments_exit_with_2_and_say_which() {
    for (arguments, expected) in [
        (&["finetune", "--epoch", "3"][..], "--epochs"),
        (&["finetun"][..], "finetune"),
        (&["finetune", "--epochs", "0"][..], "--epochs"),
        (&["finetune", "--lr", "nan"][..], "expected a number above 0"),
        (&["finetune", "--warmup", "1.5"][..], "expected a number from 0 to 1"),
        (&["finetune", "--head-init", "normal"][..], "normal:STD"),
        (&["finetune", "--head-init", "kaiming"][..], "xavier"),
        (&["finetune", "--strategy", "adapters"][..], "probe, full, lp-ft, lora"),
        (&["finetune", "--split", "0.2", "--valid", "v.csv"][..], "cannot be used with"),
        (&["predict", "--delimiter", "ab"][..], "one ASCII character"),
        (&["completions", "tcsh"][..], "bash"),
        (&["man", "finetun"][..], "xexp man finetune"),
        (&[][..], "Usage: xexp"),
    ] {
        let outcome = xexp(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{arguments:?}: {}", outcome.stderr);
        assert_eq!(outcome.stdout, "", "{arguments:?}");
    }
}

#[test]
fn an_input_that_is_not_there_exits_with_2_and_the_flag_to_give() {
    let (folder, model, train) = stage();
    let typo = folder.path().join("trian.csv");
    let typo = typo.to_str().unwrap();
    for (arguments, expected) in [
        (&["predict", "--input", &train][..], "--model DIR"),
        (&["evaluate", "--data", &train][..], "--model DIR"),
        (&["finetune", "--model", &model][..], "config.json is missing"),
        (&["predict", "--model", &model][..], "--input DATA"),
        (&["evaluate", "--model", &model][..], "--data DATA"),
        (&["finetune", "--model", &train, "--train", &train][..], "expected a folder, found a file"),
        (&["finetune", "--train", &model][..], "images"),
        (&["finetune", "--model", &model, "--train", typo][..], "did you mean"),
        (&["finetune", "--model", "name", "--train", &train][..], "ORG/NAME"),
        (&["finetune", "--model", "hub:a--b/c", "--train", &train][..], "ORG/NAME@REVISION"),
        (&["finetune", "--model", "bundled:small", "--train", &train][..], "bundle"),
        (&["evaluate", "--model", &model, "--data", "hub:a--b/c"][..], "no repository of the Hub"),
    ] {
        let outcome = xexp(arguments);
        assert_eq!(outcome.code, Some(2), "{arguments:?}: {}", outcome.stderr);
        // What is found out only when data are read comes behind the line that names the device.
        let mut lines = outcome.stderr.lines().skip_while(|line| line.starts_with("device: "));
        assert!(lines.next().unwrap().starts_with("error: "), "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{arguments:?}: {}", outcome.stderr);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was written");
}

#[test]
fn an_output_folder_with_something_in_it_is_refused_and_untouched() {
    let (folder, model, train) = stage();
    let output = folder.path().join("out");
    std::fs::create_dir(&output).unwrap();
    std::fs::write(output.join("results.json"), "precious").unwrap();
    let output = output.to_str().unwrap();
    for (command, input) in [("finetune", "--train"), ("predict", "--input"), ("evaluate", "--data")] {
        let outcome = xexp(&[command, "--model", &model, input, &train, "--output", output]);
        assert_eq!(outcome.code, Some(2), "{command}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("--overwrite"), "{command}: {}", outcome.stderr);
    }
    let kept = std::fs::read_to_string(folder.path().join("out/results.json")).unwrap();
    assert_eq!(kept, "precious");
}

#[test]
fn resume_wants_a_run_to_go_on_from() {
    let (folder, model, train) = stage();
    let new = folder.path().join("new");
    let new = new.to_str().unwrap();
    let base = ["finetune", "--model", &model, "--train", &train, "--resume"];
    for (more, expected) in [
        (&[][..], "--output DIR"),
        (&["--output", new][..], "nothing to go on from"),
        (&["--output", new, "--overwrite"][..], "exclude each other"),
    ] {
        let outcome = xexp(&[&base[..], more].concat());
        assert_eq!(outcome.code, Some(2), "{more:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{more:?}: {}", outcome.stderr);
    }
    assert!(!folder.path().join("new").exists());
}

#[test]
fn what_the_machine_lacks_exits_with_3() {
    let (_folder, model, train) = stage();
    let base = ["finetune", "--model", &model, "--train", &train];
    for (more, expected) in [(&["--device", "cuda"][..], "no CUDA"), (&["--device", "cuda:1"][..], "no CUDA")]
    {
        let outcome = xexp(&[&base[..], more].concat());
        assert_eq!(outcome.code, Some(3), "{more:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{more:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("\nhint: "), "{more:?}: {}", outcome.stderr);
    }
}

#[test]
fn falling_back_to_the_cpu_is_said_once_and_not_when_quiet() {
    let (_folder, model, train) = stage();
    let below_a_file = format!("{train}/out");
    let base = ["finetune", "--model", &model, "--train", &train, "--output", &below_a_file];
    let said = |more: &[&str]| xexp(&[&base[..], more].concat()).stderr.matches("device: cpu").count();
    assert_eq!(said(&[]), 1);
    assert_eq!(said(&["--quiet"]), 0);
    assert_eq!(said(&["--device", "cpu"]), 0);
}
