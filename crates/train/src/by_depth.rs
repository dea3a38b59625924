//! Rates that fall towards the input, and blocks that wait for their turn.

use std::collections::BTreeMap;

/// How weights learn by their depth, counted from 0 at the input to that of the head.
///
/// A weight of depth `d` learns with the share `decay^(D − d)` of its rate, `D` the head's depth. Source: Clark et al. 2020
/// (ELECTRA), §A.2; Bao et al. 2022 (BEiT), whose exponents these are. Under gradual unfreezing it rests for the first
/// `D − d` epochs. Source: Howard and Ruder 2018, "Universal Language Model Fine-tuning", §3.3.
#[derive(Clone, Debug)]
pub struct ByDepth {
    /// Depth of each weight.
    pub depths: BTreeMap<String, usize>,
    /// The head's.
    pub top: usize,
    /// Share of the rate from one depth to the next below.
    pub decay: f64,
    /// Whether one depth more learns from epoch to epoch.
    pub gradual: bool,
    /// Steps of an epoch.
    pub epoch_steps: u64,
}

impl ByDepth {
    fn below_top(&self, name: &str) -> usize {
        self.top - self.depths.get(name).map_or(self.top, |depth| (*depth).min(self.top))
    }

    /// The share of the rate that a weight learns with.
    pub fn share(&self, name: &str) -> f64 {
        self.decay.powi(self.below_top(name) as i32)
    }

    /// The epoch from which a weight learns.
    pub fn wakes(&self, name: &str) -> u64 {
        if self.gradual { self.below_top(name) as u64 } else { 0 }
    }

    /// The steps before a weight's first: its moments are as many steps younger, and their correction goes by that.
    pub fn slept(&self, name: &str) -> u64 {
        self.wakes(name) * self.epoch_steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_learns_whole_and_at_once_and_each_depth_below_less_and_later() {
        let depths = [("words", 0), ("low", 1), ("high", 2), ("head", 3)];
        let depths = depths.map(|(name, depth)| (name.to_string(), depth)).into();
        let by_depth = ByDepth { depths, top: 3, decay: 0.5, gradual: true, epoch_steps: 7 };
        for (name, share, epoch) in
            [("head", 1.0, 0), ("high", 0.5, 1), ("low", 0.25, 2), ("words", 0.125, 3)]
        {
            assert_eq!((by_depth.share(name), by_depth.wakes(name)), (share, epoch), "{name}");
            assert_eq!(by_depth.slept(name), 7 * epoch);
        }
        assert_eq!(ByDepth { gradual: false, ..by_depth }.wakes("words"), 0);
    }
}
