//! Where data is.

use std::fmt;
use std::path::{Path, PathBuf};

use xexp_bundled::{SPLITS, TEXTS, images};
use xexp_data::{Format, parquet_holds_images};

use super::tables::{self, Table};
use super::{BUNDLED, HUB, looks_like_hub_name, similar, unknown};
use crate::args::Shared;
use crate::failure::Failure;
use crate::hub;

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
    /// Parquet files of a folder that are one table.
    Table(Table),
    /// A split of a data set of the Hub, in the cache.
    Hub(hub::Split),
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

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Data::File(path) | Data::Folder { path, .. } => path.display().fmt(f),
            Data::Table(table) => table.name.display().fmt(f),
            Data::Hub(split) => write!(f, "{HUB}{split}"),
            Data::Bundled { set, split, .. } => write!(f, "{BUNDLED}{set}/{split}"),
        }
    }
}

impl Data {
    /// Whether the name, or the columns of a Parquet file, say that these are images. A file that cannot be read is none
    /// here; whoever reads it says why.
    pub fn is_images(&self) -> bool {
        let first =
            |files: &[PathBuf]| files.first().is_some_and(|file| parquet_holds_images(file).unwrap_or(false));
        match self {
            Data::File(path) => match Format::of(path) {
                Ok(Format::Parquet) => first(std::slice::from_ref(path)),
                format => matches!(format, Ok(Format::Images | Format::Idx)),
            },
            Data::Folder { .. } => true,
            Data::Table(table) => first(&table.files),
            Data::Hub(split) => first(&split.files),
            Data::Bundled { images, .. } => *images,
        }
    }

    /// Whether a text model has no use for it, whatever its columns.
    pub fn is_images_alone(&self) -> bool {
        match self {
            // A column of images may stand beside one of texts.
            Data::Table(_) | Data::Hub(_) => false,
            Data::File(path) => matches!(Format::of(path), Ok(Format::Images | Format::Idx)),
            Data::Folder { .. } | Data::Bundled { .. } => self.is_images(),
        }
    }

    /// The commit of a data set of the Hub.
    pub fn commit(&self) -> Option<&str> {
        match self {
            Data::Hub(split) => Some(&split.commit),
            _ => None,
        }
    }

    /// Another split of the same bundled set, folder of splits, or data set of the Hub; `None` where there is none.
    ///
    /// # Errors
    /// The Hub does not give it.
    pub fn sibling(&self, split: &str, shared: &Shared) -> Result<Option<Data>, Failure> {
        match self {
            Data::File(_) => Ok(None),
            Data::Folder { root, .. } => {
                let Some(root) = root else { return Ok(None) };
                let found = split_folder(root, split);
                Ok(found.map(|path| Data::Folder { path, root: Some(root.clone()) }))
            }
            Data::Table(table) => Ok(table.sibling(split).map(Data::Table)),
            Data::Hub(of) => Ok(of.sibling(names(split), shared)?.map(Data::Hub)),
            Data::Bundled { set, images, .. } => {
                let split = splits(set).into_iter().find(|name| *name == split);
                Ok(split.map(|split| Data::Bundled { set, split, images: *images }))
            }
        }
    }
}

/// The data that `flag` names: a file, a folder of images or of Parquet files, `bundled:SET` or `bundled:SET/SPLIT`, or,
/// where there is no such file, a data set of the Hub ([`hub::split`]). Of what has splits it is the split `usual` where
/// none is named.
///
/// # Errors
/// There is no such file, set or split.
pub fn data(flag: &str, given: &str, usual: &str, shared: &Shared) -> Result<Data, Failure> {
    if let Some(name) = given.strip_prefix(HUB) {
        return hub::split(flag, name, names(usual), shared).map(Data::Hub);
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
        return match tables::of_folder(flag, path, usual)? {
            Some(table) => Ok(Data::Table(table)),
            None => folder(flag, path, usual),
        };
    }
    // Pipes and devices are neither file nor folder, and can be read.
    if path.exists() {
        return Ok(Data::File(path.to_path_buf()));
    }
    let near = similar(path);
    // A name with an extension of data is that of a file, which is missing.
    if near.is_none() && looks_like_hub_name(given) && Format::of(path).is_err() {
        return hub::split(flag, given, names(usual), shared).map(Data::Hub);
    }
    let failure = Failure::input(format!("{flag} {given}: no such file"));
    Err(match near {
        Some(near) if looks_like_hub_name(given) && Format::of(path).is_err() => failure
            .hint(format!("did you mean {}? If the Hub's is meant: {flag} {HUB}{given}", near.display())),
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

/// Names that a split has elsewhere.
const SPLIT_NAMES: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("valid", &["validation", "valid", "val", "dev"]),
    ("test", &["test", "testing"]),
];

/// The names of a split of ours, the usual one first.
pub(super) fn names(split: &str) -> &'static [&'static str] {
    SPLIT_NAMES.iter().find(|(known, _)| *known == split).map_or(&[], |(_, names)| names)
}

/// The folder of a split, or MNIST's file of it.
fn split_folder(root: &Path, split: &str) -> Option<PathBuf> {
    let folder = names(split).iter().map(|name| root.join(name)).find(|path| path.is_dir());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(flag: &str, given: &str, usual: &str) -> Result<Data, Failure> {
        use clap::Parser;
        #[derive(Parser)]
        struct Flags {
            #[command(flatten)]
            shared: Shared,
        }
        data(flag, given, usual, &Flags::parse_from(["xexp", "--offline"]).shared)
    }

    #[test]
    fn a_misspelt_file_brings_the_one_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.csv"), "").unwrap();
        let wrong = folder.path().join("trian.csv");
        let failure = found("--train", wrong.to_str().unwrap(), "train").unwrap_err().to_string();
        assert!(failure.contains("trian.csv: no such file"), "{failure}");
        assert!(failure.contains("hint: did you mean") && failure.contains("train.csv?"), "{failure}");
        let failure = found("--train", "absent/train.csv", "train").unwrap_err().to_string();
        assert!(failure.contains("absent/train.csv: no such file"), "a file, not a data set: {failure}");
    }

    #[test]
    fn a_bundled_set_has_the_usual_split_unless_one_is_named() {
        let shown = |given: &str| found("--data", given, "test").unwrap().to_string();
        assert_eq!(shown("bundled:shop-requests"), "bundled:shop-requests/test");
        assert_eq!(shown("bundled:shop-requests/valid"), "bundled:shop-requests/valid");
        let refused = |given: &str| found("--data", given, "test").unwrap_err().to_string();
        assert!(refused("bundled:shop-request").contains("did you mean bundled:shop-requests?"));
        assert!(refused("bundled:shop-requests/dev").contains("train, valid, test"));
        assert!(refused("bundled:shapes").contains("train, valid"), "a set that is there to pretrain on");
        assert!(refused("hub:a/b/c/d").contains("hub:a/b/c/d"));
    }

    #[test]
    fn parquet_files_of_a_folder_are_tables_by_split() {
        let folder = tempfile::tempdir().unwrap();
        let touch = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        let files = |given: &str, usual: &str| match found("--train", given, usual).unwrap() {
            Data::Table(table) => {
                table.files.iter().map(|f| f.file_name().unwrap().to_owned()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        ["named/data/train-00001-of-00002.parquet", "named/data/train-00000-of-00002.parquet"]
            .into_iter()
            .for_each(touch);
        ["named/data/test-00000-of-00001.parquet", "plain/10.parquet", "plain/2.parquet"]
            .into_iter()
            .for_each(touch);
        ["branch/train/0000.parquet", "branch/validation/0000.parquet"].into_iter().for_each(touch);
        let place = |name: &str| folder.path().join(name).display().to_string();
        assert_eq!(
            files(&place("named"), "train"),
            ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
        );
        assert_eq!(files(&place("named"), "test"), ["test-00000-of-00001.parquet"]);
        assert_eq!(files(&place("plain"), "train"), ["2.parquet", "10.parquet"]);
        let Data::Table(train) = found("--train", &place("branch"), "train").unwrap() else { panic!() };
        assert_eq!(
            train.sibling("valid").unwrap().files,
            [folder.path().join("branch/validation/0000.parquet")]
        );
        assert_eq!(train.sibling("test"), None);
        let failure = found("--valid", &place("named"), "valid").unwrap_err().to_string();
        assert!(failure.contains("it has test, train"), "{failure}");
    }
}
