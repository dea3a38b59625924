//! The name of a repository on the Hub.

use std::fmt;
use std::path::{Component, Path};

use hf_hub::{Repo, RepoType};

use crate::{Error, Result};

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A model.
    Model,
    /// A data set.
    Dataset,
}

/// A repository and one of its revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// What it holds.
    pub kind: Kind,
    /// `ORG/NAME`, or `NAME` alone, as the oldest models have it.
    pub id: String,
    /// A branch, a tag, `refs/pr/N`, or a commit.
    pub revision: String,
}

impl Kind {
    /// The branch where no revision is named: of a data set, the one on which the Hub itself keeps it in Parquet.
    fn branch(self) -> &'static str {
        match self {
            Kind::Model => "main",
            Kind::Dataset => "refs/convert/parquet",
        }
    }
}

impl Repository {
    /// Reads `ORG/NAME[@REVISION]`; the revision is `main` of a model and `refs/convert/parquet` of a data set if none is
    /// named.
    ///
    /// # Errors
    /// [`Error::Name`] with the rule of the Hub that the name breaks.
    pub fn parse(kind: Kind, given: &str) -> Result<Self> {
        let refuse = |reason: &str| Error::Name { given: given.to_owned(), reason: reason.to_owned() };
        let (id, revision) = given.split_once('@').unwrap_or((given, kind.branch()));
        if id.split('/').count() > 2 {
            return Err(refuse("expected ORG/NAME or ORG/NAME@REVISION"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        for part in id.split('/') {
            if part.is_empty() || part.len() > 96 {
                return Err(refuse("each part of ORG/NAME has 1 to 96 characters"));
            }
            if !part.chars().all(plain) {
                return Err(refuse("the Hub's names are of letters, digits, '-', '_' and '.'"));
            }
            if part.contains("--")
                || part.contains("..")
                || part.starts_with(['-', '.'])
                || part.ends_with(['-', '.'])
            {
                return Err(refuse(
                    "the Hub's names have neither '--' nor '..' and no '-' or '.' at their ends",
                ));
            }
        }
        // The revision becomes a path below `refs/` in the cache.
        if !is_inside(revision) || revision.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(refuse("a revision is a branch, a tag, refs/pr/N or a commit"));
        }
        Ok(Repository { kind, id: id.to_owned(), revision: revision.to_owned() })
    }

    /// The same repository at another revision.
    pub(crate) fn at(&self, revision: &str) -> Self {
        Repository { revision: revision.to_owned(), ..self.clone() }
    }

    /// Whether the revision is a commit, which never changes.
    pub(crate) fn is_commit(&self) -> bool {
        is_commit(&self.revision)
    }

    /// The same in the terms of `hf-hub`.
    pub(crate) fn repo(&self) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.id.clone(), kind, self.revision.clone())
    }

    /// The path of the Hub's answer about the revision, from the endpoint.
    pub(crate) fn api_path(&self) -> String {
        let kind = match self.kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        format!("api/{kind}/{}/revision/{}", self.id, escaped(&self.revision, ""))
    }

    /// The path of a file at the revision, from the endpoint.
    pub(crate) fn file_path(&self, file: &str) -> String {
        format!("{}/resolve/{}/{}", self.repo().url(), escaped(&self.revision, ""), escaped(file, "/"))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.kind == Kind::Dataset { "data set " } else { "" };
        write!(f, "{kind}{}", self.id)?;
        if self.revision != self.kind.branch() { write!(f, "@{}", self.revision) } else { Ok(()) }
    }
}

/// Whether a text is the hash of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Whether a relative path of the Hub's stays in the folder that it is joined to.
pub(crate) fn is_inside(path: &str) -> bool {
    let normal = |component: Component<'_>| matches!(component, Component::Normal(_));
    !path.is_empty()
        && !path.contains('\\')
        && !path.contains('\0')
        && Path::new(path).components().all(normal)
}

/// Percent-encoding for a part of a URL; the characters of `kept` stay too.
pub(crate) fn escaped(text: &str, kept: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let sign = char::from(byte);
        if sign.is_ascii_alphanumeric() || "-._~".contains(sign) || kept.contains(sign) {
            out.push(sign);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(given: &str) -> Repository {
        Repository::parse(Kind::Model, given).unwrap()
    }

    #[test]
    fn names_are_read() {
        assert_eq!(model("org/name").revision, "main");
        let pull = model("org/name@refs/pr/3");
        assert_eq!((pull.id.as_str(), pull.revision.as_str()), ("org/name", "refs/pr/3"));
        assert_eq!(model("gpt2@v1.0").id, "gpt2");
        assert_eq!(pull.api_path(), "api/models/org/name/revision/refs%2Fpr%2F3");
        assert_eq!(model("o/n@a").file_path("x y/#1.json"), "o/n/resolve/a/x%20y/%231.json");
        let data = Repository::parse(Kind::Dataset, "o/n").unwrap();
        assert_eq!(data.file_path("a.csv"), "datasets/o/n/resolve/refs%2Fconvert%2Fparquet/a.csv");
        assert_eq!(data.api_path(), "api/datasets/o/n/revision/refs%2Fconvert%2Fparquet");
    }

    #[test]
    fn a_name_that_would_leave_the_cache_is_refused() {
        for given in
            ["", "/", "a/", "a/b/c", "../b", "a/..", "a b", "a/b@", "a/b@../c", "a/b@/c", "a--b/c", "a/b@x y"]
        {
            assert!(Repository::parse(Kind::Model, given).is_err(), "{given:?}");
        }
        for path in ["", "/a", "../a", "a/../b", "./a", "a\\b"] {
            assert!(!is_inside(path), "{path:?}");
        }
        assert!(is_inside("1_Pooling/config.json"));
    }
}
