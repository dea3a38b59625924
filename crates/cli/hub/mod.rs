//! Models and data sets from the Hub, and models to it, with the transfer shown on stderr.

mod display;
mod push;
mod split;

use std::path::PathBuf;

use xexp_backbones::folder::COMPANIONS;
use xexp_hub::{Environment, Error, Event, Hub, Kind, Repository};

use crate::args::Access;
use crate::failure::Failure;
use display::Display;

pub use push::{may_push, push};
pub use split::{Split, split};

/// A model that lies in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// `ORG/NAME`.
    pub id: String,
    /// The commit that it is.
    pub commit: String,
    /// The folder with its files.
    pub folder: PathBuf,
}

/// Fetches the model `ORG/NAME[@REVISION]`, as far as it is not in the cache.
///
/// # Errors
/// What the Hub, the network, or the cache refuses.
pub fn model(given: &str, access: Access) -> Result<Model, Failure> {
    let repository = Repository::parse(Kind::Model, given)?;
    let snapshot = watched(&repository, access, |hub, watch| hub.model(&repository, COMPANIONS, watch))?;
    stale(&repository, &snapshot.commit, snapshot.stale.as_ref(), access);
    Ok(Model { id: repository.id, commit: snapshot.commit, folder: snapshot.folder })
}

/// What a fetching gives, shown while it goes on.
fn watched<T>(
    repository: &Repository,
    access: Access,
    fetch: impl FnOnce(&Hub, &mut dyn FnMut(Event<'_>)) -> Result<T, Error>,
) -> Result<T, Error> {
    let environment = environment(access)?;
    let mut display = Display::new("fetching", access.quiet, environment.progress);
    let answer = fetch(&Hub::new(environment)?, &mut |event| display.show(event));
    display.finish(repository);
    answer
}

/// What the variables and the flags say.
fn environment(access: Access) -> Result<Environment, Error> {
    let mut environment = Environment::of_process()?;
    if access.offline {
        environment.offline = Some("--offline");
    }
    Ok(environment)
}

/// Says so where the Hub could not be asked and the cache's state is used.
fn stale(repository: &Repository, commit: &str, reason: Option<&Error>, access: Access) {
    if let (Some(reason), false) = (reason, access.quiet) {
        eprintln!("{reason}\nusing {repository} as the cache has it, at commit {commit}");
    }
}
