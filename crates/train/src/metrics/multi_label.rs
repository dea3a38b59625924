//! How good the answers are where several labels may apply to an example, or none.

use serde::{Deserialize, Serialize};
use xexp_kernels::binary_cross_entropy::{sigmoid, softplus};
use xexp_report::{Cell, Table};

use super::resamples::bootstrap;
use super::thresholds::HALF;
use super::{Error, Interval, Logits, Result};

/// Digits after the point of a score.
const DIGITS: u8 = 4;

/// The scores of one evaluation, named as in `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelScores {
    /// Number of examples.
    pub examples: usize,
    /// The scores where a label applies from a probability of 0.5 on.
    #[serde(flatten)]
    pub at_half: Decisions,
    /// Mean of the labels' average precision, over those that have examples; null where none has.
    pub average_precision: Option<f64>,
    /// Mean binary cross-entropy over all entries, in nats.
    pub loss: f64,
    /// 95 % intervals over samples of the examples, at 0.5.
    pub intervals: MultiLabelIntervals,
    /// The scores at the tuned thresholds, where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuned: Option<Decisions>,
    /// The scores of each label.
    pub per_label: Vec<LabelScores>,
}

/// Scores of what is said to apply.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decisions {
    /// F1 of the counts summed over the labels.
    pub micro_f1: f64,
    /// Mean of the labels' F1, over all of them; 0 of a label that neither applies nor is said to.
    pub macro_f1: f64,
    /// Share of the examples of which all labels are right.
    pub subset_accuracy: f64,
    /// Share of all entries that are wrong.
    pub hamming_loss: f64,
}

/// 95 % intervals by the percentile bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiLabelIntervals {
    /// Of the micro F1.
    pub micro_f1: Option<Interval>,
    /// Of the macro F1.
    pub macro_f1: Option<Interval>,
    /// Of the share of examples that are right as a whole.
    pub subset_accuracy: Option<Interval>,
}

/// The scores of one label; 0 where a ratio has nothing to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelScores {
    /// Its name.
    pub label: String,
    /// Share of the examples said to have it that have it, at 0.5.
    pub precision: f64,
    /// Share of its examples that are said to have it.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Mean precision over its examples, as they come from the likeliest on; null without examples.
    pub average_precision: Option<f64>,
    /// Number of its examples.
    pub support: u64,
    /// Its tuned threshold, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// F1 at that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tuned_f1: Option<f64>,
}

/// Counts of one label: true and said, true, said.
type Counts = (u64, u64, u64);

/// Which labels apply, by a threshold of each; `(examples, labels)`.
pub fn applying(logits: &Logits, thresholds: &[f64]) -> Vec<bool> {
    let of = |(z, threshold): (&f32, &f64)| sigmoid(f64::from(*z)) >= *threshold;
    logits.rows().flat_map(|row| row.iter().zip(thresholds).map(of)).collect()
}

impl MultiLabelScores {
    /// The scores of `logits` against `truth (examples, labels)` of 1 and 0, for labels of these `names`, and those at tuned
    /// `thresholds`, if there are some. `below(n)` returns a random index in `0..n`, for the intervals.
    ///
    /// # Errors
    /// [`Error::Count`] for a number of truths, names or thresholds that does not fit, [`Error::Draw`] if `below` returns an
    /// index out of its range.
    pub fn measure(
        logits: &Logits,
        truth: &[f32],
        names: &[String],
        thresholds: Option<&[f64]>,
        below: &mut dyn FnMut(usize) -> usize,
    ) -> Result<MultiLabelScores> {
        checked(logits, truth)?;
        let labels = logits.classes();
        let lengths = [("label names", names.len()), ("thresholds", thresholds.map_or(labels, <[f64]>::len))];
        if let Some((what, found)) = lengths.into_iter().find(|(_, found)| *found != labels) {
            return Err(Error::Count { what, expected: labels, found });
        }
        let examples = logits.examples();
        let all: Vec<usize> = (0..examples).collect();
        let said = applying(logits, &vec![HALF; labels]);
        let half = Answered { said: &said, truth, labels };
        let counts = half.counts(&all);
        let tuned_said = thresholds.map(|thresholds| applying(logits, thresholds));
        let tuned = tuned_said.as_ref().map(|said| Answered { said, truth, labels });
        let tuned_counts = tuned.as_ref().map(|tuned| tuned.counts(&all));
        let [micro_f1, macro_f1, subset_accuracy] = bootstrap(examples, below, |sample| {
            let found = half.decisions(sample);
            [found.micro_f1, found.macro_f1, found.subset_accuracy].map(Some)
        })?;
        let per_label = names.iter().enumerate().map(|(label, name)| {
            let (hits, support, said) = counts[label];
            LabelScores {
                label: name.clone(),
                precision: ratio(hits, said),
                recall: ratio(hits, support),
                f1: f1(counts[label]),
                average_precision: average_precision(logits, truth, label),
                support,
                threshold: thresholds.map(|thresholds| thresholds[label]),
                tuned_f1: tuned_counts.as_ref().map(|counts| f1(counts[label])),
            }
        });
        let per_label: Vec<LabelScores> = per_label.collect();
        let precisions: Vec<f64> = per_label.iter().filter_map(|label| label.average_precision).collect();
        Ok(MultiLabelScores {
            examples,
            at_half: half.decisions(&all),
            average_precision: (!precisions.is_empty())
                .then(|| precisions.iter().sum::<f64>() / precisions.len() as f64),
            loss: binary_loss(logits, truth),
            intervals: MultiLabelIntervals { micro_f1, macro_f1, subset_accuracy },
            tuned: tuned.map(|tuned| tuned.decisions(&all)),
            per_label,
        })
    }

    /// A row a score: `metric`, `at 0.5`, the `95 % interval` of that, and `tuned` where there are tuned thresholds.
    ///
    /// # Errors
    /// None in practice: a row would have to be of the wrong width.
    pub fn table(&self) -> Result<Table> {
        let mut table = Table::new(["metric", "at 0.5", "95 % interval", "tuned"]);
        let number = |value: f64| Cell::decimals(value, DIGITS);
        let between = |interval: Interval| {
            let digits = usize::from(DIGITS);
            Cell::from(format!("{:.digits$} to {:.digits$}", interval.low, interval.high))
        };
        let (half, tuned, i) = (&self.at_half, self.tuned.as_ref(), &self.intervals);
        for (name, value, interval, tuned) in [
            ("micro F1", half.micro_f1, i.micro_f1, tuned.map(|t| t.micro_f1)),
            ("macro F1", half.macro_f1, i.macro_f1, tuned.map(|t| t.macro_f1)),
            ("all labels right", half.subset_accuracy, i.subset_accuracy, tuned.map(|t| t.subset_accuracy)),
            ("entries wrong", half.hamming_loss, None, tuned.map(|t| t.hamming_loss)),
            ("loss", self.loss, None, None),
        ] {
            let (interval, tuned) =
                (interval.map_or(Cell::Empty, between), tuned.map_or(Cell::Empty, number));
            table.push([name.into(), number(value), interval, tuned])?;
        }
        if let Some(precision) = self.average_precision {
            table.push(["average precision".into(), number(precision), Cell::Empty, Cell::Empty])?;
        }
        Ok(table)
    }

    /// A row a label.
    ///
    /// # Errors
    /// None in practice: a row would have to be of the wrong width.
    pub fn label_table(&self) -> Result<Table> {
        let mut table = Table::new([
            "label",
            "precision",
            "recall",
            "F1",
            "average precision",
            "threshold",
            "F1 there",
            "examples",
        ]);
        let number = |value: f64| Cell::decimals(value, DIGITS);
        let optional = |value: Option<f64>| value.map_or(Cell::Empty, number);
        for label in &self.per_label {
            table.push([
                label.label.as_str().into(),
                number(label.precision),
                number(label.recall),
                number(label.f1),
                optional(label.average_precision),
                optional(label.threshold),
                optional(label.tuned_f1),
                label.support.into(),
            ])?;
        }
        Ok(table)
    }
}

/// Decisions and loss at 0.5: what chooses the best weights, without intervals.
pub(crate) fn at_half(logits: &Logits, truth: &[f32]) -> Result<(Decisions, f64)> {
    checked(logits, truth)?;
    let labels = logits.classes();
    let said = applying(logits, &vec![HALF; labels]);
    let all: Vec<usize> = (0..logits.examples()).collect();
    Ok((Answered { said: &said, truth, labels }.decisions(&all), binary_loss(logits, truth)))
}

/// Refuses a truth of another size than the logits.
pub(super) fn checked(logits: &Logits, truth: &[f32]) -> Result<()> {
    let expected = logits.examples() * logits.classes();
    if truth.len() == expected {
        return Ok(());
    }
    Err(Error::Count { what: "labels", expected, found: truth.len() })
}

/// What is said and what is true, `(examples, labels)`.
struct Answered<'a> {
    said: &'a [bool],
    truth: &'a [f32],
    labels: usize,
}

impl Answered<'_> {
    fn row(&self, example: usize) -> impl Iterator<Item = (bool, bool)> {
        let within = example * self.labels..(example + 1) * self.labels;
        self.said[within.clone()].iter().copied().zip(self.truth[within].iter().map(|t| *t > 0.5))
    }

    fn counts(&self, examples: &[usize]) -> Vec<Counts> {
        let mut counts = vec![(0, 0, 0); self.labels];
        for &example in examples {
            for (count, (said, truth)) in counts.iter_mut().zip(self.row(example)) {
                count.0 += u64::from(said && truth);
                count.1 += u64::from(truth);
                count.2 += u64::from(said);
            }
        }
        counts
    }

    fn decisions(&self, examples: &[usize]) -> Decisions {
        let counts = self.counts(examples);
        let add = |a: Counts, b: &Counts| (a.0 + b.0, a.1 + b.1, a.2 + b.2);
        let sum = counts.iter().fold((0, 0, 0), add);
        let right = examples.iter().filter(|&&example| self.row(example).all(|(a, b)| a == b)).count();
        let (count, entries) = (examples.len() as f64, (examples.len() * self.labels) as f64);
        Decisions {
            micro_f1: f1(sum),
            macro_f1: counts.iter().map(|counts| f1(*counts)).sum::<f64>() / self.labels as f64,
            subset_accuracy: right as f64 / count,
            hamming_loss: (sum.1 + sum.2 - 2 * sum.0) as f64 / entries,
        }
    }
}

fn f1((hits, truth, said): Counts) -> f64 {
    ratio(2 * hits, truth + said)
}

/// `part / whole`, and 0 for an empty whole (scikit-learn's `zero_division=0`).
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Mean of `ln(1 + e^z) − t z` over all entries.
fn binary_loss(logits: &Logits, truth: &[f32]) -> f64 {
    let entries = logits.rows().flatten().zip(truth);
    let sum: f64 = entries.map(|(&z, &t)| softplus(f64::from(z)) - f64::from(t) * f64::from(z)).sum();
    sum / truth.len() as f64
}

/// `Σ (R_n − R_{n−1}) P_n` over the distinct logits of a label from the largest on, as scikit-learn has it.
fn average_precision(logits: &Logits, truth: &[f32], label: usize) -> Option<f64> {
    let rows = logits.rows().zip(truth.chunks_exact(logits.classes()));
    let mut examples: Vec<(f32, bool)> = rows.map(|(z, t)| (z[label], t[label] > 0.5)).collect();
    let positives = examples.iter().filter(|example| example.1).count();
    examples.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut hits, mut said, mut sum) = (0, 0, 0.0);
    for tied in examples.chunk_by(|a, b| a.0 == b.0) {
        let more = tied.iter().filter(|example| example.1).count();
        (hits, said) = (hits + more, said + tied.len());
        sum += more as f64 * hits as f64 / said as f64;
    }
    (positives > 0).then(|| sum / positives as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    // scikit-learn 1.9.1 on these logits, a label said to apply at z >= 0: f1_score with average micro and macro,
    // accuracy_score, hamming_loss, average_precision_score, precision_recall_fscore_support, all with zero_division=0;
    // NumPy: mean(log1p(exp(z)) - t z). The last label has no example.
    const LOGITS: [f32; 36] = [
        1.75, -2.0, -0.25, 0.75, 1.75, 0.25, -0.75, -1.25, 1.0, 2.5, 0.5, -1.75, -1.5, 2.5, 0.25, -2.5,
        -0.25, -1.75, -1.0, -0.75, -1.0, 0.75, -0.0, -1.0, 0.5, 1.25, -2.5, -0.5, -1.5, -0.25, -2.0, 0.0,
        -0.0, -0.5, -1.5, -0.5,
    ];
    const TRUTH: [u8; 36] = [
        0, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 1,
        1, 0,
    ];

    fn measured(thresholds: Option<&[f64]>) -> MultiLabelScores {
        let names: Vec<String> = ["a", "b", "c", "d"].map(String::from).to_vec();
        let mut next = 0;
        let mut below = |n: usize| {
            next += 1;
            next * 7919 / 13 % n
        };
        let logits = Logits::new(&LOGITS, 4).unwrap();
        MultiLabelScores::measure(&logits, &TRUTH.map(f32::from), &names, thresholds, &mut below).unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-14, "expected {expected}, found {found}");
    }

    #[test]
    fn every_score_is_the_one_of_scikit_learn() {
        let found = measured(None);
        close(found.at_half.micro_f1, 0.14814814814814814);
        close(found.at_half.macro_f1, 0.11805555555555555);
        close(found.at_half.subset_accuracy, 0.0);
        close(found.at_half.hamming_loss, 0.6388888888888888);
        close(found.loss, 1.0263462192820716);
        let precisions = [0.2777777777777778, 0.28968253968253965, 0.607936507936508];
        for (label, expected) in found.per_label.iter().zip(precisions) {
            close(label.average_precision.unwrap(), expected);
        }
        close(found.average_precision.unwrap(), precisions.iter().sum::<f64>() / 3.0);
        for (label, (precision, recall, f1, support)) in found.per_label.iter().zip([
            (0.0, 0.0, 0.0, 3),
            (0.2, 1.0 / 3.0, 0.25, 3),
            (1.0 / 3.0, 1.0 / 6.0, 2.0 / 9.0, 6),
            (0.0, 0.0, 0.0, 0),
        ]) {
            close(label.precision, precision);
            close(label.recall, recall);
            close(label.f1, f1);
            assert_eq!(label.support, support);
        }
        assert!(found.per_label[3].average_precision.is_none() && found.tuned.is_none());
        let interval = found.intervals.micro_f1.unwrap();
        assert!(interval.low < 0.149 && 0.148 < interval.high);
    }

    #[test]
    fn thresholds_decide_and_both_figures_are_shown() {
        // All labels everywhere: F1 of a label with k of 9 examples is 2k/(9 + k).
        let found = measured(Some(&[0.0; 4]));
        let tuned = found.tuned.unwrap();
        close(tuned.macro_f1, (0.5 + 0.5 + 0.8 + 0.0) / 4.0);
        close(tuned.hamming_loss, 24.0 / 36.0);
        close(found.at_half.micro_f1, 0.14814814814814814);
        close(found.per_label[2].tuned_f1.unwrap(), 0.8);
        let markdown = found.table().unwrap().markdown();
        assert!(markdown.contains("| macro F1 | 0.1181 |") && markdown.contains(" | 0.4500 |"), "{markdown}");
        let value = serde_json::to_value(&found).unwrap();
        for name in ["micro_f1", "macro_f1", "subset_accuracy", "hamming_loss"] {
            assert!(value[name].is_number() && value["tuned"][name].is_number(), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let logits = Logits::new(&LOGITS, 4).unwrap();
        assert!(matches!(at_half(&logits, &[1.0; 35]), Err(Error::Count { expected: 36, found: 35, .. })));
        let names = ["a".to_string()];
        let found = MultiLabelScores::measure(&logits, &[0.0; 36], &names, None, &mut |_| 0);
        assert!(matches!(found, Err(Error::Count { what: "label names", expected: 4, found: 1 })));
    }
}
