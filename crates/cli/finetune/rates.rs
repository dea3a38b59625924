//! `--lr`: a number, or a measurement.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xexp_report::atomic;
use xexp_train::{Objective, Settings, first_steps};

use super::args::Backbone;
use super::{Args, Plan};
use crate::args::number;
use crate::failure::Failure;
use crate::{provenance, stdout};

/// Where a run keeps what was measured, so that a resumed one need not measure again.
const FILE: &str = "lr_auto.json";

/// A learning rate, or the wish for one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Measured.
    Auto,
    /// This one.
    Fixed(f64),
}

impl Rate {
    /// The number, if it is one.
    pub fn fixed(self) -> Option<f64> {
        match self {
            Rate::Auto => None,
            Rate::Fixed(rate) => Some(rate),
        }
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "auto" => Ok(Rate::Auto),
            text => number::positive(text).map(Rate::Fixed).map_err(|error| format!("{error}, or auto")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rate::Auto => f.write_str("auto"),
            Rate::Fixed(rate) => rate.fmt(f),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Rate::Auto => serializer.serialize_str("auto"),
            Rate::Fixed(rate) => serializer.serialize_f64(*rate),
        }
    }
}

/// What `--lr auto` came to; `lr_auto` in `results.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// How it was found.
    pub rule: String,
    /// Examples that were looked at.
    pub examples: usize,
    /// The rate beyond which the loss rises; under a probe the one up to which it is sure to fall. Null where none was reached.
    pub bound: Option<f64>,
    /// The rate at which the first steps lower the loss most; null where none is estimated.
    pub estimate: Option<f64>,
    /// The rate at which a step moves pretrained matrices by a hundredth of their size; null where none are trained.
    pub ratio_limit: Option<f64>,
    /// Peak rate used, of the backbone; 0 under a probe.
    pub lr: f64,
    /// The same of the head.
    pub head_lr: f64,
}

impl Measured {
    /// Of a probe, whose rate is its bound.
    pub fn of_probe(examples: usize, lambda_max: f64, lr: f64) -> Self {
        let rule = format!("4/λ_max of the standardised features, λ_max = {lambda_max:.4}");
        Measured {
            rule,
            examples,
            bound: Some(4.0 / lambda_max),
            estimate: None,
            ratio_limit: None,
            lr: 0.0,
            head_lr: lr,
        }
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |rate: Option<f64>| rate.map_or("none found".to_string(), |rate| format!("{rate:.3e}"));
        write!(
            f,
            "learning rate by {}, on {} examples: bound {}",
            self.rule,
            self.examples,
            shown(self.bound)
        )?;
        if let Some(estimate) = self.estimate {
            write!(f, ", estimate {estimate:.3e}")?;
        }
        if let Some(limit) = self.ratio_limit {
            write!(f, ", a hundredth of the matrices {limit:.3e}")?;
        }
        write!(f, "; used {:.3e}, for the head {:.3e}", self.lr, self.head_lr)
    }
}

/// The rates of a run that asks for them to be measured; `None` where it says them itself. A run that goes on takes those that
/// it began with.
///
/// # Errors
/// A loss that no small step lowers; a run that goes on and has not kept what it measured.
pub fn settle(
    args: &Args,
    plan: &Plan,
    objective: &dyn Objective,
    settings: &Settings,
    goes_on: bool,
) -> Result<Option<Measured>, Failure> {
    let path = plan.output.join(FILE);
    if args.training.lr != Some(Rate::Auto) {
        // A run that goes on may yet be refused for being another, and then needs what it measured.
        if !goes_on {
            provenance::remove(&path)?;
        }
        return Ok(None);
    }
    let measured = if goes_on { kept(&path)? } else { measure(args, objective, settings)? };
    if !args.shared.quiet {
        eprintln!("{measured}");
    }
    if !goes_on {
        atomic::write(&path, stdout::json(&measured)?)?;
    }
    Ok(Some(measured))
}

fn measure(args: &Args, objective: &dyn Objective, settings: &Settings) -> Result<Measured, Failure> {
    let Some(found) = first_steps::measure(objective, settings)? else {
        let message = "--lr auto: no step along the first update lowers the loss of the first examples";
        return Err(Failure::input(message).hint("look at the data and its labels, or give --lr a number"));
    };
    // Three digits, so that what is printed is what was used.
    let share = first_steps::SHARE * found.along.best;
    // A backbone drawn anew has nothing to keep, and adapters begin at zeros.
    let kept = found.rms.filter(|_| args.training.backbone == Backbone::Pretrained);
    let ratio_limit = kept.map(|rms| first_steps::MOST * rms);
    let lr = rounded(ratio_limit.map_or(share, |limit| share.min(limit)));
    let limit = found.along.limit;
    Ok(Measured {
        rule: format!(
            "{} of the best first step along AdamW's own update, at most {} of the matrices' root mean square",
            first_steps::SHARE,
            first_steps::MOST
        ),
        examples: found.examples,
        bound: limit.is_finite().then_some(limit),
        estimate: Some(found.along.best),
        ratio_limit,
        lr,
        head_lr: args.training.head_lr.unwrap_or(lr),
    })
}

fn rounded(rate: f64) -> f64 {
    // What `{:e}` prints reads back.
    format!("{rate:.2e}").parse().unwrap_or(rate)
}

fn kept(path: &Path) -> Result<Measured, Failure> {
    let missing = |error: &dyn std::error::Error| {
        Failure::input(format!(
            "{}: the learning rates that the run began with are not there",
            path.display()
        ))
        .because(error)
        .hint("go on with the --lr that the run began with, or begin again with --overwrite")
    };
    let text = std::fs::read_to_string(path).map_err(|error| missing(&error))?;
    serde_json::from_str(&text).map_err(|error| missing(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_numbers_above_0_or_auto() {
        assert_eq!("auto".parse(), Ok(Rate::Auto));
        assert_eq!("5e-5".parse(), Ok(Rate::Fixed(5e-5)));
        for text in ["0", "-1", "nan", "Auto", ""] {
            assert!(text.parse::<Rate>().unwrap_err().contains("or auto"), "{text}");
        }
        assert_eq!(rounded(2.345_678e-4), 2.35e-4);
    }
}
