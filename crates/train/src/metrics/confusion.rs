//! The confusion matrix and what follows from it.

use super::{Error, Result};

/// Counts of examples by true and predicted class; of at least one example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    counts: Vec<Vec<u64>>,
    margins: Margins,
}

impl Confusion {
    /// The counts for true labels and predictions of the same examples.
    ///
    /// # Errors
    /// [`Error::Empty`] without examples, [`Error::Count`] for lists of different length, [`Error::Label`] for a
    /// label that is not below `classes`.
    pub fn new(truth: &[u32], predicted: &[u32], classes: usize) -> Result<Confusion> {
        if truth.is_empty() {
            return Err(Error::Empty);
        }
        if predicted.len() != truth.len() {
            return Err(Error::Count { what: "predictions", expected: truth.len(), found: predicted.len() });
        }
        let mut counts = vec![vec![0; classes]; classes];
        let mut margins = Margins::new(classes);
        for (example, (t, p)) in truth.iter().zip(predicted).enumerate() {
            for (what, found) in [("true label", *t), ("prediction", *p)] {
                if found as usize >= classes {
                    return Err(Error::Label { what, example, classes, found });
                }
            }
            counts[*t as usize][*p as usize] += 1;
            margins.add(*t, *p);
        }
        Ok(Confusion { counts, margins })
    }

    /// `counts[truth][predicted]`, `(classes, classes)`.
    pub fn counts(&self) -> &[Vec<u64>] {
        &self.counts
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.counts.len()
    }

    /// Number of examples of the class; 0 for a class that does not exist.
    pub fn support(&self, class: usize) -> u64 {
        self.margins.truth.get(class).copied().unwrap_or(0)
    }

    /// Share of the examples labelled with the class that belong to it; 0 if none is labelled with it.
    pub fn precision(&self, class: usize) -> f64 {
        self.margins.per_class(class, |hits, _, predicted| ratio(hits, predicted))
    }

    /// Share of the examples of the class that are labelled with it; 0 if the class has none.
    pub fn recall(&self, class: usize) -> f64 {
        self.margins.per_class(class, |hits, truth, _| ratio(hits, truth))
    }

    /// `2PR/(P + R)` of precision and recall; 0 if no example belongs to the class or is labelled with it.
    pub fn f1(&self, class: usize) -> f64 {
        self.margins.per_class(class, f1)
    }

    /// Share of the examples labelled right.
    pub fn accuracy(&self) -> f64 {
        self.margins.accuracy()
    }

    /// Mean of the classes' F1, over the classes that occur among the true labels or the predictions.
    ///
    /// A class with examples that is never predicted counts as 0, and so does one without examples that is; a
    /// class with neither does not count. This is scikit-learn's `f1_score(truth, predicted, average="macro",
    /// zero_division=0)`.
    pub fn macro_f1(&self) -> f64 {
        self.margins.macro_f1()
    }

    /// F1 of the counts summed over the classes; equal to the accuracy where each example has one label.
    pub fn micro_f1(&self) -> f64 {
        self.margins.micro_f1()
    }

    /// Matthews' correlation coefficient for any number of classes, from -1 to 1; 0 where truth or prediction
    /// holds a single class.
    ///
    /// Source: Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient",
    /// eq. 8.
    pub fn mcc(&self) -> f64 {
        self.margins.mcc()
    }
}

/// The sums of a confusion matrix, which is all that the scores need; `(classes,)` each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Margins {
    hits: Vec<u64>,
    truth: Vec<u64>,
    predicted: Vec<u64>,
}

impl Margins {
    pub(super) fn new(classes: usize) -> Margins {
        Margins { hits: vec![0; classes], truth: vec![0; classes], predicted: vec![0; classes] }
    }

    /// Counts one example; its labels must be classes.
    pub(super) fn add(&mut self, truth: u32, predicted: u32) {
        self.truth[truth as usize] += 1;
        self.predicted[predicted as usize] += 1;
        self.hits[truth as usize] += u64::from(truth == predicted);
    }

    pub(super) fn clear(&mut self) {
        for counts in [&mut self.hits, &mut self.truth, &mut self.predicted] {
            counts.fill(0);
        }
    }

    pub(super) fn accuracy(&self) -> f64 {
        ratio(self.hits.iter().sum(), self.truth.iter().sum())
    }

    pub(super) fn macro_f1(&self) -> f64 {
        let (mut sum, mut occurring) = (0.0, 0u64);
        for ((hits, truth), predicted) in self.hits.iter().zip(&self.truth).zip(&self.predicted) {
            if truth + predicted > 0 {
                sum += f1(*hits, *truth, *predicted);
                occurring += 1;
            }
        }
        if occurring == 0 { 0.0 } else { sum / occurring as f64 }
    }

    fn micro_f1(&self) -> f64 {
        f1(self.hits.iter().sum(), self.truth.iter().sum(), self.predicted.iter().sum())
    }

    pub(super) fn mcc(&self) -> f64 {
        // In whole numbers: the differences of large, nearly equal products are exact.
        let product =
            |a: &[u64], b: &[u64]| a.iter().zip(b).map(|(a, b)| i128::from(*a) * i128::from(*b)).sum();
        let total: i128 = self.truth.iter().map(|count| i128::from(*count)).sum();
        let hits: i128 = self.hits.iter().map(|count| i128::from(*count)).sum();
        let both: i128 = product(&self.truth, &self.predicted);
        let (truth, predicted): (i128, i128) =
            (product(&self.truth, &self.truth), product(&self.predicted, &self.predicted));
        let spread = (total * total - truth) as f64 * (total * total - predicted) as f64;
        if spread == 0.0 { 0.0 } else { (hits * total - both) as f64 / spread.sqrt() }
    }

    fn per_class(&self, class: usize, score: impl Fn(u64, u64, u64) -> f64) -> f64 {
        let at = |counts: &[u64]| counts.get(class).copied().unwrap_or(0);
        score(at(&self.hits), at(&self.truth), at(&self.predicted))
    }
}

fn f1(hits: u64, truth: u64, predicted: u64) -> f64 {
    ratio(2 * hits, truth + predicted)
}

/// `part / whole`, and 0 for an empty whole (scikit-learn's `zero_division=0`).
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    // t = [0,0,0,1,1,2,2,2,2,3,0,1]; p = [0,1,0,1,1,2,0,2,4,2,0,2]; scikit-learn 1.9.1:
    // confusion_matrix(t, p, labels=range(6)); accuracy_score(t, p); f1_score(t, p, average="macro",
    // zero_division=0); f1_score(t, p, average="micro"); matthews_corrcoef(t, p);
    // precision_recall_fscore_support(t, p, labels=range(6), zero_division=0)
    const TRUTH: [u32; 12] = [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 0, 1];
    const PREDICTED: [u32; 12] = [0, 1, 0, 1, 1, 2, 0, 2, 4, 2, 0, 2];

    fn close(found: f64, expected: f64) {
        // A few roundings of numbers of order one.
        assert!((found - expected).abs() < 1e-14, "expected {expected}, found {found}");
    }

    #[test]
    fn every_score_is_the_one_of_scikit_learn() {
        let confusion = Confusion::new(&TRUTH, &PREDICTED, 6).unwrap();
        let expected = [
            [3, 1, 0, 0, 0, 0],
            [0, 2, 1, 0, 0, 0],
            [1, 0, 2, 0, 1, 0],
            [0, 0, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(confusion.counts(), expected);
        close(confusion.accuracy(), 0.5833333333333334);
        close(confusion.macro_f1(), 0.3833333333333333);
        close(confusion.micro_f1(), 0.5833333333333334);
        close(confusion.mcc(), 0.4215686274509804);
        let expected = [0.75, 0.6666666666666666, 0.5, 0.0, 0.0, 0.0];
        for (class, expected) in expected.into_iter().enumerate() {
            close(confusion.precision(class), expected);
            close(confusion.recall(class), expected);
            close(confusion.f1(class), expected);
        }
        assert_eq!([0, 1, 2, 3, 4, 5].map(|class| confusion.support(class)), [4, 3, 4, 1, 0, 0]);
    }

    #[test]
    fn macro_f1_counts_classes_that_occur_on_either_side() {
        // By hand: F1 of class 0 is 2·1/(2+1) = 2/3. Class 1 has an example and no prediction, class 2 has
        // predictions and no example: 0 each. Class 3 has neither, so the mean is over three.
        let confusion = Confusion::new(&[0, 0, 1], &[0, 2, 2], 4).unwrap();
        close(confusion.macro_f1(), 2.0 / 9.0);
    }

    #[test]
    fn the_coefficient_of_two_classes_is_matthews_own() {
        // (TP·TN - FP·FN)/sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)) with TP 5, TN 4, FP 2, FN 1: 18/sqrt(7·6·6·5).
        let truth = [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0];
        let predicted = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 1, 1];
        let mcc = Confusion::new(&truth, &predicted, 2).unwrap().mcc();
        close(mcc, 18.0 / (7.0f64 * 6.0 * 6.0 * 5.0).sqrt());
    }

    #[test]
    fn right_is_one_swapped_is_minus_one_and_constant_is_zero() {
        let mcc = |predicted: &[u32]| Confusion::new(&[0, 1, 0, 1], predicted, 2).unwrap().mcc();
        assert_eq!(mcc(&[0, 1, 0, 1]), 1.0);
        assert_eq!(mcc(&[1, 0, 1, 0]), -1.0);
        assert_eq!(mcc(&[1, 1, 1, 1]), 0.0);
    }

    /// Labels from a linear congruential generator (Numerical Recipes' constants), skewed to low classes.
    fn labels(mut state: u32, classes: u32, count: usize) -> Vec<u32> {
        let draw = |_| {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            let a = (state >> 16) % classes;
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            a.min((state >> 16) % classes)
        };
        (0..count).map(draw).collect()
    }

    #[test]
    fn scores_follow_their_definitions_on_random_labels() {
        for (seed, classes) in [(1, 2), (2, 3), (3, 7), (4, 23)] {
            let (truth, predicted) = (labels(seed, classes, 400), labels(seed + 100, classes, 400));
            let confusion = Confusion::new(&truth, &predicted, classes as usize).unwrap();
            let examples = || truth.iter().zip(&predicted);

            let mut of_class = Vec::new();
            for class in 0..classes {
                let count = |test: fn(bool, bool) -> bool| {
                    examples().filter(|(t, p)| test(**t == class, **p == class)).count() as f64
                };
                let (hit, false_alarm, missed) =
                    (count(|t, p| t && p), count(|t, p| !t && p), count(|t, p| t && !p));
                if hit + false_alarm + missed > 0.0 {
                    let precision = if hit + false_alarm > 0.0 { hit / (hit + false_alarm) } else { 0.0 };
                    let recall = if hit + missed > 0.0 { hit / (hit + missed) } else { 0.0 };
                    let sum = precision + recall;
                    of_class.push(if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 });
                }
            }
            close(confusion.macro_f1(), of_class.iter().sum::<f64>() / of_class.len() as f64);

            // Gorodkin's definition: the correlation of the two one-hot matrices, summed over classes.
            let covariance = |a: &[u32], b: &[u32]| -> f64 {
                (0..classes)
                    .map(|class| {
                        let one = |label: &u32| if *label == class { 1.0 } else { 0.0 };
                        let mean = |x: &[u32]| x.iter().map(one).sum::<f64>() / x.len() as f64;
                        let (ma, mb) = (mean(a), mean(b));
                        a.iter().zip(b).map(|(a, b)| (one(a) - ma) * (one(b) - mb)).sum::<f64>()
                    })
                    .sum()
            };
            let expected = covariance(&truth, &predicted)
                / (covariance(&truth, &truth) * covariance(&predicted, &predicted)).sqrt();
            // The definition adds 400 roundings a class; the counts are exact.
            assert!((confusion.mcc() - expected).abs() < 1e-11);
        }
    }

    #[test]
    fn names_of_classes_and_order_of_examples_do_not_matter() {
        let (truth, predicted) = (labels(7, 5, 300), labels(8, 5, 300));
        let scores = |truth: &[u32], predicted: &[u32]| {
            let confusion = Confusion::new(truth, predicted, 5).unwrap();
            [confusion.accuracy(), confusion.macro_f1(), confusion.micro_f1(), confusion.mcc()]
        };
        let plain = scores(&truth, &predicted);
        let renamed =
            |labels: &[u32]| labels.iter().map(|label| [3, 0, 4, 1, 2][*label as usize]).collect::<Vec<_>>();
        let reversed = |labels: &[u32]| labels.iter().rev().copied().collect::<Vec<_>>();
        for (a, b) in plain.into_iter().zip(scores(&renamed(&truth), &renamed(&predicted))) {
            close(a, b);
        }
        assert_eq!(plain, scores(&reversed(&truth), &reversed(&predicted)));
    }

    #[test]
    fn what_cannot_be_counted_is_refused() {
        assert!(matches!(Confusion::new(&[], &[], 2), Err(Error::Empty)));
        assert!(matches!(Confusion::new(&[0], &[], 2), Err(Error::Count { expected: 1, found: 0, .. })));
        let beyond = Confusion::new(&[0, 1], &[0, 2], 2);
        assert!(matches!(beyond, Err(Error::Label { what: "prediction", example: 1, found: 2, .. })));
    }
}
