//! `metrics.csv`: a row a logged step, continued by a resumed run as if it had never stopped; and the same as events for
//! TensorBoard.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::events::Events;
use crate::{Error, Result, atomic};

/// The columns of `metrics.csv`.
///
/// None holds a time or a speed: two runs of the same seed write the same bytes.
pub const COLUMNS: [&str; 16] = [
    "step",
    "epoch",
    "examples",
    "lr",
    "head_lr",
    "loss",
    "grad_norm",
    "valid_loss",
    "valid_accuracy",
    "valid_macro_f1",
    "valid_mcc",
    "valid_ece",
    "valid_micro_f1",
    "valid_pearson",
    "valid_spearman",
    "valid_rmse",
];

/// What is known at one logged step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// Optimiser steps done.
    pub step: u64,
    /// Passes over the training data done, with the fraction.
    pub epoch: f64,
    /// Training examples seen.
    pub examples: u64,
    /// Learning rate of the backbone at this step.
    pub lr: f64,
    /// Learning rate of the head at this step.
    pub head_lr: f64,
    /// Mean training loss since the last logged step; none when nothing was trained since.
    pub loss: Option<f64>,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: Option<f64>,
    /// Scores on the validation set, where it was evaluated at this step.
    pub valid: Option<Valid>,
}

/// Scores on the validation set; only the loss is known of every kind of run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Valid {
    /// Mean loss: of a classifier and of masked words the cross-entropy in nats, of values the squared error.
    pub loss: f64,
    /// Share of examples labelled right, or of masked words found.
    pub accuracy: Option<f64>,
    /// Mean of the classes' F1.
    pub macro_f1: Option<f64>,
    /// Matthews' correlation coefficient.
    pub mcc: Option<f64>,
    /// Expected calibration error.
    pub ece: Option<f64>,
    /// F1 of the counts summed over the labels, where several may apply.
    pub micro_f1: Option<f64>,
    /// Pearson's correlation of values.
    pub pearson: Option<f64>,
    /// Spearman's.
    pub spearman: Option<f64>,
    /// Root of their mean squared error.
    pub rmse: Option<f64>,
}

/// The open `metrics.csv` of a run.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    file: File,
    length: u64,
    last: Option<u64>,
    events: Events,
}

impl History {
    /// A history without rows; replaces the file at `path`.
    ///
    /// # Errors
    /// As [`atomic::write`].
    pub fn create(path: impl AsRef<Path>) -> Result<History> {
        History::with_rows(path.as_ref(), &[])
    }

    /// The history at `path` as it was at `step`: later rows, written by a run that was stopped after its last
    /// checkpoint, are dropped.
    ///
    /// # Errors
    /// [`Error::Read`] if the file is missing, [`Error::History`] if it is not a `metrics.csv`, or as
    /// [`atomic::write`].
    pub fn resume(path: impl AsRef<Path>, step: u64) -> Result<History> {
        let mut rows = History::read(&path)?;
        rows.retain(|row| row.step <= step);
        History::with_rows(path.as_ref(), &rows)
    }

    /// The rows of the history at `path`. A last line without its end, torn by a kill, is not a row.
    ///
    /// # Errors
    /// [`Error::Read`] if the file cannot be read, [`Error::History`] with the line that is not a row.
    pub fn read(path: impl AsRef<Path>) -> Result<Vec<Row>> {
        let path = path.as_ref();
        let bytes = fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        let text = String::from_utf8_lossy(&bytes);
        let wrong = |line: usize, expected: String, found: &str| Error::History {
            path: path.to_path_buf(),
            line,
            expected,
            found: found.to_owned(),
        };
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        let header = lines.next().unwrap_or_default();
        if header != COLUMNS.join(",") {
            return Err(wrong(1, format!("the header `{}`", COLUMNS.join(",")), header));
        }
        let mut rows: Vec<Row> = Vec::new();
        for (i, line) in lines.enumerate() {
            let row = Row::parse(line).map_err(|expected| wrong(i + 2, expected, line))?;
            if let Some(last) = rows.last().filter(|last| last.step >= row.step) {
                return Err(wrong(i + 2, format!("a step after {}", last.step), line));
            }
            rows.push(row);
        }
        Ok(rows)
    }

    fn with_rows(path: &Path, rows: &[Row]) -> Result<History> {
        let mut text = COLUMNS.join(",") + "\n";
        rows.iter().for_each(|row| text.push_str(&row.line()));
        atomic::write(path, &text)?;
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .map_err(|source| Error::writing(path, "opening", source))?;
        let last = rows.last().map(|row| row.step);
        let events = Events::of(path, rows)?;
        Ok(History { path: path.to_path_buf(), file, length: text.len() as u64, last, events })
    }

    /// Adds a row at the end.
    ///
    /// # Errors
    /// [`Error::HistoryOrder`] unless the step is later than all before, [`Error::Full`] or [`Error::Write`] if
    /// it cannot be written; the file then ends with the row before.
    pub fn append(&mut self, row: &Row) -> Result<()> {
        if let Some(last) = self.last.filter(|last| row.step <= *last) {
            return Err(Error::HistoryOrder { path: self.path.clone(), last, step: row.step });
        }
        let line = row.line();
        if let Err(source) = self.file.write_all(line.as_bytes()) {
            // Should even this fail, the torn line is dropped on reading.
            let _ = self.file.set_len(self.length);
            return Err(Error::writing(&self.path, "appending a row", source));
        }
        self.length += line.len() as u64;
        self.last = Some(row.step);
        self.events.append(row)
    }

    /// Puts every row on the disk. Call it before a checkpoint that claims their steps is written.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Write`].
    pub fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|source| Error::writing(&self.path, "flushing to the disk", source))
    }
}

impl Row {
    fn line(&self) -> String {
        // The shortest text that reads back to the same f64, so that rewriting a file changes no byte.
        let number = |value: f64| format!("{value:?}");
        let optional = |value: Option<f64>| value.map(number).unwrap_or_default();
        let valid = |score: fn(&Valid) -> Option<f64>| optional(self.valid.as_ref().and_then(score));
        let fields: [String; COLUMNS.len()] = [
            self.step.to_string(),
            number(self.epoch),
            self.examples.to_string(),
            number(self.lr),
            number(self.head_lr),
            optional(self.loss),
            optional(self.grad_norm),
            valid(|valid| Some(valid.loss)),
            valid(|valid| valid.accuracy),
            valid(|valid| valid.macro_f1),
            valid(|valid| valid.mcc),
            valid(|valid| valid.ece),
            valid(|valid| valid.micro_f1),
            valid(|valid| valid.pearson),
            valid(|valid| valid.spearman),
            valid(|valid| valid.rmse),
        ];
        fields.join(",") + "\n"
    }

    /// The row that `line` holds, or what was expected instead.
    fn parse(line: &str) -> std::result::Result<Row, String> {
        let fields: Vec<&str> = line.split(',').collect();
        if fields.len() != COLUMNS.len() {
            return Err(format!("{} fields", COLUMNS.len()));
        }
        let count = |column: usize| {
            fields[column].parse::<u64>().map_err(|_| format!("a whole number in `{}`", COLUMNS[column]))
        };
        let number = |column: usize| {
            fields[column].parse::<f64>().map_err(|_| format!("a number in `{}`", COLUMNS[column]))
        };
        let optional =
            |column: usize| if fields[column].is_empty() { Ok(None) } else { number(column).map(Some) };
        let valid = if fields[7..].iter().all(|field| field.is_empty()) {
            None
        } else {
            Some(Valid {
                loss: number(7)?,
                accuracy: optional(8)?,
                macro_f1: optional(9)?,
                mcc: optional(10)?,
                ece: optional(11)?,
                micro_f1: optional(12)?,
                pearson: optional(13)?,
                spearman: optional(14)?,
                rmse: optional(15)?,
            })
        };
        Ok(Row {
            step: count(0)?,
            epoch: number(1)?,
            examples: count(2)?,
            lr: number(3)?,
            head_lr: number(4)?,
            loss: optional(5)?,
            grad_norm: optional(6)?,
            valid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64) -> Row {
        let x = step as f64;
        let valid = Valid {
            loss: 1.0 / x,
            accuracy: Some(0.1 + 0.2),
            macro_f1: Some(0.5),
            mcc: (step > 2).then_some(-0.25),
            ece: Some(1e-9),
            pearson: (step > 4).then_some(-0.5),
            ..Valid::default()
        };
        Row {
            step,
            epoch: x / 7.0,
            examples: 32 * step,
            lr: 5e-5 / 3.0,
            head_lr: 1e-3,
            loss: (step > 1).then_some(x.sqrt()),
            grad_norm: Some(x.exp()),
            valid: step.is_multiple_of(2).then_some(valid),
        }
    }

    #[test]
    fn a_resumed_file_equals_an_uninterrupted_one() {
        let folder = tempfile::tempdir().unwrap();
        let (whole, broken) = (folder.path().join("whole.csv"), folder.path().join("broken.csv"));
        let mut history = History::create(&whole).unwrap();
        (1..=9).for_each(|step| history.append(&row(step)).unwrap());
        for (killed, checkpoint, torn) in [(6, 4, false), (6, 4, true), (5, 5, false), (3, 0, true)] {
            let mut history = History::create(&broken).unwrap();
            (1..=killed).for_each(|step| history.append(&row(step)).unwrap());
            drop(history);
            if torn {
                let mut file = OpenOptions::new().append(true).open(&broken).unwrap();
                file.write_all(b"7,1.0,22").unwrap();
            }
            let mut history = History::resume(&broken, checkpoint).unwrap();
            assert_eq!(History::read(&broken).unwrap().len(), checkpoint as usize);
            (checkpoint + 1..=9).for_each(|step| history.append(&row(step)).unwrap());
            history.sync().unwrap();
            assert_eq!(fs::read(&whole).unwrap(), fs::read(&broken).unwrap(), "killed at {killed}");
        }
    }

    #[test]
    fn rows_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let rows: Vec<Row> = (1..=5).map(row).collect();
        let mut history = History::create(&path).unwrap();
        rows.iter().for_each(|row| history.append(row).unwrap());
        assert_eq!(History::read(&path).unwrap(), rows);
    }

    #[test]
    fn a_line_has_a_field_for_each_column() {
        let text = Row { loss: Some(0.5), valid: None, ..row(1) }.line();
        assert_eq!(
            text,
            "1,0.14285714285714285,32,1.6666666666666667e-5,0.001,0.5,2.718281828459045,,,,,,,,,\n"
        );
    }

    #[test]
    fn an_earlier_step_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::create(folder.path().join("metrics.csv")).unwrap();
        history.append(&row(3)).unwrap();
        let error = history.append(&row(3)).unwrap_err();
        assert!(matches!(error, Error::HistoryOrder { last: 3, step: 3, .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_no_history_is_refused_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.csv");
        let header = COLUMNS.join(",");
        let good = row(2).line();
        for (text, line) in [
            (String::new(), 1),
            ("step,loss\n".into(), 1),
            (header.clone(), 1), // the header itself torn
            (format!("{header}\n1,2\n"), 2),
            (format!("{header}\n{good}{}", row(1).line()), 3),
            (format!("{header}\n{good}x{good}"), 3),
            (format!("{header}\n{}", good.replace(",0.5,0.3", ",,0.3")), 2),
        ] {
            fs::write(&path, &text).unwrap();
            let error = History::resume(&path, 9).unwrap_err();
            assert!(matches!(error, Error::History { line: found, .. } if found == line), "{text}: {error}");
            assert!(!error.is_environment());
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "a refused file is left alone");
        }
    }

    #[test]
    fn a_missing_history_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = History::resume(folder.path().join("metrics.csv"), 3).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
        assert!(!error.is_environment() && error.hint().is_some());
    }
}
