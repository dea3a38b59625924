//! Runs that are stopped in the middle, by force or by request, and go on as if they had never been.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::program::outcome;
use crate::support::stage::{Stage, listing};

/// Long enough to be caught in the middle: 25 epochs of 14 steps. Rows of the log and checkpoints fall on different
/// steps, so that a checkpoint must carry what the next row will hold.
const LONG: [&str; 6] = ["--epochs", "25", "--checkpoint-every", "3", "--log-every", "5"];

/// The steps of the checkpoints in a folder, in order.
fn checkpoints(folder: &Path) -> Vec<u64> {
    let names = if folder.is_dir() { listing(folder) } else { vec![] };
    let mut steps: Vec<u64> =
        names.iter().filter_map(|name| name.strip_prefix("checkpoint-")?.parse().ok()).collect();
    steps.sort_unstable();
    steps
}

/// Starts a long run and waits until it has a checkpoint beyond `step`.
fn started(stage: &Stage, output: &str, step: u64, more: &[&str]) -> Child {
    caught(stage.finetune(output, &[&LONG, more].concat()), &stage.path(output), step)
}

/// Starts a run into `folder` and waits until it has a checkpoint beyond `step`.
pub fn caught(mut command: Command, folder: &Path, step: u64) -> Child {
    // One thread here and all of them in the reference: the number must not matter.
    command.env("RAYON_NUM_THREADS", "1").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while checkpoints(folder).last().is_none_or(|last| *last <= step) {
        let ended = child.try_wait().unwrap();
        if ended.is_some() || start.elapsed() > Duration::from_secs(60) {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!("no checkpoint beyond {step}: {ended:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
        sleep(Duration::from_millis(1));
    }
    child
}

fn killed(stage: &Stage, output: &str, child: Child) -> u64 {
    killed_in(&stage.path(output), child)
}

/// Ends a run by `kill -9`; returns the step of its newest checkpoint.
pub fn killed_in(folder: &Path, mut child: Child) -> u64 {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.code(), None, "the run had ended by itself");
    assert!(!folder.join("results.json").exists());
    *checkpoints(folder).last().unwrap()
}

/// Sends a signal by name and waits for the end.
fn signalled(child: Child, signal: &str) -> Output {
    let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    child.wait_with_output().unwrap()
}

/// Resumes a long run to its end, and holds it against one that was never stopped.
fn assert_resumes(stage: &Stage, output: &str) {
    stage.finetuned(output, &[&LONG[..], &["--resume"]].concat());
    if !stage.path("whole").exists() {
        // Without checkpoints of its own: saving must not change what is computed.
        stage.finetuned("whole", &["--epochs", "25", "--log-every", "5"]);
    }
    assert_eq!(stage.hash(output), stage.hash("whole"));
    let table = |output: &str| stage.text(&format!("{output}/metrics.csv"));
    assert_eq!(table(output), table("whole"));
    let scores = |output: &str| stage.json(&format!("{output}/results.json"))["valid"].clone();
    assert_eq!(scores(output), scores("whole"));
    let left = listing(&stage.path(output));
    assert_eq!(left, listing(&stage.path("whole")), "nothing stays behind");
}

#[test]
fn a_run_killed_twice_ends_as_one_that_was_not() {
    let stage = Stage::new();
    let child = started(&stage, "out", 4, &[]);
    let step = killed(&stage, "out", child);
    let child = started(&stage, "out", step + 20, &["--resume"]);
    let later = killed(&stage, "out", child);
    assert!(later > step);
    // What a kill in the midst of writing leaves.
    let out = stage.path("out");
    std::fs::create_dir_all(out.join(format!(".checkpoint-{}.partial", later + 3))).unwrap();
    std::fs::write(out.join(".xexp-1-7.partial"), "half of a f").unwrap();
    assert_resumes(&stage, "out");
}

#[test]
fn ctrl_c_and_sigterm_save_and_exit_with_75() {
    let stage = Stage::new();
    for signal in ["INT", "TERM"] {
        let child = started(&stage, signal, 4, &[]);
        let before = *checkpoints(&stage.path(signal)).last().unwrap();
        let ended = signalled(child, signal);
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(75), "{signal}: {said}");
        assert_eq!(ended.stdout, b"", "an interrupted run has no results");
        assert!(said.contains("--resume"), "{said}");
        assert!(!stage.path(signal).join("results.json").exists());
        // It saves where it stands, not only every third step.
        let after = *checkpoints(&stage.path(signal)).last().unwrap();
        assert!(after >= before && said.contains(&format!("step {after}")), "{after}: {said}");
        assert_resumes(&stage, signal);
    }
}

#[test]
fn a_checkpoint_is_a_model_folder_of_its_own() {
    let stage = Stage::new();
    let child = started(&stage, "out", 20, &[]);
    let step = killed(&stage, "out", child);
    let folder = format!("out/checkpoint-{step}");
    let predicted = outcome(&mut stage.command(&["predict", "--model", &folder, "--input", "test.csv"]));
    assert_eq!(predicted.code, Some(0), "{}", predicted.stderr);
    // The newest, the one before it, and the one that it was about to remove.
    assert!(checkpoints(&stage.path("out")).len() <= 3);
}

#[test]
fn only_the_same_run_can_be_resumed() {
    let stage = Stage::new();
    let child = started(&stage, "out", 0, &[]);
    killed(&stage, "out", child);
    let files = ["head.json", "data.json", "metrics.csv"].map(|name| format!("out/{name}"));
    let state = || (listing(&stage.path("out")), files.each_ref().map(|name| stage.text(name)));
    let before = state();
    let refuse = |more: &[&str], needles: &[&str]| {
        let outcome = outcome(&mut stage.finetune("out", &[&LONG[..], &["--resume"], more].concat()));
        assert_eq!(outcome.code, Some(2), "{more:?}: {}", outcome.stderr);
        for needle in needles {
            assert!(outcome.stderr.contains(needle), "{more:?}: {needle}: {}", outcome.stderr);
        }
        assert!(outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
    };
    refuse(&["--lr", "1e-3"], &["lr was 0.003", "now 0.001"]);
    refuse(&["--seed", "7"], &["seed was 42", "now 7"]);
    refuse(&["--batch-size", "8"], &["batch"]);
    refuse(&["--head-init", "he"], &["head", "xavier"]);
    refuse(&["--weight-decay", "0"], &["decay"]);
    refuse(&["--train", "test.csv"], &["train"]);
    refuse(&["--on-bad-row", "skip"], &["reading"]);
    assert_eq!(state(), before, "a refusal changes nothing");

    let newest = *checkpoints(&stage.path("out")).last().unwrap();
    let weights = stage.path(&format!("out/checkpoint-{newest}/model.safetensors"));
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    refuse(&[], &[&format!("checkpoint-{newest}"), "safetensors"]);
    std::fs::write(&weights, &bytes).unwrap();
    assert_resumes(&stage, "out");
}

#[test]
fn there_must_be_something_to_resume() {
    let stage = Stage::new();
    std::fs::create_dir(stage.path("empty")).unwrap();
    stage.finetuned("done", &["--max-steps", "2"]);
    let hash = stage.hash("done");
    for (output, needle) in
        [("none", "nothing to go on from"), ("empty", "nothing to go on from"), ("done", "finished")]
    {
        let outcome = outcome(&mut stage.finetune(output, &["--max-steps", "2", "--resume"]));
        assert_eq!(outcome.code, Some(2), "{output}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(needle), "{output}: {}", outcome.stderr);
    }
    assert!(!stage.path("none").exists());
    assert_eq!(listing(&stage.path("empty")), [""; 0]);
    assert_eq!(stage.hash("done"), hash);
}

#[test]
fn a_folder_that_is_no_run_is_not_resumed_into() {
    let stage = Stage::new();
    std::fs::create_dir(stage.path("mine")).unwrap();
    std::fs::write(stage.path("mine/README.md"), "precious").unwrap();
    let outcome = outcome(&mut stage.finetune("mine", &["--max-steps", "2", "--resume"]));
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    assert_eq!(listing(&stage.path("mine")), ["README.md"]);
    assert_eq!(stage.text("mine/README.md"), "precious");
}

#[test]
fn a_run_over_an_old_one_can_be_resumed_too() {
    let stage = Stage::new();
    stage.finetuned("out", &["--max-steps", "2", "--lr", "1e-4"]);
    let child = started(&stage, "out", 0, &["--overwrite"]);
    killed(&stage, "out", child);
    assert_resumes(&stage, "out");
}
