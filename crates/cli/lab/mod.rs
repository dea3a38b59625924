//! The laboratory's commands: list, run, check, report.

pub mod check;
mod compare;
pub mod list;
mod models;
mod one;
mod outcome;
mod progress;
pub mod report;
pub mod run;
mod subject;
