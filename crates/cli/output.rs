//! The output folder: nothing is written over unasked, and a folder that cannot be written is found
//! out before any work is done.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::Failure;

/// What a command may do with a folder that already holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing: the folder must be new or empty.
    Refuse,
    /// Write over it.
    Overwrite,
    /// Go on from the checkpoints in it.
    Resume,
}

/// What may be done with results that are already there, by the flags `--overwrite`, `--resume` and `--output`.
///
/// # Errors
/// Flags that exclude each other, or nothing named to go on from.
pub fn existing(overwrite: bool, resume: bool, named: bool) -> Result<Existing, Failure> {
    match (overwrite, resume) {
        (true, true) => Err(Failure::input("--overwrite and --resume exclude each other")
            .hint("--resume goes on from the results that are there, --overwrite begins anew")),
        (false, true) if !named => Err(Failure::input("--resume: no output folder")
            .hint("give the folder of the run that was interrupted: --output DIR")),
        (_, true) => Ok(Existing::Resume),
        (true, false) => Ok(Existing::Overwrite),
        (false, false) => Ok(Existing::Refuse),
    }
}

/// Sees that `folder` is that of a run which has begun, as the file `begun` tells, and not finished.
///
/// # Errors
/// Exit 2 where it has not begun, or has finished.
pub fn resumable(folder: &Path, begun: &str) -> Result<(), Failure> {
    let shown = folder.display();
    if folder.join("results.json").is_file() {
        let message = format!("--resume: the run in {shown} has finished");
        let hint = "its results are in results.json; a new run needs --overwrite";
        return Err(Failure::input(message).hint(hint));
    }
    if !folder.join(begun).is_file() {
        let message = format!("--resume: {shown} is not the folder of a run that has begun");
        return Err(Failure::input(message).hint("give the --output of the run that was interrupted"));
    }
    Ok(())
}

/// Checks `folder` without touching it.
///
/// # Errors
/// Exit 2 when the folder holds something and `existing` refuses that, or holds nothing to resume;
/// exit 3 when it cannot be read.
pub fn check(folder: &Path, existing: Existing) -> Result<(), Failure> {
    let shown = folder.display();
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::input(format!("--output {shown}: expected a folder, found a file")));
    }
    let empty = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) if !folder.exists() => true,
        Err(error) => return Err(unwritable(folder, &error)),
    };
    match existing {
        Existing::Refuse if !empty => {
            return Err(Failure::input(format!("--output {shown}: the folder is not empty")).hint(
                "choose another folder, write over it with --overwrite, or go on where it stopped with --resume",
            ));
        }
        Existing::Resume if empty => {
            return Err(Failure::input(format!("--resume: nothing to go on from in {shown}"))
                .hint("give the --output of the run that was interrupted"));
        }
        _ => {}
    }
    Ok(())
}

/// Checks `folder` and creates it.
///
/// # Errors
/// As [`check`]; exit 3 when it cannot be created or written.
pub fn prepare(folder: &Path, existing: Existing) -> Result<(), Failure> {
    check(folder, existing)?;
    std::fs::create_dir_all(folder).and_then(|()| probe(folder)).map_err(|error| unwritable(folder, &error))
}

/// A new folder for a run without `--output`: `runs/20260131T235959Z-finetune`, in UTC.
pub fn fresh(command: &str) -> PathBuf {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    Path::new("runs").join(format!("{}-{command}", timestamp(seconds)))
}

/// The time, in UTC: `2026-01-31T23:59:59Z`.
pub fn clock() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let compact = timestamp(seconds);
    let part = |from: usize, to: usize| compact.get(from..to).unwrap_or_default();
    let (date, time) = ([part(0, 4), part(4, 6), part(6, 8)], [part(9, 11), part(11, 13), part(13, 15)]);
    format!("{}T{}Z", date.join("-"), time.join(":"))
}

/// Creates, fills and removes a file: permissions alone do not tell whether a disk takes data.
fn probe(folder: &Path) -> std::io::Result<()> {
    let file = folder.join(format!(".xexp-probe-{}", std::process::id()));
    let written = std::fs::write(&file, b"probe");
    let removed = std::fs::remove_file(&file);
    written.and(removed)
}

fn unwritable(folder: &Path, error: &std::io::Error) -> Failure {
    Failure::environment(format!("--output {}: cannot write there", folder.display()))
        .because(error)
        .hint("choose a folder on a disk with space that you may write to")
}

/// Seconds since 1970 as `20260131T235959Z`.
///
/// Source: the proleptic Gregorian calendar from a day count, H. Hinnant, "chrono-compatible
/// low-level date algorithms", `civil_from_days`, for days since 1970 only.
fn timestamp(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn timestamps_agree_with_date() {
        // `date -u -d @N +%Y%m%dT%H%M%SZ`
        assert_eq!(timestamp(0), "19700101T000000Z");
        assert_eq!(timestamp(951_782_400), "20000229T000000Z");
        assert_eq!(timestamp(1_709_251_199), "20240229T235959Z");
        assert_eq!(timestamp(4_107_542_400), "21000301T000000Z");
    }

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "mine").unwrap();
        assert_eq!(prepare(folder.path(), Existing::Refuse).unwrap_err().exit, Exit::Input);
        assert!(prepare(folder.path(), Existing::Overwrite).is_ok());
        assert!(prepare(folder.path(), Existing::Resume).is_ok());
        assert_eq!(std::fs::read_to_string(folder.path().join("a")).unwrap(), "mine");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the probe is gone");
    }

    #[test]
    fn a_new_folder_is_created_but_never_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/b");
        assert_eq!(prepare(&new, Existing::Resume).unwrap_err().exit, Exit::Input);
        assert!(!new.exists());
        assert!(prepare(&new, Existing::Refuse).is_ok());
        assert!(new.is_dir());
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_environment_failure() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = prepare(&file.path().join("inside"), Existing::Refuse).unwrap_err();
        assert_eq!(failure.exit, Exit::Environment);
        assert!(failure.to_string().contains("caused by: "), "{failure}");
    }
}
