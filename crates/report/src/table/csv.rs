//! CSV as in RFC 4180, for programs: all digits, words quoted where they must be.

use super::{Cell, Table};

impl Table {
    /// The table as CSV: a header, then a line a row.
    ///
    /// Fields are quoted by RFC 4180, §2.5–2.7. Lines end in `\n` alone, which every reader takes and which
    /// keeps recorded tables readable to line-based tools. Numbers are the shortest text that reads back to the
    /// same `f64`.
    pub fn csv(&self) -> String {
        let mut out = String::new();
        line(&mut out, self.columns().iter().cloned());
        for row in self.rows() {
            line(&mut out, row.iter().map(value));
        }
        out
    }
}

fn value(cell: &Cell) -> String {
    match cell {
        // `{}` would print 1e300 as 301 digits.
        Cell::Number(value, _) => format!("{value:?}"),
        other => other.text(),
    }
}

fn line(out: &mut String, fields: impl Iterator<Item = String>) {
    let start = out.len();
    for (i, field) in fields.enumerate() {
        if i > 0 {
            out.push(',');
        }
        if field.contains([',', '"', '\n', '\r']) {
            out.push('"');
            out.push_str(&field.replace('"', "\"\""));
            out.push('"');
        } else {
            out.push_str(&field);
        }
    }
    if out.len() == start {
        // One empty field; a bare empty line would read back as no row.
        out.push_str("\"\"");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_quotes_and_breaks_are_quoted() {
        let mut table = Table::new(["label, long", "note"]);
        table.push([Cell::from("say \"hi\""), Cell::from("two\nlines")]).unwrap();
        table.push([Cell::from("plain"), Cell::Empty]).unwrap();
        assert_eq!(table.csv(), "\"label, long\",note\n\"say \"\"hi\"\"\",\"two\nlines\"\nplain,\n");
    }

    #[test]
    fn numbers_keep_every_digit() {
        let values = [0.1 + 0.2, 1.0, -1.5e-300, f64::MAX, 5e-324];
        let mut table = Table::new(["x"]);
        for value in values {
            table.push([Cell::decimals(value, 2)]).unwrap();
        }
        let read: Vec<f64> = table.csv().lines().skip(1).map(|line| line.parse().unwrap()).collect();
        assert_eq!(read, values);
    }

    #[test]
    fn an_empty_row_of_one_column_is_still_a_row() {
        let mut table = Table::new(["x"]);
        table.push([Cell::Empty]).unwrap();
        assert_eq!(table.csv(), "x\n\"\"\n");
    }

    #[test]
    fn flags_and_counts_are_words() {
        let mut table = Table::new(["control", "draws"]);
        table.push([Cell::from(true), Cell::from(20usize)]).unwrap();
        assert_eq!(table.csv(), "control,draws\ntrue,20\n");
    }
}
