//! Files that are there whole or not at all.
//!
//! A file is written under another name in the same folder, flushed to the disk, and renamed into place; then
//! the folder is flushed too. Whoever reads the path sees the old file or the new one, never a part, also after
//! a full disk, `kill -9` or a power cut. A failed write removes its temporary file; only a killed process
//! leaves one behind, which [`remove_leftovers`] clears.
//!
//! A process whose file-size limit (`ulimit -f`) is set must ignore `SIGXFSZ` to get [`Error::Full`] from it:
//! by default that signal ends the process.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Error, Result};

const PREFIX: &str = ".xexp-";
const SUFFIX: &str = ".partial";
const BUFFER_BYTES: usize = 1 << 18;

/// Makes `bytes` the content of the file at `path`.
///
/// A symbolic link at `path` is followed and stays a link.
///
/// # Errors
/// [`Error::Full`] on a full disk, [`Error::NotAFile`] if `path` is a folder or a device, else
/// [`Error::Write`]; the file that was at `path` is then unchanged.
pub fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> Result<()> {
    write_with(path, |out| out.write_all(bytes.as_ref()))
}

/// Makes what `fill` writes the content of the file at `path`, without holding it in memory.
///
/// Writes are buffered; `fill` need not buffer or flush.
///
/// # Errors
/// As [`write()`]; an error of `fill` itself is reported as a failed write.
pub fn write_with(path: impl AsRef<Path>, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    let path = path.as_ref();
    let target = target(path)?;
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |doing| move |source| Error::writing(path, doing, source);

    let (temporary, file) = Temporary::create(folder).map_err(failed("making a temporary file"))?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    fill(&mut out).map_err(failed("writing"))?;
    out.flush().map_err(failed("writing"))?;
    // Without this the rename can reach the disk before the data does, and a power cut leaves an empty file.
    out.get_ref().sync_all().map_err(failed("flushing to the disk"))?;
    drop(out);
    temporary.rename_to(&target).map_err(failed("renaming into place"))?;
    sync_folder(folder).map_err(failed("flushing the folder"))
}

/// Removes the temporary files that a killed process left in `folder`, and returns how many there were.
///
/// Call it only where no other process writes into `folder`.
///
/// # Errors
/// [`Error::Read`] if the folder cannot be listed, [`Error::Write`] if a file cannot be removed.
pub fn remove_leftovers(folder: impl AsRef<Path>) -> Result<usize> {
    let folder = folder.as_ref();
    let unreadable = |source| Error::Read { path: folder.to_path_buf(), source };
    let mut removed = 0;
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let path = entry.path();
        if is_temporary(&entry.file_name()) && path.is_file() {
            fs::remove_file(&path).map_err(|source| Error::writing(&path, "removing", source))?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn is_temporary(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX))
}

/// The path that is renamed onto: `path`, or the file that it links to.
fn target(path: &Path) -> Result<PathBuf> {
    let taken = |found| Error::NotAFile { path: path.to_path_buf(), found };
    match fs::metadata(path) {
        Ok(there) if there.is_file() => {
            fs::canonicalize(path).map_err(|source| Error::writing(path, "following links", source))
        }
        Ok(there) if there.is_dir() => Err(taken("a folder")),
        // A rename would replace /dev/null by a plain file for everybody.
        Ok(_) => Err(taken("a device, pipe or socket")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if path.file_name().is_none() {
                return Err(taken("no file name"));
            }
            Ok(path.to_path_buf())
        }
        Err(source) => Err(Error::writing(path, "looking at what is there", source)),
    }
}

/// A file that removes itself unless it is renamed.
struct Temporary {
    path: PathBuf,
    renamed: bool,
}

impl Temporary {
    fn create(folder: &Path) -> io::Result<(Temporary, File)> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        loop {
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            // Independent of the target's name, which may already be as long as a name can be.
            let path = folder.join(format!("{PREFIX}{}-{count}{SUFFIX}", process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((Temporary { path, renamed: false }, file)),
                // Left by a killed process that had our process id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
        }
    }

    fn rename_to(mut self, target: &Path) -> io::Result<()> {
        fs::rename(&self.path, target)?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            // The caller is already getting the error that led here; a second one would hide it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder)?.sync_all() {
        // Some network file systems cannot flush a folder; the file itself is safe by then.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        result => result,
    }
}

#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_holds_the_bytes_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path().join("a.txt"), "one").unwrap();
        write(folder.path().join("a.txt"), b"two").unwrap();
        assert_eq!(fs::read(folder.path().join("a.txt")).unwrap(), b"two");
        assert_eq!(names(folder.path()), ["a.txt"]);
    }

    #[test]
    fn a_stream_longer_than_the_buffer_arrives_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long");
        write_with(&path, |out| (0..200_000u32).try_for_each(|i| out.write_all(&i.to_le_bytes()))).unwrap();
        let bytes = fs::read(path).unwrap();
        assert_eq!(bytes.len(), 800_000);
        assert_eq!(bytes[799_996..], 199_999u32.to_le_bytes());
    }

    #[test]
    fn a_writer_that_fails_leaves_the_old_file_and_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write(&path, "old").unwrap();
        for (kind, full) in [
            (io::ErrorKind::StorageFull, true),
            (io::ErrorKind::FileTooLarge, true),
            (io::ErrorKind::QuotaExceeded, true),
            (io::ErrorKind::Other, false),
        ] {
            let error = write_with(&path, |out| {
                out.write_all(&vec![7; 2 * BUFFER_BYTES])?;
                Err(kind.into())
            })
            .unwrap_err();
            assert_eq!(matches!(error, Error::Full { .. }), full, "{error}");
            assert!(error.is_environment());
            assert!(error.to_string().contains("weights"), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(names(folder.path()), ["weights"]);
        }
    }

    #[test]
    fn a_panicking_writer_leaves_no_temporary() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let outcome = std::panic::catch_unwind(|| write_with(&path, |_| panic!("on purpose")));
        assert!(outcome.is_err());
        assert!(names(folder.path()).is_empty());
    }

    /// Writes past the limit that the test below sets on its process; does nothing without one.
    #[test]
    fn child_writes_past_its_limit() {
        let Some(path) = std::env::var_os("XEXP_TEST_LIMITED_FILE") else { return };
        let error = write(&path, vec![1; 1 << 20]).unwrap_err();
        assert!(matches!(error, Error::Full { .. }), "{error}");
        assert!(error.hint().is_some());
    }

    #[cfg(unix)]
    #[test]
    fn a_real_file_size_limit_is_reported_as_full() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write(&path, "old").unwrap();
        let output = process::Command::new("sh")
            .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "atomic::tests::child_writes_past_its_limit"])
            .env("XEXP_TEST_LIMITED_FILE", &path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_folder_in_the_place_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(folder.path(), "x").unwrap_err();
        assert!(matches!(error, Error::NotAFile { found: "a folder", .. }), "{error}");
        assert!(matches!(write("", "x").unwrap_err(), Error::NotAFile { .. }));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_not_replaced() {
        let error = write("/dev/null", "x").unwrap_err();
        assert!(matches!(error, Error::NotAFile { .. }), "{error}");
    }

    #[test]
    fn a_missing_folder_is_named_in_the_hint() {
        let folder = tempfile::tempdir().unwrap();
        let error = write(folder.path().join("none/x"), "x").unwrap_err();
        assert!(error.is_environment());
        assert!(error.hint().unwrap().ends_with("none"), "{:?}", error.hint());
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        write(&link, "new").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"new");
    }

    #[test]
    fn leftovers_of_a_killed_process_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".xexp-123-0.partial"), "half").unwrap();
        fs::write(folder.path().join("model.partial"), "kept").unwrap();
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 1);
        assert_eq!(names(folder.path()), ["model.partial"]);
    }

    #[test]
    fn writers_side_by_side_do_not_meet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::thread::scope(|scope| {
            for writer in 0..4u8 {
                let path = &path;
                scope.spawn(move || (0..20).for_each(|_| write(path, vec![writer; 10_000]).unwrap()));
            }
        });
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 10_000);
        assert!(bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(names(folder.path()), ["x"]);
    }
}
