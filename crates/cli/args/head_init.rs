//! `--head-init`: the names that a new head's initialization goes by on the command line.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::number;
use crate::nearest::nearest;

/// How the weights of a new head begin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeadInit {
    /// Normal with variance `2 / (fan in + fan out)`. Source: Glorot and Bengio 2010, eq. 12.
    Xavier,
    /// Normal with variance `2 / fan in`. Source: He et al. 2015, eq. 10.
    He,
    /// Normal with variance `1 / fan in`. Source: LeCun et al. 1998, section 4.6.
    Lecun,
    /// All zero: the first logits are the bias.
    Zero,
    /// Normal with a standard deviation of the user's choice.
    Normal {
        /// The standard deviation.
        std: f64,
    },
    /// Orthonormal rows. Source: Saxe et al. 2014.
    Orthogonal,
    /// Scaled so that the logits' variance on measured features meets a target.
    Calibrated,
    /// What the family's own code in transformers does.
    Hf,
}

/// The spellings, for help and for suggestions.
const NAMES: [&str; 8] = ["xavier", "he", "lecun", "zero", "normal:STD", "orthogonal", "calibrated", "hf"];

impl FromStr for HeadInit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(std) = text.strip_prefix("normal:") {
            return Ok(Self::Normal {
                std: number::positive(std).map_err(|e| format!("{e} after `normal:`"))?,
            });
        }
        match text {
            "xavier" => Ok(Self::Xavier),
            "he" => Ok(Self::He),
            "lecun" => Ok(Self::Lecun),
            "zero" => Ok(Self::Zero),
            "orthogonal" => Ok(Self::Orthogonal),
            "calibrated" => Ok(Self::Calibrated),
            "hf" => Ok(Self::Hf),
            "normal" => Err("`normal` needs its standard deviation, such as normal:0.02".into()),
            other => {
                let meant =
                    nearest(other, NAMES).map_or_else(String::new, |near| format!("; did you mean {near}?"));
                Err(format!("expected one of {}{meant}", NAMES.join(", ")))
            }
        }
    }
}

impl fmt::Display for HeadInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Xavier => "xavier",
            Self::He => "he",
            Self::Lecun => "lecun",
            Self::Zero => "zero",
            Self::Normal { std } => return write!(f, "normal:{std}"),
            Self::Orthogonal => "orthogonal",
            Self::Calibrated => "calibrated",
            Self::Hf => "hf",
        })
    }
}

impl Serialize for HeadInit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_as_written() {
        for name in NAMES.map(|name| name.replace("STD", "0.02")) {
            assert_eq!(name.parse::<HeadInit>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_wrong_standard_deviation_is_an_error() {
        for text in ["normal", "normal:", "normal:0", "normal:-1", "normal:inf", "normal:x"] {
            assert!(text.parse::<HeadInit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_misspelt_name_brings_the_nearest() {
        assert!("xavir".parse::<HeadInit>().unwrap_err().ends_with("did you mean xavier?"));
    }
}
