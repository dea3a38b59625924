//! Where a model or a data set is: on this machine, in the program itself, or at the Hub.

use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use xexp_backbones::folder::Folder;
use xexp_bundled::{MODELS, SPLITS, TEXTS, images};
use xexp_data::{Format, nearest};

use crate::args::Shared;
use crate::failure::Failure;
use crate::hub;

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

/// Where data is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A file.
    File(PathBuf),
    /// A folder of images, or what holds a split of one.
    Folder {
        /// The folder, or an IDX file of images.
        path: PathBuf,
        /// The folder whose splits it is one of, where only that was named.
        root: Option<PathBuf>,
    },
    /// A split of a set that the program carries.
    Bundled {
        /// Name of the set.
        set: &'static str,
        /// Name of the split.
        split: &'static str,
        /// Whether it holds images rather than texts.
        images: bool,
    },
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

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::File(path) | Data::Folder { path, .. } => path.display().fmt(f),
            Data::Bundled { set, split, .. } => write!(f, "{BUNDLED}{set}/{split}"),
        }
    }
}

impl Data {
    /// Whether the name alone says that these are images.
    pub fn is_images(&self) -> bool {
        match self {
            Data::File(path) => matches!(Format::of(path), Ok(Format::Images | Format::Idx)),
            Data::Folder { .. } => true,
            Data::Bundled { images, .. } => *images,
        }
    }

    /// Another split of the same bundled set or folder of splits; `None` where there is none.
    pub fn sibling(&self, split: &str) -> Option<Data> {
        match self {
            Data::File(_) => None,
            Data::Folder { root, .. } => {
                let root = root.as_ref()?;
                Some(Data::Folder { path: split_folder(root, split)?, root: Some(root.clone()) })
            }
            Data::Bundled { set, images, .. } => {
                let split = splits(set).into_iter().find(|name| *name == split)?;
                Some(Data::Bundled { set, split, images: *images })
            }
        }
    }
}

/// The model that `flag` names: `bundled:NAME`, a folder, or `ORG/NAME[@REVISION]` at the Hub where there is no such
/// folder. It is fetched from the Hub as far as the cache lacks it.
///
/// # Errors
/// There is no such folder, no bundled model of this name, or the Hub does not give it.
pub fn model(flag: &str, given: &str, shared: &Shared) -> Result<Model, Failure> {
    if let Some(name) = given.strip_prefix(BUNDLED) {
        let names = MODELS.iter().map(|model| model.name);
        return xexp_bundled::model(name).map(Model::Bundled).ok_or_else(|| unknown(flag, given, names));
    }
    if let Some(name) = given.strip_prefix(HUB) {
        return hub::model(name, shared).map(Model::Hub);
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
        return hub::model(given, shared).map(Model::Hub);
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

/// The data that `flag` names: a file, a folder of images, or `bundled:SET` or `bundled:SET/SPLIT`. Of a set or folder
/// of splits it is the split `usual` where none is named.
///
/// # Errors
/// There is no such file, set or split.
pub fn data(flag: &str, given: &str, usual: &str) -> Result<Data, Failure> {
    if given.starts_with(HUB) {
        let failure = Failure::input(format!("{flag} {given}: data of the Hub cannot be read yet"));
        return Err(failure.hint("download it as .csv, .tsv, .jsonl or .json, and give the file"));
    }
    if let Some(name) = given.strip_prefix(BUNDLED) {
        let (name, split) = name.split_once('/').unwrap_or((name, usual));
        let sets: Vec<(&'static str, bool)> = sets().collect();
        let Some((set, images)) = sets.iter().find(|(set, _)| *set == name) else {
            return Err(unknown(flag, given, sets.iter().map(|(name, _)| *name)));
        };
        let splits = splits(set);
        let Some(split) = splits.iter().find(|name| **name == split) else {
            return Err(Failure::input(format!("{flag} {given}: no split {split:?}"))
                .hint(format!("{BUNDLED}{set} has {}", splits.join(", "))));
        };
        return Ok(Data::Bundled { set, split, images: *images });
    }
    let path = Path::new(given);
    if path.is_file() {
        return Ok(Data::File(path.to_path_buf()));
    }
    if path.is_dir() {
        return folder(flag, path, usual);
    }
    // Pipes and devices are neither file nor folder, and can be read.
    if path.exists() {
        return Ok(Data::File(path.to_path_buf()));
    }
    let failure = Failure::input(format!("{flag} {given}: no such file"));
    Err(match similar(path) {
        Some(near) => failure.hint(format!("did you mean {}?", near.display())),
        None => failure,
    })
}

/// A folder of images, or the split `usual` of one with a folder for each split.
fn folder(flag: &str, path: &Path, usual: &str) -> Result<Data, Failure> {
    if split_folder(path, "train").is_none() {
        return Ok(Data::Folder { path: path.to_path_buf(), root: None });
    }
    match split_folder(path, usual) {
        Some(split) => Ok(Data::Folder { path: split, root: Some(path.to_path_buf()) }),
        None => Err(Failure::input(format!("{flag} {}: no folder for the split {usual:?}", path.display()))
            .hint(format!("name the folder itself, such as {flag} {}", path.join("train").display()))),
    }
}

/// Names of the folders of a split.
const SPLIT_FOLDERS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("valid", &["valid", "validation", "val", "dev"]),
    ("test", &["test", "testing"]),
];

/// The folder of a split, or MNIST's file of it.
fn split_folder(root: &Path, split: &str) -> Option<PathBuf> {
    let (_, names) = SPLIT_FOLDERS.iter().find(|(known, _)| *known == split)?;
    let folder = names.iter().map(|name| root.join(name)).find(|path| path.is_dir());
    let file = || {
        let part = if split == "test" { "t10k" } else { split };
        let name = format!("{part}-images-idx3-ubyte");
        [name.clone(), name + ".gz"].into_iter().map(|name| root.join(name)).find(|path| path.is_file())
    };
    folder.or_else(file)
}

/// Names of the bundled sets, and whether each holds images.
fn sets() -> impl Iterator<Item = (&'static str, bool)> {
    TEXTS.iter().map(|set| (set.name, false)).chain(images::NAMES.map(|name| (name, true)))
}

/// The splits of a bundled set.
fn splits(set: &str) -> Vec<&'static str> {
    match images::image_set(set) {
        Some(set) => set.splits.iter().map(|(name, _)| *name).collect(),
        None => SPLITS.to_vec(),
    }
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
    fn a_misspelt_file_brings_the_one_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.csv"), "").unwrap();
        let wrong = folder.path().join("trian.csv");
        let failure = data("--train", wrong.to_str().unwrap(), "train").unwrap_err().to_string();
        assert!(failure.contains("trian.csv: no such file"), "{failure}");
        assert!(failure.contains("hint: did you mean") && failure.contains("train.csv?"), "{failure}");
    }

    #[test]
    fn a_bundled_set_has_the_usual_split_unless_one_is_named() {
        let shown = |given: &str| data("--data", given, "test").unwrap().to_string();
        assert_eq!(shown("bundled:shop-requests"), "bundled:shop-requests/test");
        assert_eq!(shown("bundled:shop-requests/valid"), "bundled:shop-requests/valid");
        let refused = |given: &str| data("--data", given, "test").unwrap_err().to_string();
        assert!(refused("bundled:shop-request").contains("did you mean bundled:shop-requests?"));
        assert!(refused("bundled:shop-requests/dev").contains("train, valid, test"));
        assert!(refused("bundled:shapes").contains("train, valid"), "a set that is there to pretrain on");
        assert!(refused("hub:org/name").contains("Hub"));
    }

    #[test]
    fn a_hub_name_is_told_from_a_path() {
        assert!(looks_like_hub_name("sentence-transformers/all-MiniLM-L6-v2"));
        assert!(looks_like_hub_name("org/name@main"));
        for path in ["name", "./name", "../a", "/a/b", "a/b/c"] {
            assert!(!looks_like_hub_name(path), "{path}");
        }
    }
}
