//! How a new head is drawn.

use crate::{Error, Moments, Result};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use xexp_init::{Init, Layer};

/// Logit variance that `calibrated` aims at: small enough that the initial loss exceeds `ln C` by about
/// `0.05`, large enough that the backbone receives a gradient at the first step.
/// Source: the expansion `E[loss] = ln C + s²/2 − …` of [`xexp_init::head_theory`].
pub const CALIBRATED_VARIANCE: f64 = 0.1;

/// The law of a new head's weights; its bias is zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HeadInit {
    /// `Var(w) = 2/(d + C)`. Source: Glorot and Bengio 2010, eq. 12.
    Xavier,
    /// `Var(w) = 2/d`. Source: He et al. 2015, eq. 10.
    He,
    /// `Var(w) = 1/d`. Source: LeCun et al. 1998, §4.6.
    Lecun,
    /// All zero: the logits start equal and the loss at exactly `ln C`.
    Zero,
    /// A normal law of this standard deviation.
    Normal(f64),
    /// Orthonormal rows (columns when `C > d`). Source: Saxe et al. 2014.
    Orthogonal,
    /// A normal law scaled so that the logits of the measured features have variance [`CALIBRATED_VARIANCE`].
    Calibrated,
    /// The family's own law in transformers.
    Hf,
}

impl HeadInit {
    /// The initializer for a head `layer`, its standard deviation multiplied by `scale`.
    ///
    /// `hf` is transformers' law for the family; `moments` are those of the features, needed by `calibrated` alone.
    ///
    /// # Errors
    /// A scale that is negative or not finite; calibration without features.
    pub fn resolve(self, layer: &Layer, scale: f64, hf: Init, moments: Option<&Moments>) -> Result<Init> {
        if !(scale.is_finite() && scale >= 0.0) {
            return Err(Error::Range {
                what: "head scale",
                expected: "a number of at least 0",
                found: scale,
            });
        }
        let scaled = |init: Init| Ok(Init::Normal { std: scale * init.std(layer)? });
        match self {
            HeadInit::Xavier => scaled(Init::xavier_normal()),
            HeadInit::He => scaled(Init::he(xexp_init::Activation::Relu)),
            HeadInit::Lecun => scaled(Init::lecun()),
            HeadInit::Zero => Ok(Init::Constant(0.0)),
            HeadInit::Normal(std) => Ok(Init::Normal { std: scale * std }),
            HeadInit::Orthogonal => Ok(Init::Orthogonal { gain: scale }),
            HeadInit::Hf => Ok(hf.times(scale)),
            HeadInit::Calibrated => {
                let energy = moments.map(|m| m.width as f64 * m.second_moment);
                match energy {
                    Some(e) if e > 0.0 => Ok(Init::Normal { std: scale * (CALIBRATED_VARIANCE / e).sqrt() }),
                    found => {
                        Err(Error::Calibration { found: found.map_or("none".into(), |e| e.to_string()) })
                    }
                }
            }
        }
    }
}

impl FromStr for HeadInit {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "xavier" => HeadInit::Xavier,
            "he" => HeadInit::He,
            "lecun" => HeadInit::Lecun,
            "zero" => HeadInit::Zero,
            "orthogonal" => HeadInit::Orthogonal,
            "calibrated" => HeadInit::Calibrated,
            "hf" => HeadInit::Hf,
            other => {
                let std = other.strip_prefix("normal:").and_then(|std| std.parse::<f64>().ok());
                match std {
                    Some(std) if std.is_finite() && std >= 0.0 => HeadInit::Normal(std),
                    Some(found) => {
                        let expected = "a finite number of at least 0";
                        return Err(Error::Range {
                            what: "standard deviation of normal:STD",
                            expected,
                            found,
                        });
                    }
                    None => return Err(Error::UnknownInit { found: other.to_string() }),
                }
            }
        })
    }
}

impl Serialize for HeadInit {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for HeadInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HeadInit::Normal(std) => write!(f, "normal:{std}"),
            HeadInit::Xavier => f.write_str("xavier"),
            HeadInit::He => f.write_str("he"),
            HeadInit::Lecun => f.write_str("lecun"),
            HeadInit::Zero => f.write_str("zero"),
            HeadInit::Orthogonal => f.write_str("orthogonal"),
            HeadInit::Calibrated => f.write_str("calibrated"),
            HeadInit::Hf => f.write_str("hf"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back_and_others_are_refused() {
        for name in ["xavier", "he", "lecun", "zero", "orthogonal", "calibrated", "hf", "normal:0.02"] {
            assert_eq!(name.parse::<HeadInit>().unwrap().to_string(), name);
        }
        for name in ["Xavier", "normal", "normal:", "normal:x", "normal:-1", "normal:inf", ""] {
            assert!(name.parse::<HeadInit>().is_err(), "{name}");
        }
    }

    #[test]
    fn standard_deviations_are_the_formulas() {
        let hf = Init::Normal { std: 0.02 };
        let layer = Layer::Linear { input: 384, output: 6 };
        let moments = Moments { second_moment: 0.25, ..Moments::of(&[0.5; 384], 384) };
        let std = |init: HeadInit| {
            init.resolve(&layer, 2.0, hf, Some(&moments)).unwrap().std(&layer).unwrap() / 2.0
        };
        for (init, expected) in [
            (HeadInit::Xavier, (2.0f64 / 390.0).sqrt()),
            (HeadInit::He, (2.0f64 / 384.0).sqrt()),
            (HeadInit::Lecun, (1.0f64 / 384.0).sqrt()),
            (HeadInit::Orthogonal, (1.0f64 / 384.0).sqrt()),
            (HeadInit::Normal(0.3), 0.3),
            (HeadInit::Hf, 0.02),
            (HeadInit::Calibrated, (0.1f64 / (384.0 * 0.25)).sqrt()),
            (HeadInit::Zero, 0.0),
        ] {
            assert!((std(init) - expected).abs() < 1e-12, "{init}");
        }
        assert!(HeadInit::Calibrated.resolve(&layer, 1.0, hf, None).is_err());
        assert!(HeadInit::Xavier.resolve(&layer, f64::NAN, hf, None).is_err());
    }
}
