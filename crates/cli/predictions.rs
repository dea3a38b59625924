//! `predictions.csv`: what a model says of each example of a labelled set, for `xexp compare`.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use xexp_data::Dataset;
use xexp_report::{Cell, Table};
use xexp_train::metrics::{Logits, log_softmax};

use crate::failure::Failure;
use crate::scoring::Scored;

/// The file's name in a folder of results.
pub const FILE: &str = "predictions.csv";
const COLUMNS: [&str; 5] = ["id", "label", "prediction", "probability", "loss"];

/// A row an example, in the data's order: its id, its label, the prediction and its probability, and the loss in nats.
///
/// # Errors
/// None in practice: the set has been scored.
pub fn table(data: &Dataset, scored: &Scored, names: &[String]) -> Result<String, Failure> {
    let logits = Logits::new(&scored.logits, names.len())?;
    let mut table = Table::new(COLUMNS);
    let rows = data.examples.iter().zip(&scored.labels).zip(logits.rows().zip(logits.predictions()));
    for ((example, &label), (row, best)) in rows {
        let p = log_softmax(row);
        table.push([
            example.id.as_str().into(),
            names[label as usize].as_str().into(),
            names[best as usize].as_str().into(),
            Cell::decimals(p[best as usize].exp(), 6),
            Cell::decimals(-p[label as usize], 6),
        ])?;
    }
    Ok(table.csv())
}

/// A column of a folder's `predictions.csv`, of whatever task.
///
/// # Errors
/// A folder without it, or a table without the column.
pub fn column(folder: &Path, name: &str) -> Result<Vec<String>, Failure> {
    let path = folder.join(FILE);
    let refuse = || Failure::input(format!("{}: expected a table with the column {name}", path.display()));
    let mut reader = ReaderBuilder::new().from_path(&path).map_err(|error| refuse().because(&error))?;
    let header = reader.headers().map_err(|error| refuse().because(&error))?;
    let place = header.iter().position(|found| found == name).ok_or_else(refuse)?;
    let records = reader.records().map(|record| record.map_err(|error| refuse().because(&error)));
    records.map(|record| Ok(record?.get(place).unwrap_or_default().to_string())).collect()
}

/// What a folder's `predictions.csv` says.
pub struct Predictions {
    /// Ids of the examples.
    pub ids: Vec<String>,
    /// Their labels.
    pub labels: Vec<String>,
    /// What was predicted.
    pub predicted: Vec<String>,
    /// Cross-entropies, in nats.
    pub losses: Vec<f64>,
}

/// Reads the file of a folder.
///
/// # Errors
/// A folder without it, or a line that is not as [`table`] writes it.
pub fn read(folder: &Path) -> Result<Predictions, Failure> {
    let path = folder.join(FILE);
    let hint = "give the --output of `xexp finetune`, or of `xexp evaluate --output DIR`";
    let refuse = |message: String| Failure::input(format!("{}: {message}", path.display())).hint(hint);
    let bytes = std::fs::read(&path).map_err(|error| refuse("cannot read it".to_string()).because(&error))?;
    let mut reader = ReaderBuilder::new().from_reader(&bytes[..]);
    let header = reader.headers().map_err(|error| refuse("expected a table".to_string()).because(&error))?;
    if header != &StringRecord::from(&COLUMNS[..]) {
        let found: Vec<&str> = header.iter().collect();
        return Err(refuse(format!("expected the columns {}, found {}", COLUMNS.join(","), found.join(","))));
    }
    let mut read = Predictions { ids: vec![], labels: vec![], predicted: vec![], losses: vec![] };
    for (index, record) in reader.records().enumerate() {
        let line = index + 2;
        let record =
            record.map_err(|error| refuse(format!("line {line}: expected a row")).because(&error))?;
        let loss = record[4].parse::<f64>().ok().filter(|loss| loss.is_finite());
        read.losses.push(loss.ok_or_else(|| {
            refuse(format!("line {line}: expected a finite number as the loss, found `{}`", &record[4]))
        })?);
        for (list, column) in [(&mut read.ids, 0), (&mut read.labels, 1), (&mut read.predicted, 2)] {
            list.push(record[column].to_string());
        }
    }
    if read.ids.is_empty() {
        return Err(refuse("expected an example, found none".to_string()));
    }
    Ok(read)
}
