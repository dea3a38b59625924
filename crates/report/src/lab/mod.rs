//! What an experiment writes down: predictions before, measurements after, and what the two say about each other.
//!
//! A [`Row`] is one prediction, made before anything is measured: a [`Rule`] for a quantity, the reason for its
//! tolerance, and, where the document that is being tested says something about the quantity, a [`Claim`] in the
//! document's own terms. A [`Measurement`] is the estimate that came out. A [`Judgement`] holds one against the other.
//!
//! A [`Folder`] holds a run: [`Manifest`] and predictions, hashed into `run.json` before anything is measured, then
//! measurements and verdicts. [`Recorded`] is all of it read back; the reports are made from that alone.

mod account;
mod claim;
mod figure;
mod folder;
mod judge;
mod manifest;
mod measure;
mod measured;
mod predicted;
mod report;
mod row;
mod rule;
mod run;
mod sheet;

pub use account::{Account, ClaimAccount};
pub use claim::{Claim, Outcome};
pub use figure::{Figure, Point};
pub use folder::{
    Folder, MANIFEST_FILE, MEASURED_FILE, MeasuredSetup, PREDICTED_FILE, RUN_FILE, Recorded, VERDICTS_FILE,
    sha256,
};
pub use judge::{Judgement, judge};
pub use manifest::{Announced, Argued, Manifest, PlannedSetup, Said, parameter_table, seed_value};
pub use measure::{Looks, Measurement, Statistic};
pub use measured::{MEASURED, VERDICTS, measured_table, read_measured, verdicts_table};
pub use predicted::{PREDICTED, Prediction, predicted_table, read_predicted};
pub use report::{Experiment, index, plots, report, summary};
pub use row::Row;
pub use rule::Rule;
pub use run::{FORMAT, Machine, Run, Status};

#[cfg(test)]
mod tests;
