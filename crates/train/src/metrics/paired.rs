//! Two classifiers on the same examples: how far apart they are, and whether that could be chance.

use serde::Serialize;
use xexp_report::percentiles;

use super::confusion::Margins;
use super::{Confusion, Error, Interval, RESAMPLES, Result};

/// What one classifier says of some examples.
#[derive(Clone, Copy, Debug)]
pub struct Answers<'a> {
    /// Predicted classes.
    pub predicted: &'a [u32],
    /// Cross-entropies, in nats.
    pub losses: &'a [f64],
}

/// The second classifier against the first, on the same examples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Number of examples.
    pub examples: usize,
    /// Examples that the first alone labels right.
    pub first_alone: usize,
    /// Examples that the second alone labels right.
    pub second_alone: usize,
    /// Probability that as uneven a split of these, or a more uneven one, comes by chance from equally good classifiers.
    ///
    /// Source: McNemar 1947, in the exact form: a two-sided binomial test with a half.
    pub p_value: f64,
    /// The second's accuracy less the first's.
    pub accuracy: Difference,
    /// The same of the macro F1.
    pub macro_f1: Difference,
    /// The same of the mean loss.
    pub loss: Difference,
}

/// A difference with its 95 % interval over samples of the examples, by the percentile bootstrap: both classifiers are scored on
/// the same sample, so that examples which are hard for both do not widen it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// On the examples themselves.
    pub value: f64,
    /// Over samples of them.
    pub interval: Interval,
}

impl Paired {
    /// Of two classifiers' answers on examples with these true classes. `below(n)` returns a random index in `0..n`.
    ///
    /// # Errors
    /// [`Error::Count`] for lists of different lengths, else as [`Confusion::new`]; [`Error::Draw`] if `below` returns an index
    /// out of its range.
    pub fn measure(
        truth: &[u32],
        [first, second]: [Answers<'_>; 2],
        classes: usize,
        below: &mut dyn FnMut(usize) -> usize,
    ) -> Result<Paired> {
        let count = truth.len();
        for answers in [first, second] {
            for (what, found) in [("predictions", answers.predicted.len()), ("losses", answers.losses.len())]
            {
                if found != count {
                    return Err(Error::Count { what, expected: count, found });
                }
            }
            // Refuses what cannot be counted.
            Confusion::new(truth, answers.predicted, classes)?;
        }
        let mut sample =
            Sample { truth, both: [first, second], margins: [(); 2].map(|()| Margins::new(classes)) };
        let values = sample.differences((0..count).map(Ok))?;
        let mut drawn = [(); 3].map(|()| Vec::with_capacity(RESAMPLES));
        for _ in 0..RESAMPLES {
            let indices = (0..count).map(|_| match below(count) {
                found if found < count => Ok(found),
                found => Err(Error::Draw { expected: count, found }),
            });
            for (list, value) in drawn.iter_mut().zip(sample.differences(indices)?) {
                list.push(value);
            }
        }
        let mut differences =
            values.into_iter().zip(&mut drawn).map(|(value, drawn)| -> Result<Difference> {
                let (low, high) = percentiles(drawn)?;
                Ok(Difference { value, interval: Interval { low, high } })
            });
        let mut next = || differences.next().unwrap_or(Err(Error::Empty));
        let right = |answers: Answers<'_>, i: usize| answers.predicted[i] == truth[i];
        let alone = |a, b| (0..count).filter(|&i| right(a, i) && !right(b, i)).count();
        let (first_alone, second_alone) = (alone(first, second), alone(second, first));
        Ok(Paired {
            examples: count,
            first_alone,
            second_alone,
            p_value: two_sided(first_alone, second_alone),
            accuracy: next()?,
            macro_f1: next()?,
            loss: next()?,
        })
    }
}

/// Examples under two classifiers.
struct Sample<'a> {
    truth: &'a [u32],
    both: [Answers<'a>; 2],
    margins: [Margins; 2],
}

impl Sample<'_> {
    /// Accuracy, macro F1 and mean loss on the examples at some indices: the second's less the first's.
    fn differences(&mut self, indices: impl Iterator<Item = Result<usize>>) -> Result<[f64; 3]> {
        self.margins.iter_mut().for_each(Margins::clear);
        let (mut losses, mut count) = ([0.0; 2], 0.0);
        for index in indices {
            let index = index?;
            count += 1.0;
            for ((answers, margins), loss) in self.both.iter().zip(&mut self.margins).zip(&mut losses) {
                margins.add(self.truth[index], answers.predicted[index]);
                *loss += answers.losses[index];
            }
        }
        let [first, second] = &self.margins;
        Ok([
            second.accuracy() - first.accuracy(),
            second.macro_f1() - first.macro_f1(),
            (losses[1] - losses[0]) / f64::max(count, 1.0),
        ])
    }
}

/// The two-sided binomial test of `a` against `b` at one half; 1 where there is nothing to tell them apart.
fn two_sided(a: usize, b: usize) -> f64 {
    let (n, fewer) = (a + b, a.min(b));
    // ln C(n, k) − n ln 2, from one k to the next.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = term.exp();
    for k in 0..fewer {
        term += ((n - k) as f64 / (k + 1) as f64).ln();
        tail += term.exp();
    }
    (2.0 * tail).min(1.0)
}

/// P-values of several tests, each raised so far that the chance of one false alarm among them stays below the level.
///
/// Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let (mut raised, mut most) = (vec![0.0; p_values.len()], 0.0f64);
    for (rank, &test) in order.iter().enumerate() {
        most = most.max((p_values.len() - rank) as f64 * p_values[test]).min(1.0);
        raised[test] = most;
    }
    raised
}

#[cfg(test)]
mod tests {
    use super::*;

    fn below(mut state: u64) -> impl FnMut(usize) -> usize {
        // Knuth's multiplier; the high bits are good enough for a test.
        move |n| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            ((state >> 33) as usize) % n
        }
    }

    #[test]
    fn the_exact_test_is_the_one_of_scipy() {
        // scipy.stats.binomtest(min(a, b), a + b, 0.5).pvalue
        for (a, b, expected) in [
            (0, 0, 1.0),
            (5, 5, 1.0),
            (1, 9, 0.021484375),
            (9, 1, 0.021484375),
            (30, 50, 0.03299261842647619),
            (400, 520, 8.549170923883781e-5),
        ] {
            let found = two_sided(a, b);
            assert!((found / expected - 1.0).abs() < 1e-9, "{a}, {b}: {found}");
        }
    }

    #[test]
    fn holm_is_that_of_r() {
        // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm")
        let raised = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in raised.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-12, "{raised:?}");
        }
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn differences_are_those_of_the_separate_scores() {
        let truth: Vec<u32> = (0..90).map(|i| i % 3).collect();
        let first: Vec<u32> = (0..90).map(|i| if i % 5 == 0 { (i + 1) % 3 } else { i % 3 }).collect();
        let second: Vec<u32> = (0..90).map(|i| if i % 4 == 0 { (i + 2) % 3 } else { i % 3 }).collect();
        let (a, b) = (vec![0.5; 90], vec![0.75; 90]);
        let answers = [Answers { predicted: &first, losses: &a }, Answers { predicted: &second, losses: &b }];
        let paired = Paired::measure(&truth, answers, 3, &mut below(1)).unwrap();
        let score = |predicted: &[u32]| Confusion::new(&truth, predicted, 3).unwrap();
        assert_eq!(paired.accuracy.value, score(&second).accuracy() - score(&first).accuracy());
        assert_eq!(paired.macro_f1.value, score(&second).macro_f1() - score(&first).macro_f1());
        // Equal differences everywhere: no sample moves them.
        assert_eq!(
            (paired.loss.value, paired.loss.interval.low, paired.loss.interval.high),
            (0.25, 0.25, 0.25)
        );
        // Of 0..90: 18 multiples of 5, 23 of 4, 5 of both.
        assert_eq!((paired.first_alone, paired.second_alone), (18, 13));
        assert!(paired.accuracy.interval.low < paired.accuracy.value);
        assert!(paired.accuracy.value < paired.accuracy.interval.high);
    }

    /// The interval of a difference of shares, `±1.96·sd`, by its closed form for pairs.
    #[test]
    fn the_interval_is_that_of_paired_shares() {
        let (n, b, c) = (2000usize, 150usize, 250usize);
        let truth = vec![0u32; n];
        let first: Vec<u32> = (0..n).map(|i| u32::from(i < c)).collect();
        let second: Vec<u32> = (0..n).map(|i| u32::from((c..c + b).contains(&i))).collect();
        let losses = vec![1.0; n];
        let both = [&first, &second].map(|predicted| Answers { predicted, losses: &losses });
        let paired = Paired::measure(&truth, both, 2, &mut below(7)).unwrap();
        let (n, b, c) = (n as f64, b as f64, c as f64);
        let mean = (c - b) / n;
        let sd = ((b + c) / n - mean * mean).sqrt() / n.sqrt();
        assert!((paired.accuracy.value - mean).abs() < 1e-12);
        let Interval { low, high } = paired.accuracy.interval;
        // A percentile of 1000 resamples is known to about 0.08 of a standard deviation.
        assert!((low - (mean - 1.96 * sd)).abs() < 0.4 * sd && (high - (mean + 1.96 * sd)).abs() < 0.4 * sd);
    }

    #[test]
    fn lists_that_do_not_belong_together_are_refused() {
        let answers = Answers { predicted: &[0, 1], losses: &[0.1] };
        let refused = Paired::measure(&[0, 1], [answers; 2], 2, &mut |_| 0);
        assert!(matches!(refused, Err(Error::Count { what: "losses", expected: 2, found: 1 })));
    }
}
