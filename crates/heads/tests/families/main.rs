//! Every family against transformers: logits, gradients, and the weights that no gradient reaches, on tiny models whose
//! results PyTorch left in `fixtures` (`tests/parity/fixtures.py`).
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

mod fixture;
mod frozen;
mod padding;
mod pretrained;
mod rule;
mod second;
mod sizes;
mod step;

use std::collections::{BTreeMap, BTreeSet};

use fixture::Fixture;
use step::apart;
use xexp_backbones::Seed;
use xexp_backbones::families::BACKBONES;
use xexp_heads::{Classifier, HeadInit};
use xexp_init::Layer;
use xexp_kernels::sum_of_squares;

/// The bounds are those of [`step::Apart`].
#[test]
fn every_family_is_that_of_transformers() {
    for fixture in Fixture::all() {
        let apart = apart(&fixture);
        assert!(apart.failures.is_empty(), "{}", apart.failures.join("\n"));
        let shares = [apart.logits / 1e-4, apart.gradients, apart.statistics.unwrap_or(0.0) / 1e-5];
        // Of a frozen family, those of the head alone.
        let tensors = if fixture.family().frozen { apart.tensors == 2 } else { apart.tensors > 10 };
        assert!(tensors && shares.iter().all(|share| *share <= 1.0), "{}: {shares:?}", fixture.case);
    }
}

/// What is saved has the names and shapes of transformers' own state.
#[test]
fn a_saved_model_has_all_tensors_of_transformers() {
    for fixture in Fixture::all() {
        let classifier = fixture.classifier();
        let floats = classifier.params.by_name().filter(|(_, weight)| weight.layer != Layer::Count);
        let ours: BTreeMap<String, Vec<usize>> =
            floats.map(|(name, w)| (name.to_string(), w.layer.shape())).collect();
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
        // Fixtures leave out counts of batches, which then begin at 0.
        let count = |name: &String| new.params.find(name).is_some_and(|(_, w)| w.layer == Layer::Count);
        let explained = report.new.iter().all(|name| head.holds(name) || count(name));
        assert!(explained, "{}: {:?}", fixture.case, report.new);
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
    let fixtures: BTreeSet<&str> = Fixture::all().iter().map(|fixture| fixture.family().model_type).collect();
    let families: BTreeSet<&str> = BACKBONES.iter().map(|family| family.model_type).collect();
    assert_eq!(fixtures, families);
}
