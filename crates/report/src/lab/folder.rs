//! The folder of a run: written step by step, read back whole.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Judgement, Manifest, Measurement, Prediction, Run, Status, judge, measured_table, predicted_table,
    read_measured, read_predicted, verdicts_table,
};
use crate::{Error, Result, atomic};

/// The file of predictions.
pub const PREDICTED_FILE: &str = "predicted.csv";
/// The file of measurements.
pub const MEASURED_FILE: &str = "measured.csv";
/// The file of verdicts.
pub const VERDICTS_FILE: &str = "verdicts.csv";
/// The file of what is fixed beforehand.
pub const MANIFEST_FILE: &str = "manifest.toml";
/// The file of the run itself.
pub const RUN_FILE: &str = "run.json";
/// The folder of set-ups that are measured, while others are not.
const CELLS: &str = "cells";

/// What one set-up measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredSetup {
    /// Name of the set-up.
    pub setup: String,
    /// How long it took.
    pub seconds: f64,
    /// Its rows.
    pub measured: Vec<Measurement>,
}

/// All that a finished run recorded.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// By what, when, on what.
    pub run: Run,
    /// What was fixed beforehand.
    pub manifest: Manifest,
    /// The predictions.
    pub predictions: Vec<Prediction>,
    /// The verdicts, by the predictions' order.
    pub judged: Vec<Judgement>,
}

/// The folder of one experiment's run.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder at `path`, which exists.
    pub fn new(path: impl Into<PathBuf>) -> Folder {
        Folder { path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The record of the run in it; `None` if there is none, or another command's.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Recorded`] for a record that is not one.
    pub fn run(&self) -> Result<Option<Run>> {
        let path = self.file(RUN_FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Run::read(&path, &text),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Removes what an earlier run left, and writes what is known before anything is measured: `manifest.toml`,
    /// `predicted.csv`, and `run.json` with the hashes of both.
    ///
    /// # Errors
    /// A file that cannot be removed or written.
    pub fn begin(&self, run: &Run, manifest: &Manifest, predictions: &[Prediction]) -> Result<Run> {
        if self.run().ok().flatten().is_some() {
            self.remove_folder("plots")?;
        }
        // Without its record, whatever else is left of an old run is no run.
        for old in [RUN_FILE, MEASURED_FILE, VERDICTS_FILE, "report.md", "report.tex", "report.html"] {
            self.remove(old)?;
        }
        self.remove_folder(CELLS)?;
        let texts = [
            (MANIFEST_FILE, manifest.text()?),
            (PREDICTED_FILE, predicted_table(&run.experiment, predictions)?.csv()),
        ];
        let mut run = Run { status: Status::Measuring, ..run.clone() };
        for (name, text) in texts {
            run.sha256.insert(name.to_owned(), sha256(text.as_bytes()));
            atomic::write(self.file(name), text)?;
        }
        atomic::write(self.file(RUN_FILE), run.text()?)?;
        Ok(run)
    }

    /// Keeps what set-up `number` measured.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn keep(&self, number: usize, setup: &MeasuredSetup) -> Result<()> {
        let folder = self.file(CELLS);
        fs::create_dir_all(&folder).map_err(|source| Error::Write {
            path: folder.clone(),
            doing: "making the folder",
            source,
        })?;
        let text = serde_json::to_string(setup)
            .map_err(|error| Error::Unrecordable { what: "a measurement", reason: error.to_string() })?;
        atomic::write(folder.join(format!("{number}.json")), text + "\n")
    }

    /// What set-up `number` measured before the run was interrupted, if it did.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Recorded`] for a file that holds something else.
    pub fn kept(&self, number: usize) -> Result<Option<MeasuredSetup>> {
        let path = self.file(CELLS).join(format!("{number}.json"));
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        serde_json::from_str(&text).map(Some).map_err(|error| Error::Recorded {
            path,
            line: error.line(),
            expected: "the measurements of a set-up".into(),
            found: error.to_string(),
        })
    }

    /// Writes `measured.csv` and `verdicts.csv`, and returns all that the run recorded. It is finished only when
    /// [`Folder::seal`] has written so.
    ///
    /// # Errors
    /// A file that cannot be written; measurements that do not belong to the predictions.
    pub fn finish(
        &self,
        run: Run,
        manifest: Manifest,
        predictions: Vec<Prediction>,
        measured: &[Measurement],
    ) -> Result<Recorded> {
        let judged = judgements(&predictions, measured)?;
        let mut run = Run { status: Status::Finished, ..run };
        for (name, table) in [
            (MEASURED_FILE, measured_table(&run.experiment, measured)?),
            (VERDICTS_FILE, verdicts_table(&run.experiment, &judged)?),
        ] {
            let text = table.csv();
            run.sha256.insert(name.to_owned(), sha256(text.as_bytes()));
            atomic::write(self.file(name), text)?;
        }
        Ok(Recorded { run, manifest, predictions, judged })
    }

    /// Writes that the run has finished, and removes what was kept for a resumed one.
    ///
    /// # Errors
    /// A file that cannot be written or removed.
    pub fn seal(&self, recorded: &Recorded) -> Result<()> {
        atomic::write(self.file(RUN_FILE), recorded.run.text()?)?;
        self.remove_folder(CELLS)?;
        atomic::remove_leftovers(&self.path).map(|_| ())
    }

    /// The text of a file.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn text(&self, name: &str) -> Result<String> {
        let path = self.file(name);
        fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    /// All that a finished run recorded, judged again; `None` if there is no finished run.
    ///
    /// # Errors
    /// A file that is missing or does not say what it should.
    pub fn read(&self) -> Result<Option<Recorded>> {
        let Some(run) = self.run()?.filter(|run| run.status == Status::Finished) else { return Ok(None) };
        let manifest = Manifest::read(&self.file(MANIFEST_FILE), &self.text(MANIFEST_FILE)?)?;
        let path = self.file(PREDICTED_FILE);
        let predictions = read_predicted(&path, &self.text(PREDICTED_FILE)?, &manifest)?;
        let measured = read_measured(&self.file(MEASURED_FILE), &self.text(MEASURED_FILE)?)?;
        let judged = judgements(&predictions, &measured)?;
        Ok(Some(Recorded { run, manifest, predictions, judged }))
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        gone(fs::remove_file(&path), path)
    }

    fn remove_folder(&self, name: &str) -> Result<()> {
        let path = self.file(name);
        gone(fs::remove_dir_all(&path), path)
    }
}

fn judgements(predictions: &[Prediction], measured: &[Measurement]) -> Result<Vec<Judgement>> {
    let rows: Vec<_> = predictions.iter().map(|prediction| prediction.row.clone()).collect();
    judge(&rows, measured)
}

fn gone(removed: std::io::Result<()>, path: PathBuf) -> Result<()> {
    match removed {
        Err(source) if source.kind() != ErrorKind::NotFound => {
            Err(Error::Write { path, doing: "removing", source })
        }
        _ => Ok(()),
    }
}

/// SHA-256 of some bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
