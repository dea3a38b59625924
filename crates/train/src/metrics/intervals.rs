//! How far the scores would move with another sample of examples.

use serde::{Deserialize, Serialize};
use xexp_report::percentiles;

use super::confusion::Margins;
use super::{Confusion, Error, Result};

/// Number of bootstrap samples.
///
/// Source: Efron & Tibshirani 1993, "An introduction to the bootstrap", §13.3: 1000 for percentile intervals.
pub const RESAMPLES: usize = 1000;

/// A 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// 95 % intervals of the scores over samples of the examples, by the percentile bootstrap.
///
/// They tell how well a *model* is measured by so many examples, not how a recipe varies from seed to seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of the accuracy.
    pub accuracy: Interval,
    /// Of the macro F1, in each sample over the classes that occur in it.
    pub macro_f1: Interval,
    /// Of Matthews' correlation coefficient.
    pub mcc: Interval,
}

impl Intervals {
    /// The intervals from [`RESAMPLES`] samples of the examples, drawn with replacement.
    ///
    /// `below(n)` returns a random index in `0..n`; it is called sample by sample, once for each example.
    ///
    /// # Errors
    /// As [`Confusion::new`]; [`Error::Draw`] if `below` returns an index out of its range.
    pub fn bootstrap(
        truth: &[u32],
        predicted: &[u32],
        classes: usize,
        below: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Intervals> {
        // Refuses what cannot be counted.
        Confusion::new(truth, predicted, classes)?;
        let pairs: Vec<(u32, u32)> = truth.iter().copied().zip(predicted.iter().copied()).collect();
        let mut margins = Margins::new(classes);
        let mut scores = [(); 3].map(|()| Vec::with_capacity(RESAMPLES));
        for _ in 0..RESAMPLES {
            margins.clear();
            for _ in 0..pairs.len() {
                let found = below(pairs.len());
                let (t, p) = *pairs.get(found).ok_or(Error::Draw { expected: pairs.len(), found })?;
                margins.add(t, p);
            }
            for (list, score) in
                scores.iter_mut().zip([margins.accuracy(), margins.macro_f1(), margins.mcc()])
            {
                list.push(score);
            }
        }
        let interval = |list: &mut [f64]| percentiles(list).map(|(low, high)| Interval { low, high });
        let [accuracy, macro_f1, mcc] = &mut scores;
        Ok(Intervals { accuracy: interval(accuracy)?, macro_f1: interval(macro_f1)?, mcc: interval(mcc)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64 (Steele et al. 2014): good enough indices for a test.
    fn below(mut state: u64) -> impl FnMut(usize) -> usize {
        move |n| {
            state = state.wrapping_add(0x9e3779b97f4a7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
            ((z ^ (z >> 31)) % n as u64) as usize
        }
    }

    fn labels(right: usize, wrong: usize) -> (Vec<u32>, Vec<u32>) {
        let truth: Vec<u32> = (0..right + wrong).map(|i| (i % 2) as u32).collect();
        let predicted = truth.iter().enumerate().map(|(i, t)| if i < right { *t } else { 1 - t }).collect();
        (truth, predicted)
    }

    #[test]
    fn the_interval_of_accuracy_is_the_binomial_one() {
        // 800 of 1000 right: sd sqrt(.8·.2/1000) = 0.01265, and the bootstrap law is that binomial itself.
        let (truth, predicted) = labels(800, 200);
        let found = Intervals::bootstrap(&truth, &predicted, 2, &mut below(1)).unwrap().accuracy;
        let half = 1.96 * (0.8f64 * 0.2 / 1000.0).sqrt();
        // The 2.5 % point of 1000 values has the standard error sqrt(.025·.975/1000)/f with the density f =
        // 0.0584/sd there: 0.085 sd. Three of them are 0.0033.
        assert!((found.low - (0.8 - half)).abs() < 0.0033, "{found:?}");
        assert!((found.high - (0.8 + half)).abs() < 0.0033, "{found:?}");
    }

    #[test]
    fn the_same_indices_give_the_same_intervals_as_slow_counting() {
        let (truth, predicted) = ([0, 1, 2, 0, 1, 2, 2], [0, 1, 2, 1, 1, 0, 2]);
        let fast = Intervals::bootstrap(&truth, &predicted, 4, &mut below(5)).unwrap();
        let mut draw = below(5);
        let mut lists = [vec![], vec![], vec![]];
        for _ in 0..RESAMPLES {
            let sample: Vec<usize> = (0..7).map(|_| draw(7)).collect();
            let pick = |labels: &[u32]| sample.iter().map(|i| labels[*i]).collect::<Vec<_>>();
            let confusion = Confusion::new(&pick(&truth), &pick(&predicted), 4).unwrap();
            lists[0].push(confusion.accuracy());
            lists[1].push(confusion.macro_f1());
            lists[2].push(confusion.mcc());
        }
        for (list, interval) in lists.iter_mut().zip([fast.accuracy, fast.macro_f1, fast.mcc]) {
            list.sort_by(f64::total_cmp);
            // Positions 24.975 and 974.025 of 1000 sorted values.
            let low = list[24] + 0.975 * (list[25] - list[24]);
            let high = list[974] + 0.025 * (list[975] - list[974]);
            assert!((interval.low - low).abs() < 1e-12 && (interval.high - high).abs() < 1e-12);
        }
    }

    #[test]
    fn a_faultless_classifier_has_no_interval_to_speak_of() {
        let (truth, predicted) = labels(50, 0);
        let found = Intervals::bootstrap(&truth, &predicted, 2, &mut below(2)).unwrap();
        let one = Interval { low: 1.0, high: 1.0 };
        assert_eq!((found.accuracy, found.macro_f1, found.mcc), (one, one, one));
    }

    #[test]
    fn an_index_out_of_range_is_refused() {
        let found = Intervals::bootstrap(&[0, 1], &[0, 1], 2, &mut |n| n);
        assert!(matches!(found, Err(Error::Draw { expected: 2, found: 2 })));
    }
}
