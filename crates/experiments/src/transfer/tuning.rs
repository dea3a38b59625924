//! The learning rate that suits a head, found before the seeds that count.

use xexp_init::Seed;

use crate::Result;

/// The rate of the best mean score over `seeds` seeds that follow from `common`; of equals, the one that comes first.
///
/// # Errors
/// Those of `score`.
pub fn best_rate(
    rates: &[f64],
    (seeds, common): (usize, Seed),
    score: impl Fn(f64, Seed) -> Result<f64>,
) -> Result<f64> {
    if let [only] = rates {
        return Ok(*only);
    }
    let seeds: Vec<Seed> =
        (0..seeds).map(|number| Seed(common.stream(&format!("tuning/{number}")).u64())).collect();
    let mut best: Option<(f64, f64)> = None;
    for &rate in rates {
        let found = seeds.iter().map(|seed| score(rate, *seed)).sum::<Result<f64>>()?;
        if best.is_none_or(|(_, before)| found > before) {
            best = Some((rate, found));
        }
    }
    Ok(best.map_or(0.0, |(rate, _)| rate))
}
