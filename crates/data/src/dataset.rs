//! The examples of one file, with the facts about the file.

use std::path::PathBuf;

use crate::columns::Columns;
use crate::example::{BadRowNote, Example};
use crate::images;
use crate::task::Task;

/// The examples of one file, or a part of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The file.
    pub path: PathBuf,
    /// SHA-256 of the file's bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// The columns that were used.
    pub columns: Columns,
    /// The task that its labels are for: as said, or as they look.
    pub task: Task,
    /// Rows of the file, good and bad, without the header and blank lines.
    pub rows_read: u64,
    /// Blank lines of the file; they are no rows.
    pub blank_lines: u64,
    /// Rows of the file that were left out.
    pub bad_rows: Vec<BadRowNote>,
    /// The examples, in the file's order.
    pub examples: Vec<Example>,
    /// The classes in the order of their ids, where the file itself says so.
    pub class_names: Option<Vec<String>>,
    /// How the images were looked at; `None` of texts.
    pub gallery: Option<Gallery>,
}

/// How the images of a dataset were looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gallery {
    /// Whether EXIF orientations were followed.
    pub upright: bool,
    /// Whether the images are kept in the model's size.
    pub kept: bool,
    /// Files of the folder that are no images by their extension.
    pub other_files: u64,
}

impl Dataset {
    /// Images that no table lists; `sha256` is that of whatever stands for the file.
    pub fn of_images(path: PathBuf, sha256: String, examples: Vec<Example>) -> Self {
        Dataset {
            path,
            sha256,
            columns: images::columns(),
            task: Task::SingleLabel,
            rows_read: examples.len() as u64,
            blank_lines: 0,
            bad_rows: vec![],
            examples,
            class_names: None,
            gallery: Some(Gallery::default()),
        }
    }

    /// Whether these are images.
    pub fn is_images(&self) -> bool {
        self.gallery.is_some()
    }

    /// The examples at `indices`, in that order, as a dataset of their own.
    ///
    /// The facts about the file (hash, rows read, blank lines, bad rows) stay those of the whole file. An index
    /// beyond the last example is a bug of the caller and is passed over.
    pub fn subset(&self, indices: &[usize]) -> Self {
        Dataset {
            path: self.path.clone(),
            sha256: self.sha256.clone(),
            columns: self.columns.clone(),
            task: self.task,
            rows_read: self.rows_read,
            blank_lines: self.blank_lines,
            bad_rows: self.bad_rows.clone(),
            examples: indices.iter().filter_map(|&index| self.examples.get(index).cloned()).collect(),
            class_names: self.class_names.clone(),
            gallery: self.gallery.clone(),
        }
    }
}
