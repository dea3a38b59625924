//! The receipt as a table for a terminal.

use std::fmt;

use super::{Lengths, Receipt, SplitReceipt, Truncation, Values};
use crate::error::shortened;

/// Classes up to this number are shown one a line; more are summed up.
const CLASSES_SHOWN: usize = 12;
/// Bad rows, conflicts and leaks shown; all are counted and kept in the receipt.
const SHOWN: usize = 5;

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        let mut row = |name: &str, value: &dyn Fn(&SplitReceipt) -> String| {
            rows.push((name.into(), self.splits.iter().map(value).collect()));
        };
        row("data", &|split| split.name.clone());
        row("file", &|split| file_name(&split.path));
        row("rows read", &|split| split.rows_read.to_string());
        row("rows used", &|split| split.rows_used.to_string());
        row("bad rows left out", &|split| split.bad_rows.len().to_string());
        if self.splits.iter().any(|split| split.blank_lines > 0) {
            row("blank lines", &|split| split.blank_lines.to_string());
        }
        if let Some(max_length) = self.max_length {
            row("tokens min / median / p95 / max", &|split| {
                let shown = |t: &Lengths| format!("{} / {} / {} / {}", t.min, t.median, t.p95, t.max);
                split.tokens.as_ref().map(shown).unwrap_or_default()
            });
            row("tokens mean", &|split| {
                split.tokens.as_ref().map(|tokens| format!("{:.1}", tokens.mean)).unwrap_or_default()
            });
            let cut = |split: &SplitReceipt, of: fn(&Truncation) -> (u64, f64)| {
                let shown = |(count, share)| format!("{count} ({})", percent(share));
                split.truncated.as_ref().map(of).map(shown).unwrap_or_default()
            };
            row(&format!("texts longer than {max_length}"), &|split| cut(split, |t| (t.texts, t.share)));
            row("tokens dropped", &|split| cut(split, |t| (t.tokens, t.token_share)));
        }
        let images = self.splits.iter().any(|split| split.images.is_some());
        if images {
            row("pixels least / median / most", &|split| {
                let shown = |&(width, height): &(usize, usize)| format!("{width} × {height}");
                let sizes = split.images.as_ref().map(|i| [&i.smallest, &i.median, &i.largest].map(shown));
                sizes.map(|sizes| sizes.join(" / ")).unwrap_or_default()
            });
            row("turned by EXIF orientation", &|split| match &split.images {
                Some(images) if images.exif_orientation => images.turned.to_string(),
                Some(_) => "switched off".into(),
                None => String::new(),
            });
            row("other files", &|split| {
                split.images.as_ref().map(|images| images.other_files.to_string()).unwrap_or_default()
            });
            row("kept in memory", &|split| match &split.images {
                Some(images) => if images.kept { "yes" } else { "no" }.into(),
                None => String::new(),
            });
        }
        row("duplicates", &|split| split.duplicates.to_string());
        let repeated = if images { "images with several labels" } else { "texts with several labels" };
        row(repeated, &|split| split.conflicts.count.to_string());
        let classes = self.splits.iter().map(|split| split.classes.len()).max().unwrap_or(0);
        if self.splits.iter().any(|split| split.values.is_some()) {
            row("value least / mean / most", &|split| {
                let shown = |v: &Values| format!("{} / {} / {}", v.min, (v.mean * 1e4).round() / 1e4, v.max);
                split.values.as_ref().map(shown).unwrap_or_default()
            });
            write_columns(f, &rows)?;
            return self.write_notes(f);
        }
        let several = self.splits.iter().any(|split| split.without_label.is_some());
        if several {
            row("rows without a label", &|split| split.without_label.unwrap_or(0).to_string());
        }
        let name = if several { "labels" } else { "classes" };
        row(name, &|split| split.classes.iter().filter(|class| class.count > 0).count().to_string());
        if classes > CLASSES_SHOWN {
            let name = if several { "rows a label, least – most" } else { "rows a class, least – most" };
            row(name, &|split| {
                let counts = split.classes.iter().map(|class| class.count);
                format!("{} – {}", counts.clone().min().unwrap_or(0), counts.max().unwrap_or(0))
            });
        } else {
            for index in 0..classes {
                let name =
                    self.splits.iter().find_map(|split| split.classes.get(index)).map(|class| &class.label);
                row(&format!("  {}", shortened(name.map_or("", String::as_str), 30)), &|split| {
                    split.classes.get(index).map_or(String::new(), |class| class.count.to_string())
                });
            }
        }
        write_columns(f, &rows)?;
        self.write_notes(f)
    }
}

impl Receipt {
    fn write_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for leak in &self.leaks {
            let (rows, share) = (leak.rows, percent(leak.share));
            let images = self.splits.iter().any(|split| split.images.is_some());
            let what = if images { "images" } else { "texts" };
            writeln!(f, "leak: {} shares {rows} of its {what} ({share}) with {}", leak.to, leak.from)?;
            for text in leak.examples.iter().take(SHOWN) {
                let (to, from) = (text.to_line, text.from_line);
                writeln!(f, "  {} line {to} = {} line {from}: {:?}", leak.to, leak.from, text.text)?;
            }
        }
        for split in &self.splits {
            for found in split.conflicts.examples.iter().take(SHOWN) {
                writeln!(
                    f,
                    "{}: {:?} is `{}` on line {} and `{}` on line {}",
                    split.name, found.text, found.label, found.line, found.other_label, found.other_line
                )?;
            }
            let what = if split.images.is_some() { "image" } else { "text" };
            more(f, &split.name, &format!("{what} with several labels"), split.conflicts.count as usize)?;
        }
        let mut told: Vec<&str> = Vec::new();
        for split in &self.splits {
            // Two splits of one file have the same bad rows.
            if told.contains(&split.path.as_str()) {
                continue;
            }
            told.push(&split.path);
            for row in split.bad_rows.iter().take(SHOWN) {
                writeln!(f, "{}:{}: left out: {}", split.path, row.line, row.reason)?;
            }
            more(f, &split.path, "bad row", split.bad_rows.len())?;
        }
        Ok(())
    }
}

fn more(f: &mut fmt::Formatter<'_>, place: &str, what: &str, count: usize) -> fmt::Result {
    if count > SHOWN {
        writeln!(f, "{place}: … and {} more of the kind: {what}", count - SHOWN)
    } else {
        Ok(())
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The last part of a path: what tells files apart in a narrow column.
fn file_name(path: &str) -> String {
    // A name, not a path: its last part alone would say nothing.
    if path.starts_with("bundled:") {
        return path.into();
    }
    shortened(path.rsplit(['/', '\\']).next().unwrap_or(path), 30)
}

/// Names to the left, values to the right of their columns, widths in characters.
fn write_columns(f: &mut fmt::Formatter<'_>, rows: &[(String, Vec<String>)]) -> fmt::Result {
    let width = |text: &String| text.chars().count();
    let names = rows.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let columns = rows.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|(_, values)| values.get(column)).map(width).max().unwrap_or(0))
        .collect();
    for (name, values) in rows {
        let mut line = format!("{name:names$}");
        for (value, width) in values.iter().zip(&widths) {
            line.push_str(&format!("  {value:>width$}"));
        }
        writeln!(f, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::receipt::tests::receipt;

    #[test]
    fn table_shows_every_number_and_aligns_its_columns() {
        let expected = "\
data                                     train          valid
file                                 train.csv      valid.csv
rows read                                    5              2
rows used                                    4              2
bad rows left out                            1              0
tokens min / median / p95 / max  3 / 6.5 / 12 / 12  3 / 3 / 3 / 3
";
        let text = receipt().to_string();
        for (found, wanted) in text.lines().zip(expected.lines()) {
            let words = |line: &str| line.split_whitespace().map(str::to_string).collect::<Vec<_>>();
            assert_eq!(words(found), words(wanted));
        }
        let ends: Vec<usize> = text.lines().take(14).map(|line| line.chars().count()).collect();
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
        for line in [
            "leak: valid shares 1 of its texts (50.0 %) with train",
            "  valid line 1 = train line 2: \" Bye\"",
            "train: \"Hello there\" is `hi` on line 1 and `bye` on line 3",
            "data/train.csv:9: left out: expected 2 fields, found 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
