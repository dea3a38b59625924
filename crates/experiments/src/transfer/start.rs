//! How a new head starts on a backbone's features, before any step: predicted, and measured over many heads.

use std::sync::Arc;

use xexp_heads::{HeadInit, Moments};
use xexp_kernels::{linear, sum_of_squares};
use xexp_report::lab::{Looks, Row, Rule};

use super::demands::slug;
use super::shelf::Shelf;
use super::signals::{Given, Predicted, Signals};
use crate::{Draw, Result, Setup};

/// What is looked at before training.
#[derive(Clone, Copy, PartialEq)]
pub enum Start {
    /// The features.
    Features,
    /// A head on them.
    Head(HeadInit),
}

/// Predictions by the name of the initialization.
pub type Predictions = Shelf<String, (f64, Option<Predicted>)>;

/// Heads at the looks. With two classes and features that share a direction, one head's mean square of logits has a
/// relative spread of about 1: 2,560 of them bring the interval to 5 %.
const HEADS: [usize; 3] = [160, 640, 2560];
/// Looks at halves of the features, which agree so well that more say nothing.
const HALVES: usize = 5;
/// From this standard deviation on, a head is larger than any of the rules would draw it.
const LARGE: f64 = 0.5;
/// Up to this standard deviation, a head is smaller than Xavier's for widths up to 5,000.
const SMALL: f64 = 0.02;

const PREMISE: &str = "The features of a pretrained backbone have about zero mean and unit variance.";
const PREMISE_FAILS: &str = "nothing in pretraining asks for it: a backbone's last layer sets the scale, and much of the \
                             energy is a vector common to all texts";
const MODERATE: &str =
    "A head drawn by Xavier's rule gives moderate logits, which do not saturate the softmax.";
const MODERATE_WHY: &str =
    "the rule sees the two widths alone; where the features are small, so are the logits";
const VANISHES: &str = "Too large a head saturates the softmax, so that the gradient vanishes.";
const VANISHES_WHY: &str = "p − y of a saturated softmax is 0 or a whole misclassification, and W multiplies it: the \
                            gradient at the features grows with the head";
const WEAK: &str = "Too small a head has too weak a signal to learn from.";
const WEAK_WHY: &str =
    "the head's own gradient (p − y)φᵀ does not contain its weights: at W = 0 it is about as large";

/// Whether a head is too small in the document's sense.
pub fn is_small(init: HeadInit) -> bool {
    init == HeadInit::Zero || matches!(init, HeadInit::Normal(std) if std <= SMALL)
}

fn is_zero(init: HeadInit) -> bool {
    init == HeadInit::Zero || init == HeadInit::Normal(0.0)
}

/// The set-ups: the features, and each head.
///
/// # Errors
/// None in practice.
pub fn setups<S>(inits: &[HeadInit], of: impl Fn(Start) -> S) -> Result<Vec<Setup<S>>> {
    let features =
        Setup { name: "features".to_owned(), looks: Looks::at(&[HALVES])?, of: of(Start::Features) };
    let head = |&init: &HeadInit| -> Result<Setup<S>> {
        let name = format!("start-{}", slug(init));
        Ok(Setup { name, looks: Looks::at(&HEADS)?, of: of(Start::Head(init)) })
    };
    std::iter::once(Ok(features)).chain(inits.iter().map(head)).collect()
}

/// What is predicted: ratios that are 1 for every backbone and all texts.
pub fn predict(setup: &str, start: Start) -> Vec<Row> {
    let row =
        |part: &str, quantity: &str, measure: &str| Row::new(format!("{setup}/{part}"), quantity, measure);
    let init = match start {
        Start::Features => {
            return vec![
                row("second-moment", "second moment of the features", "second-moment").claim(
                    PREMISE,
                    Rule::about(1.0, 0.1),
                    PREMISE_FAILS,
                ),
                row("mean-share", "share of the features' energy that is common to all texts", "mean-share")
                    .claim(PREMISE, Rule::AtMost { value: 0.1 }, PREMISE_FAILS),
                row("effective-rank", "effective rank (tr C)²/tr C² of their second-moment matrix", "rank"),
            ];
        }
        Start::Head(init) => init,
    };
    let mut rows = vec![];
    if is_zero(init) {
        let exact = "exact: all logits are equal; what is left is the rounding of a sum of logarithms in f64";
        rows.extend([
            row("excess-loss", "initial loss − ln K", "excess-loss").unit("nats").near(0.0, 1e-9, exact),
            row("gradient", "gradient at the features", "gradient").near(
                0.0,
                0.0,
                "exact: Wᵀ(p − y) with W = 0",
            ),
        ]);
    } else {
        let tolerance = "10 %: the mean over heads is exact for any features; with two classes and features of one \
                         direction a head's relative spread is 1, and 2,560 heads resolve 5 %";
        rows.extend([
            row("logits-ratio", "second moment of the logits, over d·Var(w)·E φ²", "logits-ratio")
                .about(1.0, 0.1, tolerance),
            row(
                "loss-ratio",
                "initial loss, over the expected cross-entropy at these features",
                "loss-ratio",
            )
            .about(1.0, 0.1, tolerance),
            row(
                "gradient-ratio",
                "mean square of an example's gradient at the features, over 2·d·Var(w)·(1 − 1/K − F′)",
                "gradient-ratio",
            )
            .about(1.0, 0.1, tolerance),
            row(
                "control",
                "second moment of the logits, if outputs were counted in place of inputs",
                "control",
            )
            .about(1.0, 0.1, tolerance)
            .control(),
        ]);
    }
    let saturated = row("saturated", "share of texts with a class above 0.99", "saturated");
    rows.extend([
        row("logits", "second moment of the logits, measured", "logits"),
        row("logits-predicted", "second moment of the logits, predicted", "logits-predicted"),
        row("loss", "initial loss", "loss").unit("nats"),
        match init {
            HeadInit::Xavier => saturated.claim(MODERATE, Rule::AtMost { value: 0.01 }, MODERATE_WHY),
            _ => saturated,
        },
    ]);
    if init != HeadInit::Xavier {
        let back = row(
            "gradient-over-xavier",
            "gradient at the features, over that of Xavier's head",
            "gradient-over",
        );
        let own =
            row("head-gradient-over-xavier", "gradient at the head, over that of Xavier's head", "head-over");
        rows.push(match init {
            HeadInit::Normal(std) if std >= LARGE => {
                back.claim(VANISHES, Rule::AtMost { value: 1.0 }, VANISHES_WHY)
            }
            _ => back,
        });
        rows.push(match is_small(init) {
            true => own.claim(WEAK, Rule::AtMost { value: 0.5 }, WEAK_WHY),
            false => own,
        });
    }
    rows
}

/// One half of the features, or one head.
///
/// # Errors
/// An initialization that cannot be drawn, logits too large to predict.
pub fn draw(start: Start, given: &Given, predictions: &Predictions, draw: &mut Draw<'_>) -> Result<()> {
    match start {
        Start::Features => half(given, draw),
        Start::Head(init) => head(init, given, predictions, draw),
    }
}

fn half(given: &Given, draw: &mut Draw<'_>) -> Result<()> {
    let width = given.features.width;
    let mut rows: Vec<&[f32]> = given.features.values.chunks_exact(width).collect();
    draw.stream("half").shuffle(&mut rows);
    rows.truncate(rows.len().div_ceil(2));
    let count = rows.len();
    let values: Vec<f32> = rows.concat();
    let moments = Moments::of(&values, width);
    draw.record("second-moment", moments.second_moment)?;
    draw.record("mean-share", moments.mean_share)?;
    // tr C² of C = XᵀX/n is the square of the Gram matrix, without a matrix of the width's square.
    let mut gram = vec![0.0; count * count];
    linear::forward(&values, &values, None, &mut gram);
    draw.record("rank", sum_of_squares(&values).powi(2) / sum_of_squares(&gram))
}

fn head(init: HeadInit, given: &Given, predictions: &Predictions, draw: &mut Draw<'_>) -> Result<()> {
    let layer = given.layer();
    let drawn = |init: HeadInit| -> Result<(Vec<f32>, f64)> {
        let law = init.resolve(&layer, 1.0, given.hf, Some(&given.moments))?;
        Ok((law.fill(&layer, &mut draw.paired_seed().stream("head"))?, law.std(&layer)?))
    };
    let (weights, std) = drawn(init)?;
    let found = Signals::of(given, &weights);
    let xavier = match init {
        HeadInit::Xavier => None,
        _ => Some(Signals::of(given, &drawn(HeadInit::Xavier)?.0)),
    };
    let predicted: Arc<_> = predictions.get(init.to_string(), || {
        Ok((std, if is_zero(init) { None } else { Some(Predicted::new(given, std)?) }))
    })?;
    draw.record("logits", found.logits)?;
    draw.record("loss", found.loss)?;
    draw.record("saturated", found.saturated)?;
    match &predicted.1 {
        Some(predicted) => {
            draw.record("logits-predicted", predicted.logits)?;
            draw.record("logits-ratio", found.logits / predicted.logits)?;
            draw.record("loss-ratio", found.loss / predicted.loss)?;
            draw.record("gradient-ratio", found.gradient / predicted.gradient)?;
            // d and K change places.
            let swapped = given.features.width as f64 / given.classes as f64;
            draw.record("control", swapped * found.logits / predicted.logits)?;
        }
        None => {
            draw.record("logits-predicted", 0.0)?;
            draw.record("excess-loss", found.loss - (given.classes as f64).ln())?;
            draw.record("gradient", found.gradient)?;
        }
    }
    if let Some(xavier) = xavier {
        draw.record("gradient-over", (found.gradient / xavier.gradient).sqrt())?;
        draw.record("head-over", found.head_gradient / xavier.head_gradient)?;
    }
    Ok(())
}
