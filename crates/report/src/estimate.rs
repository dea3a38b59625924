//! A mean with its uncertainty, and what it says about a prediction.
//!
//! The unit of replication is the *draw*: one set of weights, one seed. Samples or pixels within a draw share
//! its weights and are no further evidence.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::{Error, Result};

/// Confidence of an interval that says nothing else.
const CONFIDENCE: f64 = 0.95;

/// A mean over independent draws with its confidence interval: 95 % unless another confidence was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Arithmetic mean of the draws: what a statement about an expectation is judged by.
    pub mean: f64,
    /// Median of the draws: what a typical draw is like, far below the mean where the draws are log-normal.
    pub median: f64,
    /// Lower end of the interval of the mean.
    pub low: f64,
    /// Upper end of the interval of the mean.
    pub high: f64,
    /// Number of independent draws.
    pub draws: usize,
}

/// What an [`Estimate`] says about a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The whole interval lies within the tolerance of the prediction.
    Confirmed,
    /// The whole interval lies outside it.
    Refuted,
    /// Neither: more draws are needed.
    Inconclusive,
}

impl Verdict {
    /// The word in `verdicts.csv`.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Refuted => "refuted",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

impl Estimate {
    /// Mean and interval by Student's t: `mean ± t(0.975, n-1)·s/√n`, with `s` the sample standard deviation.
    ///
    /// Exact for normal draws. For few, skewed draws (products of many random factors) prefer
    /// [`Estimate::bootstrap`], or more draws.
    ///
    /// Source: Student 1908, "The probable error of a mean".
    ///
    /// # Errors
    /// [`Error::TooFew`] for less than two draws, [`Error::NotFinite`] for a draw, or a sum of them, that is not
    /// a finite number.
    pub fn from_draws(draws: &[f64]) -> Result<Estimate> {
        Estimate::from_draws_at(draws, CONFIDENCE)
    }

    /// As [`Estimate::from_draws`], with an interval of another confidence: the share of such intervals that hold the
    /// mean.
    ///
    /// # Errors
    /// As [`Estimate::from_draws`]; also [`Error::Confidence`] unless it lies between 0 and 1.
    pub fn from_draws_at(draws: &[f64], confidence: f64) -> Result<Estimate> {
        let tail = tail(confidence)?;
        let (mean, median) = centre(draws)?;
        let n = draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let half = t_quantile(1.0 - tail, n - 1.0)? * (variance / n).sqrt();
        let (low, high) = (finite("lower end", mean - half)?, finite("upper end", mean + half)?);
        Ok(Estimate { mean, median, low, high, draws: draws.len() })
    }

    /// Mean and interval by the percentile bootstrap: the 2.5 % and 97.5 % points of the means of `resamples`
    /// samples of the same size, drawn with replacement.
    ///
    /// `below(n)` returns a random index in `0..n`; it is called resample by resample, draw by draw.
    ///
    /// Source: Efron 1979, "Bootstrap methods: another look at the jackknife"; Efron & Tibshirani 1993, ch. 13.
    ///
    /// # Errors
    /// As [`Estimate::from_draws`]; also [`Error::TooFew`] for no resample and [`Error::Draw`] if `below`
    /// returns an index out of its range.
    pub fn bootstrap(draws: &[f64], resamples: usize, below: impl FnMut(usize) -> usize) -> Result<Estimate> {
        let (mean, median) = centre(draws)?;
        let estimate = Estimate::resampled(draws, average, resamples, CONFIDENCE, below)?;
        Ok(Estimate { mean, median, ..estimate })
    }

    /// Any `statistic` of the draws, as both mean and median, with its interval of the given confidence by the
    /// percentile bootstrap.
    ///
    /// `below(n)` returns a random index in `0..n`; it is called resample by resample, draw by draw.
    ///
    /// # Errors
    /// As [`Estimate::bootstrap`] and [`Estimate::from_draws_at`].
    pub fn resampled<T: Copy>(
        draws: &[T],
        statistic: impl Fn(&[T]) -> f64,
        resamples: usize,
        confidence: f64,
        mut below: impl FnMut(usize) -> usize,
    ) -> Result<Estimate> {
        let tail = tail(confidence)?;
        if draws.len() < 2 {
            return Err(Error::TooFew { what: "draws", expected: 2, found: draws.len() });
        }
        let value = finite("statistic of the draws", statistic(draws))?;
        let mut values = Vec::with_capacity(resamples);
        let mut sample = draws.to_vec();
        for _ in 0..resamples {
            for place in &mut sample {
                let index = below(draws.len());
                *place = *draws.get(index).ok_or(Error::Draw { expected: draws.len(), found: index })?;
            }
            values.push(statistic(&sample));
        }
        let (low, high) = percentiles_at(&mut values, tail)?;
        Ok(Estimate { mean: value, median: value, low, high, draws: draws.len() })
    }

    /// What the estimate says about `predicted`, give or take `tolerance` (absolute, in the same unit).
    ///
    /// An equivalence test: [`Verdict::Confirmed`] if the interval lies within `predicted ± tolerance`,
    /// [`Verdict::Refuted`] if it lies wholly outside, else [`Verdict::Inconclusive`]. "The interval contains
    /// the prediction" would confirm everything as long as the draws are few.
    ///
    /// Source: Schuirmann 1987, the two one-sided tests procedure.
    ///
    /// # Errors
    /// [`Error::NotFinite`] for a prediction or tolerance that is not finite, [`Error::Tolerance`] for a
    /// tolerance below zero.
    pub fn verdict(&self, predicted: f64, tolerance: f64) -> Result<Verdict> {
        let (predicted, tolerance) = (finite("prediction", predicted)?, finite("tolerance", tolerance)?);
        if tolerance < 0.0 {
            return Err(Error::Tolerance { found: tolerance });
        }
        let (least, most) = (predicted - tolerance, predicted + tolerance);
        Ok(if self.low >= least && self.high <= most {
            Verdict::Confirmed
        } else if self.high < least || self.low > most {
            Verdict::Refuted
        } else {
            Verdict::Inconclusive
        })
    }
}

/// The 2.5 % and 97.5 % points of `values`, interpolated linearly between neighbours (NumPy's default, type 7
/// of Hyndman & Fan 1996). Sorts `values`.
///
/// # Errors
/// [`Error::TooFew`] without values, [`Error::NotFinite`] for a value that is not a finite number.
pub fn percentiles(values: &mut [f64]) -> Result<(f64, f64)> {
    percentiles_at(values, tail(CONFIDENCE)?)
}

/// The points with the share `tail` of the values beyond them, on either side.
fn percentiles_at(values: &mut [f64], tail: f64) -> Result<(f64, f64)> {
    let Some(last) = values.len().checked_sub(1) else {
        return Err(Error::TooFew { what: "resamples", expected: 1, found: 0 });
    };
    for value in values.iter() {
        finite("resampled value", *value)?;
    }
    values.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let position = share * last as f64;
        let below = position.floor() as usize;
        let above = (below + 1).min(last);
        values[below] + (position - below as f64) * (values[above] - values[below])
    };
    Ok((at(tail), at(1.0 - tail)))
}

/// Share of draws outside an interval of this confidence, on each side.
fn tail(confidence: f64) -> Result<f64> {
    if confidence > 0.0 && confidence < 1.0 {
        Ok((1.0 - confidence) / 2.0)
    } else {
        Err(Error::Confidence { found: confidence })
    }
}

fn average(draws: &[f64]) -> f64 {
    draws.iter().sum::<f64>() / draws.len() as f64
}

/// Mean and median of two or more finite draws.
fn centre(draws: &[f64]) -> Result<(f64, f64)> {
    if draws.len() < 2 {
        return Err(Error::TooFew { what: "draws", expected: 2, found: draws.len() });
    }
    let mut sorted = draws.to_vec();
    for draw in draws {
        finite("draw", *draw)?;
    }
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
    let mean = finite("mean of the draws", draws.iter().sum::<f64>() / draws.len() as f64)?;
    Ok((mean, median))
}

fn t_quantile(share: f64, freedom: f64) -> Result<f64> {
    match StudentsT::new(0.0, 1.0, freedom) {
        Ok(student) => finite("quantile of Student's t", student.inverse_cdf(share)),
        Err(_) => Err(Error::NotFinite { what: "degrees of freedom", found: freedom }),
    }
}

fn finite(what: &'static str, found: f64) -> Result<f64> {
    if found.is_finite() { Ok(found) } else { Err(Error::NotFinite { what, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, tolerance: f64) {
        assert!((found - expected).abs() <= tolerance, "expected {expected}, found {found}");
    }

    #[test]
    fn quantiles_are_those_of_scipy() {
        // python -c "from scipy.stats import t; print([t.ppf(.975, d) for d in (1, 2, 4, 19, 99, 1999)])"
        // (scipy 1.17). One degree of freedom is the Cauchy law: tan(0.475 π).
        for (freedom, expected) in [
            (1.0, 12.706204736174694),
            (2.0, 4.302652729749462),
            (4.0, 2.7764451051977934),
            (19.0, 2.0930240544083087),
            (99.0, 1.9842169515864174),
            (1999.0, 1.9611514201705613),
        ] {
            // Intervals are read to three digits; the quantile's own error must be far below that.
            close(t_quantile(0.975, freedom).unwrap(), expected, 1e-7 * expected);
        }
    }

    #[test]
    fn the_interval_is_the_one_of_scipy() {
        // x = [1.2, .7, 1.9, 1.1, .4]; t.interval(.95, 4, loc=mean(x), scale=sem(x))
        let estimate = Estimate::from_draws(&[1.2, 0.7, 1.9, 1.1, 0.4]).unwrap();
        close(estimate.mean, 1.06, 1e-12);
        close(estimate.median, 1.1, 0.0);
        close(estimate.low, 0.35432399539688164, 1e-7);
        close(estimate.high, 1.7656760046031184, 1e-7);
        assert_eq!(estimate.draws, 5);
    }

    #[test]
    fn the_order_of_draws_matters_only_to_the_last_digits() {
        let forward: Vec<f64> = (0..100).map(|i| ((i * 37) % 101) as f64 / 7.0).collect();
        let backward: Vec<f64> = forward.iter().rev().copied().collect();
        let (a, b) = (Estimate::from_draws(&forward).unwrap(), Estimate::from_draws(&backward).unwrap());
        // 100 additions of numbers below 15: some 100 ulp.
        close(a.low, b.low, 1e-12);
        assert_eq!(a.median, b.median);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(Estimate::from_draws(&[4.0, 1.0, 2.0, 100.0]).unwrap().median, 3.0);
    }

    #[test]
    fn the_bootstrap_over_all_resamples_is_exact() {
        // All 27 resamples of [0, 3, 6]: means 0..=6 with counts 1, 3, 6, 7, 6, 3, 1. Positions 0.65 and 25.35
        // of the sorted 27 lie between 0 and 1, and between 5 and 6.
        let mut calls = 0;
        let odometer = |n: usize| {
            assert_eq!(n, 3);
            let (resample, place) = (calls / 3, calls % 3);
            calls += 1;
            resample / 3usize.pow(place as u32) % 3
        };
        let estimate = Estimate::bootstrap(&[0.0, 3.0, 6.0], 27, odometer).unwrap();
        close(estimate.low, 0.65, 1e-12);
        close(estimate.high, 5.35, 1e-12);
        assert_eq!((estimate.mean, estimate.median), (3.0, 3.0));
    }

    #[test]
    fn percentiles_are_those_of_numpy() {
        // numpy.quantile([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], [.025, .975])
        let mut values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0, 5.0, 3.0, 5.0];
        let (low, high) = percentiles(&mut values).unwrap();
        close(low, 1.0, 1e-12);
        close(high, 8.25, 1e-12);
        assert_eq!(percentiles(&mut [2.0]).unwrap(), (2.0, 2.0));
    }

    #[test]
    fn the_verdict_is_an_equivalence_test() {
        let estimate = Estimate { mean: 1.0, median: 1.0, low: 0.98, high: 1.02, draws: 20 };
        for (predicted, tolerance, expected) in [
            (1.0, 0.03, Verdict::Confirmed),
            (1.0, 0.02, Verdict::Confirmed), // the ends belong to the interval
            (1.0, 0.01, Verdict::Inconclusive), // contains the prediction, and still says nothing
            (1.03, 0.03, Verdict::Inconclusive),
            (1.03, 0.005, Verdict::Refuted),
            (0.9, 0.05, Verdict::Refuted),
            (1.0, 0.0, Verdict::Inconclusive),
        ] {
            assert_eq!(estimate.verdict(predicted, tolerance).unwrap(), expected, "{predicted} {tolerance}");
        }
    }

    #[test]
    fn a_verdict_is_recorded_under_its_name() {
        for verdict in [Verdict::Confirmed, Verdict::Refuted, Verdict::Inconclusive] {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), format!("\"{}\"", verdict.name()));
        }
    }

    #[test]
    fn few_draws_confirm_nothing() {
        let estimate = Estimate::from_draws(&[0.9, 1.1]).unwrap();
        assert_eq!(estimate.verdict(1.0, 0.03).unwrap(), Verdict::Inconclusive);
    }

    #[test]
    fn impossible_questions_are_refused() {
        assert!(matches!(Estimate::from_draws(&[1.0]), Err(Error::TooFew { expected: 2, found: 1, .. })));
        assert!(matches!(Estimate::from_draws(&[1.0, f64::NAN]), Err(Error::NotFinite { .. })));
        assert!(matches!(Estimate::from_draws(&[f64::MAX, f64::MAX]), Err(Error::NotFinite { .. })));
        assert!(matches!(Estimate::bootstrap(&[1.0, 2.0], 0, |_| 0), Err(Error::TooFew { .. })));
        let out = Estimate::bootstrap(&[1.0, 2.0], 1, |n| n);
        assert!(matches!(out, Err(Error::Draw { expected: 2, found: 2 })));
        let estimate = Estimate::from_draws(&[1.0, 1.0]).unwrap();
        assert!(matches!(estimate.verdict(1.0, -0.1), Err(Error::Tolerance { .. })));
        assert!(matches!(estimate.verdict(f64::NAN, 0.1), Err(Error::NotFinite { .. })));
    }
}
