//! The bytes of a file, hashed as they are read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A file's bytes after its byte-order mark.
pub(crate) struct Input {
    path: PathBuf,
    bytes: io::Chain<Cursor<Vec<u8>>, BufReader<Hashed>>,
}

/// Bytes that go, byte-order mark included, through a hash on their way.
struct Hashed {
    source: Box<dyn Read>,
    hash: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hash.update(&buffer[..read]);
        Ok(read)
    }
}

impl Input {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Self::from_reader(path, Box::new(file))
    }

    /// The same of bytes from elsewhere; `path` is for messages.
    pub(crate) fn from_reader(path: &Path, source: Box<dyn Read>) -> Result<Self> {
        let failed = |source| Error::Read { path: path.into(), source };
        let mut rest = BufReader::with_capacity(1 << 16, Hashed { source, hash: Sha256::new() });
        let mut start = Vec::new();
        rest.by_ref().take(BYTE_ORDER_MARK.len() as u64).read_to_end(&mut start).map_err(failed)?;
        if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
            return Err(Error::Utf16 { path: path.into() });
        }
        if start == BYTE_ORDER_MARK {
            start.clear();
        }
        Ok(Input { path: path.into(), bytes: Cursor::new(start).chain(rest) })
    }

    /// The crate's error for a failure of reading this file.
    pub(crate) fn failed(&self, source: io::Error) -> Error {
        Error::Read { path: self.path.clone(), source }
    }

    /// SHA-256 of the whole file, in lower-case hexadecimal; reads what is left of it.
    pub(crate) fn sha256(mut self) -> Result<String> {
        if let Err(source) = io::copy(&mut self.bytes, &mut io::sink()) {
            return Err(Error::Read { path: self.path, source });
        }
        let hash = self.bytes.into_inner().1.into_inner().hash;
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.bytes.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.bytes.consume(amount);
    }
}
