//! Tables, estimates, atomic files, plots and one-file reports.
//!
//! Everything a run leaves behind for people passes through here, and none of it knows what a tensor is.
//!
//! * [`atomic`] puts a file in place whole or not at all; every other writer of the project goes through it.
//! * [`Table`] holds cells once and prints them as CSV (every digit), Markdown and LaTeX (the digits asked for).
//! * [`Estimate`] is a mean with its 95 % interval over independent draws; its [`Verdict`] is an equivalence
//!   test, so that "confirmed" needs enough draws and never comes from having too few.
//! * [`plot`] draws SVG that needs no font, script or network; [`Page`] binds tables and plots into one HTML
//!   file that needs none either, and says the same in Markdown and LaTeX.
//! * [`lab`] is what an experiment writes down: predictions, measurements, verdicts.
//! * [`Card`] is the model card beside a checkpoint, [`History`] the `metrics.csv` that a resumed run continues
//!   as if it had never stopped, with TensorBoard's events beside it.
//!
//! ```
//! use xexp_report::{Cell, Estimate, Table, Verdict};
//!
//! let estimate = Estimate::from_draws(&[0.98, 1.01, 1.00, 0.99, 1.02])?;
//! assert_eq!(estimate.verdict(1.0, 0.05)?, Verdict::Confirmed);
//!
//! let mut table = Table::new(["quantity", "measured"]);
//! table.push([Cell::from("logit variance"), Cell::decimals(estimate.mean, 3)])?;
//! assert!(table.markdown().contains("| logit variance | 1.000 |"));
//! # Ok::<(), xexp_report::Error>(())
//! ```

pub mod atomic;
mod card;
mod error;
mod escape;
mod estimate;
mod events;
mod history;
pub mod lab;
mod page;
pub mod plot;
mod table;

pub use card::{Card, Evaluation, HeadNumbers, Metric, Task};
pub use error::{Error, Result};
pub use estimate::{Estimate, Verdict, percentiles};
pub use history::{COLUMNS, History, Row, Valid};
pub use page::{Block, Finding, Page, Section};
pub use table::{Cell, Digits, Mark, Table};
