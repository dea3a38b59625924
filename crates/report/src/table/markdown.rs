//! Markdown tables (GitHub's and Hugging Face's kind).

use super::{Cell, Table};

impl Table {
    /// The table in Markdown, numbers to the right, every cell shown as it is written.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let mut line = |cells: Vec<String>| {
            out.push_str("| ");
            out.push_str(&cells.join(" | "));
            out.push_str(" |\n");
        };
        line(self.columns().iter().map(|name| escape(name)).collect());
        line(
            (0..self.columns().len())
                .map(|c| if self.is_numeric(c) { "---:" } else { "---" }.into())
                .collect(),
        );
        for row in self.rows() {
            line(row.iter().map(value).collect());
        }
        out
    }
}

fn value(cell: &Cell) -> String {
    let text = escape(&cell.text());
    match cell {
        Cell::Link { address, .. } => format!("[{text}]({address})"),
        _ => text,
    }
}

/// `text` so that Markdown shows it letter by letter, on one line, also inside a table cell.
///
/// An underscore inside a word needs no escape (CommonMark 6.2) and gets none, so that `macro_f1` stays legible.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before: Option<char> = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let in_word = |neighbour: Option<&char>| neighbour.is_some_and(|c| c.is_alphanumeric());
        match c {
            '_' if in_word(before.as_ref()) && in_word(rest.peek()) => out.push('_'),
            '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '|' | '~' | '&' | '$' | '#' => {
                out.push('\\');
                out.push(c);
            }
            '\r' if rest.peek() == Some(&'\n') => {}
            '\n' | '\r' => out.push_str("<br>"),
            _ => out.push(c),
        }
        before = Some(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_words_to_the_left() {
        let mut table = Table::new(["metric", "value"]);
        table.push([Cell::from("macro_f1"), Cell::decimals(0.98764, 4)]).unwrap();
        assert_eq!(table.markdown(), "| metric | value |\n| --- | ---: |\n| macro_f1 | 0.9876 |\n");
    }

    #[test]
    fn markup_in_a_cell_is_shown_not_obeyed() {
        assert_eq!(escape("a|b"), r"a\|b");
        assert_eq!(escape("__init__ [x](y) <b>"), r"\_\_init\_\_ \[x\](y) \<b\>");
        assert_eq!(escape("one\r\ntwo\nthree"), "one<br>two<br>three");
        assert_eq!(escape(r"C:\x $5$ &amp;"), r"C:\\x \$5\$ \&amp;");
    }
}
