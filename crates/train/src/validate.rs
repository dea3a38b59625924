//! The scores that choose the best weights while a run goes on: no intervals, no tables.

use crate::Result;
use crate::metrics::{Confusion, Logits, expected_calibration_error, reliability};
use xexp_report::Valid;

/// Loss, accuracy, macro-F1, MCC and ECE of `logits (examples, classes)` against `labels`.
///
/// # Errors
/// Labels that do not fit the logits.
pub(crate) fn validate(logits: &[f32], labels: &[u32], classes: usize) -> Result<Valid> {
    let logits = Logits::new(logits, classes)?;
    let confusion = Confusion::new(labels, &logits.predictions(), classes)?;
    Ok(Valid {
        loss: logits.cross_entropy(labels)?,
        accuracy: Some(confusion.accuracy()),
        macro_f1: Some(confusion.macro_f1()),
        mcc: Some(confusion.mcc()),
        ece: Some(expected_calibration_error(&reliability(&logits, labels)?)),
    })
}
