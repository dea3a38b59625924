//! The examples that the model is most sure of, and wrong.

use xexp_data::Dataset;
use xexp_report::{Cell, Table};
use xexp_train::metrics::{Logits, log_softmax};

use crate::failure::Failure;
use crate::scoring::Scored;

/// Most rows of the table.
const ROWS: usize = 12;
/// Most characters of a text; the rest is left out with an ellipsis.
const CHARACTERS: usize = 160;
/// Digits of a probability.
const DIGITS: u8 = 3;

/// A row an example; `None` where nothing is wrong.
///
/// # Errors
/// None in practice: the table is well formed.
pub fn most_confident(data: &Dataset, scored: &Scored, names: &[String]) -> Result<Option<Table>, Failure> {
    let logits = Logits::new(&scored.logits, names.len())?;
    let predicted = logits.predictions();
    let mut wrong: Vec<(f64, f64, usize)> = logits
        .rows()
        .enumerate()
        .filter(|&(i, _)| predicted[i] != scored.labels[i])
        .map(|(i, row)| {
            let p = log_softmax(row);
            (p[predicted[i] as usize].exp(), p[scored.labels[i] as usize].exp(), i)
        })
        .collect();
    if wrong.is_empty() {
        return Ok(None);
    }
    // The surest first, and of equals the first.
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
    let mut table = Table::new(["example", "truth", "its probability", "prediction", "its probability"]);
    for (sure, of_truth, i) in wrong.into_iter().take(ROWS) {
        let example = &data.examples[i];
        let text = match &example.pair {
            Some(pair) => format!("{} / {pair}", example.text),
            None => example.text.clone(),
        };
        table.push([
            shortened(&text).into(),
            names[scored.labels[i] as usize].as_str().into(),
            Cell::decimals(of_truth, DIGITS),
            names[predicted[i] as usize].as_str().into(),
            Cell::decimals(sure, DIGITS),
        ])?;
    }
    Ok(Some(table))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}
