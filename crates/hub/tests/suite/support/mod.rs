//! What the tests of fetching share: a model on a server, a cache of one's own, and what must hold of a cache.

pub mod pushing;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use xexp_hub::{Environment, Hub, Kind, Patience, Repository, Result, Snapshot};

use crate::server::{Server, git_blob, is_large, sha256};

pub const ID: &str = "org/tiny";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
pub const COMPANIONS: &[&str] = &["tokenizer.json", "vocab.txt"];
/// Bytes of the weights: more than one block of a transfer.
const WEIGHTS: usize = 200_000;

/// A server with a model, and an empty cache.
pub struct Scene {
    pub server: Server,
    pub environment: Environment,
    folder: TempDir,
}

/// The model's files; the weights are random enough for a wrong byte to be one.
pub fn files() -> BTreeMap<String, Vec<u8>> {
    let weights = (0..WEIGHTS as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    [
        ("config.json", b"{}".to_vec()),
        ("model.safetensors", weights),
        ("tokenizer.json", b"{\"a\": 1}".to_vec()),
        ("1_Pooling/config.json", b"{\"p\": 1}".to_vec()),
        ("README.md", b"# tiny".to_vec()),
        ("pytorch_model.bin", b"pickle".to_vec()),
    ]
    .map(|(name, content)| (name.to_owned(), content))
    .into()
}

impl Scene {
    pub fn new() -> Self {
        Self::of(files())
    }

    /// With other files.
    pub fn of(files: BTreeMap<String, Vec<u8>>) -> Self {
        let server = Server::start();
        server.hold(ID, COMMIT, files);
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().display().to_string();
        let environment = Environment::resolve(|name| match name {
            "HOME" => Some(home.clone()),
            "HF_ENDPOINT" => Some(server.endpoint.clone()),
            _ => None,
        });
        let environment = Environment {
            etag_timeout: Duration::from_millis(500),
            download_timeout: Duration::from_millis(500),
            ..environment.unwrap()
        };
        Scene { server, environment, folder }
    }

    /// The cache's folder of the model.
    pub fn cache(&self) -> PathBuf {
        self.folder.path().join(".cache/huggingface/hub/models--org--tiny")
    }

    /// Fetches the model by the scene's environment.
    pub fn fetch(&self) -> Result<Snapshot> {
        self.fetch_as(self.environment.clone(), ID)
    }

    /// Fetches it in another environment or by another name.
    pub fn fetch_as(&self, environment: Environment, name: &str) -> Result<Snapshot> {
        let repository = Repository::parse(Kind::Model, name)?;
        Hub::with_patience(environment, patience())?.model(&repository, COMPANIONS, &mut |_| ())
    }

    /// The same without any network allowed.
    pub fn fetch_offline(&self) -> Result<Snapshot> {
        self.fetch_as(Environment { offline: Some("--offline"), ..self.environment.clone() }, ID)
    }

    /// Path of the requests for a file.
    pub fn path(&self, file: &str) -> String {
        format!("/{ID}/resolve/{COMMIT}/{file}")
    }

    /// Path of the weights in the storage.
    pub fn storage_path(&self) -> String {
        format!("/{}", sha256(&files()["model.safetensors"]))
    }

    /// Sees that whatever has its final name in the cache is whole and right.
    pub fn assert_no_half_file(&self) {
        for blob in listing(&self.cache().join("blobs")) {
            if blob.extension().is_some_and(|end| end == "incomplete") {
                continue;
            }
            let content = std::fs::read(&blob).unwrap();
            let name = blob.file_name().unwrap().to_str().unwrap();
            assert!(name == sha256(&content) || name == git_blob(&content), "{}", blob.display());
        }
        for file in listing(&self.cache().join("snapshots").join(COMMIT)) {
            assert!(file.exists(), "{} leads nowhere", file.display());
        }
    }

    /// Sees that the snapshot has all that a model needs and nothing else.
    pub fn assert_whole(&self, snapshot: &Snapshot) {
        assert_eq!(snapshot.commit, COMMIT);
        assert_eq!(snapshot.folder, self.cache().join("snapshots").join(COMMIT));
        for (name, content) in files() {
            let path = snapshot.folder.join(&name);
            if ["README.md", "pytorch_model.bin"].contains(&name.as_str()) {
                assert!(!path.exists(), "{name} was not asked for");
                continue;
            }
            assert_eq!(std::fs::read(&path).unwrap(), content, "{name}");
            let tag = if is_large(&name) { sha256(&content) } else { git_blob(&content) };
            assert!(self.cache().join("blobs").join(tag).is_file(), "{name}");
        }
        assert_eq!(std::fs::read_to_string(self.cache().join("refs/main")).unwrap(), COMMIT);
        assert!(!listing(&self.cache().join("blobs")).iter().any(|path| path.extension().is_some()));
    }
}

/// Pauses of milliseconds; a server's own wish is obeyed up to two seconds.
pub fn patience() -> Patience {
    Patience {
        attempts: 4,
        first: Duration::from_millis(5),
        longest: Duration::from_millis(20),
        obeyed: Duration::from_secs(2),
    }
}

/// What lies in a folder; nothing when it is not there.
pub fn listing(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
    entries.unwrap_or_default().into_iter().map(|entry| entry.path()).collect()
}
