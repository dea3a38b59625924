//! LaTeX tables (package `booktabs`).

use super::tex::escape;
use super::{Cell, Table};

/// Texts up to this long stay on one line.
const SHORT: usize = 24;
/// From this length on, a column gets twice the room.
const LONG: usize = 70;

impl Table {
    /// The table as a `longtable` with `booktabs` rules, which breaks over pages and breaks long texts over lines; it
    /// needs the packages `array`, `booktabs` and `longtable`.
    pub fn latex_pages(&self) -> String {
        let kind = |column: usize| {
            let lengths = self.rows().iter().map(|row| row[column].text().chars().count());
            match lengths.max().unwrap_or(0) {
                _ if self.is_numeric(column) => "r".to_owned(),
                0..=SHORT => "l".to_owned(),
                length => {
                    let width = if length < LONG { 4.2 } else { 8.4 };
                    format!(r">{{\raggedright\arraybackslash}}p{{{width}cm}}")
                }
            }
        };
        let kinds: String = (0..self.columns().len()).map(kind).collect();
        let header: Vec<String> = self.columns().iter().map(|name| escape(name)).collect();
        let mut out = format!("\\begin{{longtable}}{{{kinds}}}\n\\toprule\n");
        out.push_str(&format!("{} \\\\\n\\midrule\n\\endhead\n", header.join(" & ")));
        for row in self.rows() {
            let cells: Vec<String> = row.iter().map(value).collect();
            out.push_str(&format!("{} \\\\\n", cells.join(" & ")));
        }
        out.push_str("\\bottomrule\n\\end{longtable}\n");
        out
    }

    /// The table as a `tabular` environment with `booktabs` rules; it needs no other package.
    pub fn latex(&self) -> String {
        let align: String =
            (0..self.columns().len()).map(|column| if self.is_numeric(column) { 'r' } else { 'l' }).collect();
        let header: Vec<String> = self.columns().iter().map(|name| escape(name)).collect();
        let mut out = format!("\\begin{{tabular}}{{{align}}}\n\\toprule\n");
        out.push_str(&format!("{} \\\\\n\\midrule\n", header.join(" & ")));
        for row in self.rows() {
            let cells: Vec<String> = row.iter().map(value).collect();
            out.push_str(&format!("{} \\\\\n", cells.join(" & ")));
        }
        out.push_str("\\bottomrule\n\\end{tabular}\n");
        out
    }
}

fn value(cell: &Cell) -> String {
    let text = cell.text();
    match cell {
        Cell::Number(value, _) if value.is_infinite() => {
            if *value > 0.0 { r"$\infty$" } else { r"$-\infty$" }.to_owned()
        }
        Cell::Number(value, _) if !value.is_nan() => match text.split_once('e') {
            Some((digits, exponent)) => format!(r"${digits} \cdot 10^{{{exponent}}}$"),
            // In text mode the sign would be a hyphen.
            None if text.starts_with('-') => format!("${text}$"),
            None => text,
        },
        _ => escape(&text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_booktabs_rules_and_escaped_words() {
        let mut table = Table::new(["50% & more", "x"]);
        table.push([Cell::from("a_b"), Cell::decimals(-1.5, 1)]).unwrap();
        table.push([Cell::from("[PAD]"), Cell::significant(1.2e-7, 2)]).unwrap();
        let expected = r"\begin{tabular}{lr}
\toprule
50\% \& more & x \\
\midrule
a\_b & $-1.5$ \\
{[}PAD] & $1.2 \cdot 10^{-7}$ \\
\bottomrule
\end{tabular}
";
        assert_eq!(table.latex(), expected);
    }

    #[test]
    fn every_special_character_is_escaped() {
        assert_eq!(
            escape(r"\ { } # $ ~ ^ < > |"),
            r"\textbackslash{} \{ \} \# \$ \textasciitilde{} \textasciicircum{} \textless{} \textgreater{} \textbar{}"
        );
        assert_eq!(escape("*one\ntwo*"), "{*}one two*");
    }

    #[test]
    fn what_is_not_finite_prints() {
        let cells = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(|x| value(&Cell::decimals(x, 2)));
        assert_eq!(cells, [r"$\infty$", r"$-\infty$", "NaN"]);
    }
}
