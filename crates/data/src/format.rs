//! File formats and delimiters.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How a file of examples is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Fields between commas, quoted where needed, also over several lines (RFC 4180).
    Csv,
    /// Fields between tabs; quotes are plain characters and a record is one line, as in the GLUE files, whose quotes
    /// do not pair up. A quoted file with tabs is [`Format::Csv`] with the delimiter set to a tab.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// One JSON array of objects.
    Json,
    /// One text a line and nothing else; blank lines are no texts.
    Txt,
    /// An image, or a folder of them; of labelled ones a folder for each class.
    Images,
    /// MNIST's own: a file of images, with a file of labels beside it.
    Idx,
    /// A table of typed columns; images stand in it as bytes, or as paths.
    Parquet,
}

impl Format {
    pub(crate) const NAMES: [&'static str; 8] =
        ["csv", "tsv", "jsonl", "json", "txt", "parquet", "images", "idx"];

    /// Extensions of image files. Some are of formats that are not read: such a file is an error, not passed over.
    pub const IMAGES: [&'static str; 13] =
        ["jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "tif", "tiff", "heic", "avif", "ppm"];

    /// Format that the extension tells: `.csv`, `.tsv`, `.jsonl` or `.ndjson`, `.json`, `.txt`, `.parquet`, those
    /// of [`Format::IMAGES`], or a folder; case does not matter.
    ///
    /// # Errors
    /// [`Error::Extension`] for any other.
    pub fn of(path: &Path) -> Result<Self> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match extension.as_deref() {
            _ if name.contains("idx3-ubyte") => Ok(Format::Idx),
            Some("csv") => Ok(Format::Csv),
            Some("tsv") => Ok(Format::Tsv),
            Some("jsonl" | "ndjson") => Ok(Format::Jsonl),
            Some("json") => Ok(Format::Json),
            Some("txt") => Ok(Format::Txt),
            Some("parquet") => Ok(Format::Parquet),
            Some(extension) if Format::IMAGES.contains(&extension) => Ok(Format::Images),
            _ if path.is_dir() => Ok(Format::Images),
            _ => Err(Error::Extension { path: path.into(), found: extension.map(|e| format!(".{e}")) }),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "csv" => Ok(Format::Csv),
            "tsv" => Ok(Format::Tsv),
            "jsonl" => Ok(Format::Jsonl),
            "json" => Ok(Format::Json),
            "txt" => Ok(Format::Txt),
            "images" => Ok(Format::Images),
            "idx" => Ok(Format::Idx),
            "parquet" => Ok(Format::Parquet),
            _ => Err(Error::UnknownFormat { found: name.into() }),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::Jsonl => "jsonl",
            Format::Json => "json",
            Format::Txt => "txt",
            Format::Images => "images",
            Format::Idx => "idx",
            Format::Parquet => "parquet",
        })
    }
}

/// The one ASCII character between two fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delimiter(u8);

impl Delimiter {
    /// Comma, of CSV.
    pub const COMMA: Self = Delimiter(b',');
    /// Tab, of TSV.
    pub const TAB: Self = Delimiter(b'\t');

    /// The character as a byte.
    pub fn byte(self) -> u8 {
        self.0
    }
}

impl FromStr for Delimiter {
    type Err = Error;

    /// One ASCII character, or `\t` spelled out.
    fn from_str(text: &str) -> Result<Self> {
        match text.as_bytes() {
            br"\t" => Ok(Delimiter::TAB),
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r' | 0) => Ok(Delimiter(*byte)),
            _ => Err(Error::Delimiter { found: text.into() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_tells_the_format_whatever_its_case() {
        for (name, format) in [
            ("a.csv", Format::Csv),
            ("a.b.TSV", Format::Tsv),
            ("a.jsonl", Format::Jsonl),
            ("a.ndjson", Format::Jsonl),
            ("a.json", Format::Json),
            ("a.Txt", Format::Txt),
            ("train-00000-of-00002.parquet", Format::Parquet),
            ("a.JPG", Format::Images),
            ("t10k-images-idx3-ubyte.gz", Format::Idx),
            (env!("CARGO_MANIFEST_DIR"), Format::Images),
        ] {
            assert_eq!(Format::of(Path::new(name)).unwrap(), format);
        }
        for name in ["a.doc", "a", ".csv"] {
            assert!(matches!(Format::of(Path::new(name)), Err(Error::Extension { .. })), "{name}");
        }
    }

    #[test]
    fn names_read_back_as_the_format_they_show() {
        for name in Format::NAMES {
            assert_eq!(name.parse::<Format>().unwrap().to_string(), name);
        }
        assert!("CSV".parse::<Format>().is_err());
    }

    #[test]
    fn delimiter_is_one_ascii_character() {
        assert_eq!(";".parse::<Delimiter>().unwrap().byte(), b';');
        assert_eq!(r"\t".parse::<Delimiter>().unwrap(), Delimiter::TAB);
        assert_eq!("\t".parse::<Delimiter>().unwrap(), Delimiter::TAB);
        for wrong in ["", ";;", "\"", "\n", "é"] {
            assert!(wrong.parse::<Delimiter>().is_err(), "{wrong:?}");
        }
    }
}
