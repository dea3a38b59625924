//! A report, said once and written as HTML, Markdown or LaTeX.

mod html;
mod latex;
mod markdown;

use crate::plot::Svg;
use crate::{Mark, Table};

/// A report.
#[derive(Clone, Debug)]
pub struct Page {
    /// Title of the window and first heading.
    pub title: String,
    /// One paragraph under it: what this is the report of.
    pub summary: String,
    /// The parts, in order.
    pub sections: Vec<Section>,
}

/// A part of a report.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub heading: String,
    /// What it holds, in order.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Text shown letter by letter, as a command or a file.
    Code(String),
    /// Statements with how each came out.
    Findings(Vec<Finding>),
    /// A table under a caption (none if the caption is empty).
    Table(String, Table),
    /// A plot.
    Plot(Svg),
}

/// A statement and how it came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Good, bad or neither.
    pub mark: Mark,
    /// How it came out, in a word or two.
    pub word: String,
    /// The statement.
    pub text: String,
    /// What is to be said about it, a paragraph each.
    pub notes: Vec<String>,
    /// Where there is more: the words and the address.
    pub link: Option<(String, String)>,
}
