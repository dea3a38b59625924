//! Models and data sets from the Hugging Face Hub, by `ORG/NAME[@REVISION]`.
//!
//! What is fetched lies in the cache that Python's `huggingface_hub` uses, in its layout, so that either finds what the
//! other has downloaded. A file enters the cache only whole: it is written beside its place, compared with the
//! checksum that the Hub names, and moved.
//!
//! The layout and the names of repositories are those of the published crate `hf-hub` 0.5.0, which is small and
//! synchronous; 1.0.0 brings 288 crates. Its downloads are not used: they know neither `Retry-After` nor checksums,
//! offline mode nor time-outs, and most of the variables. The transfer is ours, over `ureq`.
//!
//! A finished model goes up the other way, by [`Hub::push`]: the Hub's own protocol over HTTP, with git's large-file
//! storage for what is large.
//!
//! Honoured variables: see [`Environment`]. Nothing is ever sent but the requests themselves, so that
//! `HF_HUB_DISABLE_TELEMETRY` and `DO_NOT_TRACK` have nothing to switch off; nor has `HF_HUB_DISABLE_XET`, since files
//! come and go by plain HTTP.

mod cache;
mod checksum;
mod client;
mod dataset;
mod download;
mod environment;
mod error;
mod listing;
mod model;
mod patience;
mod push;
mod repository;

pub use dataset::{Split, parquet_split};
pub use environment::{Environment, Token, TokenSource};
pub use error::{Error, Result};
pub use model::Snapshot;
pub use patience::Patience;
pub use push::Pushed;
pub use repository::{Kind, Repository};

/// What happens while files are fetched or sent, for whoever shows it.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// A file is being fetched or sent.
    File {
        /// Its name in the repository.
        name: &'a str,
        /// Its size, where the Hub tells.
        bytes: Option<u64>,
    },
    /// So much of that file is here.
    Received {
        /// Bytes in all, those of an earlier attempt included.
        bytes: u64,
    },
    /// So much of that file has been sent; less than before when it is sent again.
    Sent {
        /// Bytes in all.
        bytes: u64,
    },
    /// A repository was made for a push, and only its owners see it.
    Created {
        /// The page on which its visibility is set.
        settings: &'a str,
    },
    /// The request is repeated after a pause.
    Waiting {
        /// What went wrong.
        reason: &'a Error,
        /// How long the pause is.
        pause: std::time::Duration,
    },
}

/// Takes [`Event`]s as they happen; it must not block.
pub type Watch<'a> = &'a mut dyn FnMut(Event<'_>);

/// The Hub, as the environment describes it.
pub struct Hub {
    environment: Environment,
    client: client::Client,
    cache: std::path::PathBuf,
}

impl Hub {
    /// With the usual patience towards failures.
    ///
    /// # Errors
    /// [`Error::NoHome`] when no variable says where the cache is.
    pub fn new(environment: Environment) -> Result<Self> {
        Self::with_patience(environment, Patience::default())
    }

    /// With a patience of one's own.
    ///
    /// # Errors
    /// As [`Hub::new`]; a token file that cannot be read.
    pub fn with_patience(environment: Environment, patience: Patience) -> Result<Self> {
        let cache = environment.cache.clone().ok_or(Error::NoHome)?;
        let client = client::Client::new(&environment, patience)?;
        Ok(Hub { environment, client, cache })
    }
}
