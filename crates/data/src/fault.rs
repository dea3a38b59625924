//! What can be wrong with one row.

use std::path::Path;

/// Why a row cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// The row has more or fewer fields than the file has columns.
    #[error("expected {expected} fields, found {found}")]
    Ragged {
        /// Columns of the file.
        expected: usize,
        /// Fields of the row.
        found: usize,
    },
    /// The text, or the second text of a pair, is empty or only white space.
    #[error("the column `{column}` holds no text")]
    EmptyText {
        /// Name of the column.
        column: String,
    },
    /// There is no image.
    #[error("the column `{column}` holds no image")]
    NoImage {
        /// Name of the column.
        column: String,
    },
    /// A class id without a name.
    #[error("the column `{column}` holds the class id {found}, expected 0 to {}", classes.saturating_sub(1))]
    ClassId {
        /// Name of the column.
        column: String,
        /// The id.
        found: String,
        /// Classes that have names.
        classes: usize,
    },
    /// The label is empty or absent.
    #[error("the column `{column}` holds no label")]
    NoLabel {
        /// Name of the column.
        column: String,
    },
    /// What should be a number is none, or not a finite one.
    #[error("the column `{column}` holds {found:?}, expected a finite number")]
    NotANumber {
        /// Name of the column.
        column: String,
        /// What stands there.
        found: String,
    },
    /// A text where a list of labels should stand, and nothing that says how it is cut into labels.
    #[error("the column `{column}` holds the text {found:?}, expected a list of labels")]
    NotAList {
        /// Name of the column.
        column: String,
        /// What stands there.
        found: String,
    },
    /// A label that stands twice among those of a row.
    #[error("the column `{column}` holds the label `{found}` twice")]
    RepeatedLabel {
        /// Name of the column.
        column: String,
        /// The label.
        found: String,
    },
    /// The label holds a tab or a line break, which no label table can carry.
    #[error("the label in column `{column}` holds a tab or a line break: {found:?}")]
    BrokenLabel {
        /// Name of the column.
        column: String,
        /// The label.
        found: String,
    },
    /// The row is not UTF-8.
    #[error("expected UTF-8, found the byte 0x{byte:02x} at byte {column} of the row")]
    Utf8 {
        /// Position of the first offending byte in the row, from 1, not counting delimiters and quotes around fields.
        column: usize,
        /// The first offending byte.
        byte: u8,
    },
    /// A quoted field goes on after its closing quote.
    #[error(
        "expected a delimiter or the line's end after the closing quote of field {field}, found more text"
    )]
    AfterQuote {
        /// Number of the field, from 1.
        field: usize,
    },
    /// A line of JSON lines that is not JSON.
    #[error("expected one JSON object, found at column {column}: {message}")]
    Json {
        /// Column at which the parser stopped, from 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// A JSON value that is not an object.
    #[error("expected an object of fields, found {found}")]
    NotARecord {
        /// Kind of the value found.
        found: &'static str,
    },
    /// A JSON object that names a field twice.
    #[error("the field `{field}` stands twice in one object")]
    RepeatedField {
        /// Name of the field.
        field: String,
    },
    /// An image that cannot be read or decoded.
    #[error("the image {path}: {message}")]
    Image {
        /// Its path, or its name.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// A JSON value of a kind that the field cannot have.
    #[error("the field `{field}` holds {found}, expected {expected}")]
    Kind {
        /// Name of the field.
        field: String,
        /// Kinds that the field can have.
        expected: &'static str,
        /// Kind, or value, found.
        found: String,
    },
}

impl RowFault {
    /// What to do about it in this file.
    pub(crate) fn hint(&self, path: &Path) -> String {
        match self {
            RowFault::Utf8 { .. } => format!(
                "convert it, for example: iconv -f WINDOWS-1252 -t UTF-8 {} > utf8-file",
                path.display()
            ),
            RowFault::Ragged { .. } => {
                "mend the row, check --delimiter, or leave such rows out with --on-bad-row skip".into()
            }
            RowFault::NotANumber { .. } => {
                "mend the row, name another --label-column, say --task single-label if these are classes, or leave \
                 such rows out with --on-bad-row skip"
                    .into()
            }
            RowFault::NotAList { .. } => {
                "say what stands between the labels of a row, such as --label-separator ';'".into()
            }
            RowFault::AfterQuote { .. } => {
                "write a quote inside a quoted field twice (\"\"), or leave such rows out with --on-bad-row skip"
                    .into()
            }
            _ => "mend the row, or leave such rows out with --on-bad-row skip".into(),
        }
    }
}

/// First byte of `bytes` that is not UTF-8, as a fault; `column` counts from 1.
pub(crate) fn utf8(bytes: &[u8]) -> std::result::Result<&str, RowFault> {
    std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        RowFault::Utf8 { column: at + 1, byte: bytes.get(at).copied().unwrap_or_default() }
    })
}
