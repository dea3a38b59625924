//! The bench: looks, limits, what undecided rows need, and that threads do not matter.
#![allow(clippy::unwrap_used, clippy::result_large_err, reason = "all of this crate is tests")]

use std::sync::atomic::AtomicBool;

use candle_core::Device;
use xexp_experiments::bench::Bench;
use xexp_experiments::{About, Draw, Error, Opened, Planned, Result};
use xexp_init::Seed;
use xexp_report::lab::{Figure, Looks, Measurement, Row};

/// Draws `N(1, 0.1²)`, or as many of them as need no luck.
struct Normal;

impl Opened for Normal {
    fn about(&self) -> About {
        About { id: "normal", title: "", question: "", source: "", method: "", cost: "" }
    }

    fn parameters(&self) -> Result<serde_json::Value> {
        Ok(serde_json::json!({}))
    }

    fn plan(&self) -> Result<Vec<Planned>> {
        Ok(vec![])
    }

    fn draw(&self, _setup: usize, draw: &mut Draw<'_>) -> Result<()> {
        let value = 1.0 + 0.1 * draw.stream("y").normal();
        draw.record("y", value)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![]
    }
}

fn measure(rows: &[Row], draws: Option<usize>, seed: u64) -> Result<Vec<Measurement>> {
    let stop = AtomicBool::new(false);
    let bench = Bench { seed: Seed(seed), device: &Device::Cpu, draws, stop: &stop };
    let planned = Planned { name: "s".into(), looks: Looks::default(), rows: rows.to_vec() };
    bench.measure(&Normal, 0, &planned)
}

fn row(name: &str) -> Row {
    Row::new(name, "q", "y")
}

#[test]
fn a_row_takes_as_many_draws_as_decide_it() {
    let wide = row("wide").near(1.0, 0.5, "");
    let far = row("far").near(2.0, 0.1, "");
    let both = measure(&[wide.clone(), far.clone()], None, 1).unwrap();
    assert!(both.iter().all(|m| m.estimate.draws == 20 && m.needs.is_none()), "{both:?}");
    assert_eq!(both[0].confidence, 0.9875);
    // A tolerance of 0.01 is a tenth of the spread: (2.5·0.1/0.01)² = 625 draws.
    let tight = row("tight").near(1.0, 0.01, "");
    let rows = measure(&[wide, tight], None, 1).unwrap();
    let draws: Vec<usize> = rows.iter().map(|m| m.estimate.draws).collect();
    assert_eq!(draws, [20, 160], "the decided row keeps the look that decided it");
    let needs = rows[1].needs.unwrap();
    assert!(needs > 160 && needs < 100_000, "{needs}");
}

#[test]
fn draws_are_limited_as_asked() {
    let rows = measure(&[row("tight").near(1.0, 1e-4, "")], Some(7), 1).unwrap();
    assert_eq!((rows[0].estimate.draws, rows[0].confidence), (7, 0.95));
    assert!(matches!(measure(&[row("a")], Some(1), 1), Err(Error::Report(_))));
}

#[test]
fn results_depend_on_the_seed_and_not_on_the_threads() {
    let rows = [row("tight").near(1.0, 1e-3, "").by(xexp_report::lab::Statistic::Median { of: "y".into() })];
    let on = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| measure(&rows, None, seed).unwrap())
    };
    assert_eq!(on(1, 1), on(3, 1));
    assert_ne!(on(1, 1), on(1, 2));
}

#[test]
fn a_stopped_run_measures_nothing() {
    let stop = AtomicBool::new(true);
    let bench = Bench { seed: Seed(1), device: &Device::Cpu, draws: None, stop: &stop };
    let planned = Planned { name: "s".into(), looks: Looks::default(), rows: vec![row("a")] };
    assert!(matches!(bench.measure(&Normal, 0, &planned), Err(Error::Interrupted)));
}

#[test]
fn a_row_of_something_that_nobody_records_is_an_error() {
    let error = measure(&[Row::new("a", "q", "z")], None, 1).unwrap_err();
    assert!(error.to_string().contains("no draws of `z`"), "{error}");
}
