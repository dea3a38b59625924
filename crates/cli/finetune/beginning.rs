//! `--head-init` and `--head-bias`: how the new head begins.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use xexp_heads::{Choice, Classifier, Company, HeadInit, Moments, Truth, choose};

use super::Args;
use super::args::{Backbone, Strategy};
use crate::failure::Failure;

/// A law of the head's weights, or the choice of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeadRule {
    /// Chosen once the features have been measured.
    Auto,
    /// This one.
    Fixed(HeadInit),
}

impl FromStr for HeadRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(HeadRule::Auto),
            law => law.parse().map(HeadRule::Fixed).map_err(|error| format!("{error}, or auto")),
        }
    }
}

impl fmt::Display for HeadRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadRule::Auto => f.write_str("auto"),
            HeadRule::Fixed(init) => init.fmt(f),
        }
    }
}

impl Serialize for HeadRule {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the head's bias begins as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadBias {
    /// Zeros.
    Zero,
    /// Logarithms of the classes' shares among the training labels.
    Prior,
}

/// Whether the flags fit each other.
///
/// # Errors
/// A scale of a law that is not known yet.
pub fn check(args: &Args) -> Result<(), Failure> {
    if args.head.head_init == HeadRule::Auto && args.head.head_scale != 1.0 {
        let message = "--head-scale: under --head-init auto the scale is chosen with the law";
        return Err(Failure::input(message).hint("leave one of the two flags away"));
    }
    Ok(())
}

/// The law to draw by, and where it was chosen, why.
///
/// # Errors
/// None in practice: moments of features are numbers.
pub fn law(
    args: &Args,
    classifier: &Classifier,
    moments: &Moments,
) -> Result<(HeadInit, Option<Choice>), Failure> {
    let company = match (args.training.strategy, args.training.backbone) {
        (Strategy::Probe | Strategy::LpFt, _) => Company::Nothing,
        (_, Backbone::Pretrained) => Company::Pretrained,
        (_, Backbone::Random) => Company::New,
    };
    match args.head.head_init {
        HeadRule::Fixed(init) => Ok((init, None)),
        HeadRule::Auto => {
            let choice = choose(classifier.classes(), moments, company)?;
            Ok((choice.init, Some(choice)))
        }
    }
}

/// What the bias is set to, if to anything: a chosen head without a bias, or of another task than classes, goes without one.
///
/// # Errors
/// A bias from the shares of classes where there are none.
pub fn bias(args: &Args, classifier: &Classifier, truth: &Truth) -> Result<Option<HeadBias>, Failure> {
    let classes = matches!(truth, Truth::Classes(_));
    if args.head.head_bias == Some(HeadBias::Prior) && !classes {
        let message =
            "--head-bias prior: the bias is of the classes' shares, and an example has no one class";
        return Err(Failure::input(message).hint("leave the flag away, or say --task single-label"));
    }
    let chosen = args.head.head_init == HeadRule::Auto && classifier.head.bias.is_some() && classes;
    Ok(args.head.head_bias.or(chosen.then_some(HeadBias::Prior)))
}
