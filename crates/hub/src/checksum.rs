//! The checksum that the Hub names with a file.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What the entity tag of a file says about its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// SHA-256 of the content: a file in large-file storage.
    Sha256,
    /// SHA-1 of a header and the content: a blob of git.
    ///
    /// Source: Git Internals, "Object Storage": `blob LENGTH\0` comes first.
    GitBlob,
}

impl Checksum {
    /// By the tag's form; `None` for a tag of another server's making, which says nothing about the content.
    pub fn of(etag: &str) -> Option<Self> {
        let hexadecimal = etag.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        match etag.len() {
            64 if hexadecimal => Some(Checksum::Sha256),
            40 if hexadecimal => Some(Checksum::GitBlob),
            _ => None,
        }
    }

    /// The checksum of a file, in lower-case hexadecimal.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn compute(self, path: &Path) -> std::io::Result<String> {
        let mut file = File::open(path)?;
        match self {
            Checksum::Sha256 => digest(Sha256::new(), &mut file),
            Checksum::GitBlob => {
                let mut hash = Sha1::new();
                hash.update(format!("blob {}\0", file.metadata()?.len()));
                digest(hash, &mut file)
            }
        }
    }
}

fn digest<D: Digest>(mut hash: D, file: &mut File) -> std::io::Result<String> {
    let mut block = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut block)?;
        if count == 0 {
            return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        hash.update(&block[..count]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_git_and_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "hello\n").unwrap();
        // `git hash-object` and `sha256sum` of the same file.
        let git = "ce013625030ba8dba906f756967f9e9ca394464a";
        let sha = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        assert_eq!(Checksum::of(git).unwrap().compute(&path).unwrap(), git);
        assert_eq!(Checksum::of(sha).unwrap().compute(&path).unwrap(), sha);
        assert_eq!(Checksum::of("d41d8cd98f00b204e9800998ecf8427e"), None);
    }
}
