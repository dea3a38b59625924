//! Models to the Hub.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use xexp_hub::{Error, Hub, Pushed, Repository};

use super::display::Display;
use super::environment;
use crate::args::Shared;
use crate::failure::Failure;

/// The repository that `--push` names, once the Hub has said whose the token is.
///
/// # Errors
/// Whatever would keep a push from there, as far as it can be known.
pub fn may_push(given: &str, shared: &Shared) -> Result<Repository, Failure> {
    let to = Repository::destination(given).map_err(|error| {
        Failure::input(format!("--push {given}: {error}"))
            .hint("give ORG/NAME, ORG/NAME@BRANCH, or NAME alone")
    })?;
    let environment = environment(shared.access())?;
    let mut display = Display::new("uploading", shared.quiet, environment.progress);
    Ok(Hub::new(environment)?.may_push(&to, &mut |event| display.show(event))?)
}

/// Uploads files, shown while it goes on.
///
/// # Errors
/// See [`Hub::push`].
pub fn push(
    to: &Repository,
    files: &[(String, PathBuf)],
    shared: &Shared,
    stop: &AtomicBool,
) -> Result<Pushed, Error> {
    let environment = environment(shared.access())?;
    let mut display = Display::new("uploading", shared.quiet, environment.progress);
    let summary = concat!("Fine-tuned with xexp ", env!("CARGO_PKG_VERSION"));
    let pushed = Hub::new(environment)?.push(to, files, summary, stop, &mut |event| display.show(event));
    display.finish(to);
    pushed
}
