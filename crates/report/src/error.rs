//! What can go wrong when something is written down.

use std::io;
use std::path::PathBuf;

/// The result of everything in this crate that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// A fact that could not be written, read back or computed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk, the quota or the file-size limit ended before the file did.
    #[error("no room left to write {path} (found while {doing}); what stood there before is unchanged")]
    Full {
        /// The file that was to be written.
        path: PathBuf,
        /// The step that failed.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The system refused some step of writing a file.
    #[error("cannot write {path}: {doing} failed")]
    Write {
        /// The file that was to be written.
        path: PathBuf,
        /// The step that failed.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The place of a file is taken by something that must not be replaced.
    #[error("cannot write {path}: expected a file or nothing there, found {found}")]
    NotAFile {
        /// The file that was to be written.
        path: PathBuf,
        /// What is there.
        found: &'static str,
    },
    /// The system refused to read a file.
    #[error("cannot read {path}")]
    Read {
        /// The file that was to be read.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A confidence that is no share.
    #[error("confidence of an interval: expected between 0 and 1, found {found}")]
    Confidence {
        /// What was given.
        found: f64,
    },
    /// Looks at the data that do not rise.
    #[error("looks at the data: expected rising counts of 2 draws or more, found {found:?}")]
    Looks {
        /// What was given.
        found: Vec<usize>,
    },
    /// A row is judged by draws that the experiment does not record.
    #[error("no draws of `{expected}`; recorded are {found:?}")]
    NotRecorded {
        /// The name that a row gives.
        expected: String,
        /// The names that were recorded.
        found: Vec<String>,
    },
    /// Predictions and measurements that do not belong together.
    #[error("row `{row}`: expected {what}, found none")]
    Unmatched {
        /// What is missing.
        what: &'static str,
        /// The row's name.
        row: String,
    },
    /// A recorded table or manifest of an experiment does not say what it should.
    #[error("{path}:{line}: expected {expected}, found `{found}`")]
    Recorded {
        /// The file.
        path: PathBuf,
        /// Line, counted from 1 with the header.
        line: usize,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// Something of an experiment that cannot be put into a file.
    #[error("cannot record {what}: {reason}")]
    Unrecordable {
        /// What it is.
        what: &'static str,
        /// What stands in the way.
        reason: String,
    },
    /// A line of `metrics.csv` is not a row of it.
    #[error("{path}:{line}: expected {expected}, found `{found}`")]
    History {
        /// The history file.
        path: PathBuf,
        /// Line, counted from 1 with the header.
        line: usize,
        /// What belongs there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// A row was logged for a step that the history has passed.
    #[error("{path}: expected a row for a step after {last}, found step {step}")]
    HistoryOrder {
        /// The history file.
        path: PathBuf,
        /// The last step in the file.
        last: u64,
        /// The step of the refused row.
        step: u64,
    },
    /// A row does not have one cell for each column.
    #[error("table row {row}: expected {expected} cells, found {found}")]
    RowWidth {
        /// Row, counted from 0 without the header.
        row: usize,
        /// Number of columns.
        expected: usize,
        /// Number of cells.
        found: usize,
    },
    /// The parts of a plot do not fit together.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which part.
        what: &'static str,
        /// The size that fits.
        expected: usize,
        /// The size given.
        found: usize,
    },
    /// Too few values for the statistic.
    #[error("{what}: expected at least {expected}, found {found}")]
    TooFew {
        /// What is counted.
        what: &'static str,
        /// The least number that makes sense.
        expected: usize,
        /// The number given.
        found: usize,
    },
    /// A number that enters a statistic is infinite or not a number.
    #[error("{what}: expected a finite number, found {found}")]
    NotFinite {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: f64,
    },
    /// A number that should be a share of a whole.
    #[error("{what}: expected a number from 0 to 1, found {found}")]
    Share {
        /// Which number.
        what: &'static str,
        /// Its value.
        found: f64,
    },
    /// A tolerance below zero.
    #[error("tolerance: expected zero or more, found {found}")]
    Tolerance {
        /// The tolerance given.
        found: f64,
    },
    /// The source of randomness broke its promise.
    #[error("random index: expected a number below {expected}, found {found}")]
    Draw {
        /// The bound that was asked for.
        expected: usize,
        /// The index that came.
        found: usize,
    },
}

impl Error {
    /// What to do next, where there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Full { .. } => Some("free some space, or give another folder with --output".into()),
            Error::Write { path, source, .. } => match source.kind() {
                io::ErrorKind::NotFound => {
                    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty())?;
                    Some(format!("create the folder {}", folder.display()))
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("give a folder that you may write to with --output".into())
                }
                _ => None,
            },
            Error::NotAFile { .. } => Some("move it away, or give another place with --output".into()),
            Error::History { .. } => {
                Some("put back the file that the run wrote, or start again with --overwrite".into())
            }
            Error::Recorded { .. } => {
                Some("put back the file that the run wrote, or run the experiment again".into())
            }
            Error::Read { .. } => Some("check that the file is there and that you may read it".into()),
            Error::TooFew { .. } => Some("draw more".into()),
            Error::HistoryOrder { .. }
            | Error::RowWidth { .. }
            | Error::Shape { .. }
            | Error::NotFinite { .. }
            | Error::Share { .. }
            | Error::Tolerance { .. }
            | Error::Draw { .. }
            | Error::Confidence { .. }
            | Error::Looks { .. }
            | Error::NotRecorded { .. }
            | Error::Unrecordable { .. }
            | Error::Unmatched { .. } => None,
        }
    }

    /// Whether the machine refused to *write*: a disk, a permission, a place that is taken.
    pub fn is_environment(&self) -> bool {
        matches!(self, Error::Full { .. } | Error::Write { .. } | Error::NotAFile { .. })
    }

    /// A failed step of writing, with a full disk told apart from the rest.
    pub(crate) fn writing(path: &std::path::Path, doing: &'static str, source: io::Error) -> Error {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Error::Full { path, doing, source }
            }
            _ => Error::Write { path, doing, source },
        }
    }
}
