//! How near predicted values are to the true ones.

use serde::{Deserialize, Serialize};
use xexp_report::{Cell, Table};

use super::resamples::bootstrap;
use super::{Error, Interval, Result};

/// Digits after the point of a score.
const DIGITS: u8 = 4;

/// The scores of predicted values, named as in `results.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionScores {
    /// Number of examples.
    pub examples: usize,
    /// Pearson's correlation; null where predictions or values are all the same.
    pub pearson: Option<f64>,
    /// Spearman's rank correlation, ties at their average rank; null likewise.
    pub spearman: Option<f64>,
    /// Root of the mean squared error.
    pub rmse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Share of the values' variance that the predictions explain, `1 − Σ(z − y)²/Σ(y − ȳ)²`; null where the values are all
    /// the same.
    pub r2: Option<f64>,
    /// Mean squared error, which is what was minimised.
    pub loss: f64,
    /// 95 % intervals over samples of the examples.
    pub intervals: RegressionIntervals,
}

/// 95 % intervals by the percentile bootstrap; null where a sample leaves the score undefined.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegressionIntervals {
    /// Of Pearson's correlation.
    pub pearson: Option<Interval>,
    /// Of Spearman's.
    pub spearman: Option<Interval>,
    /// Of the root mean squared error.
    pub rmse: Option<Interval>,
}

impl RegressionScores {
    /// The scores of `predicted` against the true `values`. `below(n)` returns a random index in `0..n`, for the intervals.
    ///
    /// # Errors
    /// [`Error::Empty`] without examples, [`Error::Count`] for lists of different lengths, [`Error::NotFinite`] for a
    /// prediction that is no number, [`Error::Draw`] if `below` returns an index out of its range.
    pub fn measure(
        predicted: &[f32],
        values: &[f32],
        below: &mut dyn FnMut(usize) -> usize,
    ) -> Result<RegressionScores> {
        let (z, y) = checked(predicted, values)?;
        let pick = |of: &[f64], sample: &[usize]| sample.iter().map(|i| of[*i]).collect::<Vec<f64>>();
        let [pearson, spearman, rmse] = bootstrap(y.len(), below, |sample| {
            let (z, y) = (pick(&z, sample), pick(&y, sample));
            [correlation(&z, &y), rank_correlation(&z, &y), Some(mean_square(&z, &y).sqrt())]
        })?;
        let loss = mean_square(&z, &y);
        let spread = variance(&y);
        Ok(RegressionScores {
            examples: y.len(),
            pearson: correlation(&z, &y),
            spearman: rank_correlation(&z, &y),
            rmse: loss.sqrt(),
            mae: z.iter().zip(&y).map(|(z, y)| (z - y).abs()).sum::<f64>() / y.len() as f64,
            r2: (spread > 0.0).then(|| 1.0 - loss / spread),
            loss,
            intervals: RegressionIntervals { pearson, spearman, rmse },
        })
    }

    /// A row a score: `metric`, `value`, and the `95 % interval` where there is one.
    ///
    /// # Errors
    /// None in practice: a row would have to be of the wrong width.
    pub fn table(&self) -> Result<Table> {
        let mut table = Table::new(["metric", "value", "95 % interval"]);
        let between = |interval: Interval| {
            let digits = usize::from(DIGITS);
            Cell::from(format!("{:.digits$} to {:.digits$}", interval.low, interval.high))
        };
        let i = &self.intervals;
        for (name, value, interval) in [
            ("Pearson", self.pearson, i.pearson),
            ("Spearman", self.spearman, i.spearman),
            ("RMSE", Some(self.rmse), i.rmse),
            ("MAE", Some(self.mae), None),
            ("R²", self.r2, None),
            ("loss", Some(self.loss), None),
        ] {
            let value = value.map_or(Cell::from("undefined"), |value| Cell::decimals(value, DIGITS));
            table.push([name.into(), value, interval.map_or(Cell::Empty, between)])?;
        }
        Ok(table)
    }
}

/// Pearson's and Spearman's correlation and the mean squared error: what chooses the best weights, without intervals.
pub(crate) fn correlations(predicted: &[f32], values: &[f32]) -> Result<(Option<f64>, Option<f64>, f64)> {
    let (z, y) = checked(predicted, values)?;
    Ok((correlation(&z, &y), rank_correlation(&z, &y), mean_square(&z, &y)))
}

fn checked(predicted: &[f32], values: &[f32]) -> Result<(Vec<f64>, Vec<f64>)> {
    if values.is_empty() {
        return Err(Error::Empty);
    }
    if predicted.len() != values.len() {
        return Err(Error::Count { what: "predictions", expected: values.len(), found: predicted.len() });
    }
    if let Some(example) = predicted.iter().position(|z| !z.is_finite()) {
        return Err(Error::NotFinite { example, class: 0, found: predicted[example] });
    }
    let double = |of: &[f32]| of.iter().map(|&v| f64::from(v)).collect();
    Ok((double(predicted), double(values)))
}

fn mean(of: &[f64]) -> f64 {
    of.iter().sum::<f64>() / of.len() as f64
}

fn variance(of: &[f64]) -> f64 {
    let mean = mean(of);
    of.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / of.len() as f64
}

fn mean_square(z: &[f64], y: &[f64]) -> f64 {
    z.iter().zip(y).map(|(z, y)| (z - y).powi(2)).sum::<f64>() / y.len() as f64
}

/// `Σ(z − z̄)(y − ȳ) / √(Σ(z − z̄)² Σ(y − ȳ)²)`; `None` where either does not vary.
fn correlation(z: &[f64], y: &[f64]) -> Option<f64> {
    let (a, b) = (mean(z), mean(y));
    let (mut both, mut of_z, mut of_y) = (0.0, 0.0, 0.0);
    for (z, y) in z.iter().zip(y) {
        both += (z - a) * (y - b);
        of_z += (z - a).powi(2);
        of_y += (y - b).powi(2);
    }
    // Values that are all the same may miss their own mean by a rounding.
    let varies = |of: &[f64]| of.iter().any(|v| *v != of[0]);
    (varies(z) && varies(y) && of_z > 0.0 && of_y > 0.0)
        .then(|| (both / (of_z.sqrt() * of_y.sqrt())).clamp(-1.0, 1.0))
}

fn rank_correlation(z: &[f64], y: &[f64]) -> Option<f64> {
    correlation(&ranks(z), &ranks(y))
}

/// The rank of each value; equal values share the mean of theirs.
fn ranks(of: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..of.len()).collect();
    order.sort_by(|&a, &b| of[a].total_cmp(&of[b]));
    let mut ranks = vec![0.0; of.len()];
    let mut start = 0;
    // Compared as numbers: −0 and 0 are one value.
    for tied in order.chunk_by(|&a, &b| of[a] == of[b]) {
        let shared = start as f64 + (tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&index| ranks[index] = shared);
        start += tied.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    // z = [2.5, 0.0, 2.0, 8.0, 2.5, -1.0, 2.5], y = [3.0, -0.5, 2.0, 7.0, 3.0, 0.0, 1.5]; scipy 1.17: pearsonr, spearmanr;
    // scikit-learn 1.9: root_mean_squared_error, mean_absolute_error, r2_score
    const Z: [f32; 7] = [2.5, 0.0, 2.0, 8.0, 2.5, -1.0, 2.5];
    const Y: [f32; 7] = [3.0, -0.5, 2.0, 7.0, 3.0, 0.0, 1.5];

    const PEARSON: f64 = 0.9660880510418686;
    const SPEARMAN: f64 = 0.8601512308077806;
    const RMSE: f64 = 0.7319250547113999;
    const MAE: f64 = 0.6428571428571429;
    const R2: f64 = 0.8984526112185687;

    fn measured(z: &[f32], y: &[f32]) -> Result<RegressionScores> {
        let mut next = 0;
        RegressionScores::measure(z, y, &mut |n| {
            next += 1;
            next * 7919 / 13 % n
        })
    }

    #[test]
    fn every_score_is_that_of_scipy_and_scikit_learn() {
        let found = measured(&Z, &Y).unwrap();
        for (name, found, expected) in [
            ("pearson", found.pearson.unwrap(), PEARSON),
            ("spearman", found.spearman.unwrap(), SPEARMAN),
            ("rmse", found.rmse, RMSE),
            ("mae", found.mae, MAE),
            ("r2", found.r2.unwrap(), R2),
            ("loss", found.loss, RMSE * RMSE),
        ] {
            assert!((found - expected).abs() < 1e-12, "{name}: {found}");
        }
        assert_eq!(found.examples, 7);
        let interval = found.intervals.rmse.unwrap();
        assert!(interval.low < found.rmse && found.rmse < interval.high);
    }

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, -0.0, 0.0, 3.0]), [5.0, 3.0, 5.0, 1.5, 1.5, 5.0]);
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        let flat = measured(&[0.1; 7], &Y).unwrap();
        assert_eq!((flat.pearson, flat.spearman, flat.intervals.pearson), (None, None, None));
        assert!(flat.r2.is_some() && flat.intervals.rmse.is_some());
        let same = measured(&Z, &[0.3; 7]).unwrap();
        assert_eq!((same.pearson, same.r2), (None, None));
        let markdown = same.table().unwrap().markdown();
        assert!(markdown.contains("| Pearson | undefined |  |"), "{markdown}");
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        assert!(matches!(measured(&[], &[]), Err(Error::Empty)));
        assert!(matches!(measured(&[1.0], &[1.0, 2.0]), Err(Error::Count { expected: 2, found: 1, .. })));
        assert!(matches!(measured(&[1.0, f32::NAN], &[1.0, 2.0]), Err(Error::NotFinite { example: 1, .. })));
    }
}
