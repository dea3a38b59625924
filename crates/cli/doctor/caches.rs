//! Where Hugging Face's tools keep their files, by their own variables.
//!
//! Source: `huggingface_hub/constants.py`. A variable that is set but empty counts as not set.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

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
    /// The places that the variables name; `variable` gives the value of one.
    pub fn resolve(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = |name: &str| variable(name).map(|path| under_home(&path, variable("HOME")));
        let hf_home = folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/huggingface")));
        let hub_cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| hf_home.as_ref().map(|home| home.join("hub")));
        let token_file = folder("HF_TOKEN_PATH").or_else(|| hf_home.as_ref().map(|home| home.join("token")));
        let token = match (variable("HF_TOKEN"), token_file) {
            (Some(_), _) => "from HF_TOKEN".to_owned(),
            (None, Some(file)) if file.is_file() => format!("from {}", file.display()),
            _ => "none".to_owned(),
        };
        let truthy = |name: &str| {
            variable(name).is_some_and(|v| ["1", "ON", "YES", "TRUE"].contains(&v.to_uppercase().as_str()))
        };
        Self {
            hub_cache_exists: hub_cache.as_deref().is_some_and(Path::is_dir),
            hub_cache,
            hf_home,
            endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned()),
            token,
            offline: truthy("HF_HUB_OFFLINE") || truthy("TRANSFORMERS_OFFLINE"),
        }
    }
}

/// A path with a leading `~` replaced, as Python's `expanduser` does for these variables.
fn under_home(path: &str, home: Option<String>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(&home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(set: &[(&str, &str)]) -> Caches {
        Caches::resolve(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_nearest_variable_wins() {
        let cache = |set: &[(&str, &str)]| resolved(set).hub_cache.unwrap();
        let home = ("HOME", "/u");
        assert_eq!(cache(&[home]), Path::new("/u/.cache/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/h")]), Path::new("/u/h/hub"));
        assert_eq!(cache(&[home, ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/new"));
        assert_eq!(cache(&[home, ("HF_HOME", "")]), Path::new("/u/.cache/huggingface/hub"));
        assert_eq!(resolved(&[]).hub_cache, None);
    }

    #[test]
    fn a_token_is_located_but_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_secret").unwrap();
        let home = ("HF_HOME", folder.path().to_str().unwrap());
        assert_eq!(resolved(&[home]).token, format!("from {}/token", folder.path().display()));
        assert_eq!(resolved(&[home, ("HF_TOKEN", "hf_other")]).token, "from HF_TOKEN");
        assert_eq!(resolved(&[("HF_HOME", "/nowhere")]).token, "none");
    }

    #[test]
    fn offline_follows_pythons_spellings() {
        for (value, offline) in
            [("1", true), ("true", true), ("Yes", true), ("on", true), ("0", false), ("", false)]
        {
            assert_eq!(resolved(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        assert!(resolved(&[("TRANSFORMERS_OFFLINE", "1")]).offline);
    }
}
