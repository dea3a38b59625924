//! How good a classifier is, from its logits and the true labels.
//!
//! [`Scores::measure`] gives everything at once; the parts can be had alone. All sums are in `f64` and in the
//! order of the examples, so that the same predictions give the same bits.

mod calibration;
mod confusion;
mod error;
mod intervals;
mod logits;
mod paired;
mod scores;
mod tables;
mod temperature;

pub use calibration::{BINS, expected_calibration_error, reliability};
pub use confusion::Confusion;
pub use error::{Error, Result};
pub use intervals::{Interval, Intervals, RESAMPLES};
pub use logits::{Logits, log_softmax};
pub use paired::{Answers, Difference, Paired, holm};
pub use scores::{ClassScores, Scores};
pub use temperature::cooled;
