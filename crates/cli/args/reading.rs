//! How a data file is read: its format, its columns, and what happens to a bad row.

use serde::Serialize;

/// The flags that say how data files are read.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Data")]
pub struct Reading {
    /// The column of the text [default: found by its name].
    #[arg(long, env = "XEXP_TEXT_COLUMN", value_name = "NAME")]
    pub text_column: Option<String>,
    /// The column of the image, or of its path, which is taken from the file's folder [default: found by its name].
    #[arg(long, env = "XEXP_IMAGE_COLUMN", value_name = "NAME", conflicts_with = "text_column")]
    pub image_column: Option<String>,
    /// Takes images as they are stored, without turning them upright as their EXIF orientation says.
    #[arg(long, env = "XEXP_IGNORE_EXIF")]
    pub ignore_exif: bool,
    /// The column of the second text, for tasks on pairs [default: found by its name].
    #[arg(long, env = "XEXP_PAIR_COLUMN", value_name = "NAME")]
    pub pair_column: Option<String>,
    /// The column of the label [default: found by its name].
    #[arg(long, env = "XEXP_LABEL_COLUMN", value_name = "NAME")]
    pub label_column: Option<String>,
    /// The character between the labels of a row, where several may apply; an empty label is then no label [default: labels
    /// are lists, in JSON or Parquet].
    #[arg(long, env = "XEXP_LABEL_SEPARATOR", value_name = "C", value_parser = delimiter)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_separator: Option<char>,
    /// The names of the columns, for files without a header line.
    #[arg(long, env = "XEXP_COLUMNS", value_name = "A,B,…", value_delimiter = ',')]
    pub columns: Option<Vec<String>>,
    /// The character between fields, `\t` for a tab [default: by the format].
    #[arg(long, env = "XEXP_DELIMITER", value_name = "C", value_parser = delimiter)]
    pub delimiter: Option<char>,
    /// The format of the data files [default: by the file's extension].
    #[arg(long, env = "XEXP_DATA_FORMAT", value_name = "FORMAT")]
    pub data_format: Option<DataFormat>,
    /// What to do with a malformed row, an empty text, a missing label or an image that cannot be decoded.
    #[arg(long, env = "XEXP_ON_BAD_ROW", value_name = "ACTION", default_value = "error")]
    pub on_bad_row: OnBadRow,
}

impl Reading {
    /// The same with one text a line, where no format is said.
    pub fn or_lines(&self) -> Self {
        Reading { data_format: self.data_format.or(Some(DataFormat::Txt)), ..self.clone() }
    }
}

/// A format of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DataFormat {
    /// Comma-separated values.
    Csv,
    /// Tab-separated values.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// One array of JSON objects.
    Json,
    /// One text a line.
    Txt,
    /// Images, of labelled ones a folder for each class.
    Images,
    /// A table of typed columns.
    Parquet,
    /// MNIST's format, with the labels in a file beside the images.
    Idx,
}

/// What becomes of a row that cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadRow {
    /// It ends the command, with its line number.
    Error,
    /// It is left out, and counted in the receipt.
    Skip,
}

/// One ASCII character, `\t` standing for a tab: quotes and line ends would break the rows.
fn delimiter(text: &str) -> Result<char, String> {
    match text.as_bytes() {
        b"\\t" => Ok('\t'),
        [c] if c.is_ascii() && !matches!(c, b'"' | b'\n' | b'\r') => Ok(char::from(*c)),
        _ => Err("expected one ASCII character other than a quote or a line end, or `\\t`".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_is_one_ascii_character() {
        assert_eq!(delimiter(";"), Ok(';'));
        assert_eq!(delimiter("\\t"), Ok('\t'));
        assert_eq!(delimiter("\t"), Ok('\t'));
        for text in ["", "ab", "\"", "\n", "é"] {
            assert!(delimiter(text).is_err(), "{text:?}");
        }
    }
}
