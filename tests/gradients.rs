//! The whole classifier's backward pass, held against finite differences of its own forward pass.

use xexp_backbones::folder::Folder;
use xexp_backbones::{Grads, Input, Mode, Pass, Seed};
use xexp_heads::{Classifier, HeadInit};
use xexp_kernels::Pool;
use xexp_train::{Sample, StepSettings};

use crate::support::slopes;
use crate::support::tiny_bert::{TinyBert, vocabulary};

const CLASSES: usize = 4;

/// A mode that trains: with a model's dropout in it, the masks of one step, the same in every pass.
pub const TRAIN: Mode = Mode::Train { seed: Seed(3), step: 17 };

/// A tiny classifier with a head of Xavier's variance.
pub fn classifier(dropout: f64) -> Classifier {
    let folder = tempfile::tempdir().unwrap();
    TinyBert { dropout, ..TinyBert::default() }.write(folder.path());
    let folder = Folder::open(folder.path()).unwrap();
    let (mut classifier, _) = Classifier::with_new_head(&folder, CLASSES, Seed(1)).unwrap();
    classifier.initialize(HeadInit::Xavier, 1.0, None, Seed(1)).unwrap();
    classifier
}

/// Sequences of uneven lengths, one of them a pair of texts, with labels.
pub fn samples() -> Vec<Sample> {
    let mut stream = Seed(9).stream("samples");
    let count = vocabulary().len() as u64;
    let sample = |(index, length): (usize, usize)| {
        let ids: Vec<u32> = (0..length).map(|_| stream.below(count) as u32).collect();
        let second = if index == 2 { length / 2 } else { length };
        let type_ids = (0..length).map(|place| u32::from(place >= second)).collect();
        Sample::text(ids, type_ids, (index % CLASSES) as u32)
    };
    [5, 1, 12, 3, 7, 9, 4].into_iter().enumerate().map(sample).collect()
}

pub fn packed(samples: &[Sample]) -> (Input, Vec<u32>) {
    let (input, _) = xexp_train::pack(samples.iter()).unwrap();
    (input, samples.iter().map(|sample| sample.target.class().unwrap()).collect())
}

/// Mean cross-entropy in double precision, and its gradient with respect to the logits.
fn cross_entropy(logits: &[f32], labels: &[u32]) -> (f64, Vec<f32>) {
    let (mut loss, mut slopes, n) = (0.0, vec![], labels.len() as f64);
    for (row, label) in logits.chunks(logits.len() / labels.len()).zip(labels) {
        let powers: Vec<f64> = row.iter().map(|z| f64::from(*z).exp()).collect();
        let sum: f64 = powers.iter().sum();
        loss += (sum.ln() - f64::from(row[*label as usize])) / n;
        let slope = |(class, power): (usize, &f64)| {
            let hit = if class == *label as usize { 1.0 } else { 0.0 };
            ((power / sum - hit) / n) as f32
        };
        slopes.extend(powers.iter().enumerate().map(slope));
    }
    (loss, slopes)
}

pub fn loss(classifier: &Classifier, (input, labels): &(Input, Vec<u32>), mode: Mode) -> f64 {
    let pool = Pool::default();
    let logits = classifier.forward(input, &mut Pass::new(&pool, mode)).unwrap();
    cross_entropy(&logits.values, labels).0
}

/// The gradients of one batch.
pub fn gradients(classifier: &Classifier, (input, labels): &(Input, Vec<u32>), mode: Mode) -> Grads {
    let (pool, mut grads) = (Pool::default(), Grads::new(&classifier.params));
    let mut pass = Pass::new(&pool, mode);
    let logits = classifier.forward(input, &mut pass).unwrap();
    let (_, dlogits) = cross_entropy(&logits.values, labels);
    let tape = logits.tape.expect("a training pass leaves a tape");
    classifier.backward(&mut grads, &dlogits, tape, input, &pass).unwrap();
    grads
}

pub fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

fn assert_slopes(dropout: f64) {
    let classifier = classifier(dropout);
    let batch = packed(&samples());
    let grads = gradients(&classifier, &batch, TRAIN);
    let steepest = slopes::check(&classifier.params, &grads, || loss(&classifier, &batch, TRAIN));
    assert_eq!(steepest.len(), classifier.params.len());
    for (name, slope) in steepest {
        // A key's bias moves all logits of a query alike, which softmax does not see.
        if name.ends_with("key.bias") {
            assert!(slope < slopes::TOLERANCE, "{name}: {slope}");
        } else {
            assert!(slope > 10.0 * slopes::TOLERANCE, "{name}: a slope of {slope} shows nothing");
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    assert_slopes(0.0);
}

#[test]
fn gradients_are_the_slopes_of_the_loss_under_dropout() {
    assert_slopes(0.2);
}

#[test]
fn dropout_changes_the_loss_and_the_step_changes_the_masks() {
    let (classifier, batch) = (classifier(0.2), packed(&samples()));
    let at = |mode| loss(&classifier, &batch, mode);
    assert_eq!(at(TRAIN), at(TRAIN));
    assert_ne!(at(TRAIN), at(Mode::Eval));
    assert_ne!(at(TRAIN), at(Mode::Train { seed: Seed(3), step: 18 }));
    assert_ne!(at(TRAIN), at(Mode::Train { seed: Seed(4), step: 17 }));
}

#[test]
fn gradients_reach_exactly_the_trainable_tensors() {
    let (mut classifier, batch) = (classifier(0.1), packed(&samples()));
    let whole = gradients(&classifier, &batch, TRAIN);
    for (id, weight) in classifier.params.iter() {
        assert!(whole.reached(id) && norm(whole.get(id).unwrap()) > 0.0, "{}", weight.name);
    }
    type Choice = fn(&str) -> bool;
    let wanted: [(&str, Choice); 5] = [
        ("all but the embeddings", |name| !name.contains("embeddings")),
        ("the upper block and what is above", |name| {
            !name.contains("embeddings") && !name.contains("layer.0")
        }),
        ("pooler and head", |name| name.starts_with("bert.pooler") || name.starts_with("classifier")),
        ("the head", |name| name.starts_with("classifier")),
        // What is frozen in the middle must still pass gradients on.
        ("all but the upper block and the pooler's bias", |name| {
            !name.contains("layer.1") && name != "bert.pooler.dense.bias"
        }),
    ];
    for (which, trainable) in wanted {
        classifier.params.train_only(trainable);
        let some = gradients(&classifier, &batch, TRAIN);
        for (id, weight) in classifier.params.iter() {
            let name = &weight.name;
            // The very same numbers: freezing leaves work out, and changes none of the rest.
            let expected = trainable(name).then(|| whole.get(id).unwrap());
            assert!(some.get(id) == expected, "{which}: {name}");
            assert!(some.reached(id) || !trainable(name), "{which}: {name}");
        }
    }
}

/// Gradients of all samples in micro-batches of `size`.
fn accumulated(classifier: &Classifier, samples: &[Sample], size: usize) -> (f64, Grads) {
    let settings = StepSettings {
        step: 0,
        epoch: 0,
        seed: Seed(3),
        micro_batch: size,
        accumulate: samples.len().div_ceil(size),
        lr: 0.0,
        head_lr: 0.0,
        clip: 0.0,
    };
    let (pool, mut grads) = (Pool::default(), Grads::new(&classifier.params));
    let chosen: Vec<&Sample> = samples.iter().collect();
    let loss = xexp_train::gradients(classifier, &chosen, &settings, &mut grads, &pool).unwrap();
    (loss, grads)
}

#[test]
fn uneven_micro_batches_add_up_to_the_one_large_batch() {
    let (classifier, samples) = (classifier(0.0), samples());
    let batch = packed(&samples);
    let whole = gradients(&classifier, &batch, TRAIN);
    let expected = loss(&classifier, &batch, Mode::Eval);
    let largest = classifier.params.iter().map(|(id, _)| norm(whole.get(id).unwrap())).fold(0.0, f64::max);
    // Seven examples: 7; 4 and 3; 3, 3 and 1; one by one.
    for size in [7, 4, 3, 1] {
        let (loss, grads) = accumulated(&classifier, &samples, size);
        // Rounding of f32 in another order: a few units of 6e-8, less than 1e-6 of the value.
        assert!((loss - expected).abs() < 1e-6, "{size}: {loss} for {expected}");
        for (id, weight) in classifier.params.iter() {
            let (a, b) = (grads.get(id).unwrap(), whole.get(id).unwrap());
            let difference: Vec<f32> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            let bound = 2e-6 * norm(b) + 1e-7 * largest;
            assert!(norm(&difference) < bound, "{size}: {}: {}", weight.name, norm(&difference));
        }
    }
}

#[test]
fn an_example_has_the_same_logits_alone_and_in_any_batch() {
    let (classifier, samples) = (classifier(0.1), samples());
    let pool = Pool::default();
    let logits = |samples: &[Sample]| {
        classifier.forward(&packed(samples).0, &mut Pass::new(&pool, Mode::Eval)).unwrap().values.to_vec()
    };
    let together = logits(&samples);
    for (index, sample) in samples.iter().enumerate() {
        let alone = logits(std::slice::from_ref(sample));
        for (a, b) in alone.iter().zip(&together[index * CLASSES..]) {
            // Logits of order 1, through some thirty roundings of 6e-8 in whatever order.
            assert!((a - b).abs() < 5e-6, "{index}: {a} and {b}");
        }
    }
}
