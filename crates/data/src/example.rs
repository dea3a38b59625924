//! One example, and a note on a row that became none.

use crate::picture::Picture;
use serde::{Deserialize, Serialize};

/// One row of a file, ready to be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Value of the file's id column, or else the row's number, from 1, counted over good and bad rows.
    pub id: String,
    /// The text, as it stands in the file; of an image its name or path.
    pub text: String,
    /// The second text of a pair, as it stands in the file.
    pub pair: Option<String>,
    /// The image, when this is one.
    pub image: Option<Picture>,
    /// The label's name, without surrounding white space.
    pub label: Option<String>,
    /// Line on which the row starts, from 1.
    pub line: u64,
}

/// A row that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRowNote {
    /// Line on which the row starts, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}
