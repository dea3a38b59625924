//! Where results come from: the command as typed, the program, hashes.

use std::path::Path;

use sha2::{Digest, Sha256};
use xexp_backbones::checkpoint::Checkpoint;

use crate::failure::Failure;

/// The command line as typed, but for the folder of the program: where it lies says nothing about the run.
pub fn command() -> String {
    let words = std::env::args().skip(1).map(|word| quoted(&word));
    std::iter::once("xexp".to_string()).chain(words).collect::<Vec<_>>().join(" ")
}

/// A word as a POSIX shell would take it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Architecture and system that this program was built for.
pub fn target() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// SHA-256 of some bytes, in lower-case hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a checkpoint: of its file, or of all its files end to end.
pub fn weights_sha256(checkpoint: &Checkpoint) -> String {
    let mut hasher = Sha256::new();
    checkpoint.contents().for_each(|bytes| hasher.update(bytes));
    hex(&hasher.finalize())
}

/// Bytes in lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// Removes a file, if it is there.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<(), Failure> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::environment(format!("cannot remove {}", path.display())).because(&error))
        }
        _ => Ok(()),
    }
}
