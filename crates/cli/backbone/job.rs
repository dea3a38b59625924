//! What is settled before a backbone is made: where it goes, and what may be done with what is there.

use std::path::PathBuf;
use std::time::SystemTime;

use crate::args::{Corpus, Shared};
use crate::device::{self, Device, Precision};
use crate::failure::Failure;
use crate::output::{self, Existing};

/// A run that has been held against this machine.
pub struct Job {
    /// The folder for all results.
    pub output: PathBuf,
    /// What may be done with what is there.
    pub existing: Existing,
    /// The device that computes.
    pub device: Device,
    /// When the command began.
    pub started: SystemTime,
}

impl Job {
    /// Checks output folder and device before anything is read.
    ///
    /// # Errors
    /// An output folder that holds something, or nothing to resume; a device that is not there.
    pub fn new(command: &str, shared: &Shared, corpus: &Corpus) -> Result<Self, Failure> {
        let started = SystemTime::now();
        let existing = output::existing(shared.overwrite, corpus.resume, shared.output.is_some())?;
        let device = device::choose(shared.device, shared.quiet)?;
        if shared.precision != Precision::F32 {
            return Err(Failure::input(format!("xexp {command} computes in f32 alone"))
                .hint("leave --precision away, or use --precision f32"));
        }
        let output = shared.output.as_deref().map_or_else(|| output::fresh(command), PathBuf::from);
        output::check(&output, existing)?;
        if existing == Existing::Resume {
            output::resumable(&output, "run.json")?;
        }
        Ok(Job { output, existing, device, started })
    }
}
