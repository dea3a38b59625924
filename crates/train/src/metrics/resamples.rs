//! Scores over samples of the examples.

use super::{Error, Interval, RESAMPLES, Result};
use xexp_report::percentiles;

/// 95 % intervals of several scores by the percentile bootstrap over `examples`; `None` of a score that some sample leaves
/// undefined. `below(n)` returns a random index in `0..n`; it is called sample by sample, once for each example.
///
/// # Errors
/// [`Error::Draw`] if `below` returns an index out of its range.
pub(super) fn bootstrap<const N: usize>(
    examples: usize,
    below: &mut dyn FnMut(usize) -> usize,
    mut scores: impl FnMut(&[usize]) -> [Option<f64>; N],
) -> Result<[Option<Interval>; N]> {
    let mut drawn = [(); N].map(|()| Vec::with_capacity(RESAMPLES));
    let mut sample = vec![0; examples];
    for _ in 0..RESAMPLES {
        for place in &mut sample {
            match below(examples) {
                found if found < examples => *place = found,
                found => return Err(Error::Draw { expected: examples, found }),
            }
        }
        for (list, score) in drawn.iter_mut().zip(scores(&sample)) {
            list.extend(score);
        }
    }
    let mut intervals = [None; N];
    for (interval, list) in intervals.iter_mut().zip(&mut drawn) {
        if list.len() == RESAMPLES {
            let (low, high) = percentiles(list)?;
            *interval = Some(Interval { low, high });
        }
    }
    Ok(intervals)
}
