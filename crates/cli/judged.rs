//! What a model says of one example, in the one form that `predict` and `serve` give it.

use xexp_train::metrics::{Logits, cooled, log_softmax};

use crate::failure::Failure;

/// One example's logits, and what follows from them.
#[derive(Debug)]
pub struct Judged<'a> {
    /// Class of the largest logit.
    pub best: usize,
    /// Probability of each class at the temperature, `(classes,)`.
    pub shares: Vec<f64>,
    /// Logits, `(classes,)`.
    pub logits: &'a [f32],
}

/// Judges logits `(examples, classes)` at a temperature.
///
/// # Errors
/// A logit that is no finite number, or becomes none when divided.
pub fn judged(logits: &[f32], classes: usize, temperature: f64) -> Result<Vec<Judged<'_>>, Failure> {
    let all = Logits::new(logits, classes)?;
    let one = |(row, best)| {
        let shares = log_softmax(&cooled(row, temperature)?).into_iter().map(f64::exp).collect();
        Ok(Judged { best, shares, logits: row })
    };
    all.rows().zip(all.predictions().into_iter().map(|best| best as usize)).map(one).collect()
}
