//! Checkpoints of a run: everything from which it continues as if it had never stopped.
//!
//! `checkpoint-N/` is a model folder (`config.json`, weights and tokenizer files open in transformers) with
//! `xexp_state.safetensors` (the optimiser's moments), `xexp_average.safetensors` where weights are averaged, and `xexp_state.json`. It is built under another name and
//! renamed, so a folder of that name is whole. Random numbers need no state: they are functions of seed, name
//! and step.

use crate::average::Average;
use crate::{Error, Optimizer, Result, Score};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use xexp_backbones::Params;
use xexp_backbones::checkpoint::{
    Checkpoint, Extent, Format, Stored, Tensors, extent_tensors, serialize_extent,
};
use xexp_report::atomic;

/// Version of `xexp_state.json`.
const VERSION: u32 = 1;
/// Checkpoints kept while a run goes on: the newest, and one before it in case a disk fails quietly.
const KEPT: usize = 2;
/// The file of a running average.
const AVERAGE: &str = "xexp_average.safetensors";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: u64,
    /// The step is an epoch's last, and its evaluation is still to come.
    pub evaluation_due: bool,
    /// Step and score of the best evaluation so far.
    pub best: Option<(u64, Score)>,
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
    /// Which weights are kept: all, or those of an adapter, whose model stays as it is.
    pub extent: Extent,
}

/// A run as read back.
pub struct Resumed {
    /// Where it stood.
    pub progress: Progress,
    /// The best weights so far as a safetensors file, when they are not those of the checkpoint itself.
    pub best: Option<Vec<u8>>,
}

impl Checkpoints {
    /// The weights as the bytes of a safetensors file.
    ///
    /// # Errors
    /// None in practice: our weights can be written.
    pub fn weights(&self, params: &Params) -> Result<Vec<u8>> {
        Ok(serialize_extent(params, self.extent, Stored::F32)?)
    }

    /// Puts the weights of such a file back.
    ///
    /// # Errors
    /// A tensor that is missing or of another size.
    pub fn restore(&self, params: &Params, saved: &Checkpoint) -> Result<()> {
        for (id, weight) in params.iter() {
            if let Some(key) = self.extent.key(weight) {
                params.set(id, &saved.values(&key)?)?;
            }
        }
        Ok(())
    }

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
        (best, average): (Option<&[u8]>, Option<&Average>),
    ) -> Result<PathBuf> {
        let path = self.output.join(format!("checkpoint-{}", progress.step));
        let partial = self.output.join(format!(".checkpoint-{}.partial", progress.step));
        remove(&partial)?;
        fs::create_dir_all(&partial).map_err(file("create", &partial))?;
        let written = self.fill(&partial, params, optimizer, progress, (best, average));
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
        (best, average): (Option<&[u8]>, Option<&Average>),
    ) -> Result<()> {
        let weights = extent_tensors(params, self.extent, Stored::F32)?;
        atomic::write_with(folder.join(self.extent.file()), |out| weights.write_to(out))?;
        if let Some(best) = best {
            atomic::write(folder.join("best.safetensors"), best)?;
        }
        if let Some(average) = average {
            let averages = average.by_name(params).map(|(name, values)| (name.to_string(), values));
            write_vectors(&folder.join(AVERAGE), averages)?;
        }
        for (name, content) in &self.companions {
            atomic::write(folder.join(name), content)?;
        }
        let moments = optimizer.moments(params);
        let moments = moments
            .flat_map(|(name, of)| [(format!("m.{name}"), &of.m[..]), (format!("v.{name}"), &of.v[..])]);
        write_vectors(&folder.join("xexp_state.safetensors"), moments)?;
        let state = State { version: VERSION, progress: progress.clone(), identity: self.identity.clone() };
        let text = serde_json::to_string_pretty(&state).map_err(|e| broken(folder, &e))?;
        Ok(atomic::write(folder.join("xexp_state.json"), text)?)
    }

    /// Reads the newest checkpoint into `params`, `optimizer`, and `average` where weights are averaged.
    ///
    /// # Errors
    /// [`Error::NoCheckpoint`], [`Error::OtherRun`] when the settings differ, or a file that is not whole.
    pub fn resume(
        &self,
        params: &Params,
        optimizer: &mut Optimizer,
        average: Option<&mut Average>,
    ) -> Result<Resumed> {
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
        self.restore(params, &Checkpoint::open(&folder.join(self.extent.file()))?)?;
        let saved = Checkpoint::open(&folder.join("xexp_state.safetensors"))?;
        for (id, weight) in params.iter().filter(|(_, weight)| weight.trainable) {
            let [m, v] = ["m", "v"].map(|kind| saved.values(&format!("{kind}.{}", weight.name)));
            optimizer.restore(params, id, m?, v?)?;
        }
        if let Some(average) = average {
            average.restore(params, &Checkpoint::open(&folder.join(AVERAGE))?)?;
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

/// Writes vectors as a safetensors file.
fn write_vectors<'a>(path: &Path, vectors: impl Iterator<Item = (String, &'a [f32])>) -> Result<()> {
    let mut tensors = Tensors::default();
    for (name, values) in vectors {
        tensors.push(name, Format::Float(Stored::F32), vec![values.len()], values);
    }
    Ok(atomic::write_with(path, |out| tensors.write_to(out))?)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OptimizerSettings;
    use serde_json::json;
    use xexp_backbones::{Declarations, Origin, Seed};
    use xexp_init::{Init, Layer};

    fn params(seed: u64) -> Params {
        let mut declared = Declarations::default();
        let init = Init::Normal { std: 1.0 };
        declared.weight("dense.weight", Layer::Linear { input: 3, output: 2 }, init, Origin::New);
        // A safetensors file without tensors.
        let nothing = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        let nothing = Checkpoint::from_bytes("none".as_ref(), nothing).unwrap();
        declared.load(&nothing, Seed(seed)).unwrap().0
    }

    fn weights(params: &Params) -> Vec<u8> {
        serialize_extent(params, Extent::Model, Stored::F32).unwrap()
    }

    fn checkpoints(output: &Path, identity: Value) -> Checkpoints {
        let identity = identity.as_object().unwrap().iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        Checkpoints {
            output: output.into(),
            identity,
            companions: vec![("config.json".into(), b"{}".to_vec())],
            extent: Extent::Model,
        }
    }

    #[test]
    fn a_run_reads_back_bit_by_bit_from_the_newest_of_two_checkpoints() {
        let folder = tempfile::tempdir().unwrap();
        let run = checkpoints(folder.path(), json!({ "seed": 1 }));
        let params = params(1);
        let (id, _) = params.find("dense.weight").unwrap();
        let mut optimizer = Optimizer::new(&params, OptimizerSettings::default());
        let v = vec![0.1, 1e-30, 3.0, 4.0, 5.0, 6.0];
        optimizer.restore(&params, id, vec![-1.0; 6], v.clone()).unwrap();
        let at = |step| Progress {
            step,
            best: Some((3, Score { value: 0.1 + 0.2, loss: 1.0 / 3.0 })),
            losses: (1.0 / 3.0, 2),
            ..Default::default()
        };
        for step in [5, 9, 10] {
            run.save(&params, &optimizer, &at(step), ((step == 10).then_some(&b"best"[..]), None)).unwrap();
        }
        let kept: Vec<u64> = run.list().unwrap().into_iter().map(|(step, _)| step).collect();
        assert_eq!(kept, [9, 10]);
        // What a killed process was in the middle of writing is no checkpoint.
        fs::create_dir(folder.path().join(".checkpoint-11.partial")).unwrap();

        let other = self::params(2);
        let mut fresh = Optimizer::new(&other, OptimizerSettings::default());
        let resumed = run.resume(&other, &mut fresh, None).unwrap();
        assert_eq!((resumed.progress, resumed.best.as_deref()), (at(10), Some(&b"best"[..])));
        assert_eq!(weights(&other), weights(&params));
        let (_, moments) = fresh.moments(&other).next().unwrap();
        assert_eq!((&moments.m, &moments.v), (&vec![-1.0; 6], &v));
        run.clear().unwrap();
        assert!(!run.exist().unwrap());
    }

    #[test]
    fn another_run_is_refused_by_the_setting_that_differs() {
        let folder = tempfile::tempdir().unwrap();
        let params = params(1);
        let mut optimizer = Optimizer::new(&params, OptimizerSettings::default());
        let first = checkpoints(folder.path(), json!({ "epochs": 3, "seed": 1 }));
        let empty = first.resume(&params, &mut optimizer, None).err().unwrap();
        assert!(matches!(empty, Error::NoCheckpoint { .. }) && empty.hint().is_some());
        first.save(&params, &optimizer, &Progress::default(), (None, None)).unwrap();
        for (now, expected) in [
            (json!({ "epochs": 3, "seed": 2 }), ("seed", "1", "2")),
            (json!({ "seed": 1 }), ("epochs", "3", "not set")),
            (json!({ "epochs": 3, "lr": 0.1, "seed": 1 }), ("lr", "not set", "0.1")),
        ] {
            let error = checkpoints(folder.path(), now).resume(&params, &mut optimizer, None).err().unwrap();
            let Error::OtherRun { what, then, now, .. } = error else { panic!("{error}") };
            assert_eq!((&*what, &*then, &*now), expected);
        }
    }

    #[test]
    fn a_checkpoint_that_is_not_whole_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let run = checkpoints(folder.path(), json!({}));
        let params = params(1);
        let mut optimizer = Optimizer::new(&params, OptimizerSettings::default());
        let path = run.save(&params, &optimizer, &Progress::default(), (None, None)).unwrap();
        fs::write(path.join("xexp_state.json"), "{\"version\": 1").unwrap();
        assert!(matches!(run.resume(&params, &mut optimizer, None), Err(Error::Checkpoint { .. })));
        fs::remove_file(path.join("xexp_state.json")).unwrap();
        assert!(matches!(run.resume(&params, &mut optimizer, None), Err(Error::File { doing: "read", .. })));
    }
}
