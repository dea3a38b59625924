//! The one way to stdout, which carries data and nothing else.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Writes all of `bytes` to stdout.
///
/// A reader that has gone away (`xexp man | head`) has what it wanted: that is no failure.
///
/// # Errors
/// Any other failure to write, such as a full disk behind a redirection.
pub fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::environment("cannot write to stdout").because(&error))
        }
        _ => Ok(()),
    }
}

/// A value as indented JSON with a line end.
///
/// # Errors
/// None in practice: our structures have string keys.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| Failure::environment("cannot write JSON").because(&error))?;
    Ok(text + "\n")
}
