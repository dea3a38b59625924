//! Rows and columns, printed as CSV, Markdown or LaTeX.

mod cells;
mod csv;
mod latex;
mod markdown;
mod number;

pub use cells::{Cell, Table};
pub use number::Digits;

pub(crate) use markdown::escape as escape_markdown;
