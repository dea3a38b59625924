//! Where examples come from, and the one function that reads them.

use std::path::{Path, PathBuf};

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::format::{Delimiter, Format};
use crate::input::Input;
use crate::intake::Intake;
use crate::task::Task;
use crate::{csv, json, lines, parquet};

/// What becomes of a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BadRow {
    /// It stops the reading, with its line.
    #[default]
    Error,
    /// It is left out and noted in [`Dataset::bad_rows`].
    Skip,
}

/// A file of examples and how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub path: PathBuf,
    /// The files of one table, where there are several, in the order of their rows; `path` then only names them. Parquet
    /// alone comes so.
    pub shards: Vec<PathBuf>,
    /// Its format; without one, the extension tells ([`Format::of`]).
    pub format: Option<Format>,
    /// Delimiter of a CSV or TSV file; without one, a comma or a tab.
    pub delimiter: Option<Delimiter>,
    /// Names for the columns of a CSV or TSV file that has no header.
    pub columns: Option<Vec<String>>,
    /// Whether rows name images rather than hold texts.
    pub images: bool,
    /// Column of the text or image; without one, see [`Columns`](crate::Columns).
    pub text_column: Option<String>,
    /// Column of the second text of a pair; without one, see [`Columns`](crate::Columns).
    pub pair_column: Option<String>,
    /// Column of the label; without one, see [`Columns`](crate::Columns).
    pub label_column: Option<String>,
    /// What the labels are for; without a task, what they look like: lists, or a separator, make it multi-label, numbers that
    /// are not all whole regression, and all else, as all labels of images, is a class.
    pub task: Option<Task>,
    /// What stands between the labels of a text, where several may apply.
    pub label_separator: Option<char>,
    /// What becomes of a row that cannot be used.
    pub on_bad_row: BadRow,
}

impl Source {
    /// A file about which nothing more is said.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Source {
            path: path.into(),
            shards: vec![],
            format: None,
            delimiter: None,
            columns: None,
            images: false,
            text_column: None,
            pair_column: None,
            label_column: None,
            task: Some(Task::SingleLabel),
            label_separator: None,
            on_bad_row: BadRow::Error,
        }
    }
}

/// The examples of a file.
///
/// - UTF-8 with or without a byte-order mark; lines end in LF or CRLF.
/// - A row is bad when it has not as many fields as there are columns, when a text is empty, when its label is absent
///   (`labelled`), when it is not UTF-8, or when it is not written as its format demands. [`Source::on_bad_row`] says
///   what becomes of it. A header must be good.
/// - Blank lines are no rows and are counted; but in a file of one column, a blank line *between* rows is a row with an
///   empty text.
/// - Texts are kept as they stand. White space around labels and column names is cut.
/// - In JSON, a text is a string. A label is a string, an integer, `true` or `false`, or a number without a fraction
///   such as `1.0`, which becomes `1`, since that is how tables with gaps export integers; any other number is a value,
///   not a class ([`Source::task`]). A list of such is a list of labels. The first object tells the columns.
/// - Of a value, the label is a finite number. Of several labels, it is a list, or a text with [`Source::label_separator`]
///   between them, of which an empty one is no label.
/// - In Parquet, texts and labels are as in JSON. Where the file's metadata name the classes of a column of class ids, as
///   the library `datasets` writes them, the names are the labels, all of them, in the order of their ids; an id without a
///   name is a bad row. Rows are counted from 1.
///
/// With `labelled` false no label is looked for, and [`Source::label_column`] is not used.
///
/// # Errors
/// When the file cannot be read, its format is not known, a column is not found, a row is bad and may not be skipped,
/// a quote is never closed, a `.json` file is not an array, or not one row can be used.
pub fn read(source: &Source, labelled: bool) -> Result<Dataset> {
    read_input(source, labelled, Input::open)
}

/// The examples of a file's bytes in memory; the path of `source` gives the format and is for messages.
///
/// # Errors
/// As [`read`].
pub fn read_bytes(source: &Source, bytes: &'static [u8], labelled: bool) -> Result<Dataset> {
    read_input(source, labelled, |path| Input::from_reader(path, Box::new(bytes)))
}

fn read_input(source: &Source, labelled: bool, open: impl FnOnce(&Path) -> Result<Input>) -> Result<Dataset> {
    let format = match source.format {
        Some(format) => format,
        // A file of lines holds no labels: one with this ending that should is another format under a vague name.
        None => match Format::of(&source.path)? {
            Format::Txt if labelled => {
                return Err(Error::Extension { path: source.path.clone(), found: Some(".txt".into()) });
            }
            format => format,
        },
    };
    if !matches!(format, Format::Csv | Format::Tsv) {
        let settings = [("delimiter", source.delimiter.is_some()), ("columns", source.columns.is_some())];
        if let Some((setting, _)) = settings.into_iter().find(|(_, set)| *set) {
            return Err(Error::Setting { path: source.path.clone(), setting, format });
        }
    }
    if format == Format::Parquet {
        return parquet::read(source, labelled).map(|(data, _)| data);
    }
    let mut input = open(&source.path)?;
    let mut intake = Intake::new(source, labelled);
    match format {
        Format::Csv => {
            csv::read(&mut input, source.delimiter.unwrap_or(Delimiter::COMMA), true, &mut intake)?
        }
        Format::Tsv => csv::read(&mut input, source.delimiter.unwrap_or(Delimiter::TAB), false, &mut intake)?,
        Format::Jsonl => json::read_lines(&mut input, &mut intake)?,
        Format::Json => json::read_array(&mut input, &mut intake)?,
        Format::Txt => lines::read(&mut input, &mut intake)?,
        Format::Parquet | Format::Images | Format::Idx => {
            return Err(Error::ImagesForTexts { path: source.path.clone() });
        }
    }
    intake.finish(input.sha256()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::RowFault;

    fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, Source) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        (folder, Source::new(path))
    }

    fn texts(data: &Dataset) -> Vec<(&str, Option<&str>, u64)> {
        data.examples.iter().map(|e| (e.text.as_str(), e.class(), e.line)).collect()
    }

    #[test]
    fn the_same_rows_read_the_same_from_every_format() {
        let expected = [("one, \"two\"", Some("a"), "7"), ("drei\tvier", Some("b"), "8")];
        let files = [
            ("a.csv", "id,text,label\n7,\"one, \"\"two\"\"\",a\n8,drei\tvier,b\n"),
            ("b.csv", "\u{feff}label,id,text\r\n a ,7,\"one, \"\"two\"\"\"\r\nb,8,drei\tvier"),
            (
                "a.jsonl",
                "{\"text\":\"one, \\\"two\\\"\",\"label\":\"a\",\"id\":7}\n\n{\"id\":\"8\",\"label\":\"b\",\"text\":\"drei\\tvier\"}\n",
            ),
            (
                "a.ndjson",
                "{\"text\":\"one, \\\"two\\\"\",\"label\":\"a\",\"id\":7}\r\n{\"id\":\"8\",\"label\":\"b\",\"text\":\"drei\\tvier\"}",
            ),
            (
                "a.json",
                "[{\"text\":\"one, \\\"two\\\"\",\"label\":\"a\",\"id\":7},\n {\"id\":\"8\",\"label\":\"b\",\"text\":\"drei\\tvier\"}]",
            ),
        ];
        for (name, content) in files {
            let (_folder, source) = file(name, content.as_bytes());
            let data = read(&source, true).unwrap();
            let found: Vec<_> =
                data.examples.iter().map(|e| (e.text.as_str(), e.class(), e.id.as_str())).collect();
            assert_eq!(found, expected, "{name}");
            assert_eq!((data.rows_read, data.bad_rows.len()), (2, 0), "{name}");
        }
    }

    #[test]
    fn hash_is_that_of_the_bytes_with_the_byte_order_mark() {
        // Both from `sha256sum`.
        let (_folder, source) = file("a.csv", b"text,label\nx,1\n");
        let plain = read(&source, true).unwrap().sha256;
        let (_folder, source) = file("a.csv", b"\xef\xbb\xbftext,label\nx,1\n");
        let marked = read(&source, true).unwrap().sha256;
        assert_eq!(plain, "daef1dfe24e7a7bcac3625035177508295754744f8596eecd9fe0f685d9593f8");
        assert_eq!(marked, "87bd8653b75007a12189cd14315167b99fe84bc7adb43465e791f147946ef84b");
    }

    #[test]
    fn quotes_in_tsv_are_plain_characters() {
        let (_folder, source) = file("a.tsv", b"sentence\tlabel\n\" unpaired\t1\nsays \"hi\"\t0\n");
        let data = read(&source, true).unwrap();
        assert_eq!(texts(&data), [("\" unpaired", Some("1"), 2), ("says \"hi\"", Some("0"), 3)]);
    }

    #[test]
    fn a_record_over_several_lines_is_found_at_its_first() {
        let (_folder, source) = file("a.csv", b"text,label\n\"a\nb\r\n\nc\",x\nd,y\ne\n");
        let error = read(&source, true).unwrap_err();
        assert!(
            matches!(error, Error::Row { line: 7, fault: RowFault::Ragged { expected: 2, found: 1 }, .. }),
            "{error}"
        );
        let data = read(&Source { on_bad_row: BadRow::Skip, ..source }, true).unwrap();
        assert_eq!(texts(&data), [("a\nb\r\n\nc", Some("x"), 2), ("d", Some("y"), 6)]);
        assert_eq!(data.bad_rows[0].line, 7);
        assert_eq!(data.bad_rows[0].reason, "expected 2 fields, found 1");
    }

    #[test]
    fn every_kind_of_bad_row_is_an_error_or_is_left_out() {
        let cases: [(&str, &[u8], u64, &str); 15] = [
            ("a.csv", b"text,label\nx,1\ny\nz,2\n", 3, "expected 2 fields, found 1"),
            ("a.csv", b"text,label\nx,1\n\n\ny,1,2\nz,2\n", 5, "expected 2 fields, found 3"),
            ("a.csv", b"text,label\nx,1\n \t ,2\nz,2\n", 3, "the column `text` holds no text"),
            ("a.csv", b"text,label\nx,1\n\"\",2\nz,2\n", 3, "the column `text` holds no text"),
            ("a.tsv", b"text\tlabel\nx\t1\ny\t \nz\t2\n", 3, "the column `label` holds no label"),
            ("a.csv", b"text,label\nx,1\n\xff\xfe,2\nz,2\n", 3, "found the byte 0xff at byte 1"),
            // The two bytes of é, with a comma between them.
            ("a.csv", b"text,label\nx,1\n\xc3,\xa9\nz,2\n", 3, "found the byte 0xc3 at byte 1"),
            ("a.csv", b"text,label\nx,1\n\"y\" y,1\nz,2\n", 3, "after the closing quote of field 1"),
            ("a.csv", b"text,label\nx,1\ny,\"1\n2\"\nz,2\n", 3, "holds a tab or a line break"),
            ("a.jsonl", b"{\"text\":\"x\",\"label\":1}\n{\"text\":\"y\"}\n{\"text\":\"z\",\"label\":2}\n", 2,
                "the column `label` holds no label"),
            ("a.jsonl", b"{\"text\":\"x\",\"label\":1}\n{\"text\":\"y\n{\"text\":\"z\",\"label\":2}\n", 2,
                "expected one JSON object, found at column"),
            ("a.jsonl", b"{\"text\":\"x\",\"label\":1}\n[1]\n{\"text\":\"z\",\"label\":2}\n", 2, "found a list"),
            ("a.json", b"[{\"text\":\"x\",\"label\":1},\n{\"text\":[\"y\"],\"label\":1},\n{\"text\":\"z\",\"label\":2}]",
                2, "the field `text` holds a list, expected a string"),
            ("a.json", b"[{\"text\":\"x\",\"label\":1},\n\n{\"text\":\"y\",\"label\":0.5},\n{\"text\":\"z\",\"label\":2}]",
                3, "the field `label` holds the number 0.5"),
            ("a.json", b"[{\"text\":\"x\",\"label\":1},\n{\"text\":\"y\",\"text\":\"y\",\"label\":1},{\"text\":\"z\",\"label\":2}]",
                2, "the field `text` stands twice"),
        ];
        for (name, content, line, reason) in cases {
            let (_folder, source) = file(name, content);
            let error = read(&source, true).unwrap_err();
            assert!(matches!(error, Error::Row { line: found, .. } if found == line), "{error}");
            assert!(error.to_string().contains(reason) && error.hint().is_some(), "{error} / {reason}");

            let data = read(&Source { on_bad_row: BadRow::Skip, ..source }, true).unwrap();
            let kept: Vec<_> = data.examples.iter().map(|e| (e.text.as_str(), e.id.as_str())).collect();
            assert_eq!(kept, [("x", "1"), ("z", "3")], "{reason}");
            assert_eq!(
                (data.rows_read, data.bad_rows.len(), data.bad_rows[0].line),
                (3, 1, line),
                "{reason}"
            );
            assert!(data.bad_rows[0].reason.contains(reason));
        }
    }

    #[test]
    fn labels_in_json_become_text() {
        let (_folder, source) = file(
            "a.json",
            b"[{\"text\":\"a\",\"label\":\" x \"},{\"text\":\"b\",\"label\":-3},{\"text\":\"c\",\"label\":true},
               {\"text\":\"d\",\"label\":2.0},{\"text\":\"e\",\"label\":18446744073709551615}]",
        );
        let data = read(&source, true).unwrap();
        let labels: Vec<_> = data.examples.iter().filter_map(|e| e.class()).collect();
        assert_eq!(labels, ["x", "-3", "true", "2", "18446744073709551615"]);
    }

    #[test]
    fn blank_lines_are_counted_and_are_no_rows() {
        let (_folder, source) = file("a.csv", b"\ntext,label\n\nx,1\n\r\ny,2\n\n\n");
        let data = read(&source, true).unwrap();
        assert_eq!((data.rows_read, data.blank_lines, data.examples[1].line), (2, 5, 6));
    }

    #[test]
    fn a_blank_line_between_rows_of_one_column_is_an_empty_text() {
        let (_folder, source) = file("a.csv", b"text\nx\n\ny\n\n");
        let error = read(&source, false).unwrap_err();
        assert!(matches!(error, Error::Row { line: 3, fault: RowFault::EmptyText { .. }, .. }), "{error}");
        let data = read(&Source { on_bad_row: BadRow::Skip, ..source }, false).unwrap();
        assert_eq!((data.rows_read, data.blank_lines), (3, 1));
        assert_eq!(data.examples[1].id, "3");
    }

    #[test]
    fn columns_name_the_fields_of_a_headerless_file() {
        let (_folder, source) = file("a.tsv", b"gj04\t1\t\tOne.\ngj04\t0\t*\tTwo.\n");
        let columns = ["source", "label", "_", "sentence"].map(String::from).to_vec();
        let data = read(&Source { columns: Some(columns), ..source.clone() }, true).unwrap();
        assert_eq!(texts(&data), [("One.", Some("1"), 1), ("Two.", Some("0"), 2)]);
        let columns = ["label", "sentence"].map(String::from).to_vec();
        let error = read(&Source { columns: Some(columns), ..source }, true).unwrap_err();
        assert!(
            matches!(error, Error::Row { line: 1, fault: RowFault::Ragged { expected: 2, found: 4 }, .. }),
            "{error}"
        );
    }

    #[test]
    fn files_that_are_not_what_they_should_be_are_refused() {
        let cases: [(&str, &[u8], &str); 9] = [
            ("a.csv", b"", "expected rows, found none"),
            ("a.csv", b"text,label\n", "expected rows, found none"),
            ("a.jsonl", b"\n", "expected rows, found none"),
            ("a.json", b"[]", "expected rows, found none"),
            ("a.csv", b"\xff\xfet\0e\0", "found UTF-16"),
            ("a.csv", b"text,label\nx,1\n\"y,2\nz,3\n", ":3: the quote opened in this row is never closed"),
            ("a.json", b"{\"train\":[]}", "expected an array of records"),
            ("a.json", b"[{\"text\":\"x\",\"label\":1},", "EOF"),
            ("a.json", b"[{\"text\":\"x\",\"label\":1}] tail", "trailing characters"),
        ];
        for (name, content, message) in cases {
            let (_folder, source) = file(name, content);
            let source = Source { on_bad_row: BadRow::Skip, ..source };
            let error = read(&source, true).unwrap_err();
            assert!(error.to_string().contains(message), "{error} / {message}");
            assert!(!error.is_environment());
        }
        let error = read(&Source::new("nowhere/a.csv"), true).unwrap_err();
        assert!(matches!(error, Error::Read { .. }) && error.hint().is_some(), "{error}");
        let error = read(&Source { format: Some(Format::Csv), ..Source::new("src") }, true).unwrap_err();
        assert!(matches!(error, Error::Read { .. }), "{error}");
    }

    #[test]
    fn a_json_error_has_its_line_and_column() {
        let (_folder, source) =
            file("a.json", b"[{\"text\":\"x\",\"label\":1},\n{\"text\":\"y\" \"label\":1}]");
        let error = read(&source, true).unwrap_err();
        assert!(matches!(error, Error::Json { line: 2, column: 13, .. }), "{error}");
    }

    #[test]
    fn settings_without_a_meaning_are_refused() {
        let (_folder, source) = file("a.jsonl", b"{\"text\":\"x\"}\n");
        let error = read(&Source { delimiter: Some(Delimiter::TAB), ..source.clone() }, false).unwrap_err();
        assert!(matches!(error, Error::Setting { setting: "delimiter", .. }), "{error}");
        let error = read(&Source { columns: Some(vec!["text".into()]), ..source }, false).unwrap_err();
        assert!(matches!(error, Error::Setting { setting: "columns", .. }), "{error}");
    }

    #[test]
    fn pairs_are_read_and_an_empty_second_text_is_bad() {
        let (_folder, source) = file("a.csv", b"sentence1,sentence2,label\na,b,0\nc,,1\n");
        let error = read(&source, true).unwrap_err();
        assert!(
            matches!(&error, Error::Row { line: 3, fault: RowFault::EmptyText { column }, .. } if column == "sentence2"),
            "{error}"
        );
        let data = read(&Source { on_bad_row: BadRow::Skip, ..source }, true).unwrap();
        assert_eq!(data.examples[0].pair.as_deref(), Some("b"));
    }
}
