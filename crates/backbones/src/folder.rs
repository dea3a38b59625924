//! A model folder in Hugging Face layout, on disk or in memory.

use crate::checkpoint::Checkpoint;
use crate::config::Config;
use crate::families::{self, Family, Modality};
use crate::{Error, Result};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

/// A folder with `config.json`, `model.safetensors` (or several files and their index), and `tokenizer.json` or `preprocessor_config.json`.
pub struct Folder {
    /// The folder, or the name of a model in memory.
    pub path: PathBuf,
    /// Its configuration.
    pub config: Config,
    /// Its family.
    pub family: &'static Family,
    /// The files, when they lie in memory.
    memory: Option<Files>,
    /// The model that an adapter in this folder belongs to.
    base: Option<Box<Folder>>,
}

/// Names and contents of a model's files in memory.
pub type Files = &'static [(&'static str, &'static [u8])];

/// Files beside the weights that a saved model carries on, byte for byte.
pub const COMPANIONS: &[&str] = &[
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "added_tokens.json",
    "preprocessor_config.json",
];

/// The file that makes a folder that of an adapter.
pub const ADAPTER: &str = "adapter_config.json";

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

impl Folder {
    /// Reads the configuration, and sees that weights and the family's tokenizer or preprocessor are there.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Pickle`] when the only weights are pickled, or a configuration that is none of
    /// ours.
    pub fn open(path: &Path) -> Result<Self> {
        let config = Config::read(&required(whole(path)?, CONFIG)?)?;
        let pickle = path.join("pytorch_model.bin");
        match required(path, WEIGHTS) {
            Err(_) if path.join(INDEX).is_file() => (),
            Err(_) if pickle.is_file() => return Err(Error::Pickle { path: pickle }),
            found => {
                found?;
            }
        }
        Self::with_config(path, config)
    }

    /// The same of a folder whose weights do not matter and may be missing.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn without_weights(path: &Path) -> Result<Self> {
        Self::with_config(path, Config::read(&required(whole(path)?, CONFIG)?)?)
    }

    /// The folder of an adapter, over the model that it belongs to: configuration, tokenizer and preprocessor are the
    /// adapter's as far as it has them, the weights are the model's.
    ///
    /// # Errors
    /// A file that cannot be read, or a configuration that is none of ours.
    pub fn over(path: &Path, base: Folder) -> Result<Self> {
        let own = path.join(CONFIG);
        let config = if own.is_file() { families::spelled(Config::read(&own)?) } else { base.config.clone() };
        let family = families::find(&config)?;
        Ok(Folder { path: path.into(), config, family, memory: None, base: Some(Box::new(base)) })
    }

    fn with_config(path: &Path, config: Config) -> Result<Self> {
        let config = families::spelled(config);
        let family = families::find(&config)?;
        if families::preprocessor(&config)?.is_none() {
            required(path, family.modality.companion())?;
        }
        Ok(Folder { path: path.into(), config, family, memory: None, base: None })
    }

    /// The same of files in memory; `name` is for messages.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn in_memory(name: &str, files: Files) -> Result<Self> {
        let path = PathBuf::from(name);
        let missing = |file: &str| Error::Missing { path: path.join(file) };
        let find = |file: &str| files.iter().find(|(name, _)| *name == file).ok_or_else(|| missing(file));
        let (_, config) = find(CONFIG)?;
        let config = Config::parse(&path.join(CONFIG), &String::from_utf8_lossy(config))?;
        find(WEIGHTS)?;
        let config = families::spelled(config);
        let family = families::find(&config)?;
        find(family.modality.companion())?;
        Ok(Folder { path, config, family, memory: Some(files), base: None })
    }

    /// The bytes of one of its files; `None` when it has none of this name.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn file(&self, name: &str) -> Result<Option<Cow<'static, [u8]>>> {
        if let Some(files) = self.memory {
            return Ok(files.iter().find(|(file, _)| *file == name).map(|(_, bytes)| Cow::Borrowed(*bytes)));
        }
        let path = self.path.join(name);
        if let (false, Some(base)) = (path.is_file(), &self.base) {
            return base.file(name);
        }
        if !path.is_file() {
            let wanted = name == Modality::Image.companion();
            return Ok(if wanted { families::preprocessor(&self.config)?.map(Cow::Owned) } else { None });
        }
        std::fs::read(&path)
            .map(|bytes| Some(Cow::Owned(bytes)))
            .map_err(|source| Error::Read { path, source })
    }

    /// The bytes of the family's tokenizer or preprocessor.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Read`].
    pub fn companion(&self) -> Result<Cow<'static, [u8]>> {
        let name = self.family.modality.companion();
        self.file(name)?.ok_or_else(|| Error::Missing { path: self.path.join(name) })
    }

    /// The weights, opened.
    ///
    /// # Errors
    /// [`Error::Missing`], or as [`Checkpoint::open`] and [`Checkpoint::open_sharded`].
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        if let Some(base) = &self.base {
            return base.checkpoint();
        }
        let path = self.path.join(WEIGHTS);
        match self.memory {
            Some(files) => {
                let found = files.iter().find(|(name, _)| *name == WEIGHTS);
                let (_, bytes) = found.ok_or_else(|| Error::Missing { path: path.clone() })?;
                Checkpoint::from_static(&path, bytes)
            }
            // A folder with both is read as transformers reads it, from the one file.
            None if !path.is_file() && self.path.join(INDEX).is_file() => {
                Checkpoint::open_sharded(&self.path.join(INDEX))
            }
            None => Checkpoint::open(&path),
        }
    }

    /// The files of [`COMPANIONS`] that are there, with their contents.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn companions(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut found = vec![];
        for name in COMPANIONS {
            if let Some(bytes) = self.file(name)? {
                found.push((name.to_string(), bytes.into_owned()));
            }
        }
        Ok(found)
    }
}

/// The folder itself, unless it is that of an adapter, which is no model without the one that it belongs to.
fn whole(folder: &Path) -> Result<&Path> {
    if folder.join(ADAPTER).is_file() { Err(Error::Adapter { path: folder.into() }) } else { Ok(folder) }
}

fn required(folder: &Path, name: &str) -> Result<PathBuf> {
    let path = folder.join(name);
    if path.is_file() { Ok(path) } else { Err(Error::Missing { path }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype, TensorView};

    #[test]
    fn weights_in_several_files_are_found_by_their_index() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
        put(CONFIG, br#"{ "model_type": "llama" }"#);
        put("tokenizer.json", b"{}");
        put("pytorch_model.bin", b"");
        assert!(matches!(Folder::open(folder.path()), Err(Error::Pickle { .. })));
        put(INDEX, br#"{ "weight_map": { "w": "model-00001-of-00001.safetensors" } }"#);
        let opened = Folder::open(folder.path()).unwrap();
        let error = opened.checkpoint().err().unwrap();
        assert!(
            matches!(&error, Error::Missing { path } if path.ends_with("model-00001-of-00001.safetensors"))
        );
        let one = |value: f32| {
            let raw = value.to_le_bytes();
            let view = TensorView::new(Dtype::F32, vec![1], &raw).unwrap();
            safetensors::serialize([("w", view)], None).unwrap()
        };
        put("model-00001-of-00001.safetensors", &one(1.0));
        assert_eq!(opened.checkpoint().unwrap().values("w").unwrap(), [1.0]);
        // transformers, too, takes the one file where there is one.
        put(WEIGHTS, &one(2.0));
        assert_eq!(opened.checkpoint().unwrap().values("w").unwrap(), [2.0]);
    }
}
