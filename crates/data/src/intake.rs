//! Rows in, a dataset out: the rules that all formats share.

use crate::columns::Columns;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::example::{BadRowNote, Example};
use crate::fault::RowFault;
use crate::label::{self, Found};
use crate::source::{BadRow, Source};
use crate::task::Task;

/// The values of a row in the columns in use, as found.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) id: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) pair: Option<String>,
    pub(crate) label: Option<Found>,
}

/// Takes the rows of one file.
pub(crate) struct Intake<'a> {
    source: &'a Source,
    labelled: bool,
    columns: Option<Columns>,
    /// None until the labels have told it.
    task: Option<Task>,
    /// Labels of the examples as found, until they have.
    found: Vec<Option<Found>>,
    examples: Vec<Example>,
    bad_rows: Vec<BadRowNote>,
    rows_read: u64,
    blank_lines: u64,
}

impl<'a> Intake<'a> {
    pub(crate) fn new(source: &'a Source, labelled: bool) -> Self {
        Intake {
            source,
            labelled,
            columns: None,
            task: task(source, labelled),
            found: Vec::new(),
            examples: Vec::new(),
            bad_rows: Vec::new(),
            rows_read: 0,
            blank_lines: 0,
        }
    }

    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    /// The columns in use, once chosen.
    pub(crate) fn columns(&self) -> Option<&Columns> {
        self.columns.as_ref()
    }

    /// Chooses the columns out of those of the file.
    pub(crate) fn choose(&mut self, names: &[String]) -> Result<&Columns> {
        let columns = Columns::choose(self.source, self.labelled, names)?;
        Ok(self.columns.insert(columns))
    }

    /// Takes columns that were chosen elsewhere.
    pub(crate) fn adopt(&mut self, columns: Columns) {
        self.columns = Some(columns);
    }

    /// Counts blank lines.
    pub(crate) fn blank(&mut self, lines: &[u64]) {
        self.blank_lines += lines.len() as u64;
    }

    /// Takes one row, which starts at `line`, or the reason why it is none; whether it became an example.
    pub(crate) fn row(&mut self, line: u64, parts: std::result::Result<Parts, RowFault>) -> Result<bool> {
        self.rows_read += 1;
        match parts.and_then(|parts| self.example(line, parts)) {
            Ok(example) => {
                self.examples.push(example);
                Ok(true)
            }
            Err(fault) => self.bad(line, &fault).map(|()| false),
        }
    }

    /// Notes a bad row, or ends the reading with it.
    fn bad(&mut self, line: u64, fault: &RowFault) -> Result<()> {
        if self.source.on_bad_row == BadRow::Skip {
            self.bad_rows.push(BadRowNote { line, reason: fault.to_string() });
            return Ok(());
        }
        Err(Error::Row { path: self.source.path.clone(), line, fault: fault.clone() })
    }

    fn example(&mut self, line: u64, parts: Parts) -> std::result::Result<Example, RowFault> {
        let columns = self.columns.as_ref().expect("columns are chosen before the first row is taken");
        let present = |value: Option<String>, column: &String| match value {
            Some(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(RowFault::EmptyText { column: column.clone() }),
        };
        let text = present(parts.text, &columns.text)?;
        let pair = columns.pair.as_ref().map(|column| present(parts.pair, column)).transpose()?;
        let label = match (&columns.label, self.task) {
            (None, _) => None,
            (Some(column), Some(task)) => {
                Some(label::label(parts.label, (task, self.source.label_separator), column)?)
            }
            (Some(_), None) => {
                self.found.push(parts.label);
                None
            }
        };
        let id = match parts.id {
            Some(id) if !id.trim().is_empty() => id.trim().to_string(),
            _ => self.rows_read.to_string(),
        };
        Ok(Example { id, text, pair, image: None, label, line })
    }

    /// Finds out the task and gives the examples their labels; a row without one that fits is bad only now.
    fn settle(&mut self) -> Result<Task> {
        if let Some(task) = self.task {
            return Ok(task);
        }
        let found = std::mem::take(&mut self.found);
        let task = label::task_of(found.iter().flatten());
        let column = self.columns.as_ref().and_then(|columns| columns.label.clone()).unwrap_or_default();
        for (mut example, found) in std::mem::take(&mut self.examples).into_iter().zip(found) {
            match label::label(found, (task, None), &column) {
                Ok(label) => {
                    example.label = Some(label);
                    self.examples.push(example);
                }
                Err(fault) => self.bad(example.line, &fault)?,
            }
        }
        self.bad_rows.sort_by_key(|row| row.line);
        Ok(task)
    }

    /// The dataset, once all rows are taken.
    pub(crate) fn finish(mut self, sha256: String) -> Result<Dataset> {
        let task = self.settle()?;
        match self.columns {
            Some(columns) if !self.examples.is_empty() => Ok(Dataset {
                path: self.source.path.clone(),
                sha256,
                columns,
                task,
                rows_read: self.rows_read,
                blank_lines: self.blank_lines,
                bad_rows: self.bad_rows,
                examples: self.examples,
                class_names: None,
                gallery: None,
            }),
            _ => Err(Error::NoRows { path: self.source.path.clone(), bad_rows: self.bad_rows.len() }),
        }
    }
}

/// The task of a source, where something other than its labels tells it.
fn task(source: &Source, labelled: bool) -> Option<Task> {
    match (source.task, source.label_separator) {
        (Some(task), _) => Some(task),
        (None, Some(_)) => Some(Task::MultiLabel),
        // Examples of images are counted as they are taken.
        (None, None) if source.images || !labelled => Some(Task::SingleLabel),
        (None, None) => None,
    }
}
