//! The data receipt: what was read, what was used, and what to know about it.

mod lengths;
mod pictures;
mod repeats;
mod table;
mod values;

use serde::{Deserialize, Serialize};

pub use lengths::{Lengths, Truncation};
pub use pictures::PictureSizes;
pub use repeats::{Conflict, Conflicts, Leak, LeakedText};
pub use values::Values;

use crate::columns::Columns;
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::example::BadRowNote;
use crate::label::Label;
use crate::labels::Labels;
use crate::task::Task;
use crate::tokenizer::Encoded;

/// What a run knows about one split when its receipt is made.
#[derive(Debug, Clone, Copy)]
pub struct SplitInput<'a> {
    /// Name of the split: `train`, `valid`, `test`.
    pub name: &'a str,
    /// Its examples.
    pub data: &'a Dataset,
    /// The encoding of each example, in the same order; `None` of images.
    pub encoded: Option<&'a [Encoded]>,
}

/// What was read and used, split by split. `Display` shows it as a table for a terminal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Length, in tokens, to which texts were cut; `None` of images.
    pub max_length: Option<usize>,
    /// The splits, in the order given.
    pub splits: Vec<SplitReceipt>,
    /// Texts that stand in two splits, for each pair of splits that shares any.
    pub leaks: Vec<Leak>,
}

/// What was read and used of one split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SplitReceipt {
    /// Name of the split.
    pub name: String,
    /// The file.
    pub path: String,
    /// SHA-256 of the file's bytes, in lower-case hexadecimal.
    pub sha256: String,
    /// The columns used.
    pub columns: Columns,
    /// Rows of the file. When a split is a part of a file, this counts the whole file.
    pub rows_read: u64,
    /// Examples of the split.
    pub rows_used: u64,
    /// Blank lines of the file, which are no rows.
    pub blank_lines: u64,
    /// Examples of each class or label, in the order of the label table; empty for data without labels and for values.
    pub classes: Vec<ClassCount>,
    /// Examples to which no label applies, where several may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_label: Option<u64>,
    /// The values, of a regression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Values>,
    /// Lengths of the texts in tokens, before truncation; `None` of images.
    pub tokens: Option<Lengths>,
    /// What was cut off; `None` of images.
    pub truncated: Option<Truncation>,
    /// Sizes of the images as their files have them; `None` of texts.
    pub images: Option<PictureSizes>,
    /// Examples whose text already stands further up in the split, white space and case aside.
    pub duplicates: u64,
    /// Texts that stand in the split with different labels, white space and case aside.
    pub conflicts: Conflicts,
    /// Rows of the file that were left out.
    pub bad_rows: Vec<BadRowNote>,
}

/// Examples of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassCount {
    /// The class.
    pub label: String,
    /// Its examples.
    pub count: u64,
}

impl Receipt {
    /// The receipt for `splits`, with `labels` for labelled data, encoded with `max_length`.
    ///
    /// # Errors
    /// [`Error::Encodings`] when a split has not one encoding for each example; as [`Labels::ids`] when `labels` do
    /// not belong to the data.
    pub fn new(splits: &[SplitInput], labels: Option<&Labels>, max_length: Option<usize>) -> Result<Self> {
        let parts = splits.iter().map(|split| part(split, labels)).collect::<Result<_>>()?;
        let mut leaks = Vec::new();
        for (index, to) in splits.iter().enumerate() {
            leaks.extend(splits[..index].iter().filter_map(|from| Leak::between(from, to)));
        }
        Ok(Receipt { max_length, splits: parts, leaks })
    }
}

fn part(split: &SplitInput, labels: Option<&Labels>) -> Result<SplitReceipt> {
    let SplitInput { name, data, encoded } = *split;
    if let Some(encoded) = encoded.filter(|encoded| encoded.len() != data.examples.len()) {
        let (expected, found) = (data.examples.len(), encoded.len());
        return Err(Error::Encodings { split: name.into(), expected, found });
    }
    let classes = match labels {
        None => Vec::new(),
        Some(labels) if labels.task() == Task::Regression => labels.check(data).map(|()| Vec::new())?,
        Some(labels) => {
            let count = |(label, count): (&String, u64)| ClassCount { label: label.clone(), count };
            labels.names().iter().zip(labels.counts(data)?).map(count).collect()
        }
    };
    Ok(SplitReceipt {
        name: name.into(),
        path: data.path.display().to_string(),
        sha256: data.sha256.clone(),
        columns: data.columns.clone(),
        rows_read: data.rows_read,
        rows_used: data.examples.len() as u64,
        blank_lines: data.blank_lines,
        classes,
        without_label: without_label(data),
        values: Values::of(data),
        tokens: encoded.map(Lengths::of),
        truncated: encoded.map(Truncation::of),
        images: PictureSizes::of(data),
        duplicates: repeats::duplicates(&data.examples),
        conflicts: Conflicts::of(&data.examples),
        bad_rows: data.bad_rows.clone(),
    })
}

fn without_label(data: &Dataset) -> Option<u64> {
    let none = |label: &Option<Label>| matches!(label, Some(Label::Labels(names)) if names.is_empty());
    let count = || data.examples.iter().filter(|example| none(&example.label)).count() as u64;
    (data.task == Task::MultiLabel).then(count)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::example::Example;

    /// A dataset of texts and labels, on lines from 1.
    pub(crate) fn dataset(path: &str, rows: &[(&str, &str)]) -> Dataset {
        let example = |(index, (text, label)): (usize, &(&str, &str))| Example {
            id: (index + 1).to_string(),
            text: (*text).into(),
            pair: None,
            image: None,
            label: Some(Label::Class((*label).into())),
            line: index as u64 + 1,
        };
        Dataset {
            class_names: None,
            task: Task::SingleLabel,
            path: path.into(),
            sha256: "00".repeat(32),
            columns: Columns { text: "text".into(), pair: None, label: Some("label".into()), id: None },
            rows_read: rows.len() as u64,
            blank_lines: 0,
            bad_rows: Vec::new(),
            examples: rows.iter().enumerate().map(example).collect(),
            gallery: None,
        }
    }

    /// Encodings of given full lengths, cut to `max_length`.
    pub(crate) fn encoded(lengths: &[usize], max_length: usize) -> Vec<Encoded> {
        let one = |&full_length: &usize| {
            let length = full_length.min(max_length);
            Encoded { ids: vec![0; length], type_ids: vec![0; length], full_length }
        };
        lengths.iter().map(one).collect()
    }

    pub(crate) fn receipt() -> Receipt {
        let mut train = dataset(
            "data/train.csv",
            &[("Hello there", "hi"), ("bye", "bye"), ("hello  THERE ", "bye"), ("so long", "bye")],
        );
        train.rows_read = 5;
        train.bad_rows.push(BadRowNote { line: 9, reason: "expected 2 fields, found 1".into() });
        let valid = dataset("data/valid.csv", &[(" Bye", "bye"), ("new", "hi")]);
        let labels = Labels::from_training(&train, &[]).unwrap();
        let (a, b) = (encoded(&[4, 3, 12, 9], 8), encoded(&[3, 3], 8));
        let splits = [
            SplitInput { name: "train", data: &train, encoded: Some(&a) },
            SplitInput { name: "valid", data: &valid, encoded: Some(&b) },
        ];
        Receipt::new(&splits, Some(&labels), Some(8)).unwrap()
    }

    #[test]
    fn receipt_counts_what_can_be_counted_by_hand() {
        let receipt = receipt();
        let train = &receipt.splits[0];
        assert_eq!((train.rows_read, train.rows_used, train.duplicates), (5, 4, 1));
        let classes: Vec<_> = train.classes.iter().map(|c| (c.label.as_str(), c.count)).collect();
        assert_eq!(classes, [("bye", 3), ("hi", 1)]);
        let truncated = train.truncated.as_ref().unwrap();
        assert_eq!((truncated.texts, truncated.tokens), (2, 5));
        assert_eq!((train.conflicts.count, train.bad_rows[0].line), (1, 9));
        assert_eq!(receipt.leaks.len(), 1);
        assert_eq!((receipt.leaks[0].from.as_str(), receipt.leaks[0].to.as_str()), ("train", "valid"));
    }

    #[test]
    fn images_are_the_same_by_their_pixels_and_have_no_lengths() {
        let image = |pixels: [u8; 2]| crate::Image {
            channels: 1,
            height: 1,
            width: 2,
            pixels: std::sync::Arc::from(pixels),
        };
        let mut data = dataset("bundled:a/train", &[("a/1", "x"), ("a/2", "y"), ("a/3", "x")]);
        for (example, pixels) in data.examples.iter_mut().zip([[1, 2], [3, 4], [1, 2]]) {
            example.image = Some(crate::Picture::of_pixels(image(pixels)));
        }
        data.gallery = Some(crate::Gallery { upright: true, ..Default::default() });
        assert!(data.is_images());
        let labels = Labels::from_training(&data, &[]).unwrap();
        let split = SplitInput { name: "train", data: &data, encoded: None };
        let receipt = Receipt::new(&[split], Some(&labels), None).unwrap();
        assert_eq!((receipt.splits[0].duplicates, &receipt.splits[0].tokens), (1, &None));
        let shown = receipt.to_string();
        assert!(shown.contains("bundled:a/train") && !shown.contains("tokens"), "{shown}");
        assert!(!shown.contains("texts") && shown.contains("2 × 1"), "{shown}");
        let images = receipt.splits[0].images.as_ref().unwrap();
        assert_eq!((images.distinct, images.largest, images.turned), (1, (2, 1), 0));
    }

    #[test]
    fn values_are_summed_up() {
        let mut data = dataset("a.csv", &[("x", ""), ("y", "")]);
        data.task = Task::Regression;
        for (example, value) in data.examples.iter_mut().zip([1.0, 4.0]) {
            example.label = Some(Label::Value(value));
        }
        let labels = Labels::from_training(&data, &[]).unwrap();
        let split = SplitInput { name: "train", data: &data, encoded: None };
        let receipt = Receipt::new(&[split], Some(&labels), None).unwrap();
        let expected = Values { min: 1.0, mean: 2.5, std: 1.5, max: 4.0 };
        assert_eq!(receipt.splits[0].values.as_ref(), Some(&expected));
        let shown = receipt.to_string();
        assert!(shown.contains("1 / 2.5 / 4") && !shown.contains("classes"), "{shown}");
    }

    #[test]
    fn receipt_survives_json() {
        let receipt = receipt();
        let text = serde_json::to_string(&receipt).unwrap();
        assert_eq!(serde_json::from_str::<Receipt>(&text).unwrap(), receipt);
    }

    #[test]
    fn encodings_of_other_data_are_refused() {
        let data = dataset("a.csv", &[("x", "1")]);
        let error =
            Receipt::new(&[SplitInput { name: "train", data: &data, encoded: Some(&[]) }], None, Some(8))
                .unwrap_err();
        assert!(matches!(error, Error::Encodings { expected: 1, found: 0, .. }), "{error}");
    }
}
