//! A finished model, from a folder to a repository of the Hub.
//!
//! [`Hub::may_push`] finds out beforehand what can be known: whether there is a network, a token, and a name that the
//! token's user may write under. [`Hub::push`] then does it:
//!
//! 1. The revision is asked for. Asking comes before making, since a token may be allowed to write to a repository that
//!    is there and not to make one; what is missing is made, a repository as a private one, a branch from `main`.
//! 2. The Hub says of each file whether it goes into git or into large-file storage, and what it has of it already.
//! 3. What belongs into the storage goes there, straight from the disk.
//! 4. One commit, which names its parent, brings all files at once.
//!
//! Every request is repeated as [`Patience`](crate::Patience) has it. The commit is the one that must not happen twice,
//! and the one whose answer can be lost after it happened. After any failure of it the second step is taken again: where
//! the branch has all files as they are here, it has happened. Where it has not, the next attempt names the parent that the
//! branch has by then, so that of two requests on their way only one can come through. Somebody else's commit in between
//! is told by the refusal, and the next attempt goes on top of it.
//!
//! Source: `huggingface_hub` 2.4.0, `_commit_api.py` and `lfs.py`; Git LFS, "Batch API" and "Basic Transfers".

mod account;
mod commit;
mod files;
mod parts;
mod place;
mod storage;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use crate::repository::{Kind, Repository, is_commit};
use crate::{Error, Hub, Result, Watch};
use files::{LocalFile, Mode};

/// What a push brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit that has the files.
    pub commit: String,
    /// Its page.
    pub url: String,
    /// Whether the branch had all files already, so that nothing was committed.
    pub unchanged: bool,
    /// Files that the repository's `.gitignore` keeps out.
    pub ignored: Vec<String>,
}

/// A push on its way.
struct Push<'a> {
    hub: &'a Hub,
    to: &'a Repository,
    stop: &'a AtomicBool,
}

impl Repository {
    /// Reads `ORG/NAME[@BRANCH]`, or `NAME` alone below the user's own name: a model to push. The branch is `main` if
    /// none is named.
    ///
    /// # Errors
    /// [`Error::Name`] with the rule that the name breaks; a commit is no branch.
    pub fn destination(given: &str) -> Result<Self> {
        let repository = Repository::parse(Kind::Model, given)?;
        if is_commit(&repository.revision) {
            let reason = "a commit never changes; give a branch, or none for main".to_owned();
            return Err(Error::Name { given: given.to_owned(), reason });
        }
        Ok(repository)
    }
}

impl Hub {
    /// Puts files, each with its path in the repository, on the branch `to.revision` by one commit; `summary` is its
    /// title. The repository, private, and the branch are made where they are missing.
    ///
    /// `to` is what [`Hub::may_push`] gave. `stop` ends it at the next piece or pause.
    ///
    /// # Errors
    /// Whatever the Hub, the storage or the network refuses; [`Error::Stopped`]. Nothing here is changed by any of them.
    pub fn push(
        &self,
        to: &Repository,
        files: &[(String, PathBuf)],
        summary: &str,
        stop: &AtomicBool,
        watch: Watch<'_>,
    ) -> Result<Pushed> {
        let files =
            files.iter().map(|(name, path)| LocalFile::read(name, path, stop)).collect::<Result<Vec<_>>>()?;
        let push = Push { hub: self, to, stop };
        push.place(watch)?;
        let mut stored: Vec<String> = vec![];
        let mut failures = 0;
        loop {
            let parent = push.head(watch)?;
            let plans = push.modes(&files, watch)?;
            let (ignored, plans): (Vec<_>, Vec<_>) = plans.into_iter().partition(|plan| plan.ignored);
            if plans.is_empty() {
                return Err(Error::AllIgnored { repository: to.to_string() });
            }
            let ignored = ignored.into_iter().map(|plan| plan.file.name.clone()).collect();
            let changed: Vec<_> = plans.into_iter().filter(|plan| !plan.is_there).collect();
            if changed.is_empty() {
                let url = self.client.url(&format!("{}/commit/{parent}", to.id));
                // After a failure the commit that is there is ours, whose answer was lost.
                return Ok(Pushed { commit: parent, url, unchanged: failures == 0, ignored });
            }
            for plan in changed.iter().filter(|plan| plan.mode == Mode::Large) {
                if !stored.contains(&plan.file.sha256) {
                    push.store(plan.file, watch)?;
                    stored.push(plan.file.sha256.clone());
                }
            }
            match push.commit(&changed, &parent, summary) {
                Ok((commit, url)) => return Ok(Pushed { commit, url, unchanged: false, ignored }),
                Err(error) if error.is_transient() => {
                    failures += 1;
                    self.client.patience.wait_until(stop, failures, error, watch)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Push<'_> {
    /// Tries a request until it succeeds, fails for good, or is to stop.
    fn insist<T>(&self, watch: Watch<'_>, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
        self.hub.client.patience.insist_until(self.stop, watch, |_| attempt())
    }

    /// The address of the Hub's interface to the repository, with its branch at the end.
    fn api(&self, action: &str) -> String {
        let branch = crate::repository::escaped(&self.to.revision, "");
        self.hub.client.url(&format!("api/models/{}/{action}/{branch}", self.to.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_branch() {
        let read = |given| Repository::destination(given).map(|r| (r.id, r.revision));
        let pair = |id: &str, revision: &str| (id.to_owned(), revision.to_owned());
        assert_eq!(read("org/name").unwrap(), pair("org/name", "main"));
        assert_eq!(read("name@dev").unwrap(), pair("name", "dev"));
        let refused = read("org/name@0123456789abcdef0123456789abcdef01234567").unwrap_err();
        assert!(refused.is_input() && refused.to_string().contains("give a branch"), "{refused}");
        assert!(read("a/b/c").is_err());
    }
}
