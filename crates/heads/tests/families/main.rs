//! Every family against transformers: logits, gradients, and the weights that no gradient reaches, on tiny models whose
//! results PyTorch left in `fixtures` (`tests/parity/fixtures.py`).
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod fixture;
mod padding;
mod rule;

use std::collections::{BTreeMap, BTreeSet};

use fixture::Fixture;
use xexp_backbones::families::BACKBONES;
use xexp_backbones::{Grads, Mode, Pass, Seed};
use xexp_heads::{Classifier, HeadInit};
use xexp_kernels::{Pool, cross_entropy, sum_of_squares};

/// What a training step makes of a fixture.
struct Step {
    logits: Vec<f32>,
    gradients: BTreeMap<String, Vec<f32>>,
    statistics: BTreeMap<String, Vec<f32>>,
}

fn step(fixture: &Fixture) -> Step {
    let (classifier, input) = (fixture.classifier(), fixture.input());
    let pool = Pool::default();
    let mut pass = Pass::new(&pool, Mode::Train { seed: Seed(1), step: 0 });
    let output = classifier.forward(&input, &mut pass).unwrap();
    let mut dlogits = pool.buffer(output.values.len());
    let weight = 1.0 / fixture.labels.len() as f64;
    cross_entropy::forward_backward(&output.values, &fixture.labels, weight, &mut dlogits);
    let (mut grads, mut tape) = (Grads::new(&classifier.params), output.tape.unwrap());
    let name = |id| classifier.params.weight(id).name.clone();
    let statistics = tape.statistics().into_iter().map(|(id, values)| (name(id), values)).collect();
    classifier.backward(&mut grads, &dlogits, tape, &input, &pass).unwrap();
    let reached = classifier.params.iter().filter(|(id, _)| grads.reached(*id));
    let gradients = reached.filter_map(|(id, w)| Some((w.name.clone(), grads.get(id)?.to_vec()))).collect();
    Step { logits: output.values.to_vec(), gradients, statistics }
}

fn worst(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

/// The bounds of `tests/parity/compare.py`: logits to 1e-4; a gradient to 1e-3 of its norm and 1e-6 of the model's
/// largest, for those that are zero but for rounding.
#[test]
fn every_family_is_that_of_transformers() {
    let mut failed = vec![];
    for fixture in Fixture::all() {
        let (case, step) = (&fixture.case, step(&fixture));
        let apart = worst(&step.logits, &fixture.tensors["logits"]);
        if apart > 1e-4 {
            failed.push(format!("{case}: logits differ by {apart:.1e}"));
        }
        let theirs = fixture.under("grad:");
        let names =
            |gradients: &BTreeMap<String, Vec<f32>>| gradients.keys().cloned().collect::<BTreeSet<_>>();
        for name in names(&step.gradients).symmetric_difference(&names(&theirs)) {
            let who = if theirs.contains_key(name) { "PyTorch" } else { "xexp" };
            failed.push(format!("{case}: {name} has a gradient in {who} alone"));
        }
        let norm = |values: &[f32]| sum_of_squares(values).sqrt();
        let largest = theirs.values().map(|values| norm(values)).fold(0.0, f64::max);
        for (name, theirs) in &theirs {
            let Some(ours) = step.gradients.get(name) else { continue };
            assert_eq!(ours.len(), theirs.len(), "{case}: {name}");
            let difference: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
            let bound = 1e-3 * norm(theirs) + 1e-6 * largest;
            if norm(&difference) > bound {
                let (found, size) = (norm(&difference), norm(theirs));
                failed.push(format!("{case}: the gradient of {name} is {found:.1e} apart, of {size:.1e}"));
            }
        }
        let theirs = fixture.under("stat:");
        assert_eq!(names(&step.statistics), names(&theirs), "{case}: running statistics");
        for (name, theirs) in &theirs {
            let apart = worst(&step.statistics[name], theirs);
            if apart > 1e-5 {
                failed.push(format!("{case}: {name} differs by {apart:.1e}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What is saved has the names and shapes of transformers' own state.
#[test]
fn a_saved_model_has_all_tensors_of_transformers() {
    for fixture in Fixture::all() {
        let classifier = fixture.classifier();
        let ours: BTreeMap<String, Vec<usize>> =
            classifier.params.by_name().map(|(name, w)| (name.to_string(), w.layer.shape())).collect();
        assert_eq!(ours, fixture.shapes, "{}", fixture.case);
    }
}

/// The layers of a head in front of its last one are new with it: orthogonal, or by transformers' N(0, 0.02²), where the
/// standard deviation of 64 values is known to 1/√128 of itself. The backbone is the checkpoint's in either case.
#[test]
fn a_new_head_is_new_in_all_its_layers_and_the_backbone_is_not() {
    for fixture in Fixture::all() {
        let opened = fixture.classifier();
        let head = &opened.family.head;
        let (mut new, report) = Classifier::with_new_head(&fixture.folder(), 5, Seed(3)).unwrap();
        assert!(report.new.iter().all(|name| head.holds(name)), "{}: {:?}", fixture.case, report.new);
        let values = |model: &Classifier, name: &str| {
            model.params.values(model.params.find(name).unwrap().0).unwrap().to_vec()
        };
        for (name, _) in opened.params.by_name().filter(|(name, _)| !head.holds(name)) {
            assert_eq!(values(&opened, name), values(&new, name), "{}: {name}", fixture.case);
        }
        for path in head.hidden {
            let weight = format!("{path}.weight");
            let drawn = values(&new, &weight);
            let width = drawn.len().isqrt();
            for (i, j) in (0..width).flat_map(|i| (0..width).map(move |j| (i, j))) {
                let product: f32 = (0..width).map(|k| drawn[i * width + k] * drawn[j * width + k]).sum();
                let expected = if i == j { 1.0 } else { 0.0 };
                // Rows of norm 1 to rounding.
                assert!((product - expected).abs() < 1e-5, "{}: {i} {j} {product}", fixture.case);
            }
            assert!(values(&new, &format!("{path}.bias")).iter().all(|bias| *bias == 0.0));
            new.initialize_hidden(HeadInit::Hf, Seed(3)).unwrap();
            let drawn = values(&new, &weight);
            let std = (sum_of_squares(&drawn) / drawn.len() as f64).sqrt();
            assert!((std / 0.02 - 1.0).abs() < 5.0 / 128f64.sqrt(), "{}: {std}", fixture.case);
        }
    }
}

#[test]
fn every_family_has_a_fixture_and_every_fixture_a_family() {
    let fixtures: BTreeSet<String> = Fixture::all().iter().map(Fixture::model_type).collect();
    let families: BTreeSet<String> = BACKBONES.iter().map(|family| family.model_type.to_string()).collect();
    assert_eq!(fixtures, families);
}
