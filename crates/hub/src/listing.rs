//! The files of a revision.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::repository::{Repository, is_commit, is_inside};
use crate::{Error, Hub, Result, Watch};

/// What the Hub says about a revision.
#[derive(Debug)]
pub struct Listing {
    /// The commit that it is now.
    pub commit: String,
    /// The paths of its files.
    pub files: BTreeSet<String>,
    /// Whether only its owners see it, where the Hub tells.
    pub private: Option<bool>,
}

/// The answer of `api/models/ORG/NAME/revision/REVISION`, as far as it matters here.
#[derive(Deserialize)]
struct Answer {
    sha: String,
    private: Option<bool>,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

impl Hub {
    /// Asks for the files of a revision.
    pub(crate) fn listing(&self, repository: &Repository, watch: Watch<'_>) -> Result<Listing> {
        self.client.patience.insist(watch, |_| self.ask_for_listing(repository))
    }

    /// The same by a single request.
    pub(crate) fn ask_for_listing(&self, repository: &Repository) -> Result<Listing> {
        let (url, text) = self.client.about(repository)?;
        let protocol = |reason: String| Error::Protocol { url: url.clone(), reason };
        let answer: Answer = serde_json::from_str(&text).map_err(|error| protocol(error.to_string()))?;
        if !is_commit(&answer.sha) {
            return Err(protocol(format!("{:?} is no commit", answer.sha)));
        }
        let files: BTreeSet<String> = answer.siblings.into_iter().map(|sibling| sibling.rfilename).collect();
        match files.iter().find(|file| !is_inside(file)) {
            Some(file) => Err(protocol(format!("{file:?} is no path inside a folder"))),
            None => Ok(Listing { commit: answer.sha.to_ascii_lowercase(), files, private: answer.private }),
        }
    }
}

impl Listing {
    /// Whether it has a file.
    pub fn has(&self, file: &str) -> bool {
        self.files.contains(file)
    }

    /// The files in short, for a message.
    pub fn summary(&self) -> String {
        const SHOWN: usize = 8;
        let shown: Vec<&str> = self.files.iter().take(SHOWN).map(String::as_str).collect();
        match (shown.len(), self.files.len()) {
            (0, _) => "no files".to_owned(),
            (shown_count, count) if count > shown_count => {
                format!("{} and {} more", shown.join(", "), count - shown_count)
            }
            _ => shown.join(", "),
        }
    }
}
