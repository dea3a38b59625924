//! A repository's folder in the cache.
//!
//! `blobs/ETAG` hold the contents, `snapshots/COMMIT/PATH` link to them, `refs/REVISION` say what commit a branch was
//! at. What is being fetched is `blobs/ETAG.incomplete`.
//!
//! Source: huggingface_hub's guide "Understand caching"; the paths are those of `hf-hub`.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use hf_hub::CacheRepo;

use crate::repository::{Repository, is_commit};
use crate::{Error, Result};

/// One repository in the cache, at one revision.
pub struct Cache {
    root: PathBuf,
    repo: CacheRepo,
    repository: Repository,
    symlinks: bool,
}

impl Cache {
    pub fn new(root: &Path, repository: &Repository, symlinks: bool) -> Self {
        let repo = hf_hub::Cache::new(root.to_path_buf()).repo(repository.repo());
        Cache { root: root.to_path_buf(), repo, repository: repository.clone(), symlinks }
    }

    /// The repository's folder.
    pub fn folder(&self) -> PathBuf {
        self.root.join(self.repository.repo().folder_name())
    }

    /// The content with an entity tag.
    pub fn blob(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(etag)
    }

    /// What has come of such a content.
    pub fn partial(&self, etag: &str) -> PathBuf {
        self.repo.blob_path(&format!("{etag}.incomplete"))
    }

    /// The files of a commit.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.repo.pointer_path(commit)
    }

    /// The commit that the revision is, or was when it was last fetched.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn commit(&self) -> Result<Option<String>> {
        if self.repository.is_commit() {
            return Ok(Some(self.repository.revision.clone()));
        }
        let path = self.reference();
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| is_commit(text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::Read { path, source }),
        }
    }

    /// Notes the commit of the revision.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn set_commit(&self, commit: &str) -> Result<()> {
        if self.commit()?.as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.reference();
        let folder = parent(&path)?;
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(commit.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)?;
            readable(&path)
        };
        write().map_err(|source| Error::Write { path: path.clone(), source })
    }

    /// Keeps others, Python's tools included, from fetching the same content at the same time.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn lock(&self, etag: &str) -> Result<File> {
        let folder = self.root.join(".locks").join(self.repository.repo().folder_name());
        let path = folder.join(format!("{etag}.lock"));
        parent(&path)?;
        let open = || File::options().create(true).truncate(false).write(true).open(&path);
        let file = open().map_err(|source| Error::Write { path: path.clone(), source })?;
        match file.lock() {
            // Some network file systems have no locks: then the checksum alone protects the content.
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => {
                Err(Error::Write { path, source: error })
            }
            _ => Ok(file),
        }
    }

    /// Puts a content that is there under a commit's name for it.
    ///
    /// # Errors
    /// [`Error::Write`].
    pub fn link(&self, blob: &Path, commit: &str, file: &str) -> Result<PathBuf> {
        let path = self.snapshot(commit).join(file);
        parent(&path)?;
        // A link to a content that somebody removed.
        if !path.exists() && path.is_symlink() {
            remove(&path)?;
        }
        match self.point(blob, &path, file) {
            // Another process was faster.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(path),
            Err(source) => Err(Error::Write { path, source }),
            Ok(()) => Ok(path),
        }
    }

    #[cfg(unix)]
    fn point(&self, blob: &Path, path: &Path, file: &str) -> std::io::Result<()> {
        if !self.symlinks {
            return copy(blob, path);
        }
        // From `snapshots/COMMIT/a/b` three steps up, one for each folder.
        let up = "../".repeat(1 + file.split('/').count());
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new(&up).join("blobs").join(name), path)
    }

    #[cfg(not(unix))]
    fn point(&self, blob: &Path, path: &Path, _: &str) -> std::io::Result<()> {
        copy(blob, path)
    }

    fn reference(&self) -> PathBuf {
        self.folder().join("refs").join(&self.repository.revision)
    }
}

/// The folder of a path, made if it is not there.
pub fn parent(path: &Path) -> Result<&Path> {
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).map_err(|source| Error::Write { path: folder.to_path_buf(), source })?;
    Ok(folder)
}

/// Removes a file that is there.
pub fn remove(path: &Path) -> Result<()> {
    fs::remove_file(path).map_err(|source| Error::Write { path: path.to_path_buf(), source })
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::copy(&mut File::open(from)?, &mut file)?;
    file.persist(to).map_err(|error| error.error)?;
    readable(to)
}

/// Temporary files are for their owner alone; a cache may be shared.
#[cfg(unix)]
fn readable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable(_: &Path) -> std::io::Result<()> {
    Ok(())
}
