//! The files that go up, and what the Hub wants done with each.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::Push;
use crate::checksum::Checksum;
use crate::{Error, Result, Watch};

/// The first bytes, by which the Hub tells text from the rest.
const SAMPLE: u64 = 512;

/// A file here, as it was when it was looked at.
pub struct LocalFile {
    /// Its path in the repository.
    pub name: String,
    /// Its path here.
    pub path: PathBuf,
    /// Its size.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: String,
    /// The name of its content in git.
    pub blob: String,
    sample: Vec<u8>,
}

/// Where a file's content goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Into git, with the commit.
    Regular,
    /// Into large-file storage, before the commit.
    Large,
}

/// What is to be done with a file.
pub struct FilePlan<'a> {
    /// The file.
    pub file: &'a LocalFile,
    /// Where it goes.
    pub mode: Mode,
    /// Whether the branch has it, with this content.
    pub is_there: bool,
    /// Whether the repository's `.gitignore` keeps it out.
    pub ignored: bool,
}

#[derive(Deserialize)]
struct Answer {
    files: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    path: String,
    upload_mode: String,
    #[serde(default)]
    should_ignore: bool,
    oid: Option<String>,
}

impl LocalFile {
    /// Reads a file twice, once for each checksum, in blocks.
    pub fn read(name: &str, path: &Path, stop: &AtomicBool) -> Result<Self> {
        let unreadable = |source| Error::Read { path: path.to_path_buf(), source };
        if stop.load(Ordering::SeqCst) {
            return Err(Error::Stopped);
        }
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let mut sample = vec![];
        file.take(SAMPLE).read_to_end(&mut sample).map_err(unreadable)?;
        Ok(LocalFile {
            name: name.to_owned(),
            path: path.to_path_buf(),
            size,
            sha256: Checksum::Sha256.compute(path).map_err(unreadable)?,
            blob: Checksum::GitBlob.compute(path).map_err(unreadable)?,
            sample,
        })
    }
}

impl Push<'_> {
    /// Asks what is to be done with each file.
    pub fn modes<'f>(&self, files: &'f [LocalFile], watch: Watch<'_>) -> Result<Vec<FilePlan<'f>>> {
        let entry = |file: &LocalFile| json!({ "path": file.name, "size": file.size, "sample": STANDARD.encode(&file.sample) });
        let body = json!({ "files": files.iter().map(entry).collect::<Vec<_>>() }).to_string();
        self.insist(watch, || {
            let reply = self.post(&self.api("preupload"), &body)?.success()?;
            let answer: Answer = reply.json()?;
            let protocol = |reason: String| Error::Protocol { url: reply.url.clone(), reason };
            let plan = |file: &'f LocalFile| {
                let entry = answer.files.iter().find(|entry| entry.path == file.name);
                let entry = entry.ok_or_else(|| protocol(format!("nothing about {}", file.name)))?;
                let mode = match entry.upload_mode.as_str() {
                    // A storage takes nothing that is empty.
                    "lfs" if file.size > 0 => Mode::Large,
                    "regular" | "lfs" => Mode::Regular,
                    other => {
                        let reason = format!("{}: neither lfs nor regular, but {other:?}", file.name);
                        return Err(protocol(reason));
                    }
                };
                // For a large file the Hub names the content, not the pointer to it.
                let here = if mode == Mode::Large { &file.sha256 } else { &file.blob };
                let is_there = entry.oid.as_ref() == Some(here);
                Ok(FilePlan { file, mode, is_there, ignored: entry.should_ignore })
            };
            files.iter().map(plan).collect()
        })
    }
}
