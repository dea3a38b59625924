//! A model in a folder, a server to push it to, and what must hold of the server.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tempfile::TempDir;
use xexp_hub::{Environment, Event, Hub, Pushed, Repository, Result};

use super::patience;
use crate::server::pushes::WRITER;
use crate::server::{Seen, Server, sha256};

/// Where the pushes go.
pub const TO: &str = "org/fine";
/// The first commit of a repository that the tests make beforehand.
pub const FIRST: &str = "89abcdef0123456789abcdef0123456789abcdef";
/// The requests of a push, up to what changes from one to the next.
pub const STEPS: [&str; 8] = [
    "GET /api/models/org/fine/revision/main",
    "POST /api/repos/create",
    "POST /api/models/org/fine/preupload/main",
    "POST /org/fine.git/info/lfs/objects/batch",
    "PUT /put/",
    "POST /complete/",
    "POST /verify/",
    "POST /api/models/org/fine/commit/main",
];

pub struct Pushing {
    pub server: Server,
    pub environment: Environment,
    folder: TempDir,
    files: BTreeMap<String, Vec<u8>>,
}

/// Bytes that no encoding leaves alone.
pub fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

impl Pushing {
    pub fn new() -> Self {
        let files: BTreeMap<String, Vec<u8>> = [
            ("config.json", b"{\"a\": \"\xc3\xa4\"}".to_vec()),
            ("README.md", b"---\nlibrary_name: transformers\n---\n\n# fine\n".to_vec()),
            ("model.safetensors", noise(300_000)),
            ("tokenizer.json", noise(20_000)),
            ("labels.tsv", noise(700)),
            ("empty.txt", vec![]),
        ]
        .map(|(name, content)| (name.to_owned(), content))
        .into();
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in &files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let server = Server::start();
        let home = folder.path().display().to_string();
        let environment = Environment::resolve(|name| match name {
            "HOME" => Some(home.clone()),
            "HF_ENDPOINT" => Some(server.endpoint.clone()),
            "HF_TOKEN" => Some(WRITER.to_owned()),
            _ => None,
        });
        let environment = Environment {
            etag_timeout: Duration::from_millis(500),
            download_timeout: Duration::from_millis(500),
            ..environment.unwrap()
        };
        Pushing { server, environment, folder, files }
    }

    /// A repository that is there already.
    pub fn held(self) -> Self {
        self.server.hold(TO, FIRST, BTreeMap::from([("old.txt".to_owned(), b"old".to_vec())]));
        self
    }

    pub fn hub(&self) -> Hub {
        Hub::with_patience(self.environment.clone(), patience()).unwrap()
    }

    pub fn may_push(&self, to: &str) -> Result<Repository> {
        self.hub().may_push(&Repository::destination(to)?, &mut |_| ())
    }

    pub fn paths(&self) -> Vec<(String, PathBuf)> {
        self.files.keys().map(|name| (name.clone(), self.folder.path().join(name))).collect()
    }

    pub fn push(&self) -> Result<Pushed> {
        self.push_to(TO)
    }

    pub fn push_to(&self, to: &str) -> Result<Pushed> {
        self.push_watched(to, &AtomicBool::new(false), &mut |_| ())
    }

    pub fn push_watched(
        &self,
        to: &str,
        stop: &AtomicBool,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Pushed> {
        let to = Repository::destination(to)?;
        self.hub().push(&to, &self.paths(), "a model", stop, watch)
    }

    /// Changes a file here.
    pub fn change(&mut self, name: &str, content: &[u8]) {
        std::fs::write(self.folder.path().join(name), content).unwrap();
        self.files.insert(name.to_owned(), content.to_vec());
    }

    /// SHA-256 of a file here.
    pub fn oid(&self, name: &str) -> String {
        sha256(&self.files[name])
    }

    /// Sees that the server has every file, byte by byte, and the commit is the one that was told.
    pub fn assert_there(&self, pushed: &Pushed) {
        let held = self.server.held(TO).unwrap();
        assert_eq!(held.commit, pushed.commit);
        for (name, content) in &self.files {
            assert_eq!(held.files.get(name), Some(content), "{name}");
        }
        self.assert_token_stayed();
    }

    /// Sees that the files here are as they were.
    pub fn assert_whole(&self) {
        for (name, content) in &self.files {
            assert_eq!(&std::fs::read(self.folder.path().join(name)).unwrap(), content, "{name}");
        }
    }

    /// Sees that no storage ever got the token.
    pub fn assert_token_stayed(&self) {
        for seen in self.server.seen().iter().filter(|seen| seen.storage) {
            let text = format!("{} {:?}", seen.line, seen.headers);
            assert!(!text.contains(WRITER) && !seen.headers.contains_key("authorization"), "{text}");
        }
    }

    /// The requests that begin like this.
    pub fn seen(&self, line: &str) -> Vec<Seen> {
        self.server.seen().into_iter().filter(|seen| seen.line.starts_with(line)).collect()
    }

    /// The commits that the server made, by anyone's request.
    pub fn commits(&self) -> usize {
        self.seen(STEPS[7]).len()
    }
}
