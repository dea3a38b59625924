//! Folders of Parquet files, as a data set of the Hub is laid out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use xexp_data::natural_order;
use xexp_hub::parquet_split;

use super::data::names;
use crate::failure::Failure;

/// Splits that a folder may have.
const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// Parquet files that are one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What it is called: the folder, with the split where it is one of several.
    pub name: PathBuf,
    /// The files, in the order of their rows.
    pub files: Vec<PathBuf>,
    /// The folder whose splits it is one of.
    root: Option<PathBuf>,
}

impl Table {
    /// Another split of the same folder.
    pub fn sibling(&self, split: &str) -> Option<Table> {
        let root = self.root.as_ref()?;
        by_split(root).and_then(|mut found| table(root, split, &mut found))
    }
}

/// The split `usual` of a folder of Parquet files. They lie in it or in its folder `data`, as `SPLIT.parquet` or
/// `SPLIT-00000-of-00002.parquet`, or in folders called by the splits; where no file is called by a split, all in the
/// folder are one table. `None` of a folder without Parquet files.
///
/// # Errors
/// There is no such split.
pub fn of_folder(flag: &str, path: &Path, usual: &str) -> Result<Option<Table>, Failure> {
    let Some(mut found) = by_split(path) else {
        let files = parquet_files(path);
        let table = Table { name: path.to_path_buf(), files, root: None };
        return Ok(Some(table).filter(|table| !table.files.is_empty()));
    };
    match table(path, usual, &mut found) {
        Some(table) => Ok(Some(table)),
        None => {
            let splits: Vec<&str> = found.keys().map(String::as_str).collect();
            let message =
                format!("{flag} {}: no split {usual:?}; it has {}", path.display(), splits.join(", "));
            Err(Failure::input(message).hint(format!("name a file, such as {flag} FILE.parquet")))
        }
    }
}

fn table(root: &Path, split: &str, found: &mut BTreeMap<String, Vec<PathBuf>>) -> Option<Table> {
    let (name, files) = names(split).iter().find_map(|name| found.remove_entry(*name))?;
    Some(Table { name: root.join(name), files, root: Some(root.to_path_buf()) })
}

/// The files of each split; `None` where nothing is called by a split.
fn by_split(root: &Path) -> Option<BTreeMap<String, Vec<PathBuf>>> {
    let known = |name: &str| SPLITS.iter().any(|split| names(split).contains(&name));
    let mut found: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for folder in [root.to_path_buf(), root.join("data")] {
        for file in parquet_files(&folder) {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some((_, split)) = parquet_split(name) {
                found.entry(split.to_owned()).or_default().push(file);
            }
        }
    }
    for name in SPLITS.iter().flat_map(|split| names(split)) {
        let files = parquet_files(&root.join(name));
        if !files.is_empty() {
            found.entry((*name).to_owned()).or_default().extend(files);
        }
    }
    found.keys().any(|name| known(name)).then_some(found)
}

/// The Parquet files of a folder, in natural order of their names; none of what is no folder.
fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".parquet"))
        .collect();
    names.sort_by(|a, b| natural_order(a, b));
    names.into_iter().map(|name| folder.join(name)).collect()
}
