//! Every score of a classifier on a labelled set.

use serde::{Deserialize, Serialize};
use xexp_report::plot::Bin;

use super::{
    Confusion, Error, Intervals, Logits, OutOfScope, Result, expected_calibration_error, reliability,
};

/// The scores of one evaluation, named as in `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Number of examples.
    pub examples: usize,
    /// Share of the examples labelled right.
    pub accuracy: f64,
    /// Mean of the classes' F1, as in [`Confusion::macro_f1`].
    pub macro_f1: f64,
    /// F1 of the counts summed over the classes.
    pub micro_f1: f64,
    /// F1 of the second of two classes, such as `1` of 0 and 1; of more classes left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub f1_positive: Option<f64>,
    /// The name of that class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive_class: Option<String>,
    /// Matthews' correlation coefficient.
    pub mcc: f64,
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Expected calibration error over 15 bins.
    pub ece: f64,
    /// How well the class out of scope is told from the others, where one is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_scope: Option<OutOfScope>,
    /// 95 % intervals over samples of the examples.
    pub intervals: Intervals,
    /// The scores of each class, in the order of the labels.
    pub per_class: Vec<ClassScores>,
    /// `confusion[truth][predicted]`, `(classes, classes)`.
    pub confusion: Vec<Vec<u64>>,
    /// Confidence and accuracy by bin.
    pub reliability: Vec<Bin>,
}

/// The scores of one class; 0 where a ratio has nothing to count.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClassScores {
    /// Name of the class.
    pub label: String,
    /// Share of the examples labelled with it that belong to it.
    pub precision: f64,
    /// Share of its examples that are labelled with it.
    pub recall: f64,
    /// Harmonic mean of the two.
    pub f1: f64,
    /// Number of its examples.
    pub support: u64,
}

impl Scores {
    /// The scores of `logits` against the true `labels`, for classes with these `names`.
    ///
    /// `below(n)` returns a random index in `0..n`, for [`Intervals::bootstrap`].
    ///
    /// # Errors
    /// [`Error::Count`] unless there is a label for each example and a name for each class, [`Error::Label`] for
    /// a label that is no class, [`Error::Draw`] if `below` returns an index out of its range.
    pub fn measure(
        logits: &Logits,
        labels: &[u32],
        names: &[String],
        below: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Scores> {
        let classes = logits.classes();
        if names.len() != classes {
            return Err(Error::Count { what: "class names", expected: classes, found: names.len() });
        }
        let loss = logits.cross_entropy(labels)?;
        let predicted = logits.predictions();
        let confusion = Confusion::new(labels, &predicted, classes)?;
        let bins = reliability(logits, labels)?;
        let of_class = |(class, label): (usize, &String)| ClassScores {
            label: label.clone(),
            precision: confusion.precision(class),
            recall: confusion.recall(class),
            f1: confusion.f1(class),
            support: confusion.support(class),
        };
        Ok(Scores {
            examples: labels.len(),
            accuracy: confusion.accuracy(),
            macro_f1: confusion.macro_f1(),
            micro_f1: confusion.micro_f1(),
            f1_positive: (classes == 2).then(|| confusion.f1(1)),
            positive_class: names.get(1).filter(|_| classes == 2).cloned(),
            mcc: confusion.mcc(),
            loss,
            ece: expected_calibration_error(&bins),
            out_of_scope: None,
            intervals: Intervals::bootstrap(labels, &predicted, classes, below)?,
            per_class: names.iter().enumerate().map(of_class).collect(),
            confusion: confusion.counts().to_vec(),
            reliability: bins,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|i| format!("class {i}")).collect()
    }

    fn measured() -> Scores {
        let logits = [2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0, 1.0];
        let logits = Logits::new(&logits, 3).unwrap();
        let mut next = 0;
        Scores::measure(&logits, &[0, 1, 1, 2], &names(3), &mut |n| {
            next += 1;
            next * 7 / 3 % n
        })
        .unwrap()
    }

    #[test]
    fn the_parts_are_those_of_the_whole() {
        let scores = measured();
        assert_eq!((scores.examples, scores.accuracy, scores.micro_f1), (4, 0.75, 0.75));
        // By hand: predictions 0, 1, 0, 2 against 0, 1, 1, 2; F1 2/3, 2/3 and 1.
        assert!((scores.macro_f1 - 7.0 / 9.0).abs() < 1e-15);
        assert_eq!(scores.confusion, [[1, 0, 0], [1, 1, 0], [0, 0, 1]]);
        let second = &scores.per_class[1];
        assert_eq!((second.precision, second.recall, second.support), (1.0, 0.5, 2));
        assert_eq!(second.label, "class 1");
        // Gorodkin: (3·4 - (1·2 + 2·1 + 1·1)) / sqrt((16 - 6)(16 - 6)).
        assert!((scores.mcc - 0.7).abs() < 1e-15);
        assert_eq!(scores.reliability.iter().map(|bin| bin.count).sum::<u64>(), 4);
        assert!(scores.intervals.accuracy.low <= scores.intervals.accuracy.high);
    }

    #[test]
    fn the_names_are_those_of_the_results_file_and_read_back() {
        let scores = measured();
        let text = serde_json::to_string(&scores).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        for name in ["accuracy", "macro_f1", "micro_f1", "mcc", "loss", "ece"] {
            assert!(value[name].is_number(), "{name}");
        }
        assert!(value["intervals"]["macro_f1"]["low"].is_number());
        assert!(value["per_class"][0]["f1"].is_number());
        assert!(value["confusion"][0][0].is_number());
        // serde_json's default reader may miss the last digit of a number; the counts and words are exact.
        let read: Scores = serde_json::from_str(&text).unwrap();
        assert_eq!((&read.confusion, &read.per_class), (&scores.confusion, &scores.per_class));
        assert!((read.loss - scores.loss).abs() < 1e-15);
    }

    #[test]
    fn of_two_classes_the_second_is_the_positive_one_and_is_named() {
        // Predictions 0, 1, 1, 0 against 0, 1, 0, 1: one hit of two said and two true.
        let logits = [1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let logits = Logits::new(&logits, 2).unwrap();
        let scores = Scores::measure(&logits, &[0, 1, 0, 1], &names(2), &mut |_| 0).unwrap();
        assert_eq!((scores.f1_positive, scores.positive_class.as_deref()), (Some(0.5), Some("class 1")));
        assert!(scores.table().unwrap().markdown().contains("| F1 of class 1 | 0.5000 |"));
        assert!(serde_json::to_value(measured()).unwrap().get("f1_positive").is_none());
    }

    #[test]
    fn a_missing_name_is_refused() {
        let logits = Logits::new(&[0.0; 4], 2).unwrap();
        let scores = Scores::measure(&logits, &[0, 1], &names(3), &mut |_| 0);
        assert!(matches!(scores, Err(Error::Count { what: "class names", expected: 2, found: 3 })));
    }
}
