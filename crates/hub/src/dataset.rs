//! The files of a data set, in Parquet, as the Hub converts every public data set.
//!
//! They lie on a branch of their own, `CONFIGURATION/SPLIT/0000.parquet` and so on. Many data sets are in Parquet on their
//! other branches too, as `data/SPLIT-00000-of-00002.parquet`, or below a configuration instead of `data`.
//!
//! Source: the Hub's documentation of its dataset viewer, "List Parquet files", and of data sets, "File names and splits".

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cache::Cache;
use crate::repository::Repository;
use crate::{Error, Hub, Result, Watch};

/// The configuration that a data set has when it has one alone.
const DEFAULT: &str = "default";

/// One split of a data set, in the cache.
#[derive(Debug)]
pub struct Split {
    /// The configuration that it is of.
    pub configuration: String,
    /// Its name.
    pub name: String,
    /// Its files, in the order of their rows.
    pub files: Vec<PathBuf>,
    /// The commit of the branch.
    pub commit: String,
    /// Why it is the cache's last state and perhaps not the newest, where the Hub could not be asked.
    pub stale: Option<Error>,
}

impl Hub {
    /// Fetches the first of `splits` that there is, as far as it is not in the cache. Without a `configuration` the data
    /// set's only one is taken, or the one called `default`.
    ///
    /// # Errors
    /// [`Error::Split`] when there is no such configuration or split, with those that there are; else as
    /// [`Hub::model`].
    pub fn split(
        &self,
        repository: &Repository,
        configuration: Option<&str>,
        splits: &[&str],
        watch: Watch<'_>,
    ) -> Result<Split> {
        let cache = Cache::new(&self.cache, repository, self.environment.symlinks);
        if let Some(by) = self.environment.offline {
            return self.cached_split(&cache, repository, configuration, splits, by);
        }
        match self.fetched_split(&cache, repository, configuration, splits, watch) {
            Err(error) if error.is_transient() => {
                match self.cached_split(&cache, repository, configuration, splits, "no connection") {
                    Ok(found) => Ok(Split { stale: Some(error), ..found }),
                    Err(_) => Err(error),
                }
            }
            done => done,
        }
    }

    fn fetched_split(
        &self,
        cache: &Cache,
        repository: &Repository,
        configuration: Option<&str>,
        splits: &[&str],
        watch: Watch<'_>,
    ) -> Result<Split> {
        let listing = self.listing(repository, watch)?;
        let chosen = choose(repository, &listing.files, configuration, splits)?;
        let at = repository.at(&listing.commit);
        // The first file comes last: where it is, the others are, as whoever reads offline must know.
        for file in chosen.files.iter().rev() {
            self.file(cache, &at, file, watch)?;
        }
        if !repository.is_commit() {
            cache.set_commit(&listing.commit)?;
        }
        Ok(chosen.placed(cache, listing.commit))
    }

    fn cached_split(
        &self,
        cache: &Cache,
        repository: &Repository,
        configuration: Option<&str>,
        splits: &[&str],
        by: &'static str,
    ) -> Result<Split> {
        let lacking = |missing: String| Error::Offline {
            repository: repository.to_string(),
            missing,
            by,
            folder: cache.folder(),
        };
        let commit = cache.commit()?.ok_or_else(|| lacking("not in the cache".to_owned()))?;
        let there = files_below(&cache.snapshot(&commit));
        let chosen = choose(repository, &there, configuration, splits).map_err(|error| match error {
            Error::Split { wanted, found, .. } => {
                lacking(format!("the cache lacks {wanted} (it has {found})"))
            }
            error => error,
        })?;
        match chosen.gap() {
            Some(missing) => Err(lacking(format!("the cache lacks {missing}"))),
            None => Ok(chosen.placed(cache, commit)),
        }
    }
}

/// What was chosen of the files that there are.
struct Chosen {
    configuration: String,
    split: String,
    /// The files, in the order of their rows.
    files: Vec<String>,
}

impl Chosen {
    fn placed(self, cache: &Cache, commit: String) -> Split {
        let folder = cache.snapshot(&commit);
        let files = self.files.iter().map(|file| folder.join(file)).collect();
        Split { configuration: self.configuration, name: self.split, files, commit, stale: None }
    }

    /// A file that the names of the others say there is, and is not among them.
    fn gap(&self) -> Option<String> {
        let folder = format!("{}/{}/", self.configuration, self.split);
        for (index, file) in self.files.iter().enumerate() {
            match shard(file) {
                Some((before, place, count)) if place != index || self.files.len() != count => {
                    return Some(format!("a file of {before}-{index:05}-of-{count:05}"));
                }
                None if file.starts_with(&folder) && *file != format!("{folder}{index:04}.parquet") => {
                    return Some(format!("{folder}{index:04}.parquet"));
                }
                _ => {}
            }
        }
        None
    }
}

/// The configuration, the split, and the files of it.
fn choose(
    repository: &Repository,
    files: &BTreeSet<String>,
    configuration: Option<&str>,
    splits: &[&str],
) -> Result<Chosen> {
    let missing = |wanted: String, found: BTreeSet<&str>| Error::Split {
        repository: repository.to_string(),
        wanted,
        found: found.into_iter().collect::<Vec<_>>().join(", "),
    };
    let table = |file| parquet_split(file).map(|(configuration, split)| (configuration, split, file));
    let tables: Vec<(&str, &str, &str)> = files.iter().filter_map(|file| table(file.as_str())).collect();
    let configurations: BTreeSet<&str> = tables.iter().map(|(configuration, ..)| *configuration).collect();
    if configurations.is_empty() {
        return Err(missing("file in Parquet".to_owned(), configurations));
    }
    let wanted = match (configuration, configurations.first()) {
        (Some(wanted), _) => wanted,
        (None, Some(only)) if configurations.len() == 1 => only,
        _ => DEFAULT,
    };
    if !configurations.contains(wanted) {
        return Err(missing(format!("configuration {wanted}"), configurations));
    }
    let of = |(configuration, ..): &&(&str, &str, &str)| *configuration == wanted;
    let there: BTreeSet<&str> = tables.iter().filter(of).map(|(_, name, _)| *name).collect();
    let Some(split) = splits.iter().find(|split| there.contains(**split)) else {
        return Err(missing(format!("split {} of {wanted}", splits.join(" or ")), there));
    };
    let chosen = tables.iter().filter(of).filter(|(_, name, _)| name == split);
    let files = chosen.map(|(.., file)| (*file).to_owned()).collect();
    Ok(Chosen { configuration: wanted.to_owned(), split: (*split).to_owned(), files })
}

/// Configuration and split of a Parquet file of a data set, by its path in the repository; `None` of other files.
///
/// `CONFIGURATION/SPLIT/ANY.parquet`, `CONFIGURATION/SPLIT-00000-of-00002.parquet`, `CONFIGURATION/SPLIT.parquet`, where
/// the configuration `data`, or none, is the one called `default`.
pub fn parquet_split(file: &str) -> Option<(&str, &str)> {
    let stem = file.strip_suffix(".parquet")?;
    let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let split = shard(file).map_or(name, |(before, ..)| before);
    match folder {
        "" | "data" => Some((DEFAULT, split)),
        _ => match folder.split_once('/') {
            None => Some((folder, split)),
            Some((configuration, split)) if !split.contains('/') => Some((configuration, split)),
            Some(_) => None,
        },
    }
}

/// Of `SPLIT-00000-of-00002.parquet`, perhaps with a hash behind: the split, which file it is, and of how many.
fn shard(file: &str) -> Option<(&str, usize, usize)> {
    let name = file.rsplit('/').next()?.strip_suffix(".parquet")?;
    let (before, after) = name.split_once("-of-")?;
    let (split, place) = before.rsplit_once('-')?;
    let count = after.split('-').next()?;
    Some((split, place.parse().ok()?, count.parse().ok()?))
}

/// The files in a folder and at most two below it, as the Hub writes their paths.
fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![String::new()];
    while let Some(within) = folders.pop() {
        let entries = std::fs::read_dir(folder.join(&within)).into_iter().flatten().flatten();
        for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
            let path = if within.is_empty() { name } else { format!("{within}/{name}") };
            let place = folder.join(&path);
            if place.is_dir() && path.matches('/').count() < 2 {
                folders.push(path);
            } else if place.is_file() {
                // A link that leads nowhere is no file.
                found.insert(path);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_path_tells_configuration_and_split() {
        for (path, expected) in [
            ("default/train/0000.parquet", Some(("default", "train"))),
            ("sst2/partial-train/0001.parquet", Some(("sst2", "partial-train"))),
            ("data/train-00000-of-00002.parquet", Some(("default", "train"))),
            ("data/validation_matched-00000-of-00001-9f3e.parquet", Some(("default", "validation_matched"))),
            ("cola/test-00000-of-00001.parquet", Some(("cola", "test"))),
            ("data/train-extra-00000-of-00001.parquet", Some(("default", "train-extra"))),
            ("train.parquet", Some(("default", "train"))),
            ("a/b/c/0000.parquet", None),
            ("README.md", None),
        ] {
            assert_eq!(parquet_split(path), expected, "{path}");
        }
    }
}
