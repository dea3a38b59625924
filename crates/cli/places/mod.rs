//! Where a model or a data set is: on this machine, in the program itself, or at the Hub.

mod adapters;
mod data;
mod tables;

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use xexp_backbones::folder::Folder;
use xexp_bundled::MODELS;
use xexp_data::nearest;

use crate::args::Access;
use crate::failure::Failure;
use crate::hub;

pub use adapters::Saved;
pub use data::{Data, data};
pub use tables::Table;

/// What a name in the program itself begins with.
const BUNDLED: &str = "bundled:";
/// What a name at the Hub may begin with, where a folder here might be meant as well.
const HUB: &str = "hub:";

/// Where a model is.
#[derive(Clone)]
pub enum Model {
    /// A folder in the Hugging Face layout.
    Folder(PathBuf),
    /// A backbone that the program carries.
    Bundled(&'static xexp_bundled::Model),
    /// A model of the Hub, in the cache.
    Hub(hub::Model),
}

impl Model {
    /// Opens the folder, on disk or in memory.
    ///
    /// # Errors
    /// A folder that is not a model's, or not a whole one.
    pub fn open(&self) -> Result<Folder, Failure> {
        match self {
            Model::Folder(path) | Model::Hub(hub::Model { folder: path, .. }) => Ok(Folder::open(path)?),
            Model::Bundled(model) => Ok(Folder::in_memory(&self.to_string(), model.files)?),
        }
    }
}

impl Model {
    /// Opens the folder for its configuration alone; its weights may be missing.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn open_without_weights(&self) -> Result<Folder, Failure> {
        match self {
            Model::Folder(path) | Model::Hub(hub::Model { folder: path, .. }) => {
                Ok(Folder::without_weights(path)?)
            }
            Model::Bundled(_) => self.open(),
        }
    }

    /// What others can find it by, and its revision: the name at the Hub and the commit, `bundled:NAME`, or the whole path.
    ///
    /// # Errors
    /// A folder that is gone.
    pub fn reference(&self) -> Result<(String, Option<String>), Failure> {
        match self {
            Model::Hub(model) => Ok((model.id.clone(), Some(model.commit.clone()))),
            Model::Bundled(_) => Ok((self.to_string(), None)),
            Model::Folder(path) => match std::fs::canonicalize(path) {
                Ok(whole) => Ok((whole.display().to_string(), None)),
                Err(error) => {
                    Err(Failure::environment(format!("cannot find {}", path.display())).because(&error))
                }
            },
        }
    }

    /// The commit of a model of the Hub.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Model::Hub(model) => Some(&model.commit),
            Model::Folder(_) | Model::Bundled(_) => None,
        }
    }
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Model::Folder(path) => path.display().fmt(f),
            Model::Bundled(model) => write!(f, "{BUNDLED}{}", model.name),
            Model::Hub(model) => write!(f, "{}@{}", model.id, model.commit),
        }
    }
}

/// The model that `flag` names: `bundled:NAME`, a folder, or `ORG/NAME[@REVISION]` at the Hub where there is no such
/// folder. It is fetched from the Hub as far as the cache lacks it.
///
/// # Errors
/// There is no such folder, no bundled model of this name, or the Hub does not give it.
pub fn model(flag: &str, given: &str, access: Access) -> Result<Model, Failure> {
    if let Some(name) = given.strip_prefix(BUNDLED) {
        let names = MODELS.iter().map(|model| model.name);
        return xexp_bundled::model(name).map(Model::Bundled).ok_or_else(|| unknown(flag, given, names));
    }
    if let Some(name) = given.strip_prefix(HUB) {
        return hub::model(name, access).map(Model::Hub);
    }
    let path = Path::new(given);
    if path.is_dir() {
        return Ok(Model::Folder(path.to_path_buf()));
    }
    if path.exists() {
        let folder = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
        return Err(Failure::input(format!("{flag} {given}: expected a folder, found a file"))
            .hint(format!("give the folder that holds config.json: {flag} {}", folder.display())));
    }
    let near = similar(path);
    if near.is_none() && looks_like_hub_name(given) {
        return hub::model(given, access).map(Model::Hub);
    }
    let failure = Failure::input(format!("{flag} {given}: no such folder"));
    Err(match near {
        Some(near) if looks_like_hub_name(given) => failure
            .hint(format!("did you mean {}? If the Hub's is meant: {flag} {HUB}{given}", near.display())),
        Some(near) => failure.hint(format!("did you mean {}?", near.display())),
        None if xexp_hub::Repository::parse(xexp_hub::Kind::Model, given).is_ok() => {
            failure.hint(format!("give a folder, or ORG/NAME for a model of the Hub, or {flag} {HUB}{given}"))
        }
        None => failure,
    })
}

fn unknown<'a>(flag: &str, given: &str, names: impl Iterator<Item = &'a str> + Clone) -> Failure {
    let failure = Failure::input(format!("{flag} {given}: nothing of this name is bundled"));
    match nearest(given.trim_start_matches(BUNDLED), names.clone()) {
        Some(near) => failure.hint(format!("did you mean {BUNDLED}{near}?")),
        None => {
            let names: Vec<String> = names.map(|name| format!("{BUNDLED}{name}")).collect();
            failure.hint(format!("there are {}", names.join(", ")))
        }
    }
}

/// Whether a name is of the Hub's kind: `org/name` or `org/name@revision`.
fn looks_like_hub_name(given: &str) -> bool {
    let (name, _) = given.split_once('@').unwrap_or((given, ""));
    name.split('/').count() == 2 && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// What lies in the same folder under nearly the same name.
fn similar(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned))
        .collect();
    names.sort();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(path.with_file_name(OsStr::new(near)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_name_is_told_from_a_path() {
        assert!(looks_like_hub_name("sentence-transformers/all-MiniLM-L6-v2"));
        assert!(looks_like_hub_name("org/name@main"));
        for path in ["name", "./name", "../a", "/a/b", "a/b/c"] {
            assert!(!looks_like_hub_name(path), "{path}");
        }
    }
}
