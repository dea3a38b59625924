//! A folder with the tiny model and data for it, and the runs made there.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::sentences::{sentences, write};
use super::tiny_bert::TinyBert;
use crate::program::{Outcome, command, outcome};

/// Rows of the training and of the test file.
pub const TRAIN: usize = 240;
pub const TEST: usize = 80;

/// A folder that goes away with it: `model/`, `train.csv`, `test.csv`, and the outputs.
pub struct Stage {
    folder: TempDir,
}

impl Stage {
    pub fn new() -> Self {
        let stage = Stage { folder: tempfile::tempdir().unwrap() };
        TinyBert::default().write(&stage.path("model"));
        write(&stage.path("train.csv"), &sentences("train", TRAIN));
        write(&stage.path("test.csv"), &sentences("test", TEST));
        stage
    }

    /// The path of something in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    pub fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).unwrap()
    }

    /// A fine-tuning that learns the task within a second, into the folder `output`. A flag in `more` wins over the
    /// same flag here.
    pub fn finetune(&self, output: &str, more: &[&str]) -> Command {
        let defaults = [
            ("--model", "model"),
            ("--train", "train.csv"),
            ("--output", output),
            ("--epochs", "4"),
            ("--batch-size", "16"),
            ("--lr", "3e-3"),
            ("--device", "cpu"),
            ("--quiet", "true"),
        ];
        let mut arguments = vec!["finetune".to_owned()];
        for (flag, value) in defaults {
            let given = |word: &str| word == flag || word.starts_with(&format!("{flag}="));
            if !more.iter().any(|word| given(word)) {
                arguments.push(format!("{flag}={value}"));
            }
        }
        arguments.extend(more.iter().map(|word| (*word).to_owned()));
        self.command(&arguments)
    }

    /// The program, in the folder: relative paths are in it.
    pub fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = command(arguments);
        command.current_dir(self.folder.path());
        command
    }

    /// Runs a fine-tuning to its good end.
    pub fn finetuned(&self, output: &str, more: &[&str]) -> Outcome {
        let outcome = outcome(&mut self.finetune(output, more));
        assert_eq!(outcome.code, Some(0), "{output}: {}", outcome.stderr);
        outcome
    }

    /// What `results.json` says the weights' hash is.
    pub fn hash(&self, output: &str) -> String {
        self.json(&format!("{output}/results.json"))["weights_sha256"].as_str().unwrap().to_owned()
    }
}

/// SHA-256 of a file, in lower-case hexadecimal.
pub fn sha256(path: &Path) -> String {
    Sha256::digest(std::fs::read(path).unwrap()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The names of what lies in a folder, sorted.
pub fn listing(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
