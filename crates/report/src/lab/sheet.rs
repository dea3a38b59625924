//! Recorded CSV files, read back with the line of whatever is wrong.

use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A CSV file with a header.
pub(super) struct Sheet {
    path: PathBuf,
    columns: Vec<String>,
    lines: Vec<(usize, Vec<String>)>,
}

impl Sheet {
    /// Reads `text`, the content of the file at `path`, which must have `columns`; others may follow.
    ///
    /// # Errors
    /// [`Error::Recorded`] for another header, or lines of another width.
    pub(super) fn parse(path: &Path, text: &str, columns: &[&str]) -> Result<Sheet> {
        let wrong = |line: usize, expected: String, found: String| Error::Recorded {
            path: path.to_path_buf(),
            line,
            expected,
            found,
        };
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut lines = vec![];
        for record in reader.records() {
            let record = record.map_err(|error| {
                let line = error.position().map_or(1, |position| position.line() as usize);
                wrong(line, "a line of CSV in UTF-8".into(), error.to_string())
            })?;
            let line = record.position().map_or(0, |position| position.line() as usize);
            lines.push((line, record.iter().map(str::to_owned).collect::<Vec<String>>()));
        }
        let header = if lines.is_empty() { vec![] } else { lines.remove(0).1 };
        if !header.iter().map(String::as_str).take(columns.len()).eq(columns.iter().copied()) {
            return Err(wrong(1, format!("the columns {}", columns.join(",")), header.join(",")));
        }
        if let Some((line, fields)) = lines.iter().find(|(_, fields)| fields.len() != header.len()) {
            return Err(wrong(*line, format!("{} fields", header.len()), fields.len().to_string()));
        }
        Ok(Sheet { path: path.to_path_buf(), columns: header, lines })
    }

    /// The lines below the header.
    pub(super) fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.lines.iter().map(|(line, fields)| Record { sheet: self, line: *line, fields })
    }
}

/// A line of a [`Sheet`].
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    sheet: &'a Sheet,
    line: usize,
    fields: &'a [String],
}

impl<'a> Record<'a> {
    /// The field in a column of the header.
    pub(super) fn text(&self, column: &str) -> &'a str {
        let place = self.sheet.columns.iter().position(|name| name == column);
        place.map_or("", |place| self.fields[place].as_str())
    }

    /// The field, or `None` if it is empty.
    pub(super) fn maybe(&self, column: &str) -> Option<&'a str> {
        Some(self.text(column)).filter(|text| !text.is_empty())
    }

    /// The field as `T`.
    ///
    /// # Errors
    /// [`Error::Recorded`], with `expected` as what belongs there.
    pub(super) fn parsed<T: std::str::FromStr>(&self, column: &str, expected: &str) -> Result<T> {
        self.text(column).parse().map_err(|_| self.wrong(column, expected))
    }

    /// The field as a number.
    ///
    /// # Errors
    /// [`Error::Recorded`].
    pub(super) fn number(&self, column: &str) -> Result<f64> {
        self.parsed(column, "a number")
    }

    /// What to say of a field that holds something else.
    pub(super) fn wrong(&self, column: &str, expected: &str) -> Error {
        Error::Recorded {
            path: self.sheet.path.clone(),
            line: self.line,
            expected: format!("{expected} as {column}"),
            found: self.text(column).to_owned(),
        }
    }
}
