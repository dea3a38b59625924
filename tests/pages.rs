//! Completions and manual pages: from the same definitions as `--help`, so they know every flag.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::program::{command, xexp};

#[test]
fn completions_know_the_commands_and_their_flags() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = xexp(&["completions", shell]);
        assert_eq!((script.code, script.stderr.as_str()), (Some(0), ""), "{shell}");
        for word in ["finetune", "evaluate", "head-init", "orthogonal-is-no-flag"] {
            let expected = word != "orthogonal-is-no-flag";
            assert_eq!(script.stdout.contains(word), expected, "{shell}: {word}");
        }
    }
}

#[test]
fn completions_parse_in_the_shells_that_are_here() {
    for shell in ["bash", "zsh", "fish"] {
        let script = xexp(&["completions", shell]).stdout;
        let spawned = Command::new(shell).arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut process) = spawned else {
            assert_ne!(shell, "bash", "bash is needed here");
            eprintln!("{shell} is not installed: its completions were not parsed");
            continue;
        };
        process.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let root = xexp(&["man"]);
    assert_eq!((root.code, root.stderr.as_str()), (Some(0), ""));
    assert!(root.stdout.contains(".TH xexp 1"), "{}", root.stdout);
    for name in
        ["finetune", "predict", "evaluate", "list", "run", "check", "report", "doctor", "completions", "man"]
    {
        assert!(root.stdout.contains(name), "{name}: {}", root.stdout);
        let page = xexp(&["man", name]).stdout;
        assert!(page.contains(&format!(".TH xexp-{name} 1")), "{page}");
        assert!(page.contains(".SH OPTIONS"), "{page}");
    }
    assert!(xexp(&["man", "finetune"]).stdout.contains("head\\-init"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut process =
        command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(process.stdout.take());
    let output = process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
