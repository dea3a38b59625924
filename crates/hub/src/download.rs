//! One file of a commit, from the Hub into the cache.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::cache::{self, Cache};
use crate::checksum::Checksum;
use crate::client::Remote;
use crate::repository::Repository;
use crate::{Error, Event, Hub, Result, Watch};

/// Bytes read at once.
const BLOCK: usize = 1 << 16;

impl Hub {
    /// A file of the commit `at.revision`, fetched unless it is there; the path of its place in the snapshot.
    pub(crate) fn file(
        &self,
        cache: &Cache,
        at: &Repository,
        file: &str,
        watch: Watch<'_>,
    ) -> Result<PathBuf> {
        let place = cache.snapshot(&at.revision).join(file);
        if place.exists() {
            return Ok(place);
        }
        let remote = self.client.patience.insist(watch, |_| self.client.head(at, file))?;
        let blob = cache.blob(&remote.etag);
        cache::parent(&blob)?;
        let _lock = cache.lock(&remote.etag)?;
        let whole = fs::metadata(&blob).is_ok_and(|found| remote.size.is_none_or(|size| size == found.len()));
        if !whole {
            let transfer =
                Reception { hub: self, at, file, remote: &remote, partial: cache.partial(&remote.etag) };
            transfer.receive(&blob, watch)?;
        }
        cache.link(&blob, &at.revision, file)
    }
}

/// A content on its way.
struct Reception<'a> {
    hub: &'a Hub,
    at: &'a Repository,
    file: &'a str,
    remote: &'a Remote,
    partial: PathBuf,
}

impl Reception<'_> {
    /// Fetches until the content is whole and right, and moves it to its place.
    fn receive(&self, blob: &Path, watch: Watch<'_>) -> Result<()> {
        watch(Event::File { name: self.file, bytes: self.remote.size });
        let (mut failures, mut furthest) = (0, length(&self.partial));
        while let Err(error) = self.attempt(watch).and_then(|()| self.verify()) {
            if !error.is_transient() {
                return Err(error);
            }
            // An attempt that got further than any before speaks for the connection.
            let reached = length(&self.partial);
            failures = if reached > furthest { 1 } else { failures + 1 };
            furthest = furthest.max(reached);
            self.hub.client.patience.wait(failures, error, watch)?;
        }
        fs::rename(&self.partial, blob).map_err(|source| Error::Write { path: blob.to_path_buf(), source })
    }

    /// One request for what is missing.
    fn attempt(&self, watch: Watch<'_>) -> Result<()> {
        let url = &self.remote.url;
        let mut have = length(&self.partial);
        match self.remote.size {
            Some(size) if have > size => {
                cache::remove(&self.partial)?;
                have = 0;
            }
            Some(size) if have == size && have > 0 => return Ok(()),
            _ => (),
        }
        let transfer = self.hub.client.transfer(self.remote, self.at, self.file, have)?;
        have = transfer.from;
        let write = |source| Error::Write { path: self.partial.clone(), source };
        let mut file =
            File::options().create(true).truncate(false).write(true).open(&self.partial).map_err(write)?;
        file.set_len(have).map_err(write)?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0)).map_err(write)?;
        let (mut body, mut block) = (transfer.body, vec![0; BLOCK]);
        loop {
            let count = match body.read(&mut block) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.hub.client.broken(url, have, &error)),
            };
            file.write_all(&block[..count]).map_err(write)?;
            have += count as u64;
            watch(Event::Received { bytes: have });
        }
        file.sync_all().map_err(write)?;
        match self.remote.size {
            Some(size) if have < size => {
                let reason = format!("{size} bytes were announced");
                Err(Error::Cut { url: url.clone(), received: have, reason })
            }
            _ => Ok(()),
        }
    }

    /// Holds what came against its checksum, and removes what does not fit.
    fn verify(&self) -> Result<()> {
        let (expected, size) = (&self.remote.etag, length(&self.partial));
        let found = match Checksum::of(expected) {
            Some(checksum) => checksum
                .compute(&self.partial)
                .map_err(|source| Error::Read { path: self.partial.clone(), source })?,
            // A mirror's own tag says nothing about the content; its length is all that can be compared.
            None if self.remote.size.is_none_or(|expected| expected == size) => expected.clone(),
            None => format!("of a length of {size}"),
        };
        if found == *expected {
            return Ok(());
        }
        cache::remove(&self.partial)?;
        Err(Error::Checksum {
            file: format!("{}, {}", self.at, self.file),
            expected: expected.clone(),
            found,
        })
    }
}

/// The length of a file; 0 when it is not there.
fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |found| found.len())
}
