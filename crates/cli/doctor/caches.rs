//! Where Hugging Face's tools keep their files, by their own variables.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use xexp_hub::Environment;

/// The places and switches of the Hub, resolved.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Caches {
    /// The root of everything Hugging Face; none without a home folder.
    pub hf_home: Option<PathBuf>,
    /// The cache of downloaded repositories.
    pub hub_cache: Option<PathBuf>,
    /// Whether the cache is there.
    pub hub_cache_exists: bool,
    /// The Hub's address.
    pub endpoint: String,
    /// Where a token comes from; never the token itself.
    pub token: String,
    /// Whether the variables forbid the network.
    pub offline: bool,
}

impl Caches {
    /// The places that the variables name.
    pub fn new(environment: Environment) -> Self {
        Self {
            hub_cache_exists: environment.cache.as_deref().is_some_and(Path::is_dir),
            token: environment.token.to_string(),
            offline: environment.offline.is_some(),
            hub_cache: environment.cache,
            hf_home: environment.home,
            endpoint: environment.endpoint,
        }
    }
}

impl fmt::Display for Caches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hub_cache {
            Some(cache) => {
                let there = if self.hub_cache_exists { "" } else { " (not there yet)" };
                writeln!(f, "hub cache    {}{there}", cache.display())?;
            }
            None => writeln!(f, "hub cache    none: neither HF_HOME nor HOME is set")?,
        }
        let offline = if self.offline { " (offline)" } else { "" };
        writeln!(f, "hub          {}{offline}, token: {}", self.endpoint, self.token)
    }
}
