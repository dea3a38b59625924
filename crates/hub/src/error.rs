//! What can go wrong between here and the Hub.

use std::path::PathBuf;
use std::time::Duration;

/// An error of this crate: what was asked for, what came back, from where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a name that the Hub gives.
    #[error("{given:?} names no repository of the Hub: {reason}")]
    Name {
        /// What was given.
        given: String,
        /// The rule that it breaks.
        reason: String,
    },
    /// A variable with a value that means nothing.
    #[error("{name}={value}: expected {expected}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// No variable says where the cache is.
    #[error("no place for the cache: none of HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HOME is set")]
    NoHome,
    /// No connection.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("{url}: nothing came within {} s", .after.as_secs_f64())]
    Timeout {
        /// What was asked for.
        url: String,
        /// The time waited.
        after: Duration,
    },
    /// A body that ended early.
    #[error("{url}: the answer broke off after {received} bytes: {reason}")]
    Cut {
        /// What was asked for.
        url: String,
        /// The bytes that came, those of earlier attempts included.
        received: u64,
        /// How it ended.
        reason: String,
    },
    /// Too many requests.
    #[error("{url}: too many requests (429){}", pause(*.retry_after))]
    RateLimited {
        /// What was asked for.
        url: String,
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// The server's fault.
    #[error("{url}: the server failed ({status})")]
    Server {
        /// What was asked for.
        url: String,
        /// Its answer.
        status: u16,
        /// The pause that the server asks for.
        retry_after: Option<Duration>,
    },
    /// A repository that is not there, or not for this user.
    #[error("{repository}: no such repository, or a private one ({status}){}", with_token(*.authenticated))]
    Repository {
        /// The repository.
        repository: String,
        /// The answer.
        status: u16,
        /// Whether a token was sent.
        authenticated: bool,
    },
    /// A repository whose conditions the user has not accepted.
    #[error("{repository}: access is restricted ({status}){}", with_token(*.authenticated))]
    Gated {
        /// The repository.
        repository: String,
        /// The answer.
        status: u16,
        /// Whether a token was sent.
        authenticated: bool,
        /// The page on which access is asked for.
        page: String,
    },
    /// A revision that is not there.
    #[error("{repository}: no such revision")]
    Revision {
        /// The repository, with the revision.
        repository: String,
    },
    /// A file that is not there.
    #[error("{repository} has no {file}{}{found}", if found.is_empty() { "" } else { "; it has " })]
    File {
        /// The repository.
        repository: String,
        /// The file, or the files of which one is needed.
        file: String,
        /// What it has instead, where that is known.
        found: String,
    },
    /// A configuration or a split that a data set does not have.
    #[error("{repository} has no {wanted}{}{found}", if found.is_empty() { "" } else { "; it has " })]
    Split {
        /// The repository.
        repository: String,
        /// What was asked for.
        wanted: String,
        /// What it has instead.
        found: String,
    },
    /// Weights that only a pickle holds.
    #[error(
        "{repository}: its weights are there only as {file}, a pickle, which can run code when read; not downloaded"
    )]
    Pickle {
        /// The repository.
        repository: String,
        /// `ORG/NAME` alone.
        id: String,
        /// The pickle.
        file: String,
    },
    /// An index of shards that cannot be used.
    #[error("{path}: {reason}")]
    Index {
        /// The index.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is not what the Hub says it is.
    #[error("{file}: checksum {found}, the Hub says {expected}; what came was removed")]
    Checksum {
        /// The file.
        file: String,
        /// The Hub's checksum.
        expected: String,
        /// That of what came.
        found: String,
    },
    /// An answer that is none of the Hub's.
    #[error("{url}: not an answer of the Hub: {reason}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another refusal.
    #[error("{url}: refused ({status}){}{message}", if message.is_empty() { "" } else { ": " })]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
        /// What the server says about it.
        message: String,
    },
    /// The network is forbidden and the cache has not all.
    #[error("{repository}: {missing}, and the network is switched off ({by}); looked in {folder}")]
    Offline {
        /// The repository.
        repository: String,
        /// What the cache lacks.
        missing: String,
        /// What switched the network off.
        by: &'static str,
        /// The repository's folder in the cache.
        folder: PathBuf,
    },
    /// A push where the network is forbidden.
    #[error("nothing can be pushed to {repository}: the network is switched off ({by})")]
    PushOffline {
        /// The repository.
        repository: String,
        /// What switched the network off.
        by: &'static str,
    },
    /// A push without a token.
    #[error("nothing can be pushed to {repository}: there is no token")]
    NoToken {
        /// The repository.
        repository: String,
    },
    /// A token that the Hub does not know.
    #[error("the token {from} is not valid: {url} refuses it (401)")]
    Token {
        /// Where the token comes from.
        from: String,
        /// What was asked for.
        url: String,
    },
    /// A token that may only read.
    #[error("nothing can be pushed to {repository}: the token {from} may only read (its role is \"read\")")]
    ReadOnly {
        /// The repository.
        repository: String,
        /// Where the token comes from.
        from: String,
    },
    /// A name below which the user has nothing.
    #[error("nothing can be pushed to {repository}: the token is of {user}, {}", members(.organisations))]
    Namespace {
        /// The repository.
        repository: String,
        /// Whose token it is.
        user: String,
        /// The organisations that the user is in.
        organisations: Vec<String>,
    },
    /// Something that the token does not allow.
    #[error("{url}: not allowed for the token (403){}{message}", if message.is_empty() { "" } else { ": " })]
    Forbidden {
        /// What was asked for.
        url: String,
        /// What the server says about it.
        message: String,
    },
    /// A connection that broke while something was sent, or before the answer to it.
    #[error("{url}: the connection broke after {sent} bytes were sent: {reason}")]
    Broken {
        /// Where they were sent.
        url: String,
        /// The bytes that went out.
        sent: u64,
        /// How it ended.
        reason: String,
    },
    /// A branch that others committed to at the same time.
    #[error("{repository}: somebody else committed at the same time ({status})")]
    Moved {
        /// The repository.
        repository: String,
        /// The answer.
        status: u16,
    },
    /// A new repository that is not as private as it was asked to be.
    #[error("{repository}: was asked for as a private repository and is public; nothing was uploaded")]
    Public {
        /// The repository.
        repository: String,
        /// Where its visibility is set.
        settings: String,
    },
    /// Nothing to commit.
    #[error("{repository}: its .gitignore excludes every file of the model")]
    AllIgnored {
        /// The repository.
        repository: String,
    },
    /// A signal came.
    #[error("stopped by a signal")]
    Stopped,
    /// A file of the cache, of the token or to be sent, that cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file of the cache that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
}

fn pause(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |pause| format!("; it asks to wait {} s", pause.as_secs()))
}

fn members(organisations: &[String]) -> String {
    if organisations.is_empty() {
        return "who is in no organisation".to_owned();
    }
    format!("who is in {}", organisations.join(", "))
}

fn with_token(authenticated: bool) -> &'static str {
    if authenticated { " for this token" } else { "" }
}

/// Where a token is made.
const TOKENS: &str = "https://huggingface.co/settings/tokens";

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Name { .. } => "write it as the Hub's page does: ORG/NAME, or ORG/NAME@REVISION".to_owned(),
            Error::NoHome => "set HF_HOME to a folder".to_owned(),
            Error::Unreachable { .. } => {
                "check the network, HTTPS_PROXY and HF_ENDPOINT; with --offline only the cache is used".to_owned()
            }
            Error::Timeout { .. } => {
                "try again; HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT are the seconds waited".to_owned()
            }
            Error::Cut { .. } | Error::Server { .. } => "try again: what has come so far is kept".to_owned(),
            Error::RateLimited { .. } => {
                format!("wait and try again, or log in for a higher limit: HF_TOKEN, from {TOKENS}")
            }
            Error::Repository { authenticated: false, .. } => {
                format!("check the name; if it is private, log in: HF_TOKEN, from {TOKENS}")
            }
            Error::Repository { authenticated: true, .. } => {
                "check the name, and that the token in HF_TOKEN is valid and may read it".to_owned()
            }
            Error::Gated { page, authenticated: false, .. } => {
                format!("ask for access on {page}, then log in: HF_TOKEN, from {TOKENS}")
            }
            Error::Gated { page, authenticated: true, .. } => {
                format!("ask for access on {page}; the token must belong to whom it is granted and may read gated repositories")
            }
            Error::Revision { .. } => "leave @REVISION away for the newest, or give a branch, a tag or a commit".to_owned(),
            Error::File { .. } => "choose a repository whose weights are in safetensors, in transformers' layout".to_owned(),
            Error::Split { .. } => "name one that it has: hub:ORG/NAME:CONFIGURATION/SPLIT".to_owned(),
            Error::Pickle { id, .. } => format!(
                "convert it once and give the folder: python -c \"from transformers import AutoModel as M, AutoTokenizer as T; \
                 n, d = '{id}', 'DIR'; M.from_pretrained(n).save_pretrained(d); T.from_pretrained(n).save_pretrained(d)\""
            ),
            Error::Checksum { .. } => "try again; if it stays, a proxy or mirror between changes files".to_owned(),
            Error::Protocol { .. } => "check HF_ENDPOINT, and whether a proxy or log-in page answers instead".to_owned(),
            Error::Offline { .. } => {
                "run once without --offline, HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE, or copy the cache of a machine that has it"
                    .to_owned()
            }
            Error::PushOffline { .. } => {
                "leave --push away, or --offline, HF_HUB_OFFLINE and TRANSFORMERS_OFFLINE unset".to_owned()
            }
            Error::NoToken { .. } => format!(
                "make a token with write permission on {TOKENS} and set HF_TOKEN to it; \
                 HF_HUB_DISABLE_IMPLICIT_TOKEN must not be set"
            ),
            Error::Token { .. } => format!("make a new token with write permission on {TOKENS}"),
            Error::ReadOnly { .. } => format!("make a token with write permission on {TOKENS}"),
            Error::Namespace { user, .. } => format!(
                "push to {user}/NAME, or take a token of a member of the organisation"
            ),
            Error::Forbidden { .. } => format!(
                "the token needs write permission for the repository, and where it is new for its owner's: {TOKENS}"
            ),
            Error::Broken { .. } => "try again".to_owned(),
            Error::Moved { .. } => "look at the repository's commits, and try again".to_owned(),
            Error::Public { settings, .. } => format!("set its visibility on {settings}, and push again"),
            Error::AllIgnored { .. } => "change .gitignore in the repository".to_owned(),
            _ => return None,
        })
    }

    /// Whether the environment is at fault: a disk or a permission.
    pub fn is_environment(&self) -> bool {
        matches!(self, Error::Read { .. } | Error::Write { .. } | Error::NoHome)
    }

    /// Whether what was asked for is at fault, whatever the network does.
    pub fn is_input(&self) -> bool {
        matches!(
            self,
            Error::Name { .. } | Error::Variable { .. } | Error::Pickle { .. } | Error::Index { .. }
        )
    }

    /// Whether the same request may succeed a little later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Error::Unreachable { .. }
                | Error::Timeout { .. }
                | Error::Cut { .. }
                | Error::RateLimited { .. }
                | Error::Server { .. }
                | Error::Checksum { .. }
                | Error::Broken { .. }
                | Error::Moved { .. }
        )
    }

    /// The pause that the server asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::RateLimited { retry_after, .. } | Error::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
