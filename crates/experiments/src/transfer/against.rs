//! A head held against Xavier's of the same seed: same texts, same order, same random numbers.

use xexp_heads::HeadInit;
use xexp_report::lab::{Row, Rule};

use super::curve::Curve;
use super::start::is_small;
use crate::{Draw, Result};

const BEST: &str = "A new head on a pretrained backbone is best drawn by Xavier's rule.";
const BEST_WHY: &str = "with the learning rate tuned for each, other heads reach as much or more";
const FASTEST: &str = "A head drawn by Xavier's rule learns fastest.";
const FASTEST_WHY: &str =
    "a head that starts near zero has nothing to unlearn, and its own gradient is as large";
const SLOW: &str = "Too small a head learns slowly.";
const SLOW_WHY: &str =
    "the head's own gradient does not vanish with its weights, so a small head grows at once";

/// Rows of a head with its tuned learning rate; those against Xavier's for every other head.
pub fn rows(setup: &str, init: HeadInit) -> Vec<Row> {
    if init == HeadInit::Xavier {
        return vec![];
    }
    let row = |part: &str, quantity: &str| Row::new(format!("{setup}/{part}"), quantity, part);
    let slowness = row(
        "slowness",
        "logarithm of the steps to 90 % of the better head's best accuracy, over those of Xavier's head",
    );
    // The document: slower than Xavier's, which is the fastest.
    let no_faster = Rule::AtLeast { value: 0.0 };
    vec![
        row("gain", "test accuracy − that with Xavier's head").claim(
            BEST,
            Rule::AtMost { value: 0.0 },
            BEST_WHY,
        ),
        match is_small(init) {
            true => slowness.claim(SLOW, no_faster, SLOW_WHY),
            false => slowness.claim(FASTEST, no_faster, FASTEST_WHY),
        },
    ]
}

/// Records what [`rows`] are about, from the final accuracies and the curves.
///
/// # Errors
/// None in practice.
pub fn record(draw: &mut Draw<'_>, own: (f64, &Curve), xavier: (f64, &Curve)) -> Result<()> {
    draw.record("gain", own.0 - xavier.0)?;
    draw.record("slowness", own.1.slowness(xavier.1))
}
