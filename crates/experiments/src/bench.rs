//! Draws, added in looks until every row of a set-up is decided.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use rayon::prelude::*;
use xexp_init::Seed;
use xexp_report::lab::{Looks, Measurement, Row, Rule};
use xexp_report::{Estimate, Verdict};

use crate::{Draw, Error, Opened, Planned, Result};

/// Where and with which seed experiments run.
pub struct Bench<'a> {
    /// The run's seed.
    pub seed: Seed,
    /// Where tensors live.
    pub device: &'a Device,
    /// At most this many draws a set-up, if given.
    pub draws: Option<usize>,
    /// Becomes true when the run is to end early.
    pub stop: &'a AtomicBool,
}

impl Bench<'_> {
    /// Measures one set-up: all its rows.
    ///
    /// Draws are independent and may run side by side; what they recorded is put together in the order of their numbers.
    ///
    /// # Errors
    /// Whatever a draw fails with, and [`Error::Interrupted`].
    pub fn measure(&self, opened: &dyn Opened, setup: usize, planned: &Planned) -> Result<Vec<Measurement>> {
        let looks = match self.draws {
            Some(draws) => planned.looks.within(draws)?,
            None => planned.looks.clone(),
        };
        let mut recorded: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        let mut settled: Vec<Option<Measurement>> = vec![None; planned.rows.len()];
        let mut drawn = 0;
        for &count in looks.counts() {
            for (name, value) in self.draw(opened, setup, planned, drawn..count)? {
                recorded.entry(name).or_default().push(value);
            }
            drawn = count;
            let last = Some(&count) == looks.counts().last();
            for (row, place) in planned.rows.iter().zip(&mut settled) {
                if place.is_none() {
                    let measurement = self.estimate(opened, planned, row, &recorded, &looks)?;
                    *place = (last || measurement.needs.is_none()).then_some(measurement);
                }
            }
            // Rows that are only measured take all draws that the others need, and at least the first look.
            if settled.iter().all(Option::is_some) {
                break;
            }
        }
        let again = |row: &Row| self.estimate(opened, planned, row, &recorded, &looks);
        planned
            .rows
            .iter()
            .zip(settled)
            .map(|(row, place)| match place {
                Some(measurement) if decides(row) => Ok(measurement),
                _ => again(row),
            })
            .collect()
    }

    /// What draws `numbers` record, in their order.
    fn draw(
        &self,
        opened: &dyn Opened,
        setup: usize,
        planned: &Planned,
        numbers: std::ops::Range<usize>,
    ) -> Result<Vec<(String, f64)>> {
        let one = |number: usize| {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            let mut draw = Draw::new(self.seed, (opened.about().id, &planned.name), number, self.device);
            opened.draw(setup, &mut draw)?;
            Ok(draw.into_recorded())
        };
        let draws: Vec<Result<Vec<(String, f64)>>> = numbers.into_par_iter().map(one).collect();
        let draws: Result<Vec<Vec<(String, f64)>>> = draws.into_iter().collect();
        Ok(draws?.into_iter().flatten().collect())
    }

    fn estimate(
        &self,
        opened: &dyn Opened,
        planned: &Planned,
        row: &Row,
        recorded: &BTreeMap<String, Vec<f64>>,
        looks: &Looks,
    ) -> Result<Measurement> {
        let name = format!("{}/{}/bootstrap/{}", opened.about().id, planned.name, row.row);
        let mut stream = self.seed.stream(&name);
        let confidence = looks.confidence();
        let (value, estimate) =
            row.statistic.estimate(recorded, confidence, |n| stream.below(n as u64) as usize)?;
        Ok(Measurement {
            row: row.row.clone(),
            value,
            estimate,
            confidence,
            needs: needs(row, value, &estimate),
        })
    }
}

/// Whether the row is judged by anything.
fn decides(row: &Row) -> bool {
    row.predicted.is_some() || row.claim.is_some()
}

/// How many draws would decide what is undecided; `None` if all is decided.
///
/// Both sides of the interval shrink as `1/√n` towards the value. A value within the range is decided when neither side
/// reaches beyond it, a value outside when the side towards the range has left it.
fn needs(row: &Row, value: f64, estimate: &Estimate) -> Option<usize> {
    let rules = row.predicted.iter().chain(row.claim.as_ref().map(|claim| &claim.says));
    let open = |rule: &&Rule| rule.judge((estimate.low, estimate.high)) == Verdict::Inconclusive;
    rules
        .filter(open)
        .map(|rule| {
            let (least, most) = rule.range();
            let (below, above) = (value - estimate.low, estimate.high - value);
            let factor = if value < least {
                (above / (least - value)).powi(2)
            } else if value > most {
                (below / (value - most)).powi(2)
            } else {
                (below / (value - least)).powi(2).max((above / (most - value)).powi(2))
            };
            // A value that sits on the very end of the range is decided by no number of draws.
            if factor.is_finite() { (estimate.draws as f64 * factor).ceil() as usize } else { usize::MAX }
        })
        .max()
}
