//! The files of a model: configuration, weights in safetensors, tokenizer or preprocessor.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cache::Cache;
use crate::listing::Listing;
use crate::repository::{Repository, is_inside};
use crate::{Error, Hub, Result, Watch};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
/// How sentence-transformers pool, which the weights alone do not say.
const POOLING: &str = "1_Pooling/config.json";
/// What pickled weights end with.
const PICKLES: [&str; 5] = [".bin", ".pt", ".pth", ".ckpt", ".pkl"];

/// A revision in the cache, with all files that were asked for.
#[derive(Debug)]
pub struct Snapshot {
    /// The folder with the files.
    pub folder: PathBuf,
    /// The commit that it is.
    pub commit: String,
    /// Why it is the cache's last state and perhaps not the newest, where the Hub could not be asked.
    pub stale: Option<Error>,
}

/// The part of an index that says where tensors are.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Hub {
    /// Fetches a model as far as it is not there: `config.json`, `model.safetensors` or its shards, `1_Pooling/config.json`,
    /// and those of `companions` that the repository has. Pickles are never fetched.
    ///
    /// Offline, and where the Hub cannot be reached, the cache's state of the revision is given, if it is whole.
    ///
    /// # Errors
    /// Whatever kept it from being whole: see [`Error`].
    pub fn model(&self, repository: &Repository, companions: &[&str], watch: Watch<'_>) -> Result<Snapshot> {
        let cache = Cache::new(&self.cache, repository, self.environment.symlinks);
        if let Some(by) = self.environment.offline {
            return self.cached(&cache, repository, by);
        }
        match self.fetched(&cache, repository, companions, watch) {
            Err(error) if error.is_transient() => match self.cached(&cache, repository, "no connection") {
                Ok(found) => Ok(Snapshot { stale: Some(error), ..found }),
                Err(_) => Err(error),
            },
            done => done,
        }
    }

    fn fetched(
        &self,
        cache: &Cache,
        repository: &Repository,
        companions: &[&str],
        watch: Watch<'_>,
    ) -> Result<Snapshot> {
        let listing = self.listing(repository, watch)?;
        let at = repository.at(&listing.commit);
        let weights = weights(repository, &listing)?;
        if !listing.has(CONFIG) {
            return Err(missing(repository, CONFIG, &listing));
        }
        // Small files first: what is wrong with them is known before gigabytes have come.
        let small = [CONFIG, POOLING].into_iter().chain(companions.iter().copied());
        let small: BTreeSet<&str> = small.filter(|file| listing.has(file)).collect();
        for file in small {
            self.file(cache, &at, file, watch)?;
        }
        let first = self.file(cache, &at, weights, watch)?;
        if weights == INDEX {
            for shard in shards(&first)? {
                if !listing.has(&shard) {
                    return Err(missing(repository, &shard, &listing));
                }
                self.file(cache, &at, &shard, watch)?;
            }
        }
        // Last, so that the revision never points to a commit of which only a part is there.
        if !repository.is_commit() {
            cache.set_commit(&listing.commit)?;
        }
        Ok(Snapshot { folder: cache.snapshot(&listing.commit), commit: listing.commit, stale: None })
    }

    /// The cache's state of the revision, without any connection.
    fn cached(&self, cache: &Cache, repository: &Repository, by: &'static str) -> Result<Snapshot> {
        let lacking = |missing: String| Error::Offline {
            repository: repository.to_string(),
            missing,
            by,
            folder: cache.folder(),
        };
        let commit = cache.commit()?.ok_or_else(|| lacking("not in the cache".to_owned()))?;
        let folder = cache.snapshot(&commit);
        if !folder.is_dir() {
            return Err(lacking(format!("commit {commit} is not in the cache")));
        }
        let absent = |file: &str| !folder.join(file).exists();
        let mut gone: Vec<String> = vec![];
        if absent(CONFIG) {
            gone.push(CONFIG.to_owned());
        }
        if absent(WEIGHTS) {
            if absent(INDEX) {
                gone.push(WEIGHTS.to_owned());
            } else {
                gone.extend(shards(&folder.join(INDEX))?.into_iter().filter(|shard| absent(shard)));
            }
        }
        if !gone.is_empty() {
            return Err(lacking(format!("the cache lacks {}", gone.join(", "))));
        }
        Ok(Snapshot { folder, commit, stale: None })
    }
}

/// The file that the weights begin with: the weights themselves, or the index of their shards.
fn weights(repository: &Repository, listing: &Listing) -> Result<&'static str> {
    if let Some(found) = [WEIGHTS, INDEX].into_iter().find(|file| listing.has(file)) {
        return Ok(found);
    }
    let pickled = |file: &&String| !file.contains('/') && PICKLES.iter().any(|end| file.ends_with(end));
    match listing.files.iter().find(pickled) {
        Some(file) => Err(Error::Pickle {
            repository: repository.to_string(),
            id: repository.id.clone(),
            file: file.clone(),
        }),
        None => Err(missing(repository, WEIGHTS, listing)),
    }
}

/// The files that an index names.
fn shards(index: &Path) -> Result<BTreeSet<String>> {
    let refuse = |reason: String| Error::Index { path: index.to_path_buf(), reason };
    let text = std::fs::read(index).map_err(|source| Error::Read { path: index.to_path_buf(), source })?;
    let index: Index = serde_json::from_slice(&text).map_err(|error| refuse(error.to_string()))?;
    let files: BTreeSet<String> = index.weight_map.into_values().collect();
    match files.iter().find(|file| !is_inside(file) || !file.ends_with(".safetensors")) {
        Some(file) => Err(refuse(format!("it names {file:?}, which is no safetensors file beside it"))),
        None => Ok(files),
    }
}

fn missing(repository: &Repository, file: &str, listing: &Listing) -> Error {
    Error::File { repository: repository.to_string(), file: file.to_owned(), found: listing.summary() }
}
