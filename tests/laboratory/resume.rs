//! Runs that are stopped in the middle, and go on as if they had never been.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{files, json, place, tables, text};
use crate::program::{command, xexp};

/// Starts a run and waits until it has measured a set-up.
fn started(out: &Path, arguments: &[&str]) -> std::process::Child {
    let base = ["run", "conv-fan", "--quiet", "--output", out.to_str().unwrap()];
    let mut command = command(&[&base[..], arguments].concat());
    command.env("RAYON_NUM_THREADS", "1").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let began = Instant::now();
    while !out.join("cells/0.json").exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended too early");
        assert!(began.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

/// Two set-ups of which the second takes long enough to be caught in it.
const LONG: [&str; 4] = ["--set", "layers=[[4, 4, 3], [32, 32, 3]]", "--set", "side=24"];

#[test]
fn a_run_that_is_stopped_goes_on_and_ends_as_one_that_was_not() {
    let (folder, _) = place();
    let whole = folder.path().join("whole");
    let base = ["run", "conv-fan", "--quiet", "--output"];
    let whole_run = xexp(&[&base[..], &[whole.to_str().unwrap()], &LONG].concat());
    assert!(matches!(whole_run.code, Some(0 | 1)), "{}", whole_run.stderr);
    for signal in ["KILL", "INT"] {
        let out = folder.path().join(signal);
        let child = started(&out, &LONG);
        let predicted = text(&out.join("predicted.csv"));
        let record = json(&text(&out.join("run.json")));
        assert_eq!(record["status"], "measuring");
        assert!(record["sha256"]["predicted.csv"].is_string() && record["sha256"]["verdicts.csv"].is_null());
        let sent = std::process::Command::new("kill")
            .args([&format!("-{signal}"), &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        match signal {
            "INT" => {
                assert_eq!(ended.status.code(), Some(75), "{said}");
                assert!(said.contains("--resume"), "{said}");
            }
            _ => assert_eq!(ended.status.code(), None, "the run had ended by itself"),
        }
        let unfinished = xexp(&["check", out.to_str().unwrap()]);
        assert_eq!(unfinished.code, Some(1), "{}", unfinished.stderr);

        let resume = |more: &[&str]| xexp(&[&base[..], &[out.to_str().unwrap(), "--resume"], more].concat());
        for (more, needle) in [
            (&[&LONG[..], &["--seed", "7"]].concat()[..], "seed was 42, now 7"),
            (&LONG[..2], "side was 24, now 16"),
            (&[&LONG[..], &["--draws", "20"]].concat()[..], "draws was null, now 20"),
        ] {
            let refused = resume(more);
            assert_eq!(refused.code, Some(2), "{}", refused.stderr);
            assert!(refused.stderr.contains(needle), "{needle}: {}", refused.stderr);
        }
        let first = text(&out.join("cells/0.json"));
        let resumed = resume(&LONG);
        assert_eq!(resumed.code, whole_run.code, "{}", resumed.stderr);
        assert_eq!(tables(&out), tables(&whole), "{signal}");
        assert_eq!(text(&out.join("predicted.csv")), predicted);
        assert!(!first.is_empty() && files(&out) == files(&whole), "nothing stays behind");
        assert!(resume(&LONG).stderr.contains("finished"));
    }
}
