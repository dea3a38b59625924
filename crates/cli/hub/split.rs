//! Splits of data sets.

use std::fmt;
use std::path::PathBuf;

use xexp_hub::{Error, Kind, Repository};

use super::{stale, watched};
use crate::args::Shared;
use crate::failure::Failure;

/// A split that lies in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    repository: Repository,
    configuration: String,
    name: String,
    /// The commit that it is of.
    pub commit: String,
    /// Its files, in the order of their rows.
    pub files: Vec<PathBuf>,
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.repository.id)?;
        if self.configuration != "default" {
            write!(f, ":{}", self.configuration)?;
        }
        write!(f, "/{}@{}", self.name, self.commit)
    }
}

impl Split {
    /// Another split of the same commit and configuration, under the first of these names that there is.
    ///
    /// # Errors
    /// As [`split`]; not for a split that is not there.
    pub fn sibling(&self, names: &[&str], shared: &Shared) -> Result<Option<Split>, Failure> {
        let repository = Repository { revision: self.commit.clone(), ..self.repository.clone() };
        match fetched(&repository, Some(&self.configuration), names, shared) {
            Ok(split) => Ok(Some(split)),
            Err(Error::Split { .. }) => Ok(None),
            Err(Error::Offline { missing, .. }) => {
                if !shared.quiet {
                    eprintln!(
                        "{}: {missing}; going on without, since offline nobody can tell",
                        self.repository
                    );
                }
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The split that `ORG/NAME[:CONFIGURATION][/SPLIT][@REVISION]` names, or the first of `usual` where none is named. It is
/// fetched as far as it is not in the cache.
///
/// # Errors
/// What the Hub, the network, or the cache refuses; a configuration or split that the data set lacks, with those it has.
pub fn split(flag: &str, given: &str, usual: &[&str], shared: &Shared) -> Result<Split, Failure> {
    let (name, revision) = given.split_once('@').map_or((given, None), |(name, at)| (name, Some(at)));
    let (id, configuration, split) = parts(name);
    let whole = revision.map_or_else(|| id.clone(), |revision| format!("{id}@{revision}"));
    let repository = Repository::parse(Kind::Dataset, &whole).map_err(|error| {
        Failure::input(format!("{flag} hub:{given}: {error}")).hint(format!(
            "the form is {flag} hub:ORG/NAME:CONFIGURATION/SPLIT@REVISION, all but ORG/NAME if needed"
        ))
    })?;
    let one = split.map(|split| [split]);
    let splits = one.as_ref().map_or(usual, |one| &one[..]);
    fetched(&repository, configuration, splits, shared).map_err(|error| match error {
        Error::Revision { .. } if revision.is_none() => {
            let message = format!("{flag} hub:{given}: the Hub has no copy of it in Parquet");
            Failure::new(crate::exit::Exit::Network, message)
                .hint(format!("if its own files are in Parquet: {flag} hub:{name}@main"))
        }
        error => error.into(),
    })
}

fn fetched(
    repository: &Repository,
    configuration: Option<&str>,
    splits: &[&str],
    shared: &Shared,
) -> Result<Split, Error> {
    let found = watched(repository, shared.access(), |hub, watch| {
        hub.split(repository, configuration, splits, watch)
    })?;
    stale(repository, &found.commit, found.stale.as_ref(), shared.access());
    Ok(Split {
        repository: repository.clone(),
        configuration: found.configuration,
        name: found.name,
        commit: found.commit,
        files: found.files,
    })
}

/// `ORG/NAME`, the configuration and the split of a name without its revision.
fn parts(name: &str) -> (String, Option<&str>, Option<&str>) {
    if let Some((id, rest)) = name.split_once(':') {
        let (configuration, split) = rest.split_once('/').map_or((rest, None), |(c, split)| (c, Some(split)));
        return (id.to_owned(), Some(configuration), split);
    }
    match name.split('/').collect::<Vec<_>>()[..] {
        [organisation, name, split] => (format!("{organisation}/{name}"), None, Some(split)),
        _ => (name.to_owned(), None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_and_split_are_told_apart() {
        let id = "org/name".to_owned();
        assert_eq!(parts("org/name"), (id.clone(), None, None));
        assert_eq!(parts("org/name/train"), (id.clone(), None, Some("train")));
        assert_eq!(parts("org/name:sst2"), (id.clone(), Some("sst2"), None));
        assert_eq!(parts("org/name:sst2/train"), (id, Some("sst2"), Some("train")));
        assert_eq!(parts("name:a/b"), ("name".to_owned(), Some("a"), Some("b")));
    }
}
