//! Rows and columns, printed as CSV, Markdown or LaTeX.

mod cells;
mod csv;
mod latex;
mod markdown;
mod number;
mod tex;

pub use cells::{Cell, Mark, Table};
pub use number::Digits;

pub(crate) use markdown::escape as escape_markdown;
pub(crate) use tex::escape as escape_latex;
