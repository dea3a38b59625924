//! `predictions.csv`: what a model says of each example of a labelled set, for `xexp compare`.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord};
use xexp_data::{Dataset, Labels};
use xexp_heads::Truth;
use xexp_kernels::binary_cross_entropy::softplus;
use xexp_report::{Cell, Table};
use xexp_train::metrics::{HALF, Logits, applying, log_softmax};

use crate::failure::Failure;
use crate::scoring::Scored;

/// The file's name in a folder of results.
pub const FILE: &str = "predictions.csv";
const COLUMNS: [&str; 5] = ["id", "label", "prediction", "probability", "loss"];

/// The same of values; the loss is the squared error.
const VALUE_COLUMNS: [&str; 4] = ["id", "value", "prediction", "loss"];
/// The same of several labels, as JSON lists, said to apply at 0.5.
const LABEL_COLUMNS: [&str; 4] = ["id", "labels", "prediction", "loss"];

/// A row an example, in the data's order: its id, its label, the prediction and its probability, and the loss in nats; of other
/// tasks what they have of that.
///
/// # Errors
/// None in practice: the set has been scored.
pub fn table(data: &Dataset, scored: &Scored, labels: &Labels) -> Result<String, Failure> {
    let names = labels.names();
    let ids = data.examples.iter().map(|example| Cell::from(example.id.as_str()));
    let table = match &scored.truth {
        Truth::Classes(truth) => {
            let logits = Logits::new(&scored.logits, names.len())?;
            let mut table = Table::new(COLUMNS);
            for ((id, &label), (row, best)) in ids.zip(truth).zip(logits.rows().zip(logits.predictions())) {
                let p = log_softmax(row);
                table.push([
                    id,
                    names[label as usize].as_str().into(),
                    names[best as usize].as_str().into(),
                    Cell::decimals(p[best as usize].exp(), 6),
                    Cell::decimals(-p[label as usize], 6),
                ])?;
            }
            table
        }
        Truth::Labels(truth) => {
            let logits = Logits::new(&scored.logits, names.len())?;
            let said = applying(&logits, &vec![HALF; names.len()]);
            let list = |of: &mut dyn Iterator<Item = bool>| {
                let found: Vec<&String> =
                    names.iter().zip(of).filter_map(|(n, is)| is.then_some(n)).collect();
                Cell::from(serde_json::json!(found).to_string())
            };
            let mut table = Table::new(LABEL_COLUMNS);
            let rows = logits.rows().zip(truth.chunks_exact(names.len())).zip(said.chunks_exact(names.len()));
            for (id, ((row, truth), said)) in ids.zip(rows) {
                let entries = row.iter().zip(truth).map(|(&z, &t)| softplus(f64::from(z)) - f64::from(t * z));
                let loss = entries.sum::<f64>() / names.len() as f64;
                let truth = list(&mut truth.iter().map(|t| *t > 0.5));
                table.push([id, truth, list(&mut said.iter().copied()), Cell::decimals(loss, 6)])?;
            }
            table
        }
        Truth::Values(values) => {
            let mut table = Table::new(VALUE_COLUMNS);
            for (id, (&y, &z)) in ids.zip(values.iter().zip(&scored.logits)) {
                let (y, z) = (f64::from(y), f64::from(z));
                let loss = Cell::decimals((z - y).powi(2), 6);
                table.push([id, Cell::decimals(y, 6), Cell::decimals(z, 6), loss])?;
            }
            table
        }
    };
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
    let found: Vec<&str> = header.iter().collect();
    if [&VALUE_COLUMNS[..], &LABEL_COLUMNS[..]].contains(&&found[..]) {
        let message =
            "expected predictions of one class for an example, found those of another task".to_string();
        return Err(refuse(message).hint("`xexp evaluate --format json` gives scores with intervals of each"));
    }
    if header != &StringRecord::from(&COLUMNS[..]) {
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
