//! A model folder in Hugging Face layout.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A folder with `config.json`, `model.safetensors` and `tokenizer.json`.
pub struct Folder {
    /// The folder.
    pub path: PathBuf,
    /// Its configuration.
    pub config: Config,
}

/// Files beside the weights that a saved model carries on, byte for byte.
pub const COMPANIONS: &[&str] =
    &["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "added_tokens.json"];

impl Folder {
    /// Reads the configuration, and sees that weights and tokenizer are there.
    ///
    /// # Errors
    /// [`Error::Missing`], or [`Error::Pickle`] when the only weights are pickled.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Folder { path: path.into(), config: Config::read(&required(path, "config.json")?)? };
        folder.weights()?;
        folder.tokenizer()?;
        Ok(folder)
    }

    /// `tokenizer.json`.
    pub fn tokenizer(&self) -> Result<PathBuf> {
        required(&self.path, "tokenizer.json")
    }

    /// `model.safetensors`.
    pub fn weights(&self) -> Result<PathBuf> {
        let pickle = self.path.join("pytorch_model.bin");
        match required(&self.path, "model.safetensors") {
            Err(_) if pickle.is_file() => Err(Error::Pickle { path: pickle }),
            found => found,
        }
    }

    /// The weights, opened.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Checkpoint::open(&self.weights()?)
    }

    /// The files of [`COMPANIONS`] that are there.
    pub fn companions(&self) -> impl Iterator<Item = PathBuf> + '_ {
        COMPANIONS.iter().map(|name| self.path.join(name)).filter(|path| path.is_file())
    }
}

fn required(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if path.is_file() { Ok(path) } else { Err(Error::Missing { path }) }
}
