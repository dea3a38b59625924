//! The laboratory: every claim of the document predicted exactly, measured, and judged.
//!
//! An [`Experiment`] is a set of parameters. From them follow its *set-ups* (a kernel size, a depth, a norm placement),
//! the [rows](xexp_report::lab::Row) that are predicted for each, written down before anything is measured, and what one
//! independent *draw* of weights measures. The [bench](mod@bench) adds draws in looks that are fixed beforehand until every row is
//! decided or the budget is spent.
//!
//! A draw takes its random numbers from streams named by experiment, set-up, draw and purpose, so a table depends neither
//! on the number of threads nor on the order of the draws. An experiment is one file in `catalogue` and one line in
//! [`EXPERIMENTS`].

pub mod audit;
pub mod bench;
pub mod catalogue;
mod draw;
mod error;
mod experiment;
pub mod moments;
mod plan;
mod registry;
pub mod transfer;

pub use draw::Draw;
pub use error::{Error, Result};
pub use experiment::{About, Experiment, Setup};
pub use plan::Plan;
pub use registry::{EXPERIMENTS, Entry, Opened, Planned};
