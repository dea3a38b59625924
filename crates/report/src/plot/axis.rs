//! Axes with round numbers on them.

/// Larger numbers are not drawn: the span between two of them could overflow.
const LARGEST: f64 = 1e300;
/// About how many ticks an axis gets.
const TICKS: f64 = 5.0;
/// About how many powers of ten are labelled.
const POWERS: f64 = 7.0;
/// Up to so many powers of ten, 2 and 5 times each are labelled too.
const FINE: f64 = 1.5;

/// Whether a number can be placed on an axis.
pub(super) fn drawable(value: f64) -> bool {
    value.is_finite() && value.abs() <= LARGEST
}

/// A range that starts and ends at round numbers, with round numbers between.
#[derive(Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
    /// Powers of ten: `low` and `high` are logarithms, and these are the numbers with their labels.
    powers: Option<Vec<(f64, String)>>,
}

impl Axis {
    /// The axis that holds every drawable value; from 0 to 1 when there is none.
    pub(super) fn over(values: impl Iterator<Item = f64>) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| drawable(*value)) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let largest = low.abs().max(high.abs());
        // Closer together than this, the ticks between could not be told apart in f64.
        if high - low <= largest * 1e-9 || high - low < 1e-290 {
            let room = if largest < 1e-290 { 0.5 } else { largest * 0.1 };
            (low, high) = (low - room, high + room);
        }
        let raw = (high - low) / TICKS;
        let magnitude = 10f64.powf(raw.log10().floor());
        let step = magnitude * [1.0, 2.0, 5.0].into_iter().find(|m| magnitude * m >= raw).unwrap_or(10.0);
        Axis { low: (low / step).floor() * step, high: (high / step).ceil() * step, step, powers: None }
    }

    /// The axis by powers of ten that holds every drawable value above 0.
    pub(super) fn powers_over(values: impl Iterator<Item = f64>) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| drawable(*value) && *value > 0.0) {
            (low, high) = (low.min(value.log10()), high.max(value.log10()));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        let (first, last) = (low.floor() as i32 - 1, high.ceil() as i32 + 1);
        let wide = high - low > FINE;
        let every = if wide { ((high - low) / POWERS).ceil().max(1.0) as usize } else { 1 };
        let steps: &[u32] = if wide { &[1] } else { &[1, 2, 5] };
        let marks = || {
            (first..=last).flat_map(|power| {
                steps.iter().map(move |&m| (f64::from(power) + f64::from(m).log10(), m, power))
            })
        };
        // A hair of room, since logarithms of round numbers are not exact.
        let mut start =
            marks().map(|mark| mark.0).filter(|at| *at <= low + 1e-9).fold(f64::from(first), f64::max);
        let mut end =
            marks().map(|mark| mark.0).filter(|at| *at >= high - 1e-9).fold(f64::from(last), f64::min);
        if end - start < 1e-6 {
            start = marks().map(|mark| mark.0).filter(|at| *at < low - 1e-9).fold(f64::from(first), f64::max);
            end = marks().map(|mark| mark.0).filter(|at| *at > high + 1e-9).fold(f64::from(last), f64::min);
        }
        let within = |at: f64| at >= start - 1e-9 && at <= end + 1e-9;
        let labelled = marks().filter(|mark| within(mark.0)).step_by(every);
        let powers = labelled.map(|(at, m, power)| (10f64.powf(at), power_label(m, power))).collect();
        Axis { low: start, high: end, step: 1.0, powers: Some(powers) }
    }

    /// An axis from 0 to 1.
    pub(super) fn unit() -> Axis {
        Axis { low: 0.0, high: 1.0, step: 0.2, powers: None }
    }

    /// Whether the value has a place on this axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        drawable(value) && (self.powers.is_none() || value > 0.0)
    }

    /// The round numbers with their labels, from low to high.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        if let Some(powers) = &self.powers {
            return powers.clone();
        }
        let first = (self.low / self.step).round();
        let count = ((self.high - self.low) / self.step).round() as usize;
        (0..=count).map(|i| (first + i as f64) * self.step).map(|value| (value, self.label(value))).collect()
    }

    /// Where a value lies: 0 at the low end, 1 at the high end.
    pub(super) fn share(&self, value: f64) -> f64 {
        let value = if self.powers.is_some() { value.log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    fn label(&self, value: f64) -> String {
        let largest = self.low.abs().max(self.high.abs());
        let text = if largest < 1e6 && self.step >= 0.9e-4 {
            format!("{value:.*}", decimals(self.step))
        } else {
            // As many digits as tell neighbouring ticks apart.
            let digits =
                if value == 0.0 { 0 } else { decimals(self.step / 10f64.powf(value.abs().log10().floor())) };
            format!("{value:.digits$e}")
        };
        match text.strip_prefix('-') {
            Some(bare) if bare.chars().all(|c| matches!(c, '0' | '.')) => bare.to_owned(),
            _ => text,
        }
    }
}

/// `m` times a power of ten, as people write it.
fn power_label(m: u32, power: i32) -> String {
    match power {
        0..=4 => format!("{}", u64::from(m) * 10u64.pow(power.unsigned_abs())),
        -3..=-1 => format!("{:.*}", power.unsigned_abs() as usize, f64::from(m) * 10f64.powi(power)),
        _ => format!("{m}e{power}"),
    }
}

/// Decimals needed to write multiples of `step`, at most 9.
fn decimals(step: f64) -> usize {
    // The margin keeps 0.1, whose logarithm may fall a hair below -1, at one decimal.
    (-(step.log10() + 1e-9).floor()).clamp(0.0, 9.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64]) -> Vec<String> {
        Axis::over(values.iter().copied()).ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_enclose_the_values() {
        assert_eq!(labels(&[0.03, 0.97]), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&[-3.0, 12.0]), ["-5", "0", "5", "10", "15"]);
        assert_eq!(labels(&[0.0, 812.0]), ["0", "200", "400", "600", "800", "1000"]);
        assert_eq!(labels(&[1.2e-5, 4.8e-5]), ["1e-5", "2e-5", "3e-5", "4e-5", "5e-5"]);
        assert_eq!(labels(&[2e6, 4e6]), ["2.0e6", "2.5e6", "3.0e6", "3.5e6", "4.0e6"]);
    }

    #[test]
    fn every_value_lies_within_whatever_the_values() {
        for values in [
            vec![0.5],
            vec![0.0],
            vec![-7.0, -7.0],
            vec![1e16, 1e16 + 2.0],
            vec![-1e300, 1e300],
            vec![5e-324, 1e-320],
            vec![1e-300, 1e300],
            vec![f64::NAN, f64::INFINITY],
            vec![],
            vec![0.1 + 0.2, 0.3],
        ] {
            let axis = Axis::over(values.iter().copied());
            let ticks = axis.ticks();
            assert!((2..=12).contains(&ticks.len()), "{values:?}: {axis:?} has {} ticks", ticks.len());
            assert!(ticks.windows(2).all(|pair| pair[0].1 != pair[1].1), "{values:?}: {ticks:?}");
            for value in values.into_iter().filter(|value| drawable(*value)) {
                // Rounding of low and high costs a few ulp of the span.
                assert!((-1e-9..=1.0 + 1e-9).contains(&axis.share(value)), "{value} on {axis:?}");
            }
        }
    }

    #[test]
    fn powers_of_ten_enclose_the_values() {
        for (values, labels) in [
            (&[1.0, 1000.0][..], &["1", "10", "100", "1000"][..]),
            (&[3.0, 40.0][..], &["2", "5", "10", "20", "50"][..]),
            (&[0.5][..], &["0.2", "0.5", "1"][..]),
            (&[-1.0, 0.0][..], &["1", "2", "5", "10"][..]),
            (&[1e-7, 1e7][..], &["1e-7", "1e-5", "0.001", "0.1", "10", "1000", "1e5", "1e7"][..]),
        ] {
            let axis = Axis::powers_over(values.iter().copied());
            let found: Vec<String> = axis.ticks().into_iter().map(|(_, label)| label).collect();
            assert_eq!(found, labels, "{values:?}");
            for value in values.iter().filter(|value| axis.holds(**value)) {
                assert!((-1e-6..=1.0 + 1e-6).contains(&axis.share(*value)), "{value} on {axis:?}");
            }
        }
        for values in [[5e-324, 1e300], [1e300, 1e300], [f64::NAN, 2.0]] {
            let ticks = Axis::powers_over(values.into_iter()).ticks();
            assert!((2..=12).contains(&ticks.len()), "{values:?}: {ticks:?}");
        }
    }

    #[test]
    fn zero_has_no_sign() {
        assert!(labels(&[-0.001, 0.001]).iter().all(|label| !label.starts_with("-0.0000")));
        assert!(labels(&[-1.0, 1.0]).contains(&"0.0".to_owned()));
    }
}
