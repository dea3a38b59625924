//! What the variables of Hugging Face's tools say.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{Error, Result};

/// The places and switches, resolved.
///
/// Source: `huggingface_hub/constants.py`. A variable that is set but empty counts as not set. `~` and `$NAME` are
/// replaced in paths, as Python's `expanduser` and `expandvars` do.
///
/// | variable | meaning |
/// | --- | --- |
/// | `HF_HOME` | the root; else `$XDG_CACHE_HOME/huggingface`, else `~/.cache/huggingface` |
/// | `HF_HUB_CACHE`, before it `HUGGINGFACE_HUB_CACHE` | the cache; else `hub` below the root |
/// | `HF_TOKEN`, before it `HUGGING_FACE_HUB_TOKEN` | the token |
/// | `HF_TOKEN_PATH` | the file with the token; else `token` below the root |
/// | `HF_HUB_DISABLE_IMPLICIT_TOKEN` | no token is sent, since none is ever given explicitly |
/// | `HF_ENDPOINT` | the Hub's address |
/// | `HF_HUB_OFFLINE`, in its absence `TRANSFORMERS_OFFLINE` | no network |
/// | `HF_HUB_ETAG_TIMEOUT`, `HF_HUB_DOWNLOAD_TIMEOUT` | seconds without an answer, and without data; 10 each |
/// | `HF_HUB_DISABLE_PROGRESS_BARS` | no progress |
/// | `HF_HUB_DISABLE_SYMLINKS` | copies instead of links in the cache |
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The root of everything Hugging Face; none without a home folder.
    pub home: Option<PathBuf>,
    /// The cache of downloaded repositories.
    pub cache: Option<PathBuf>,
    /// The Hub's address, without a slash at its end.
    pub endpoint: String,
    /// Where the token comes from.
    pub token: TokenSource,
    /// What forbids the network, if anything does: the name of a variable or flag.
    pub offline: Option<&'static str>,
    /// The longest wait for an answer about a file.
    pub etag_timeout: Duration,
    /// The longest wait for the next piece of a file.
    pub download_timeout: Duration,
    /// Whether progress may be shown.
    pub progress: bool,
    /// Whether the cache may have symbolic links.
    pub symlinks: bool,
}

/// Where a token comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// There is none, or none may be sent.
    Nowhere,
    /// A variable.
    Variable(&'static str, Token),
    /// A file, which is there.
    File(PathBuf),
}

/// A secret: shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The Hub's own address.
const ENDPOINT: &str = "https://huggingface.co";
/// Seconds that Python waits.
const TIMEOUT: u64 = 10;

impl Environment {
    /// Of variables, whose values `variable` gives.
    ///
    /// # Errors
    /// [`Error::Variable`] for a time-out that is no number of seconds, or an address that is none.
    pub fn resolve(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let folder = |name: &str| variable(name).map(|path| expanded(&path, &variable));
        let home = folder("HF_HOME")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/huggingface")));
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| home.as_ref().map(|home| home.join("hub")));
        let switched = |name: &'static str| variable(name).filter(|value| is_true(value)).map(|_| name);
        let seconds = |name: &'static str| match variable(name) {
            None => Ok(Duration::from_secs(TIMEOUT)),
            Some(value) => match value.trim().parse() {
                // Python takes 0 for not set.
                Ok(0) => Ok(Duration::from_secs(TIMEOUT)),
                Ok(seconds) => Ok(Duration::from_secs(seconds)),
                Err(_) => Err(Error::Variable { name, value, expected: "a whole number of seconds" }),
            },
        };
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
            let expected = "an address that begins with https:// or http://";
            return Err(Error::Variable { name: "HF_ENDPOINT", value: endpoint, expected });
        }
        let token_file = folder("HF_TOKEN_PATH").or_else(|| home.as_ref().map(|home| home.join("token")));
        Ok(Environment {
            token: match switched("HF_HUB_DISABLE_IMPLICIT_TOKEN") {
                Some(_) => TokenSource::Nowhere,
                None => token(&variable, token_file),
            },
            home,
            cache,
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            offline: match variable("HF_HUB_OFFLINE") {
                Some(_) => switched("HF_HUB_OFFLINE"),
                None => switched("TRANSFORMERS_OFFLINE"),
            },
            etag_timeout: seconds("HF_HUB_ETAG_TIMEOUT")?,
            download_timeout: seconds("HF_HUB_DOWNLOAD_TIMEOUT")?,
            progress: switched("HF_HUB_DISABLE_PROGRESS_BARS").is_none(),
            symlinks: switched("HF_HUB_DISABLE_SYMLINKS").is_none(),
        })
    }

    /// Of this process.
    ///
    /// # Errors
    /// As [`Environment::resolve`].
    pub fn of_process() -> Result<Self> {
        Self::resolve(|name| std::env::var(name).ok())
    }
}

fn token(variable: &impl Fn(&str) -> Option<String>, file: Option<PathBuf>) -> TokenSource {
    for name in ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"] {
        if let Some(value) = variable(name).map(|value| clean(&value)).filter(|value| !value.is_empty()) {
            return TokenSource::Variable(name, Token(value));
        }
    }
    file.filter(|file| file.is_file()).map_or(TokenSource::Nowhere, TokenSource::File)
}

/// A token without the blanks and line ends that copying leaves around it.
fn clean(token: &str) -> String {
    token.trim().to_owned()
}

impl TokenSource {
    /// The token itself, for a header.
    ///
    /// # Errors
    /// [`Error::Read`] for a file that cannot be read.
    pub(crate) fn secret(&self) -> Result<Option<String>> {
        match self {
            TokenSource::Nowhere => Ok(None),
            TokenSource::Variable(_, Token(token)) => Ok(Some(token.clone())),
            TokenSource::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| Error::Read { path: path.clone(), source })?;
                Ok(Some(clean(&text)).filter(|token| !token.is_empty()))
            }
        }
    }
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenSource::Nowhere => f.write_str("none"),
            TokenSource::Variable(name, _) => write!(f, "from {name}"),
            TokenSource::File(path) => write!(f, "from {}", path.display()),
        }
    }
}

fn is_true(value: &str) -> bool {
    ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
}

/// A path with a leading `~` and with `$NAME` and `${NAME}` replaced; what is not set stays as it stands.
fn expanded(path: &str, variable: &impl Fn(&str) -> Option<String>) -> PathBuf {
    let path = match (path.strip_prefix('~'), variable("HOME")) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(&home).join(rest.trim_start_matches('/')).display().to_string()
        }
        _ => path.to_owned(),
    };
    let mut pieces = path.split('$');
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = match piece.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(braced) => braced,
            None => {
                let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
                piece.split_at(piece.find(word).unwrap_or(piece.len()))
            }
        };
        match variable(name) {
            Some(value) => out.push_str(&(value + rest)),
            None => out.push_str(&format!("${piece}")),
        }
    }
    PathBuf::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(set: &[(&str, &str)]) -> Result<Environment> {
        Environment::resolve(|name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_nearest_variable_wins() {
        let cache = |set: &[(&str, &str)]| resolved(set).unwrap().cache.unwrap();
        let home = ("HOME", "/u");
        assert_eq!(cache(&[home]), Path::new("/u/.cache/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x")]), Path::new("/x/huggingface/hub"));
        assert_eq!(cache(&[home, ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "~/h")]), Path::new("/u/h/hub"));
        assert_eq!(cache(&[home, ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/old"));
        assert_eq!(cache(&[("HF_HUB_CACHE", "/new"), ("HUGGINGFACE_HUB_CACHE", "/old")]), Path::new("/new"));
        assert_eq!(cache(&[home, ("HF_HOME", "")]), Path::new("/u/.cache/huggingface/hub"));
        assert_eq!(
            cache(&[home, ("USER", "me"), ("HF_HOME", "/s/$USER/${USER}x/$NO")]),
            Path::new("/s/me/mex/$NO/hub")
        );
        assert_eq!(resolved(&[]).unwrap().cache, None);
    }

    #[test]
    fn a_token_is_located_and_never_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "hf_file\n").unwrap();
        let home = ("HF_HOME", folder.path().to_str().unwrap());
        let token = |set: &[(&str, &str)]| resolved(set).unwrap().token;
        assert_eq!(token(&[home]), TokenSource::File(file.clone()));
        assert_eq!(token(&[home]).secret().unwrap().unwrap(), "hf_file");
        let set = token(&[home, ("HF_TOKEN", " hf_variable\n")]);
        assert_eq!(set.secret().unwrap().unwrap(), "hf_variable");
        assert!(!format!("{set} {set:?}").contains("hf_variable"));
        assert_eq!(
            token(&[("HF_TOKEN_PATH", file.to_str().unwrap())]).to_string(),
            format!("from {}", file.display())
        );
        assert_eq!(
            token(&[home, ("HF_TOKEN", "x"), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]),
            TokenSource::Nowhere
        );
        assert_eq!(token(&[("HF_HOME", "/nowhere")]), TokenSource::Nowhere);
    }

    #[test]
    fn switches_follow_pythons_spellings() {
        let offline = |set: &[(&str, &str)]| resolved(set).unwrap().offline;
        for value in ["1", "true", "Yes", "on"] {
            assert_eq!(offline(&[("HF_HUB_OFFLINE", value)]), Some("HF_HUB_OFFLINE"), "{value}");
        }
        assert_eq!(offline(&[("HF_HUB_OFFLINE", "")]), None);
        assert_eq!(offline(&[("TRANSFORMERS_OFFLINE", "1")]), Some("TRANSFORMERS_OFFLINE"));
        assert_eq!(offline(&[("HF_HUB_OFFLINE", "0"), ("TRANSFORMERS_OFFLINE", "1")]), None);
        assert!(!resolved(&[("HF_HUB_DISABLE_PROGRESS_BARS", "1")]).unwrap().progress);
        assert!(!resolved(&[("HF_HUB_DISABLE_SYMLINKS", "1")]).unwrap().symlinks);
    }

    #[test]
    fn times_and_addresses_are_checked() {
        let set = resolved(&[("HF_HUB_ETAG_TIMEOUT", "3"), ("HF_ENDPOINT", "http://mirror/")]).unwrap();
        assert_eq!((set.etag_timeout.as_secs(), set.download_timeout.as_secs()), (3, 10));
        assert_eq!(set.endpoint, "http://mirror");
        let refused = resolved(&[("HF_HUB_DOWNLOAD_TIMEOUT", "soon")]).unwrap_err().to_string();
        assert_eq!(refused, "HF_HUB_DOWNLOAD_TIMEOUT=soon: expected a whole number of seconds");
        assert!(resolved(&[("HF_ENDPOINT", "mirror")]).is_err());
    }
}
