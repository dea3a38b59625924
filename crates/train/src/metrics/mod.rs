//! How good a classifier is, from its logits and the true labels.
//!
//! [`Scores::measure`] gives everything at once, [`MultiLabelScores::measure`] where several labels may apply, and
//! [`RegressionScores::measure`] of values; the parts can be had alone. All sums are in `f64` and in the
//! order of the examples, so that the same predictions give the same bits.

mod calibration;
mod confusion;
mod error;
mod intervals;
mod logits;
mod multi_label;
mod out_of_scope;
mod paired;
mod regression;
mod resamples;
mod scores;
mod tables;
mod temperature;
mod thresholds;

pub use calibration::{BINS, expected_calibration_error, reliability};
pub use confusion::Confusion;
pub use error::{Error, Result};
pub use intervals::{Interval, Intervals, RESAMPLES};
pub use logits::{Logits, log_softmax};
pub(crate) use multi_label::at_half;
pub use multi_label::{Decisions, LabelScores, MultiLabelScores, applying};
pub use out_of_scope::OutOfScope;
pub use paired::{Answers, Difference, Paired, holm};
pub use regression::RegressionScores;
pub(crate) use regression::correlations;
pub use scores::{ClassScores, Scores};
pub use temperature::cooled;
pub use thresholds::{HALF, tuned_thresholds};
