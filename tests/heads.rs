//! New heads on the tiny model: what the plan predicts and what comes out, and what a probe learns.

use std::sync::atomic::AtomicBool;

use xexp_backbones::Seed;
use xexp_heads::{CALIBRATED_VARIANCE, Classifier, Features, HeadInit, HeadPlan, Moments, Truth};
use xexp_kernels::Pool;
use xexp_train::probe::{self, Lesson, ProbeSettings};
use xexp_train::{Counting, predict, truth};

use crate::gradients::{classifier, samples};
use crate::support::tiny_bert::WIDTH;

const CLASSES: usize = 4;

fn features(classifier: &Classifier) -> Features {
    predict::features(classifier, &samples(), 4, &AtomicBool::new(false), |_| ()).unwrap().unwrap()
}

/// Mean over heads of what the plan measures, and what it predicts: logit variance and initial loss.
fn averages(init: HeadInit, scale: f64) -> [(f64, f64); 2] {
    let (mut classifier, pool, draws) = (classifier(0.1), Pool::default(), 400);
    let features = features(&classifier);
    let moments = Moments::of(&features.values, WIDTH);
    let labels = truth(samples().iter()).unwrap();
    let mut sums = [(0.0, 0.0); 2];
    for draw in 0..draws {
        let std = classifier.initialize(init, scale, Some(&moments), Seed(draw)).unwrap();
        let plan = HeadPlan::new(&classifier, (init, scale, std), &features, &labels, &pool).unwrap();
        for (sum, (predicted, measured)) in sums.iter_mut().zip([
            (plan.predicted.logit_variance, plan.measured_logit_variance),
            (plan.predicted.initial_loss.unwrap(), plan.initial_loss),
        ]) {
            *sum = (sum.0 + predicted / draws as f64, sum.1 + measured / draws as f64);
        }
    }
    sums
}

#[test]
fn heads_have_the_logit_variance_and_the_initial_loss_of_their_plan() {
    for init in [HeadInit::Xavier, HeadInit::Lecun, HeadInit::Normal(0.1), HeadInit::Orthogonal] {
        let [(predicted, measured), (predicted_loss, measured_loss)] = averages(init, 1.0);
        // A draw's variance scatters by at most √(2/4) for features along one line: 3.5 % over 400 draws. Four
        // standard errors of that.
        assert!((measured / predicted - 1.0).abs() < 0.14, "{init}: {measured}, predicted {predicted}");
        // Rows of an orthogonal head are not independent, and its losses a little off the formula for those that are.
        // A loss scatters by about the logits' standard deviation, at most 1.5: 7.5 % of it over 400 draws.
        let bound = 4.0 * measured.sqrt() / 20.0;
        assert!((measured_loss - predicted_loss).abs() < bound, "{init}: {measured_loss}, {predicted_loss}");
    }
}

#[test]
fn calibrated_heads_reach_their_target_and_the_scale_is_squared() {
    let [(predicted, measured), _] = averages(HeadInit::Calibrated, 1.0);
    assert!((predicted / CALIBRATED_VARIANCE - 1.0).abs() < 1e-9, "{predicted}");
    // As above.
    assert!((measured / CALIBRATED_VARIANCE - 1.0).abs() < 0.14, "{measured}");
    let [(predicted, scaled), _] = averages(HeadInit::Calibrated, 3.0);
    assert!((predicted / CALIBRATED_VARIANCE - 9.0).abs() < 1e-8);
    // The very same draws, three times as large.
    assert!((scaled / measured - 9.0).abs() < 1e-4, "{scaled}");
}

/// Features that a class moves along an axis of its own, by `distance` standard deviations.
fn separable(rows: usize, distance: f64, name: &str) -> (Features, Vec<u32>) {
    let mut stream = Seed(6).stream(name);
    let labels: Vec<u32> = (0..rows).map(|row| (row % CLASSES) as u32).collect();
    let value = |label: u32, column: usize, noise: f64| {
        // A common offset and unequal scales, as pretrained features have.
        let shift = if column == label as usize { distance } else { 0.0 };
        ((5.0 + shift + noise) * 0.1 * (1 + column % 3) as f64) as f32
    };
    let values = labels
        .iter()
        .flat_map(|label| (0..WIDTH).map(|column| value(*label, column, stream.normal())).collect::<Vec<_>>())
        .collect();
    (Features { values, width: WIDTH }, labels)
}

/// Accuracy on data of its own, and the training losses.
fn probed(distance: f64, lr: Option<f64>) -> (f64, Vec<f64>) {
    let mut classifier = classifier(0.1);
    let (train, labels) = separable(400, distance, "train");
    let (valid, valid_labels) = separable(200, distance, "valid");
    let (test, test_labels) = separable(1000, distance, "test");
    let settings = ProbeSettings { passes: 100, lr, patience: None };
    let mut losses = vec![];
    let mut heard = |_, _, loss, _| {
        losses.push(loss);
        Ok(())
    };
    let stop = AtomicBool::new(false);
    let (labels, valid_labels) = (Truth::Classes(labels), Truth::Classes(valid_labels));
    let (train, valid, counting) = ((&train, &labels), (&valid, &valid_labels), &Counting::default());
    let lesson = Lesson { train, valid, counting };
    probe::fit(&mut classifier, lesson, &settings, &stop, &mut heard).unwrap().unwrap();
    let logits = classifier.logits(&test.values, &Pool::default()).unwrap();
    let hit = |(row, label): (&[f32], &u32)| row.iter().all(|z| *z <= row[*label as usize]);
    let hits = logits.chunks(CLASSES).zip(&test_labels).filter(|pair| hit(*pair)).count();
    (hits as f64 / test_labels.len() as f64, losses)
}

#[test]
fn a_probe_finds_classes_that_a_line_separates() {
    // Classes six standard deviations out along axes of their own are told apart but for a few in 100,000 by the
    // best rule; 400 examples in 32 dimensions cost some of that.
    let (accuracy, losses) = probed(6.0, None);
    assert!(accuracy > 0.98, "{accuracy}");
    assert!(losses[99] < 0.1 * losses[0], "{losses:?}");
    // Without any difference the labels are a guess: 250 of 1000, give or take 14 a standard deviation.
    let (chance, _) = probed(0.0, None);
    assert!((chance - 0.25).abs() < 0.07, "{chance}");
}
