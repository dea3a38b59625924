//! Parquet files that pyarrow wrote, held against what pyarrow reads from them (`make.py` beside this file).
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

/// Files that are cut off or changed.
mod damage;
/// Images in columns.
mod images;

use std::path::{Path, PathBuf};

use serde_json::Value;
use xexp_data::{BadRow, Dataset, Error, Labels, Source, labels_are_hidden, read};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name)
}

/// What pyarrow reads from a column of a file.
fn expected(file: &str, column: &str) -> Vec<Value> {
    let all: Value = serde_json::from_slice(&std::fs::read(path("expected.json")).unwrap()).unwrap();
    all[file][column].as_array().unwrap_or_else(|| panic!("{file}: no {column}")).clone()
}

fn labels(data: &Dataset) -> Vec<String> {
    data.examples.iter().map(|example| example.class().unwrap().to_string()).collect()
}

fn two_shards() -> Source {
    let shards = [0, 1].map(|shard| path(&format!("train-0000{shard}-of-00002.parquet")));
    Source {
        shards: shards.into(),
        format: Some(xexp_data::Format::Parquet),
        ..Source::new("org/name/train")
    }
}

const NAMES: [&str; 3] = ["neutral", "angry", "glad"];

#[test]
fn shards_are_one_table_whose_metadata_name_and_order_the_classes() {
    let data = read(&two_shards(), true).unwrap();
    let files = ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"];
    let texts: Vec<Value> = files.iter().flat_map(|file| expected(file, "text")).collect();
    let ids: Vec<Value> = files.iter().flat_map(|file| expected(file, "label")).collect();
    assert_eq!(texts.len(), data.examples.len());
    for (index, example) in data.examples.iter().enumerate() {
        assert_eq!(texts[index].as_str().unwrap(), example.text);
        assert_eq!(NAMES[ids[index].as_u64().unwrap() as usize], example.class().unwrap());
        assert_eq!((example.line, &example.id), (index as u64 + 1, &(index + 1).to_string()));
    }
    let table = Labels::from_training(&data, &[]).unwrap();
    assert_eq!(table.names(), NAMES);
    let found: Vec<Value> = table.ids(&data).unwrap().into_iter().map(Value::from).collect();
    assert_eq!(found, ids);
    // A part of the rows in which a class is missing keeps the ids.
    let part = data.subset(&[0, 1]);
    assert_eq!(Labels::from_training(&part, &[]).unwrap().names(), NAMES);

    // By `cat train-0000?-of-00002.parquet | sha256sum`.
    assert_eq!(data.sha256, "2952ccc55c5e8030f5b7b54df58821c7a30dded47ae1d5dd6cb3e3c62be590be");
}

#[test]
fn shards_that_do_not_belong_together_are_refused() {
    let mut source = two_shards();
    source.shards[1] = path("kinds.parquet");
    source.text_column = Some("text".into());
    let error = read(&source, true).unwrap_err();
    assert!(error.to_string().contains("kinds.parquet: no column `text`"), "{error}");
    source.shards[1] = path("faults.parquet");
    let error = read(&source, true).unwrap_err().to_string();
    assert!(error.contains("org/name/train:6: the column `text` holds no text"), "{error}");
}

#[test]
fn every_scalar_type_is_a_label_as_it_is_in_json() {
    let whole = |value: &Value| match value {
        Value::String(text) => text.trim().to_string(),
        Value::Number(number) if number.is_f64() => format!("{}", number.as_f64().unwrap()),
        other => other.to_string(),
    };
    for column in ["string", "tiny", "large", "short", "single", "double", "truth"] {
        let source = Source { label_column: Some(column.into()), ..Source::new(path("kinds.parquet")) };
        let data = read(&source, true).unwrap();
        let values: Vec<String> = expected("kinds.parquet", column).iter().map(whole).collect();
        assert_eq!(labels(&data), values, "{column}");
        let ids: Vec<String> = expected("kinds.parquet", "id").iter().map(Value::to_string).collect();
        assert_eq!(data.examples.iter().map(|e| e.id.clone()).collect::<Vec<_>>(), ids);
        assert_eq!(data.columns.text, "sentence");
    }
    let source = Source { label_column: Some("binary".into()), ..Source::new(path("kinds.parquet")) };
    assert_eq!(labels(&read(&source, true).unwrap()), ["a", "b", "a", "a", "b"]);
}

#[test]
fn rows_that_cannot_be_used_are_named_and_may_be_left_out() {
    let source = Source::new(path("faults.parquet"));
    let error = read(&source, true).unwrap_err();
    assert!(error.to_string().ends_with("faults.parquet:2: the column `text` holds no text"), "{error}");
    assert!(error.hint().unwrap().contains("--on-bad-row skip"));
    let data = read(&Source { on_bad_row: BadRow::Skip, ..source.clone() }, true).unwrap();
    let notes: Vec<(u64, &str)> = data.bad_rows.iter().map(|row| (row.line, row.reason.as_str())).collect();
    assert_eq!(
        notes,
        [
            (2, "the column `text` holds no text"),
            (3, "the column `label` holds no label"),
            (4, "the column `label` holds the class id 3, expected 0 to 2"),
            (5, "the column `label` holds the class id -1, expected 0 to 2"),
        ]
    );
    assert_eq!(
        (labels(&data), data.rows_read),
        (["neutral", "angry", "glad", "angry"].map(Into::into).into(), 8)
    );

    let score = Source { label_column: Some("score".into()), on_bad_row: BadRow::Skip, ..source };
    let reasons: Vec<String> =
        read(&score, true).unwrap().bad_rows.into_iter().map(|row| row.reason).collect();
    assert!(reasons[1].contains("the number 0.5") && reasons[2].contains("the number NaN"), "{reasons:?}");
}

#[test]
fn columns_that_cannot_be_used_are_refused_by_what_they_hold() {
    let refused = |text: &str, label: &str| {
        let source = Source {
            text_column: Some(text.into()),
            label_column: Some(label.into()),
            ..Source::new(path("faults.parquet"))
        };
        let error = read(&source, true).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        error.to_string()
    };
    for (text, label, found) in [
        ("text", "tokens", "the column `tokens`, wanted for the label, holds lists"),
        ("text", "pair", "holds records of fields"),
        ("text", "day", "holds dates, times or decimal numbers"),
        ("label", "score", "the column `label`, wanted for the text, holds whole numbers; expected strings"),
        ("text", "lable", "no column `lable` for the label"),
        ("bytes", "label", "expected UTF-8, found the byte 0xff"),
    ] {
        let error = refused(text, label);
        assert!(error.contains(found), "{error}");
    }
    let source = Source { label_column: Some("lable".into()), ..Source::new(path("faults.parquet")) };
    assert_eq!(read(&source, true).unwrap_err().hint().unwrap(), "did you mean --label-column label?");
    let source = Source { columns: Some(vec!["a".into()]), ..Source::new(path("kinds.parquet")) };
    assert!(matches!(read(&source, true).unwrap_err(), Error::Setting { setting: "columns", .. }));
}

#[test]
fn encrypted_files_are_refused() {
    let error = read(&Source::new(path("encrypted.parquet")), true).unwrap_err();
    assert!(error.to_string().ends_with("the file is encrypted"), "{error}");
    assert!(error.hint().unwrap().contains("decrypt"), "{:?}", error.hint());
    // Only a column is encrypted here, and the footer does not say so in a way that the reader knows.
    let error = read(&Source::new(path("encrypted-columns.parquet")), true).unwrap_err();
    assert!(matches!(error, Error::Parquet { .. }), "{error}");
}

#[test]
fn labels_that_are_kept_back_are_told_from_wrong_ones() {
    let source = Source::new(path("hidden.parquet"));
    assert!(labels_are_hidden(&source).unwrap());
    assert!(!labels_are_hidden(&two_shards()).unwrap());
    let error = read(&source, true).unwrap_err();
    assert!(
        error.to_string().ends_with("hidden.parquet: every class id is -1: the labels are kept back"),
        "{error}"
    );
    assert_eq!(read(&source, false).unwrap().examples.len(), 3);
}
