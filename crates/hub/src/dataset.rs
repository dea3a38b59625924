//! The files of a data set, in Parquet, as the Hub converts every public data set.
//!
//! They lie on a branch of their own, `CONFIGURATION/SPLIT/0000.parquet` and so on.
//!
//! Source: the Hub's documentation of its dataset viewer, "List Parquet files".

use std::collections::BTreeSet;
use std::path::PathBuf;

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
    /// Its files, in the order of their rows.
    pub files: Vec<PathBuf>,
    /// The commit of the branch.
    pub commit: String,
    /// Why it is the cache's last state and perhaps not the newest, where the Hub could not be asked.
    pub stale: Option<Error>,
}

impl Hub {
    /// Fetches a split, as far as it is not there. Without a `configuration` the data set's only one is taken, or the one
    /// called `default`.
    ///
    /// # Errors
    /// [`Error::File`] when there is no such configuration or split, with those that there are; else as
    /// [`Hub::model`].
    pub fn split(
        &self,
        repository: &Repository,
        configuration: Option<&str>,
        split: &str,
        watch: Watch<'_>,
    ) -> Result<Split> {
        let cache = Cache::new(&self.cache, repository, self.environment.symlinks);
        if let Some(by) = self.environment.offline {
            return self.cached_split(&cache, repository, configuration, split, by);
        }
        match self.fetched_split(&cache, repository, configuration, split, watch) {
            Err(error) if error.is_transient() => {
                match self.cached_split(&cache, repository, configuration, split, "no connection") {
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
        split: &str,
        watch: Watch<'_>,
    ) -> Result<Split> {
        let listing = self.listing(repository, watch)?;
        let (configuration, files) = choose(repository, &listing.files, configuration, split)?;
        let at = repository.at(&listing.commit);
        // The first file comes last: where it is, the others are, as whoever reads offline must know.
        for file in files.iter().rev() {
            self.file(cache, &at, file, watch)?;
        }
        if !repository.is_commit() {
            cache.set_commit(&listing.commit)?;
        }
        Ok(placed(cache, configuration, &files, listing.commit))
    }

    fn cached_split(
        &self,
        cache: &Cache,
        repository: &Repository,
        configuration: Option<&str>,
        split: &str,
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
        let (configuration, files) =
            choose(repository, &there, configuration, split).map_err(|error| match error {
                Error::File { file, found, .. } => {
                    lacking(format!("the cache lacks {file} (it has {found})"))
                }
                error => error,
            })?;
        for (index, file) in files.iter().enumerate() {
            let expected = format!("{configuration}/{split}/{index:04}.parquet");
            if *file != expected {
                return Err(lacking(format!("the cache lacks {expected}")));
            }
        }
        Ok(placed(cache, configuration, &files, commit))
    }
}

fn placed(cache: &Cache, configuration: String, files: &[String], commit: String) -> Split {
    let folder = cache.snapshot(&commit);
    let files = files.iter().map(|file| folder.join(file)).collect();
    Split { configuration, files, commit, stale: None }
}

/// The configuration, and the files of a split of it.
fn choose(
    repository: &Repository,
    files: &BTreeSet<String>,
    configuration: Option<&str>,
    split: &str,
) -> Result<(String, Vec<String>)> {
    let missing = |file: String, found: BTreeSet<&str>| Error::File {
        repository: repository.to_string(),
        file,
        found: found.into_iter().collect::<Vec<_>>().join(", "),
    };
    let table = |file| parts(file).map(|(configuration, split)| (configuration, split, file));
    let tables: Vec<(&str, &str, &str)> = files.iter().filter_map(|file| table(file.as_str())).collect();
    let configurations: BTreeSet<&str> = tables.iter().map(|(configuration, ..)| *configuration).collect();
    let wanted = match (configuration, configurations.first()) {
        (Some(wanted), _) => wanted,
        (None, Some(only)) if configurations.len() == 1 => only,
        _ => DEFAULT,
    };
    if !configurations.contains(wanted) {
        return Err(missing(format!("configuration {wanted}"), configurations));
    }
    let of = |(configuration, ..): &&(&str, &str, &str)| *configuration == wanted;
    let chosen: Vec<String> = tables
        .iter()
        .filter(of)
        .filter(|(_, name, _)| *name == split)
        .map(|(.., file)| (*file).to_owned())
        .collect();
    if chosen.is_empty() {
        let splits = tables.iter().filter(of).map(|(_, name, _)| *name).collect();
        return Err(missing(format!("split {split} of {wanted}"), splits));
    }
    Ok((wanted.to_owned(), chosen))
}

/// Configuration and split of a file of the branch.
fn parts(file: &str) -> Option<(&str, &str)> {
    let (configuration, rest) = file.split_once('/')?;
    let (split, name) = rest.split_once('/')?;
    (!name.contains('/') && name.ends_with(".parquet")).then_some((configuration, split))
}

/// The files two folders below a folder, as the Hub writes their paths.
fn files_below(folder: &std::path::Path) -> BTreeSet<String> {
    let names = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let mut found = BTreeSet::new();
    for configuration in names(folder.to_path_buf()) {
        for split in names(folder.join(&configuration)) {
            for file in names(folder.join(&configuration).join(&split)) {
                let path = format!("{configuration}/{split}/{file}");
                // A link that leads nowhere is no file.
                if folder.join(&path).exists() {
                    found.insert(path);
                }
            }
        }
    }
    found
}
