use std::collections::BTreeMap;

use candle_core::Device;
use rayon::prelude::*;
use serde_json::json;
use xexp_init::{Init, Seed};

use super::full::TransferFull;
use super::probe::TransferProbe;
use super::signals::{Given, Predicted, Signals};
use crate::{Draw, Experiment};

/// The bundled backbone with few texts and steps.
fn small<E: Experiment>(more: serde_json::Value) -> E {
    let mut parameters = serde_json::to_value(E::default()).unwrap();
    let sizes = json!({
        "pool": 64, "examples": 32, "test_examples": 16, "start_examples": 16, "batch": 16, "seeds": 2,
        "inits": ["he", "zero", "xavier"], "optimisers": ["sgd", "adamw"], "adamw_rates": [1e-4, 1e-3],
        "sgd_rates": [0.01],
    });
    for (key, value) in sizes.as_object().into_iter().chain(more.as_object()).flatten() {
        parameters[key] = value.clone();
    }
    let experiment: E = serde_json::from_value(parameters).unwrap();
    experiment.check().unwrap();
    experiment
}

type Recorded = BTreeMap<(String, usize), Vec<(String, f64)>>;

/// Two draws of every set-up, side by side; backwards, if asked for.
fn recorded<E: Experiment>(experiment: &E, threads: usize, backwards: bool) -> Recorded {
    let mut setups: Vec<_> = experiment
        .setups()
        .unwrap()
        .into_iter()
        .flat_map(|s| {
            let s = std::sync::Arc::new(s);
            [(s.clone(), 0), (s, 1)]
        })
        .collect();
    if backwards {
        setups.reverse();
    }
    let one = |(setup, number): &(std::sync::Arc<crate::Setup<E::Setup>>, usize)| {
        let mut draw = Draw::new(Seed(7), (E::ABOUT.id, &setup.name), *number, &Device::Cpu);
        experiment.draw(setup, &mut draw).unwrap();
        ((setup.name.clone(), *number), draw.into_recorded())
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let all: Recorded = pool.install(|| setups.par_iter().map(one).collect());
    // Every row finds what it is about.
    for setup in experiment.setups().unwrap() {
        for row in experiment.predict(&setup).unwrap() {
            let xexp_report::lab::Statistic::Mean { of } = &row.statistic else { panic!("{row:?}") };
            let names = &all[&(setup.name.clone(), 0)];
            assert!(names.iter().any(|(name, _)| name == of), "{}: {names:?}", row.row);
        }
    }
    all
}

fn number(all: &Recorded, setup: &str, name: &str) -> f64 {
    all[&(setup.to_owned(), 0)].iter().find(|(found, _)| found == name).unwrap().1
}

#[test]
fn a_full_run_depends_on_neither_threads_nor_order_and_a_head_of_zeros_lets_nothing_through() {
    let sizes = || json!({ "epochs": 1, "curve_examples": 8 });
    let one = recorded::<TransferFull>(&small(sizes()), 1, false);
    assert_eq!(one, recorded::<TransferFull>(&small(sizes()), 3, true));
    for setup in ["sgd-zero", "adamw-zero"] {
        assert_eq!(number(&one, setup, "backbone-gradient"), 0.0);
        assert!((number(&one, setup, "first-loss") - 14f64.ln()).abs() < 1e-12);
    }
    assert!(number(&one, "adamw-he", "backbone-gradient") > 0.0);
    assert!(number(&one, "adamw-zero", "drift") > 0.0, "the second step reaches the backbone");
    assert_eq!(number(&one, "start-zero", "gradient"), 0.0);
}

#[test]
fn a_probe_depends_on_neither_threads_nor_order() {
    let sizes = || json!({ "steps": 5 });
    let one = recorded::<TransferProbe>(&small(sizes()), 1, false);
    assert_eq!(one, recorded::<TransferProbe>(&small(sizes()), 3, true));
    // Rates differ, texts and heads do not.
    assert_ne!(number(&one, "adamw-he-0.001", "accuracy"), 0.0);
}

#[test]
fn the_gradient_at_the_features_is_the_one_predicted_at_any_scale() {
    let (width, classes, rows) = (64, 5, 24);
    let mut stream = Seed(3).stream("features");
    // A common vector and something of each example's own, as backbones have it.
    let common: Vec<f64> = (0..width).map(|_| stream.normal()).collect();
    let values = (0..rows)
        .flat_map(|_| common.iter().map(|c| (0.2 * (c + stream.normal())) as f32).collect::<Vec<_>>());
    let values: Vec<f32> = values.collect();
    let labels = (0..rows).map(|i| (i % classes) as u32).collect();
    let given = Given::new(
        xexp_heads::Features { values, width },
        labels,
        (classes, xexp_init::Init::Normal { std: 0.02 }),
    );
    for std in [0.01, 0.3, 2.0] {
        let predicted = Predicted::new(&given, std).unwrap();
        let draws = 3000;
        let (mut logits, mut loss, mut gradient) = (0.0, 0.0, 0.0);
        for i in 0..draws {
            let mut stream = Seed(4).stream(&format!("{std}/{i}"));
            let head = Init::Normal { std }.fill(&given.layer(), &mut stream).unwrap();
            let found = Signals::of(&given, &head);
            logits += found.logits / f64::from(draws);
            loss += found.loss / f64::from(draws);
            gradient += found.gradient / f64::from(draws);
        }
        // Five standard errors of heads whose relative spread is below 1, and the coordinate along the features.
        for (found, expected) in
            [(logits, predicted.logits), (loss, predicted.loss), (gradient, predicted.gradient)]
        {
            assert!(
                (found / expected - 1.0).abs() < 5.0 / f64::from(draws).sqrt() * 0.4 + 0.01,
                "{std}: {found} {expected}"
            );
        }
    }
}

#[test]
fn parameters_without_meaning_are_refused() {
    for wrong in [
        json!({ "inits": ["xavier", "best"] }),
        json!({ "inits": [] }),
        json!({ "adamw_rates": [] }),
        json!({ "sgd_rates": [-1.0] }),
        json!({ "seeds": 1 }),
        json!({ "warmup": 1.5 }),
        json!({ "examples": 0 }),
    ] {
        let mut parameters = serde_json::to_value(TransferFull::default()).unwrap();
        for (key, value) in wrong.as_object().unwrap() {
            parameters[key] = value.clone();
        }
        let experiment: TransferFull = serde_json::from_value(parameters).unwrap();
        assert!(experiment.check().is_err(), "{wrong}");
    }
}
