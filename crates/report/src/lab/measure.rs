//! From independent draws to a number with an interval.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Estimate, Result};

/// Resamples of a bootstrap: the 98.75 % interval has 25 of them beyond each end.
const RESAMPLES: usize = 4000;

/// How the draws become one number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "statistic", rename_all = "kebab-case")]
pub enum Statistic {
    /// Arithmetic mean, interval by Student's t.
    Mean {
        /// Name under which the draws are recorded.
        of: String,
    },
    /// Arithmetic mean, interval by the bootstrap: for products of many random factors, whose draws are skewed.
    SkewedMean {
        /// Name under which the draws are recorded.
        of: String,
    },
    /// Median, interval by the bootstrap: what a typical draw is like.
    Median {
        /// Name under which the draws are recorded.
        of: String,
    },
    /// Ratio of two means over the same draws, interval by the bootstrap over pairs.
    RatioOfMeans {
        /// Name of the numerator's draws.
        of: String,
        /// Name of the denominator's draws.
        over: String,
    },
}

impl Statistic {
    /// The word in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Statistic::Mean { .. } => "mean",
            Statistic::SkewedMean { .. } => "mean, bootstrap",
            Statistic::Median { .. } => "median, bootstrap",
            Statistic::RatioOfMeans { .. } => "ratio of means, bootstrap",
        }
    }

    /// The statistic of the recorded draws, with their mean and median, and the interval of the statistic at the given
    /// confidence.
    ///
    /// `below(n)` returns a random index in `0..n`, for the bootstrap.
    ///
    /// # Errors
    /// [`Error::NotRecorded`] for draws that nobody recorded, and those of [`Estimate`].
    pub fn estimate(
        &self,
        draws: &BTreeMap<String, Vec<f64>>,
        confidence: f64,
        below: impl FnMut(usize) -> usize,
    ) -> Result<(f64, Estimate)> {
        let values = |name: &String| {
            draws.get(name).map(Vec::as_slice).ok_or_else(|| Error::NotRecorded {
                expected: name.clone(),
                found: draws.keys().cloned().collect(),
            })
        };
        let centred = |draws: &[f64], interval: Estimate| -> Result<(f64, Estimate)> {
            let plain = Estimate { mean: mean(draws), median: median(draws), ..interval };
            Ok((interval.mean, plain))
        };
        match self {
            Statistic::Mean { of } => {
                let estimate = Estimate::from_draws_at(values(of)?, confidence)?;
                Ok((estimate.mean, estimate))
            }
            Statistic::SkewedMean { of } => {
                let draws = values(of)?;
                centred(draws, Estimate::resampled(draws, mean, RESAMPLES, confidence, below)?)
            }
            Statistic::Median { of } => {
                let draws = values(of)?;
                centred(draws, Estimate::resampled(draws, median, RESAMPLES, confidence, below)?)
            }
            Statistic::RatioOfMeans { of, over } => {
                let (of, over) = (values(of)?, values(over)?);
                if of.len() != over.len() {
                    let what = "draws of the denominator";
                    return Err(Error::TooFew { what, expected: of.len(), found: over.len() });
                }
                let pairs: Vec<(f64, f64)> = of.iter().copied().zip(over.iter().copied()).collect();
                let ratio = |pairs: &[(f64, f64)]| {
                    let (a, b) = pairs.iter().fold((0.0, 0.0), |(a, b), pair| (a + pair.0, b + pair.1));
                    a / b
                };
                let estimate = Estimate::resampled(&pairs, ratio, RESAMPLES, confidence, below)?;
                Ok((estimate.mean, estimate))
            }
        }
    }
}

fn mean(draws: &[f64]) -> f64 {
    draws.iter().sum::<f64>() / draws.len() as f64
}

fn median(draws: &[f64]) -> f64 {
    let mut sorted = draws.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 }
}

/// How many draws there are at each look at the data, fixed beforehand.
///
/// A look may end the drawing, so each spends its share of the error rate: with `k` looks every interval has confidence
/// `1 − 0.05/k`, and the chance that any look errs is at most 5 % (Bonferroni). A plain 95 % interval with optional
/// stopping errs far more often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looks(Vec<usize>);

impl Default for Looks {
    fn default() -> Looks {
        Looks(vec![20, 40, 80, 160])
    }
}

impl Looks {
    /// Looks at these counts of draws.
    ///
    /// # Errors
    /// [`Error::Looks`] unless the counts rise and begin with 2 or more.
    pub fn at(counts: &[usize]) -> Result<Looks> {
        let rising = counts.windows(2).all(|pair| pair[0] < pair[1]);
        if !rising || counts.first().is_none_or(|&first| first < 2) {
            return Err(Error::Looks { found: counts.to_vec() });
        }
        Ok(Looks(counts.to_vec()))
    }

    /// The same looks, but with no more than `draws` draws: the looks below it, and one at it.
    ///
    /// # Errors
    /// [`Error::Looks`] for less than two draws.
    pub fn within(&self, draws: usize) -> Result<Looks> {
        let below = self.0.iter().copied().filter(|&count| count < draws);
        Looks::at(&below.chain([draws]).collect::<Vec<_>>())
    }

    /// The counts, rising.
    pub fn counts(&self) -> &[usize] {
        &self.0
    }

    /// Confidence of each look's interval.
    pub fn confidence(&self) -> f64 {
        1.0 - 0.05 / self.0.len() as f64
    }
}

/// What came out for one row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// [`Row::row`](super::Row::row).
    pub row: String,
    /// The statistic: what the prediction is about.
    pub value: f64,
    /// Mean and median of the draws and the statistic's interval, at the look that decided, or at the last one.
    pub estimate: Estimate,
    /// Confidence of its interval.
    pub confidence: f64,
    /// Whether the draws ended undecided, and how many more would decide, by the interval's shrinking as `1/√n`;
    /// `None` for a decided row, and where no number of draws would do.
    pub needs: Option<usize>,
}
