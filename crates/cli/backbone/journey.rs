//! The way of a backbone from its first step to its folder.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::UNIX_EPOCH;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use xexp_backbones::checkpoint::{Extent, serialize_as};
use xexp_report::{Valid, atomic};
use xexp_train::{Checkpoints, Evaluation, Objective, Settings};

use super::{Corpus, Job};
use crate::args::course;
use crate::args::{self, Format, Shared};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output;
use crate::provenance;
use crate::running;
use crate::stdout;

/// Everything that the two commands say of their own runs.
pub struct Journey<'a> {
    /// Name of the command.
    pub command: &'static str,
    /// The flags as given, for the manifest.
    pub config: Value,
    /// The flags that commands share.
    pub shared: &'a Shared,
    /// Which texts, and how weights are saved.
    pub flags: &'a args::Corpus,
    /// Output folder and device.
    pub job: &'a Job,
    /// The texts.
    pub corpus: &'a Corpus,
    /// The loss.
    pub objective: &'a dyn Objective,
    /// How the steps go.
    pub settings: &'a Settings,
    /// `config.json`, with the number format still to come.
    pub model_config: Map<String, Value>,
    /// The tokenizer's files.
    pub tokenizer: Vec<(String, Vec<u8>)>,
    /// What else must be the same for a resumed run to be the same run.
    pub identity: Vec<(&'static str, Value)>,
    /// Which weights belong to the saved model.
    pub wanted: fn(&str) -> bool,
    /// One sentence of what the model is and how it was made, for its card.
    pub summary: String,
}

/// `results.json`.
#[derive(Debug, Serialize)]
pub struct Outcome {
    task: &'static str,
    train_texts: usize,
    valid_texts: usize,
    parameters: usize,
    epochs: u32,
    steps: u64,
    best_step: u64,
    seconds: f64,
    texts_per_second: f64,
    valid_loss: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_accuracy: Option<f64>,
    device: String,
    seed: u64,
    weights_bytes: usize,
    weights_sha256: String,
}

impl Journey<'_> {
    /// Trains, saves, reports.
    ///
    /// # Errors
    /// Whatever ends the run early, with its exit code.
    pub fn run(&self, stop: &AtomicBool) -> Result<Exit, Failure> {
        let output = &self.job.output;
        let write = |name: &str, content: &[u8]| atomic::write(output.join(name), content);
        output::prepare(output, self.job.existing)?;
        provenance::remove(&output.join("results.json"))?;
        let stored = self.flags.save_dtype.stored();
        let checkpoints = Checkpoints {
            output: output.clone(),
            identity: self.identity(),
            companions: self.files("float32")?,
            extent: Extent::Model,
        };
        let resume = running::resumes(&checkpoints, self.flags.resume, self.shared.quiet)?;
        if !resume {
            write("run.json", stdout::json(&self.manifest())?.as_bytes())?;
        }
        let (objective, quiet) = (self.objective, self.shared.quiet);
        let ran = running::fit(objective, self.settings, &checkpoints, resume, quiet, stop)?;
        let Some(ran) = ran else { return Ok(Exit::Interrupted) };
        stored.round(objective.params(), Extent::Model)?;
        let valid = match objective.evaluate(self.settings.batch_size, stop)? {
            Evaluation::Interrupted => return Ok(Exit::Interrupted),
            Evaluation::Scored(valid) => valid,
            Evaluation::Nothing => Valid::default(),
        };
        let bytes = serialize_as(objective.params(), stored, self.wanted)?;
        let outcome = Outcome {
            task: self.command,
            train_texts: self.corpus.train.len(),
            valid_texts: self.corpus.valid.len(),
            parameters: self.parameters(),
            epochs: self.settings.epochs,
            steps: ran.steps,
            best_step: ran.best_step,
            seconds: ran.seconds,
            texts_per_second: ran.examples_seen as f64 / ran.seconds.max(1e-9),
            valid_loss: valid.loss,
            valid_accuracy: valid.accuracy,
            device: self.job.device.to_string(),
            seed: self.shared.seed,
            weights_bytes: bytes.len(),
            weights_sha256: provenance::hex(&Sha256::digest(&bytes)),
        };
        for (name, content) in self.files(stored.name())? {
            write(&name, &content)?;
        }
        write("model.safetensors", &bytes)?;
        write("README.md", self.card(&outcome).as_bytes())?;
        // Written last: a folder with results.json is a finished run.
        write("results.json", stdout::json(&outcome)?.as_bytes())?;
        checkpoints.clear()?;
        self.print(&outcome)?;
        Ok(Exit::Done)
    }

    fn parameters(&self) -> usize {
        let weights = self.objective.params().by_name().filter(|(name, _)| (self.wanted)(name));
        weights.map(|(_, weight)| weight.var.elem_count()).sum()
    }

    fn identity(&self) -> BTreeMap<String, Value> {
        let hashes: Vec<&str> = self.corpus.sources.iter().map(|(_, hash, _)| hash.as_str()).collect();
        let own = [("texts", json!(hashes)), ("split", json!(self.flags.split))];
        let entries = own.into_iter().chain(course::identity(self.settings));
        entries.chain(self.identity.iter().cloned()).map(|(name, value)| (name.to_string(), value)).collect()
    }

    fn files(&self, dtype: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut config = self.model_config.clone();
        // Version 5 of transformers reads the first spelling, version 4 the second.
        for field in ["dtype", "torch_dtype"] {
            config.insert(field.to_string(), json!(dtype));
        }
        let config = stdout::json(&Value::Object(config))?.into_bytes();
        Ok(std::iter::once(("config.json".to_string(), config))
            .chain(self.tokenizer.iter().cloned())
            .collect())
    }

    fn sources(&self) -> Value {
        let source = |(place, hash, rows): &(String, String, usize)| json!({ "path": place, "sha256": hash, "rows": rows });
        self.corpus.sources.iter().map(source).collect()
    }

    fn manifest(&self) -> Value {
        let since = self.job.started.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        json!({
            "command": provenance::command(),
            "config": self.config,
            "seeds": { "run": self.shared.seed },
            "versions": { "xexp": env!("CARGO_PKG_VERSION"), "target": provenance::target() },
            "device": self.job.device,
            "threads": rayon::current_num_threads(),
            "inputs": self.sources(),
            "repeated_texts_left_out": self.corpus.repeats,
            "started_unix": since,
        })
    }

    fn card(&self, outcome: &Outcome) -> String {
        let mut card = String::from("---\nlibrary_name: transformers\ntags:\n- xexp\n---\n\n# Backbone\n\n");
        card.push_str(&self.summary);
        card.push_str("\n\n## Texts\n\n");
        for (place, hash, rows) in &self.corpus.sources {
            card.push_str(&format!("- `{place}`: {rows} rows, SHA-256 `{hash}`\n"));
        }
        card.push_str(&format!(
            "\n{} texts to learn from, {} to validate on; {} repeated texts left out.\n\n## Training\n\n\
             {} steps of {} texts, {} parameters, validation loss {:.4}; seed {}.\n\n```sh\n{}\n```\n",
            outcome.train_texts,
            outcome.valid_texts,
            self.corpus.repeats,
            outcome.steps,
            self.settings.batch_size * self.settings.accumulate,
            outcome.parameters,
            outcome.valid_loss,
            outcome.seed,
            provenance::command(),
        ));
        card
    }

    fn print(&self, outcome: &Outcome) -> Result<(), Failure> {
        if self.shared.format == Format::Json {
            return stdout::write(stdout::json(outcome)?.as_bytes());
        }
        let accuracy = outcome.valid_accuracy.map_or(String::new(), |a| format!(", accuracy {a:.4}"));
        stdout::write(
            format!(
                "validation loss {:.4}{accuracy}\n{} steps in {:.1} s ({:.0} texts/s); best weights of step {}: {} parameters, {:.1} MB, in {}\n",
                outcome.valid_loss,
                outcome.steps,
                outcome.seconds,
                outcome.texts_per_second,
                outcome.best_step,
                outcome.parameters,
                outcome.weights_bytes as f64 / 1e6,
                self.job.output.display()
            )
            .as_bytes(),
        )
    }
}
