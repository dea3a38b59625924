//! The answer to a request for predictions.

use serde::Serialize;

use super::queue::Computed;
use super::request::Wishes;
use crate::failure::Failure;
use crate::judged::{Judged, judged};

/// One prediction for each input, in their order; `/openapi.json` describes it.
#[derive(Debug, Serialize)]
pub struct Predictions<'a> {
    predictions: Vec<Prediction<'a>>,
}

#[derive(Debug, Serialize)]
struct Prediction<'a> {
    /// Name of the likeliest class.
    label: &'a str,
    /// Its probability.
    score: f64,
    /// Tokens of a text that were computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<usize>,
    /// Whether a text had more.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores: Option<Vec<Score<'a>>>,
    /// By class id; numbers of 32 bits, written as those of 64 that they equal, as `xexp predict` does.
    #[serde(skip_serializing_if = "Option::is_none")]
    logits: Option<Vec<f64>>,
}

#[derive(Debug, Serialize)]
struct Score<'a> {
    label: &'a str,
    score: f64,
}

/// What is answered, from what was computed.
///
/// # Errors
/// A logit that is no finite number.
pub fn predictions<'a>(
    computed: &Computed,
    names: &'a [String],
    temperature: f64,
    wishes: Wishes,
) -> Result<Predictions<'a>, Failure> {
    let judged = judged(&computed.logits, names.len(), temperature)?;
    let one = |(index, judged): (usize, Judged<'_>)| {
        let length = computed.lengths.get(index);
        Prediction {
            label: &names[judged.best],
            score: judged.shares[judged.best],
            tokens: length.map(|(tokens, _)| *tokens),
            truncated: length.map(|(tokens, whole)| tokens < whole),
            scores: wishes.top_k.map(|count| likeliest(&judged.shares, names, count)),
            logits: wishes.logits.then(|| judged.logits.iter().copied().map(f64::from).collect()),
        }
    };
    Ok(Predictions { predictions: judged.into_iter().enumerate().map(one).collect() })
}

/// Classes with the largest probabilities; of equals the first.
fn likeliest<'a>(shares: &[f64], names: &'a [String], count: usize) -> Vec<Score<'a>> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a]));
    order.into_iter().take(count).map(|class| Score { label: &names[class], score: shares[class] }).collect()
}
