//! One example, and a note on a row that became none.

use crate::label::Label;
use crate::picture::Picture;
use serde::{Deserialize, Serialize};

/// One row of a file, ready to be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Example {
    /// Value of the file's id column, or else the row's number, from 1, counted over good and bad rows.
    pub id: String,
    /// The text, as it stands in the file; of an image its name or path.
    pub text: String,
    /// The second text of a pair, as it stands in the file.
    pub pair: Option<String>,
    /// The image, when this is one.
    pub image: Option<Picture>,
    /// What the row says of it; none of unlabelled data.
    pub label: Option<Label>,
    /// Line on which the row starts, from 1.
    pub line: u64,
}

impl Example {
    /// The name of its class; `None` where it has none.
    pub fn class(&self) -> Option<&str> {
        self.label.as_ref().and_then(Label::class)
    }
}

/// A row that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadRowNote {
    /// Line on which the row starts, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}
