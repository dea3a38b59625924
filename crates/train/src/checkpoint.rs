//! Checkpoints of a run: everything from which it continues as if it had never stopped.
//!
//! `checkpoint-N/` is a model folder (`config.json`, weights and tokenizer files open in transformers) with
//! `xexp_state.safetensors` (the optimiser's moments) and `xexp_state.json`. It is built under another name and
//! renamed, so a folder of that name is whole. Random numbers need no state: they are functions of seed, name
//! and step.

use crate::{Error, Optimizer, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use xexp_backbones::Params;
use xexp_backbones::checkpoint::{Checkpoint, serialize};
use xexp_report::atomic;

/// Version of `xexp_state.json`.
const VERSION: u32 = 1;
/// Checkpoints kept while a run goes on: the newest, and one before it in case a disk fails quietly.
const KEPT: usize = 2;

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    /// The step is an epoch's last, and its evaluation is still to come.
    pub evaluation_due: bool,
    /// Step and macro-F1 of the best evaluation so far.
    pub best: Option<(u64, f64)>,
    /// Evaluations since then.
    pub since_best: u32,
    /// Sum and number of the losses since the last logged step.
    pub losses: (f64, u32),
}

#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    progress: Progress,
    identity: BTreeMap<String, Value>,
}

/// A run's checkpoints in its output folder.
pub struct Checkpoints {
    /// The output folder.
    pub output: PathBuf,
    /// What makes this run the same run: settings, seeds, hashes of data and model.
    pub identity: BTreeMap<String, Value>,
    /// Files that make a folder of weights a model folder: name and content.
    pub companions: Vec<(String, Vec<u8>)>,
}

/// A run as read back.
pub struct Resumed {
    /// Where it stood.
    pub progress: Progress,
    /// The best weights so far as a safetensors file, when they are not those of the checkpoint itself.
    pub best: Option<Vec<u8>>,
}

impl Checkpoints {
    /// Saves the run, then removes all but the newest checkpoints. `best` are the best weights as the bytes of
    /// a safetensors file, unless they are the present ones.
    ///
    /// # Errors
    /// When a file cannot be written; no folder of the checkpoint's name is then there.
    pub fn save(
        &self,
        params: &Params,
        optimizer: &Optimizer,
        progress: &Progress,
        best: Option<&[u8]>,
    ) -> Result<PathBuf> {
        let path = self.output.join(format!("checkpoint-{}", progress.step));
        let partial = self.output.join(format!(".checkpoint-{}.partial", progress.step));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(file("create", &partial))?;
        let written = self.fill(&partial, params, optimizer, progress, best);
        if let Err(error) = written {
            // The disk may be full: what was written of the checkpoint is of no use and takes the room.
            remove(&partial).ok();
            return Err(error);
        }
        remove(&path)?;
        fs::rename(&partial, &path).map_err(file("rename", &partial))?;
        let older = self.list()?;
        for (_, path) in older.iter().rev().skip(KEPT) {
            remove(path)?;
        }
        Ok(path)
    }

    fn fill(
        &self,
        folder: &Path,
        params: &Params,
        optimizer: &Optimizer,
        progress: &Progress,
        best: Option<&[u8]>,
    ) -> Result<()> {
        atomic::write(folder.join("model.safetensors"), serialize(params)?)?;
        if let Some(best) = best {
            atomic::write(folder.join("best.safetensors"), best)?;
        }
        for (name, content) in &self.companions {
            atomic::write(folder.join(name), content)?;
        }
        atomic::write(folder.join("xexp_state.safetensors"), moments(params, optimizer)?)?;
        let state = State { version: VERSION, progress: progress.clone(), identity: self.identity.clone() };
        let text = serde_json::to_string_pretty(&state).map_err(|e| broken(folder, &e))?;
        Ok(atomic::write(folder.join("xexp_state.json"), text)?)
    }

    /// Reads the newest checkpoint into `params` and `optimizer`.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::OtherRun`] when the settings differ, or a file that is not whole.
    pub fn resume(&self, params: &Params, optimizer: &mut Optimizer) -> Result<Resumed> {
        let Some((_, folder)) = self.list()?.pop() else {
            return Err(Error::NoCheckpoint { path: self.output.clone() });
        };
        let path = folder.join("xexp_state.json");
        let text = fs::read_to_string(&path).map_err(file("read", &path))?;
        let state: State = serde_json::from_str(&text).map_err(|e| broken(&path, &e))?;
        if state.version != VERSION {
            let reason = format!("version {}, expected {VERSION}", state.version);
            return Err(Error::Checkpoint { path, reason });
        }
        self.compare(&folder, &state.identity)?;
        let weights = Checkpoint::open(&folder.join("model.safetensors"))?;
        let saved = Checkpoint::open(&folder.join("xexp_state.safetensors"))?;
        for (id, weight) in params.iter() {
            params.set(id, &weights.values(&weight.name)?)?;
            if weight.trainable {
                let [m, v] = ["m", "v"].map(|kind| saved.values(&format!("{kind}.{}", weight.name)));
                optimizer.restore(params, id, m?, v?)?;
            }
        }
        let best = folder.join("best.safetensors");
        let best = best.is_file().then(|| fs::read(&best).map_err(file("read", &best))).transpose()?;
        Ok(Resumed { progress: state.progress, best })
    }

    /// Whether there is a whole checkpoint.
    ///
    /// # Errors
    /// When the output folder cannot be read.
    pub fn exist(&self) -> Result<bool> {
        Ok(!self.list()?.is_empty())
    }

    /// Removes all checkpoints, when the run is done.
    ///
    /// # Errors
    /// When a folder cannot be removed.
    pub fn clear(&self) -> Result<()> {
        self.list()?.iter().try_for_each(|(_, path)| remove(path))
    }

    /// The whole checkpoints by step, oldest first.
    fn list(&self) -> Result<Vec<(u64, PathBuf)>> {
        let mut found = vec![];
        for entry in fs::read_dir(&self.output).map_err(file("read", &self.output))? {
            let entry = entry.map_err(file("read", &self.output))?;
            let name = entry.file_name();
            let step = name.to_str().and_then(|n| n.strip_prefix("checkpoint-")).and_then(|n| n.parse().ok());
            if let Some(step) = step {
                found.push((step, entry.path()));
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    fn compare(&self, path: &Path, then: &BTreeMap<String, Value>) -> Result<()> {
        let names = self.identity.keys().chain(then.keys());
        let differs = names.into_iter().find(|name| self.identity.get(*name) != then.get(*name));
        let Some(what) = differs else { return Ok(()) };
        let show =
            |of: &BTreeMap<String, Value>| of.get(what).map_or("not set".to_string(), Value::to_string);
        Err(Error::OtherRun {
            path: path.into(),
            what: what.clone(),
            then: show(then),
            now: show(&self.identity),
        })
    }
}

/// The moments as the bytes of a safetensors file.
fn moments(params: &Params, optimizer: &Optimizer) -> Result<Vec<u8>> {
    let raw = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let mut tensors = vec![];
    for (name, moments) in optimizer.moments(params) {
        tensors.push((format!("m.{name}"), raw(&moments.m)));
        tensors.push((format!("v.{name}"), raw(&moments.v)));
    }
    let view = |(name, raw): &'_ (String, Vec<u8>)| (name.clone(), raw.len());
    let sizes: Vec<(String, usize)> = tensors.iter().map(view).collect();
    let views = sizes.into_iter().zip(&tensors).map(|((name, bytes), (_, raw))| {
        let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![bytes / 4], raw);
        view.map(|view| (name, view))
    });
    let bytes =
        views.collect::<std::result::Result<Vec<_>, _>>().and_then(|v| safetensors::serialize(v, None));
    bytes.map_err(|e| broken(Path::new("xexp_state.safetensors"), &e))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file("remove", folder)(error)),
        _ => Ok(()),
    }
}

fn file<'a>(doing: &'static str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |source| Error::File { doing, path: path.into(), source }
}

fn broken(path: &Path, error: &dyn std::error::Error) -> Error {
    Error::Checkpoint { path: path.into(), reason: error.to_string() }
}
