//! The crate's error.

use std::io;
use std::path::PathBuf;

use crate::columns::Role;
use crate::fault::RowFault;
use crate::format::Format;
use crate::task::Task;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong: what was expected, what was found, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be opened or read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file that begins with the byte-order mark of UTF-16.
    #[error("{}: expected UTF-8, found UTF-16", path.display())]
    Utf16 {
        /// The file.
        path: PathBuf,
    },
    /// A file without a row, or without even a header.
    #[error("{}: expected rows, found none ({bad_rows} rows left out as bad)", path.display())]
    NoRows {
        /// The file.
        path: PathBuf,
        /// Rows that were read but could not be used.
        bad_rows: usize,
    },
    /// A file name whose extension tells no format.
    #[error("{}: expected the extension .csv, .tsv, .jsonl, .ndjson, .json or .parquet, or images, found {}",
        path.display(), found.as_deref().unwrap_or("none"))]
    Extension {
        /// The file.
        path: PathBuf,
        /// The extension, when there is one.
        found: Option<String>,
    },
    /// A format by a name that is not known.
    #[error("expected a format out of {}, found `{found}`", Format::NAMES.join(", "))]
    UnknownFormat {
        /// The name given.
        found: String,
    },
    /// A delimiter that is not one usable ASCII character.
    #[error(
        "expected a delimiter of one ASCII character other than a quote or a line break, found {found:?}"
    )]
    Delimiter {
        /// The delimiter given.
        found: String,
    },
    /// A setting that the file's format has no use for.
    #[error("{}: {setting} has no meaning for the format {format}", path.display())]
    Setting {
        /// The file.
        path: PathBuf,
        /// The setting: `delimiter` or `columns`.
        setting: &'static str,
        /// The format of the file.
        format: Format,
    },
    /// A column that was asked for by name and is not there.
    #[error("{}: no column `{wanted}` for the {role}; found {}", path.display(), listed(found))]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// What the column is for.
        role: Role,
        /// The name asked for.
        wanted: String,
        /// The columns of the file.
        found: Vec<String>,
        /// The column with the most similar name, if any is similar.
        nearest: Option<String>,
    },
    /// No column has one of the names that are looked for when none is given.
    #[error("{}: no column for the {role}: looked for {}; found {}",
        path.display(), listed(role.defaults()), listed(found))]
    NoDefaultColumn {
        /// The file.
        path: PathBuf,
        /// What the column is for.
        role: Role,
        /// The columns of the file.
        found: Vec<String>,
    },
    /// A column whose name stands twice in the header.
    #[error("{}: the column `{name}`, wanted for the {role}, stands {times} times in the header", path.display())]
    RepeatedColumn {
        /// The file.
        path: PathBuf,
        /// What the column is for.
        role: Role,
        /// The name.
        name: String,
        /// How often it stands there.
        times: usize,
    },
    /// One column named for two purposes.
    #[error("{}: the column `{name}` is named both for the {first} and for the {second}", path.display())]
    SharedColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        name: String,
        /// One purpose.
        first: Role,
        /// The other purpose.
        second: Role,
    },
    /// A column of a type that cannot be used for what it is wanted for.
    #[error("{}: the column `{column}`, wanted for the {role}, holds {found}; expected {expected}", path.display())]
    ColumnKind {
        /// The file.
        path: PathBuf,
        /// What the column is for.
        role: Role,
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
        /// What it can hold.
        expected: &'static str,
    },
    /// A Parquet file that is damaged, encrypted, or written in a way that is not read.
    #[error("{}: not a Parquet file that can be read: {message}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Labelled data in which every class id is −1.
    #[error("{}: every class id is -1: the labels are kept back", path.display())]
    HiddenLabels {
        /// The file.
        path: PathBuf,
    },
    /// A row that cannot be used.
    #[error("{}:{line}: {fault}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Line on which the row starts, from 1.
        line: u64,
        /// What is wrong with it.
        fault: RowFault,
    },
    /// A quote that is never closed: everything after it would be one field.
    #[error("{}:{line}: the quote opened in this row is never closed", path.display())]
    UnclosedQuote {
        /// The file.
        path: PathBuf,
        /// Line on which the row starts, from 1.
        line: u64,
    },
    /// A JSON file that is not an array of values.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Line at which the parser stopped, from 1.
        line: usize,
        /// Column at which the parser stopped, from 1.
        column: usize,
        /// What the parser said.
        message: String,
    },
    /// Training data in which every row has the same label.
    #[error("{}: expected at least two classes, found only `{label}` ({rows} rows)", path.display())]
    OneClass {
        /// The training file.
        path: PathBuf,
        /// The only label.
        label: String,
        /// Rows with it.
        rows: usize,
    },
    /// Data without labels where labels are needed.
    #[error("{}:{line}: expected a label, found none: the file was read without its labels", path.display())]
    Unlabelled {
        /// The file.
        path: PathBuf,
        /// Line of the first example without a label.
        line: u64,
    },
    /// A label that the label table does not have.
    #[error("{}:{line}: the label `{label}` does not occur in the training data", path.display())]
    UnseenLabel {
        /// The file.
        path: PathBuf,
        /// Line of the first such example.
        line: u64,
        /// The label.
        label: String,
        /// The most similar known label, if any is similar.
        nearest: Option<String>,
    },
    /// A list of class names that is no label table.
    #[error("class names: {problem}")]
    ClassNames {
        /// What is wrong with the list.
        problem: String,
    },
    /// Labels of another kind than the task has.
    #[error("{}: expected labels for the task {expected}, found those of {found}", path.display())]
    OtherTask {
        /// The file.
        path: PathBuf,
        /// The task that they are for.
        expected: Task,
        /// The task that they are of.
        found: Task,
    },
    /// Training data with fewer labels than two.
    #[error("{}: expected at least two labels, found {}", path.display(), listed(found))]
    FewLabels {
        /// The training file.
        path: PathBuf,
        /// The labels.
        found: Vec<String>,
    },
    /// A label table in a file that cannot be read back.
    #[error("{}:{line}: expected id, label and optionally count, separated by tabs, ids from 0; found {found:?}",
        path.display())]
    LabelTable {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        found: String,
    },
    /// A share outside of (0, 1).
    #[error("expected a validation share above 0 and below 1, found {found}")]
    Fraction {
        /// The share given.
        found: f64,
    },
    /// Rows too few for the split asked for.
    #[error(
        "cannot take {wanted} of {rows} rows and leave one row of each of {classes} classes for training"
    )]
    SplitSize {
        /// Rows to take.
        wanted: usize,
        /// Rows there are.
        rows: usize,
        /// Classes there are.
        classes: usize,
    },
    /// More rows asked for than there are.
    #[error("expected between 1 and {rows} rows to keep, found {wanted}")]
    SampleSize {
        /// Rows asked for.
        wanted: usize,
        /// Rows there are.
        rows: usize,
    },
    /// A batch size of zero.
    #[error("expected a batch size of at least 1, found 0")]
    BatchSize,
    /// A tokenizer file that the tokenizer library refuses.
    #[error("{}: not a usable tokenizer.json: {message}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the library said.
        message: String,
    },
    /// A text that the tokenizer cannot encode.
    #[error("cannot encode {text:?}: {message}")]
    Encode {
        /// The beginning of the text.
        text: String,
        /// What the library said.
        message: String,
    },
    /// A maximal length without room for a token beside the special ones.
    #[error("expected a maximal length of at least {least} tokens, found {found}")]
    MaxLength {
        /// The shortest length that holds the special tokens and one token of each text.
        least: usize,
        /// The length given.
        found: usize,
    },
    /// A vocabulary that cannot be learned or cut down.
    #[error("vocabulary: {message}")]
    Vocabulary {
        /// Why not.
        message: String,
    },
    /// A `preprocessor_config.json` that is none.
    #[error("{path}: {message}")]
    Preprocessor {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A folder of images with nothing to label them by, or nothing to look at.
    #[error("{}: {message}", path.display())]
    ImageFolder {
        /// The folder.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// An IDX file that is none, or has no labels beside it.
    #[error("{}: {message}", path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        message: String,
    },
    /// An image that cannot be used.
    #[error("{}: {message}", path.display())]
    Image {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// Images where texts are read.
    #[error("{}: expected texts, found images", path.display())]
    ImagesForTexts {
        /// The file or folder.
        path: PathBuf,
    },
    /// An image of another size than the model takes.
    #[error("image {name}: expected {expected:?} (channels, height, width), found {found:?}")]
    ImageSize {
        /// The image.
        name: String,
        /// What the model takes.
        expected: [usize; 3],
        /// What the image is.
        found: [usize; 3],
    },
    /// Encodings that do not belong to the examples of their split.
    #[error("split `{split}`: expected {expected} encodings, one for each example, found {found}")]
    Encodings {
        /// Name of the split.
        split: String,
        /// Examples of the split.
        expected: usize,
        /// Encodings given.
        found: usize,
    },
}

impl Error {
    /// What to do next, when there is something to say.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "check the path; it is taken from the current folder unless it begins with /".into()
            }
            Error::Read { source, .. } if source.kind() == io::ErrorKind::IsADirectory => "name a file in it".into(),
            Error::Utf16 { path } => {
                format!("convert it: iconv -f UTF-16 -t UTF-8 {0} > utf8-file", path.display())
            }
            Error::NoRows { bad_rows: 1.., .. } => "read it without --on-bad-row skip to see the first bad row".into(),
            Error::Vocabulary { .. } => "give a larger --vocabulary, or more texts".into(),
            Error::ImageSize { .. } => {
                "size and crop_size in the model's preprocessor_config.json must give what its config.json takes".into()
            }
            Error::Image { .. } => "mend or remove the file, or leave such files out with --on-bad-row skip".into(),
            Error::ImageFolder { .. } => {
                "labelled images lie in class folders, such as train/daisy/1.jpg, or in a CSV file of path and label"
                    .into()
            }
            Error::Extension { .. } | Error::UnknownFormat { .. } => {
                format!("say what it holds with --data-format {}", Format::NAMES.join("|"))
            }
            Error::Delimiter { .. } => r"for a tab, say --delimiter '\t'".into(),
            Error::Setting { setting, .. } => format!("leave --{setting} away, or change --data-format"),
            Error::NoColumn { nearest: Some(nearest), role, .. } => {
                format!("did you mean {} {nearest}?", role.flag())
            }
            Error::NoColumn { role, .. } | Error::NoDefaultColumn { role, .. } => {
                format!("name the column with {}; for a file without a header, add --columns a,b,c", role.flag())
            }
            Error::RepeatedColumn { .. } => "rename one of them in the file".into(),
            Error::SharedColumn { first, second, .. } => {
                format!("name two different columns with {} and {}", first.flag(), second.flag())
            }
            Error::Row { fault, path, .. } => fault.hint(path),
            Error::ColumnKind { role, .. } => format!("name another column with {}", role.flag()),
            Error::Parquet { message, .. } if message.contains("encrypted") => {
                "decrypt it with the program that has its keys".into()
            }
            Error::Parquet { .. } => {
                "fetch or write it anew; codecs that are read: snappy, gzip, zstd, lz4 and none".into()
            }
            Error::HiddenLabels { .. } => "evaluate on another split, such as the validation split".into(),
            Error::UnclosedQuote { .. } => {
                "close it, or, if quotes are plain characters in this file, read it with --data-format tsv \
                 and the --delimiter it has"
                    .into()
            }
            Error::Json { .. } => {
                "a .json file is one array of records; for one record a line, say --data-format jsonl".into()
            }
            Error::OtherTask { expected: Task::SingleLabel, .. } => "leave --task away".into(),
            Error::OtherTask { .. } => {
                "lists of labels and values stand in a column of a table, which may list images too (--image-column)".into()
            }
            Error::OneClass { .. } | Error::FewLabels { .. } => "check the label column (--label-column)".into(),
            Error::Unlabelled { .. } => "name the label column with --label-column".into(),
            Error::UnseenLabel { nearest, .. } => {
                let admit = "--unseen-labels union admits labels that training lacks";
                match nearest {
                    Some(nearest) => format!("did you mean `{nearest}`? {admit}"),
                    None => admit.into(),
                }
            }
            Error::SplitSize { .. } => "give a validation file with --valid, or more rows".into(),
            Error::Tokenizer { .. } => {
                "save it anew with transformers: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)".into()
            }
            Error::MaxLength { least, .. } => format!("raise --max-length to {least} or more"),
            _ => return None,
        })
    }

    /// Whether the environment, rather than the input, is at fault: never so here, since this crate writes nothing.
    pub fn is_environment(&self) -> bool {
        false
    }
}

/// Names in one line, each in backquotes and cut to a length at which a header of whole sentences stays readable.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const SHOWN: usize = 32;
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        if index == SHOWN {
            text.push_str(&format!("… ({} in all)", names.len()));
            break;
        }
        text.push_str(&format!("`{}`", shortened(name.as_ref(), 40)));
    }
    if text.is_empty() { "none".into() } else { text }
}

/// The first `length` characters of `text`, with `…` where something was cut.
pub(crate) fn shortened(text: &str, length: usize) -> String {
    match text.char_indices().nth(length) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_cut_and_counted() {
        let names: Vec<String> = (0..40).map(|i| format!("c{i}")).collect();
        let text = listed(&names);
        assert!(text.starts_with("`c0`, `c1`") && text.ends_with("`c31`, … (40 in all)"), "{text}");
        assert_eq!(listed::<&str>(&[]), "none");
        assert_eq!(shortened("élan vital", 4), "élan…");
        assert_eq!(shortened("élan", 4), "élan");
    }

    #[test]
    fn errors_stay_small_enough_to_return_by_value() {
        // clippy's result_large_err begins at 128 bytes.
        assert!(std::mem::size_of::<Error>() <= 128, "{}", std::mem::size_of::<Error>());
    }
}
