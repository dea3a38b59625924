//! One prediction, written down before anything is measured.

use serde::{Deserialize, Serialize};

use super::{Claim, Point, Rule, Statistic};

/// One prediction about one quantity, or a quantity that is only measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Name, unique in the experiment, such as `c32-c64-k3/forward`.
    pub row: String,
    /// What is measured, in plain words.
    pub quantity: String,
    /// Its unit; empty for a ratio or a count.
    pub unit: String,
    /// How the draws become one number.
    pub statistic: Statistic,
    /// The prediction of the exact theory; `None` for a quantity that is only measured.
    pub predicted: Option<Rule>,
    /// Why this tolerance, from the sizes alone.
    pub reason: String,
    /// Whether this is a wrong formula that the same draws must refute.
    pub control: bool,
    /// Why the prediction is expected to be refuted here, announced beforehand (a formula outside its range).
    pub announced: Option<String>,
    /// What the document says about the quantity.
    pub claim: Option<Claim>,
    /// Where it stands in a plot.
    pub point: Option<Point>,
}

impl Row {
    /// The mean of the draws recorded as `measure`, without a prediction so far.
    pub fn new(row: impl Into<String>, quantity: &str, measure: &str) -> Row {
        Row {
            row: row.into(),
            quantity: quantity.to_owned(),
            unit: String::new(),
            statistic: Statistic::Mean { of: measure.to_owned() },
            predicted: None,
            reason: String::new(),
            control: false,
            announced: None,
            claim: None,
            point: None,
        }
    }

    /// Predicts `value`, give or take `tolerance` (absolute), which is argued by `reason`.
    pub fn near(self, value: f64, tolerance: f64, reason: &str) -> Row {
        self.holds(Rule::Near { value, tolerance }, reason)
    }

    /// Predicts `value`, give or take the share `relative` of it, which is argued by `reason`.
    pub fn about(self, value: f64, relative: f64, reason: &str) -> Row {
        self.holds(Rule::about(value, relative), reason)
    }

    /// Predicts at most `value`, a bound argued by `reason`.
    pub fn at_most(self, value: f64, reason: &str) -> Row {
        self.holds(Rule::AtMost { value }, reason)
    }

    /// Predicts at least `value`, a bound argued by `reason`.
    pub fn at_least(self, value: f64, reason: &str) -> Row {
        self.holds(Rule::AtLeast { value }, reason)
    }

    fn holds(self, rule: Rule, reason: &str) -> Row {
        Row { predicted: Some(rule), reason: reason.to_owned(), ..self }
    }

    /// The unit, such as `nats`.
    pub fn unit(self, unit: &str) -> Row {
        Row { unit: unit.to_owned(), ..self }
    }

    /// Another statistic than the mean with Student's interval.
    pub fn by(self, statistic: Statistic) -> Row {
        Row { statistic, ..self }
    }

    /// Marks a wrong formula, which must be refuted.
    pub fn control(self) -> Row {
        Row { control: true, ..self }
    }

    /// Announces a refutation, with the reason.
    pub fn announce(self, reason: &str) -> Row {
        Row { announced: Some(reason.to_owned()), ..self }
    }

    /// Adds what the document says about the quantity, and why it fails where it does.
    pub fn claim(self, text: &str, says: Rule, why: &str) -> Row {
        Row { claim: Some(Claim { text: text.to_owned(), says, why: why.to_owned() }), ..self }
    }

    /// Puts the row into a figure.
    pub fn at(self, figure: &str, series: &str, x: f64) -> Row {
        Row { point: Some(Point { figure: figure.to_owned(), series: series.to_owned(), x }), ..self }
    }
}
