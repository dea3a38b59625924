//! The examples that the model is most wrong about.

use xexp_data::{Dataset, Labels};
use xexp_heads::Truth;
use xexp_kernels::binary_cross_entropy::softplus;
use xexp_report::{Block, Cell, Table};
use xexp_train::metrics::{HALF, Logits, applying, log_softmax};

use crate::failure::Failure;
use crate::scoring::Scored;

/// Most rows of the table.
const ROWS: usize = 12;
/// Most characters of a text; the rest is left out with an ellipsis.
const CHARACTERS: usize = 160;
/// Digits of a probability.
const DIGITS: u8 = 3;
/// Most points of a plot: more hide each other.
const POINTS: usize = 500;

/// What the report shows of single examples.
pub struct Shown {
    /// The worst of them.
    pub worst: Block,
    /// True and predicted values, evenly spread over the examples; none of other tasks.
    pub values: Vec<(f64, f64)>,
}

impl Shown {
    /// Of a scored set.
    ///
    /// # Errors
    /// None in practice: the tables are well formed.
    pub fn new(data: &Dataset, scored: &Scored, labels: &Labels) -> Result<Self, Failure> {
        let (worst, values) = match &scored.truth {
            Truth::Classes(truth) => (most_confident(data, scored, truth, labels.names())?, vec![]),
            Truth::Labels(truth) => (largest_losses(data, scored, truth, labels.names())?, vec![]),
            Truth::Values(values) => (largest_residuals(data, scored, values)?, spread(values, scored)),
        };
        Ok(Shown { worst, values })
    }
}

fn spread(values: &[f32], scored: &Scored) -> Vec<(f64, f64)> {
    let count = values.len().min(POINTS);
    let point = |i: usize| {
        let index = i * values.len() / count;
        (f64::from(values[index]), f64::from(scored.logits[index]))
    };
    (0..count).map(point).collect()
}

/// The examples that the model is most sure of, and wrong: a row an example.
fn most_confident(
    data: &Dataset,
    scored: &Scored,
    truth: &[u32],
    names: &[String],
) -> Result<Block, Failure> {
    let logits = Logits::new(&scored.logits, names.len())?;
    let predicted = logits.predictions();
    let mut wrong: Vec<(f64, f64, usize)> = logits
        .rows()
        .enumerate()
        .filter(|&(i, _)| predicted[i] != truth[i])
        .map(|(i, row)| {
            let p = log_softmax(row);
            (p[predicted[i] as usize].exp(), p[truth[i] as usize].exp(), i)
        })
        .collect();
    if wrong.is_empty() {
        return Ok(Block::Text("No example is labelled wrong.".to_string()));
    }
    // The surest first, and of equals the first.
    wrong.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
    let mut table = Table::new(["example", "truth", "its probability", "prediction", "its probability"]);
    for (sure, of_truth, i) in wrong.into_iter().take(ROWS) {
        table.push([
            text(data, i).into(),
            names[truth[i] as usize].as_str().into(),
            Cell::decimals(of_truth, DIGITS),
            names[predicted[i] as usize].as_str().into(),
            Cell::decimals(sure, DIGITS),
        ])?;
    }
    Ok(Block::Table("Wrong, the surest first".to_string(), table))
}

/// The examples whose labels surprise the model most.
fn largest_losses(
    data: &Dataset,
    scored: &Scored,
    truth: &[f32],
    names: &[String],
) -> Result<Block, Failure> {
    let labels = names.len();
    let logits = Logits::new(&scored.logits, labels)?;
    let said = applying(&logits, &vec![HALF; labels]);
    let loss = |(row, truth): (&[f32], &[f32])| {
        let entries = row.iter().zip(truth).map(|(&z, &t)| softplus(f64::from(z)) - f64::from(t * z));
        entries.sum::<f64>() / labels as f64
    };
    let losses = logits.rows().zip(truth.chunks_exact(labels)).map(loss);
    let mut order: Vec<(f64, usize)> = losses.enumerate().map(|(i, loss)| (loss, i)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let named = |of: &dyn Fn(usize) -> bool| {
        let found: Vec<&str> = (0..labels).filter(|label| of(*label)).map(|id| names[id].as_str()).collect();
        if found.is_empty() { "none".to_string() } else { found.join(", ") }
    };
    let mut table = Table::new(["example", "labels", "said at 0.5", "loss"]);
    for (loss, i) in order.into_iter().take(ROWS) {
        table.push([
            text(data, i).into(),
            named(&|label| truth[i * labels + label] > 0.5).into(),
            named(&|label| said[i * labels + label]).into(),
            Cell::decimals(loss, DIGITS),
        ])?;
    }
    Ok(Block::Table("The largest losses".to_string(), table))
}

/// The examples whose predicted value is farthest from the true one.
fn largest_residuals(data: &Dataset, scored: &Scored, values: &[f32]) -> Result<Block, Failure> {
    let apart = |(i, (z, y)): (usize, (&f32, &f32))| (f64::from(*z) - f64::from(*y), i);
    let mut order: Vec<(f64, usize)> = scored.logits.iter().zip(values).enumerate().map(apart).collect();
    order.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()).then(a.1.cmp(&b.1)));
    let mut table = Table::new(["example", "value", "prediction", "residual"]);
    for (residual, i) in order.into_iter().take(ROWS) {
        table.push([
            text(data, i).into(),
            Cell::decimals(values[i].into(), DIGITS),
            Cell::decimals(scored.logits[i].into(), DIGITS),
            Cell::decimals(residual, DIGITS),
        ])?;
    }
    Ok(Block::Table("The largest residuals".to_string(), table))
}

/// An example's text, or both of a pair, cut where it is long.
fn text(data: &Dataset, index: usize) -> String {
    let example = &data.examples[index];
    let text = match &example.pair {
        Some(pair) => format!("{} / {pair}", example.text),
        None => example.text.clone(),
    };
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
