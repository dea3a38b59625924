//! The scores that choose the best weights while a run goes on: no intervals, no tables.

use crate::Result;
use crate::metrics::{self, Confusion, Logits, correlations, expected_calibration_error, reliability};
use xexp_heads::Truth;
use xexp_report::Valid;

/// Scores of `logits (examples, outputs)` against their truth: of classes loss, accuracy, macro-F1, MCC and ECE; of labels
/// loss and, at a probability of 0.5, both F1 and the share of examples that are right as a whole as the accuracy; of values loss,
/// correlations and root mean squared error.
///
/// # Errors
/// A truth that does not fit the logits.
pub(crate) fn validate(logits: &[f32], truth: &Truth, outputs: usize) -> Result<Valid> {
    Ok(match truth {
        Truth::Classes(labels) => {
            let logits = Logits::new(logits, outputs)?;
            let confusion = Confusion::new(labels, &logits.predictions(), outputs)?;
            Valid {
                loss: logits.cross_entropy(labels)?,
                accuracy: Some(confusion.accuracy()),
                macro_f1: Some(confusion.macro_f1()),
                mcc: Some(confusion.mcc()),
                ece: Some(expected_calibration_error(&reliability(&logits, labels)?)),
                ..Default::default()
            }
        }
        Truth::Labels(truth) => {
            let (found, loss) = metrics::at_half(&Logits::new(logits, outputs)?, truth)?;
            Valid {
                loss,
                accuracy: Some(found.subset_accuracy),
                macro_f1: Some(found.macro_f1),
                micro_f1: Some(found.micro_f1),
                ..Default::default()
            }
        }
        Truth::Values(values) => {
            let (pearson, spearman, loss) = correlations(logits, values)?;
            Valid { loss, pearson, spearman, rmse: Some(loss.sqrt()), ..Default::default() }
        }
    })
}
