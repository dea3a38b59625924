//! TensorBoard's event files: the rows of `metrics.csv` as scalars, for those who follow runs there.
//!
//! `logs/events.out.tfevents.xexp` beside the table holds a record a row. TensorBoard reads it while it grows. Unlike the table it
//! knows when things happened, so two runs do not write the same bytes. A resumed run keeps the records up to its checkpoint and
//! goes on.

mod message;
mod record;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::history::Row;
use crate::{Error, Result, atomic};

/// The folder of a run's events.
const FOLDER: &str = "logs";
/// TensorBoard knows its files by `tfevents`.
const FILE: &str = "events.out.tfevents.xexp";

/// The open event file of a run.
#[derive(Debug)]
pub(crate) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// The events of the run whose table is at `table`, as they were after these rows.
    ///
    /// Records that are there already are kept, with their times; rows without one get it now.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Write`].
    pub(crate) fn of(table: &Path, rows: &[Row]) -> Result<Events> {
        let folder = table.parent().unwrap_or(Path::new("")).join(FOLDER);
        let path = folder.join(FILE);
        fs::create_dir_all(&folder).map_err(|source| Error::writing(&folder, "making the folder", source))?;
        // What cannot be read is written anew: the table holds the same.
        let old = fs::read(&path).unwrap_or_default();
        let kept = record::payloads(&old).filter_map(message::step_and_time);
        let times: Vec<(i64, f64)> = kept.collect();
        let now = seconds();
        let mut bytes = record::framed(&message::version(now));
        for row in rows {
            let step = step(row);
            let time = times.iter().rev().find(|(of, _)| *of == step).map_or(now, |(_, time)| *time);
            bytes.extend(record::framed(&message::scalars(time, step, &tags(row))));
        }
        atomic::write(&path, &bytes)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .map_err(|source| Error::writing(&path, "opening", source))?;
        Ok(Events { path, file })
    }

    /// Adds a row at the end.
    ///
    /// # Errors
    /// [`Error::Full`] or [`Error::Write`]; a torn record is what a reader takes for the end.
    pub(crate) fn append(&mut self, row: &Row) -> Result<()> {
        let bytes = record::framed(&message::scalars(seconds(), step(row), &tags(row)));
        self.file.write_all(&bytes).map_err(|source| Error::writing(&self.path, "appending a record", source))
    }
}

/// Seconds since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn step(row: &Row) -> i64 {
    i64::try_from(row.step).unwrap_or(i64::MAX)
}

/// The scalars of a row that are known; TensorBoard groups them by what stands before the slash.
fn tags(row: &Row) -> Vec<(&'static str, f64)> {
    let valid = row.valid.as_ref();
    let all = [
        ("train/loss", row.loss),
        ("train/grad_norm", row.grad_norm),
        ("train/lr", Some(row.lr)),
        ("train/head_lr", Some(row.head_lr)),
        ("train/epoch", Some(row.epoch)),
        ("valid/loss", valid.map(|v| v.loss)),
        ("valid/accuracy", valid.and_then(|v| v.accuracy)),
        ("valid/macro_f1", valid.and_then(|v| v.macro_f1)),
        ("valid/mcc", valid.and_then(|v| v.mcc)),
        ("valid/ece", valid.and_then(|v| v.ece)),
        ("valid/micro_f1", valid.and_then(|v| v.micro_f1)),
        ("valid/pearson", valid.and_then(|v| v.pearson)),
        ("valid/spearman", valid.and_then(|v| v.spearman)),
        ("valid/rmse", valid.and_then(|v| v.rmse)),
    ];
    all.into_iter().filter_map(|(tag, value)| Some((tag, value?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: u64) -> Row {
        let (epoch, loss) = (step as f64, Some(0.5));
        Row { step, epoch, examples: step, lr: 1e-3, head_lr: 1e-2, loss, grad_norm: None, valid: None }
    }

    #[test]
    fn a_resumed_file_keeps_its_times_up_to_the_checkpoint_and_drops_a_torn_record() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("metrics.csv");
        let rows: Vec<Row> = (1..=4).map(row).collect();
        let mut events = Events::of(&table, &[]).unwrap();
        rows.iter().for_each(|row| events.append(row).unwrap());
        let path = folder.path().join(FOLDER).join(FILE);
        let read = || -> Vec<(i64, f64)> {
            let bytes = fs::read(&path).unwrap();
            record::payloads(&bytes).filter_map(message::step_and_time).collect()
        };
        let before = read();
        assert_eq!(before.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        assert_eq!(read().len(), 4, "the torn record is the end");
        let mut events = Events::of(&table, &rows[..2]).unwrap();
        assert_eq!(read()[1..], before[1..3]);
        events.append(&rows[2]).unwrap();
        assert_eq!(read().len(), 4);
        // Without a file there are rows all the same.
        fs::remove_file(&path).unwrap();
        Events::of(&table, &rows).unwrap();
        assert_eq!(read().len(), 5);
    }
}
