//! How often intervals err, and what verdicts add up to.

use std::collections::BTreeMap;

use super::*;
use crate::{Error, Estimate, Verdict};

/// SplitMix64 (Steele, Lea & Flood 2014): enough randomness for a test, and none from elsewhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0 and below 1.
    fn share(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * self.share().ln()).sqrt() * (std::f64::consts::TAU * self.share()).cos()
    }

    fn exponential(&mut self) -> f64 {
        -self.share().ln()
    }
}

/// Share of `runs` in which the statistic's interval holds `truth`.
fn coverage(statistic: &Statistic, truth: f64, runs: usize, mut draw: impl FnMut(&mut Random) -> f64) -> f64 {
    let mut random = Random(1);
    let mut held = 0;
    for _ in 0..runs {
        let draws: Vec<f64> = (0..80).map(|_| draw(&mut random)).collect();
        let recorded = BTreeMap::from([("y".to_owned(), draws)]);
        let below = |n: usize| (random.next() % n as u64) as usize;
        let (_, estimate) = statistic.estimate(&recorded, 0.95, below).unwrap();
        held += usize::from(estimate.low <= truth && truth <= estimate.high);
    }
    held as f64 / runs as f64
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let of = || "y".to_owned();
    // 400 runs: three standard errors are 3.3 %. The percentile bootstrap of 80 skewed draws is known to fall short by
    // one or two per cent more (Efron & Tibshirani 1993, ch. 13).
    let normal = coverage(&Statistic::Mean { of: of() }, 0.0, 400, Random::normal);
    assert!((0.917..=0.983).contains(&normal), "{normal}");
    let skewed = coverage(&Statistic::SkewedMean { of: of() }, 1.0, 400, Random::exponential);
    assert!((0.895..=0.983).contains(&skewed), "{skewed}");
    let median = coverage(&Statistic::Median { of: of() }, std::f64::consts::LN_2, 400, Random::exponential);
    assert!((0.905..=0.99).contains(&median), "{median}");
}

#[test]
fn looking_often_errs_no_more_often_than_promised() {
    let looks = Looks::default();
    let runs = 2000;
    let errs = |confidence: f64| {
        let mut random = Random(2);
        let mut erred = 0;
        for _ in 0..runs {
            let draws: Vec<f64> = (0..160).map(|_| random.normal()).collect();
            let misses = |&count: &usize| {
                let estimate = Estimate::from_draws_at(&draws[..count], confidence).unwrap();
                estimate.low > 0.0 || estimate.high < 0.0
            };
            erred += usize::from(looks.counts().iter().any(misses));
        }
        erred as f64 / runs as f64
    };
    // Three standard errors of a share of 5 % over 2000 runs are 1.5 %.
    let corrected = errs(looks.confidence());
    assert!(corrected <= 0.065, "{corrected}");
    let plain = errs(0.95);
    assert!(plain > 0.08, "without the correction it would err far more often: {plain}");
}

#[test]
fn looks_are_limited_and_share_the_error() {
    assert_eq!(Looks::default().confidence(), 0.9875);
    assert_eq!(Looks::default().within(50).unwrap().counts(), [20, 40, 50]);
    assert_eq!(Looks::default().within(7).unwrap().counts(), [7]);
    assert_eq!(Looks::default().within(200).unwrap().counts(), [20, 40, 80, 160, 200]);
    assert!(matches!(Looks::default().within(1), Err(Error::Looks { .. })));
    assert!(Looks::at(&[20, 20]).is_err() && Looks::at(&[]).is_err());
}

fn measured(row: &str, low: f64, high: f64) -> Measurement {
    let value = (low + high) / 2.0;
    let estimate = Estimate { mean: value, median: value, low, high, draws: 20 };
    Measurement { row: row.into(), value, estimate, confidence: 0.95, needs: None }
}

fn row(name: &str) -> Row {
    Row::new(name, "q", "y").near(1.0, 0.1, "r")
}

#[test]
fn a_control_must_be_refuted_and_a_prediction_must_not() {
    use Verdict::{Confirmed, Inconclusive, Refuted};
    let (inside, across, outside) = ((0.95, 1.05), (0.8, 1.2), (2.0, 2.1));
    for (row, (low, high), verdict, fails) in [
        (row("a"), inside, Some(Confirmed), false),
        (row("a"), across, Some(Inconclusive), false),
        (row("a"), outside, Some(Refuted), true),
        (row("a").announce("outside its range"), outside, Some(Refuted), false),
        (row("a").control(), inside, Some(Confirmed), true),
        (row("a").control(), across, Some(Inconclusive), true),
        (row("a").control(), outside, Some(Refuted), false),
        (Row::new("a", "q", "y"), outside, None, false),
    ] {
        let judgement = Judgement::of(row, measured("a", low, high));
        assert_eq!((judgement.verdict, judgement.fails()), (verdict, fails), "{judgement:?}");
    }
}

#[test]
fn a_claim_comes_out_by_all_its_rows() {
    let claimed = |says: f64, (low, high): (f64, f64)| {
        Judgement::of(row("a").claim("All is 1.", Rule::about(says, 0.1), "why"), measured("a", low, high))
    };
    let (holds, fails, open) =
        (claimed(1.0, (0.95, 1.05)), claimed(5.0, (0.95, 1.05)), claimed(1.0, (0.5, 1.5)));
    for (rows, outcome) in [
        (vec![holds.clone()], Outcome::Holds),
        (vec![holds.clone(), open.clone()], Outcome::Open),
        (vec![holds.clone(), fails.clone(), open.clone()], Outcome::HoldsInPart),
        (vec![fails.clone(), open.clone()], Outcome::Fails),
        (vec![open.clone()], Outcome::Open),
    ] {
        assert_eq!(Judgement::outcomes(&rows), [("All is 1.".to_owned(), outcome)]);
    }
    let account = Account::of(&[holds, fails, Judgement::of(row("c").control(), measured("c", 2.0, 3.0))]);
    assert_eq!(account.to_string(), "2 of 2 predictions confirmed; 1 of 1 wrong formulas refuted");
}

#[test]
fn rows_and_measurements_belong_together() {
    let rows = [row("a"), row("b")];
    let both = [measured("b", 0.0, 1.0), measured("a", 0.0, 1.0)];
    let names: Vec<String> = judge(&rows, &both).unwrap().into_iter().map(|j| j.measured.row).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(matches!(judge(&rows, &both[..1]), Err(Error::Unmatched { what: "a measurement", .. })));
    assert!(matches!(judge(&rows[..1], &both), Err(Error::Unmatched { what: "a prediction", .. })));
}
