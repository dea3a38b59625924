//! The `xexp` binary, run as a user would run it, but with nobody's environment in its way.

use std::ffi::OsStr;
use std::process::Command;

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program with these arguments, ready to run: no `XEXP_…`, `HF_…` or `RUST_LOG` from outside.
pub fn command<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xexp"));
    for (name, _) in std::env::vars_os() {
        let ours = name.to_str().is_some_and(|n| n.starts_with("XEXP_") || n.starts_with("HF_"));
        if ours || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    command
}

/// Runs a prepared program to its end.
pub fn outcome(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the program with these arguments to its end.
pub fn xexp<S: AsRef<OsStr>>(arguments: &[S]) -> Outcome {
    outcome(&mut command(arguments))
}
