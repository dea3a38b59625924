//! The arguments of `xexp inspect`.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::str::FromStr;

use clap::ValueHint;
use serde::{Serialize, Serializer};
use xexp_inspect::findings::RULES;

use crate::args::{Reading, Shared, number};

/// The arguments of `xexp inspect`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The model: a folder in the Hugging Face layout, ORG/NAME or ORG/NAME@REVISION at the Hub, or bundled:NAME.
    #[arg(value_name = "MODEL", value_hint = ValueHint::DirPath, conflicts_with = "model")]
    pub subject: Option<String>,
    /// Real input for a pass: a file of texts, a folder of images, bundled:NAME or hub:ORG/NAME [default: none, and only
    /// the weights are measured].
    #[arg(long, env = "XEXP_DATA", value_name = "DATA", value_hint = ValueHint::AnyPath, help_heading = "Data")]
    pub data: Option<String>,
    /// The number of examples of the data that are used, spread evenly over it.
    #[arg(long, env = "XEXP_LIMIT", value_name = "N", default_value = "64", help_heading = "Data")]
    pub limit: NonZeroUsize,
    /// The blocks that are reported, such as 0,3-5, beside what lies outside all blocks [default: all].
    #[arg(long, env = "XEXP_LAYERS", value_name = "LIST")]
    pub layers: Option<Layers>,
    /// Another model of the same architecture: reports what changed from MODEL to it.
    #[arg(long, env = "XEXP_COMPARE", value_name = "MODEL", value_hint = ValueHint::DirPath)]
    pub compare: Option<String>,
    /// The learning rate whose steps are held against the weights.
    #[arg(long, env = "XEXP_LR", value_name = "X", default_value = "5e-5", value_parser = number::positive)]
    pub lr: f64,
    /// Searches, on labelled data, for the largest learning rates whose first step does not raise the loss; takes as much memory
    /// again as the model.
    #[arg(long, env = "XEXP_MAX_LR", requires = "data")]
    pub max_lr: bool,
    /// Ends with exit code 1 when one of these rules finds something: any, or some of nan, f16, dead, scale, outlier, frozen, uniform, collapse, gradient.
    #[arg(long, env = "XEXP_FAIL_ON", value_name = "RULE,…", value_delimiter = ',', value_parser = rule)]
    pub fail_on: Vec<String>,
    /// The flags that commands share.
    #[command(flatten)]
    #[serde(flatten)]
    pub shared: Shared,
    /// How the file is read.
    #[command(flatten)]
    #[serde(flatten)]
    pub reading: Reading,
}

impl Args {
    /// The model that was named, either way.
    pub fn model(&self) -> Option<&str> {
        self.subject.as_deref().or(self.shared.model.as_deref())
    }

    /// Whether a finding of this rule fails the command.
    pub fn fails_on(&self, found: &str) -> bool {
        self.fail_on.iter().any(|rule| rule == "any" || rule == found)
    }
}

fn rule(text: &str) -> Result<String, String> {
    let known: Vec<&str> = std::iter::once("any").chain(RULES.iter().map(|rule| rule.name)).collect();
    if known.contains(&text) {
        return Ok(text.to_string());
    }
    Err(format!("expected one of {}", known.join(", ")))
}

/// Numbers and ranges of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layers(pub BTreeSet<usize>);

/// The most blocks that a range may name.
const MOST: usize = 10_000;

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |part: &str| format!("{part:?}: expected a block or a range of blocks, such as 0,3-5");
        let mut all = BTreeSet::new();
        for part in text.split(',') {
            let number = |text: &str| text.trim().parse::<usize>().ok().filter(|n| *n < MOST);
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            match (number(first), number(last)) {
                (Some(first), Some(last)) if first <= last => all.extend(first..=last),
                _ => return Err(wrong(part)),
            }
        }
        Ok(Layers(all))
    }
}

impl Serialize for Layers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers: Vec<String> = self.0.iter().map(usize::to_string).collect();
        serializer.serialize_str(&numbers.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_numbers_and_ranges() {
        let read = |text: &str| text.parse::<Layers>().map(|layers| layers.0.into_iter().collect::<Vec<_>>());
        assert_eq!(read("0,3-5, 4"), Ok(vec![0, 3, 4, 5]));
        for text in ["", "a", "5-3", "-1", "0-99999999999", "1,,2"] {
            assert!(read(text).is_err(), "{text:?}");
        }
    }
}
