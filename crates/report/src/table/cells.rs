//! The table itself, before it is printed anywhere.

use super::number::{Digits, number};
use crate::{Error, Result};

/// How something came out, for the eye.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// As it should.
    Good,
    /// As it should not.
    Bad,
    /// Neither quite.
    Mixed,
    /// Not at all yet.
    Open,
}

/// One value of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// Nothing: not measured, not applicable.
    Empty,
    /// Words.
    Text(String),
    /// A count or a step.
    Count(u64),
    /// A yes or no, printed as `true` or `false`.
    Flag(bool),
    /// A real number with the digits that people should see; CSV keeps all of them.
    Number(f64, Digits),
    /// Words with how it came out; a coloured badge where there are colours.
    Badge(Mark, String),
    /// Words that lead to an address, where there are links.
    Link {
        /// The words.
        text: String,
        /// The address.
        address: String,
    },
}

impl Cell {
    /// A number shown with this many digits after the point.
    pub fn decimals(value: f64, digits: u8) -> Cell {
        Cell::Number(value, Digits::Decimals(digits))
    }

    /// A number shown with this many significant digits.
    pub fn significant(value: f64, digits: u8) -> Cell {
        Cell::Number(value, Digits::Significant(digits))
    }

    /// The cell as people read it, not escaped for any format.
    pub fn text(&self) -> String {
        match self {
            Cell::Empty => String::new(),
            Cell::Text(text) | Cell::Badge(_, text) | Cell::Link { text, .. } => text.clone(),
            Cell::Count(count) => count.to_string(),
            Cell::Flag(flag) => flag.to_string(),
            Cell::Number(value, digits) => number(*value, *digits),
        }
    }

    fn is_numeric(&self) -> bool {
        matches!(self, Cell::Count(_) | Cell::Number(..))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Cell {
        Cell::Count(count)
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Cell {
        Cell::Count(count as u64)
    }
}

impl From<bool> for Cell {
    fn from(flag: bool) -> Cell {
        Cell::Flag(flag)
    }
}

/// Named columns and rows with one cell for each.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Table {
        Table { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row at the end.
    ///
    /// # Errors
    /// [`Error::RowWidth`] unless the row has one cell for each column.
    pub fn push(&mut self, row: impl IntoIterator<Item = Cell>) -> Result<()> {
        let row: Vec<Cell> = row.into_iter().collect();
        if row.len() != self.columns.len() {
            return Err(Error::RowWidth {
                row: self.rows.len(),
                expected: self.columns.len(),
                found: row.len(),
            });
        }
        self.rows.push(row);
        Ok(())
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows, each as wide as [`Table::columns`].
    pub fn rows(&self) -> &[Vec<Cell>] {
        &self.rows
    }

    /// Whether the column holds a number and nothing else but numbers and gaps, and so is set to the right.
    pub(crate) fn is_numeric(&self, column: usize) -> bool {
        let mut cells =
            self.rows.iter().map(|row| &row[column]).filter(|cell| **cell != Cell::Empty).peekable();
        cells.peek().is_some() && cells.all(Cell::is_numeric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_another_width_is_refused() {
        let mut table = Table::new(["a", "b"]);
        table.push([Cell::from("x"), Cell::Empty]).unwrap();
        let error = table.push([Cell::from("x")]).unwrap_err();
        assert!(matches!(error, Error::RowWidth { row: 1, expected: 2, found: 1 }), "{error}");
        assert_eq!(table.rows().len(), 1);
    }

    #[test]
    fn a_column_is_numeric_when_words_are_absent() {
        let mut table = Table::new(["count", "mixed", "empty"]);
        table.push([Cell::from(1u64), Cell::from(1u64), Cell::Empty]).unwrap();
        table.push([Cell::Empty, Cell::from("one"), Cell::Empty]).unwrap();
        assert_eq!([0, 1, 2].map(|column| table.is_numeric(column)), [true, false, false]);
    }
}
