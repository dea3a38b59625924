//! How well what belongs to no class is told from what belongs to one, where a class stands for the former.

use serde::{Deserialize, Serialize};

use super::{Confusion, Error, Logits, Result, log_softmax};

/// The scores of the class that stands for what is out of scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutOfScope {
    /// The class.
    pub class: String,
    /// Share of its examples that are labelled with it.
    pub recall: f64,
    /// Share of the examples labelled with it that belong to it.
    pub precision: f64,
    /// Share of all other examples that are labelled right; null without any.
    pub in_scope_accuracy: Option<f64>,
    /// Probability that the largest probability of the other classes is larger for an example of theirs than for one out of
    /// scope, a tie counting half; null where either is missing.
    pub auroc: Option<f64>,
}

impl OutOfScope {
    /// The scores for the class `id` of this name.
    ///
    /// # Errors
    /// As [`Confusion::new`].
    pub fn measure(logits: &Logits, labels: &[u32], (id, class): (usize, &str)) -> Result<OutOfScope> {
        if id >= logits.classes() {
            let (classes, found) = (logits.classes(), id as u32);
            return Err(Error::Label { what: "class out of scope", example: 0, classes, found });
        }
        let predicted = logits.predictions();
        let confusion = Confusion::new(labels, &predicted, logits.classes())?;
        let inside: Vec<bool> = labels.iter().map(|label| *label as usize != id).collect();
        let count = inside.iter().filter(|inside| **inside).count();
        let right = labels.iter().zip(&predicted).zip(&inside);
        let right = right.filter(|((label, said), inside)| **inside && label == said).count();
        let sure = |row: &[f32]| {
            let others = log_softmax(row).into_iter().enumerate().filter(|(class, _)| *class != id);
            others.map(|(_, p)| p).fold(f64::NEG_INFINITY, f64::max)
        };
        Ok(OutOfScope {
            class: class.to_string(),
            recall: confusion.recall(id),
            precision: confusion.precision(id),
            in_scope_accuracy: (count > 0).then(|| right as f64 / count as f64),
            auroc: auroc(logits.rows().map(sure).zip(inside).collect()),
        })
    }
}

/// Area under the curve of the true positive rate over the false one, by the rank sum of the positives.
///
/// Source: Hanley and McNeil 1982, "The meaning and use of the area under a ROC curve".
fn auroc(mut examples: Vec<(f64, bool)>) -> Option<f64> {
    examples.sort_by(|a, b| a.0.total_cmp(&b.0));
    let positives = examples.iter().filter(|example| example.1).count() as f64;
    let (negatives, mut below, mut wins) = (examples.len() as f64 - positives, 0.0, 0.0);
    for tied in examples.chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|example| example.1).count() as f64;
        let misses = tied.len() as f64 - hits;
        wins += hits * (below + misses / 2.0);
        below += misses;
    }
    (positives > 0.0 && negatives > 0.0).then(|| wins / (positives * negatives))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_area_is_the_share_of_pairs_in_order() {
        let examples = [(0.3, true), (0.1, false), (0.3, false), (0.9, true), (0.5, false), (0.3, true)];
        let (mut wins, mut pairs) = (0.0, 0.0);
        for (a, _) in examples.iter().filter(|e| e.1) {
            for (b, _) in examples.iter().filter(|e| !e.1) {
                pairs += 1.0;
                wins += if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                };
            }
        }
        assert_eq!(auroc(examples.to_vec()), Some(wins / pairs));
        assert_eq!(auroc(vec![(0.5, true)]), None);
    }

    #[test]
    fn the_scores_are_those_counted_by_hand() {
        // Classes a, b and oos; predictions a, b, oos, a, oos against a, a, oos, oos, b.
        let z = [3.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 2.0, 0.0, 1.0, 0.0, 1.0, 2.0];
        let logits = Logits::new(&z, 3).unwrap();
        let found = OutOfScope::measure(&logits, &[0, 0, 2, 2, 1], (2, "oos")).unwrap();
        assert_eq!((found.recall, found.precision), (0.5, 0.5));
        assert!((found.in_scope_accuracy.unwrap() - 1.0 / 3.0).abs() < 1e-15);
        // The largest probability of a or b, by row: 0.909, 0.787, 0.045, 0.665, 0.245; five of six pairs are in order.
        assert!((found.auroc.unwrap() - 5.0 / 6.0).abs() < 1e-15);
        assert!(OutOfScope::measure(&logits, &[0; 5], (3, "x")).is_err());
    }
}
