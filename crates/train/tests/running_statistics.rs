//! Batch norms in training: what a step does to running statistics, and what it leaves alone.
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

use safetensors::{Dtype, SafeTensors};
use serde_json::json;
use std::sync::Arc;
use xexp_backbones::checkpoint::{Checkpoint, serialize};
use xexp_backbones::config::Config;
use xexp_backbones::families::{self, Reading};
use xexp_backbones::{Declarations, Grads, Mode, Params, Pass, Seed};
use xexp_heads::{Classifier, HeadInit};
use xexp_init::Layer;
use xexp_kernels::Pool;
use xexp_train::schedule::Shape;
use xexp_train::{
    Content, Optimizer, OptimizerSettings, Sample, Settings, StepSettings, Supervised, first_steps, pack,
    step,
};

const SIZE: usize = 16;
const STEM: &str = "resnet.embedder.embedder";

fn config() -> Config {
    let fields = json!({
        "model_type": "resnet", "num_channels": 1, "embedding_size": 2, "hidden_sizes": [3], "depths": [1],
        "layer_type": "basic", "image_size": SIZE,
    });
    Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() }
}

fn classifier() -> Classifier {
    let config = config();
    let family = families::find(&config).unwrap();
    let (mut classifier, _) = Classifier::untrained(family, &config, 2, Seed(1)).unwrap();
    classifier.initialize(HeadInit::Hf, 1.0, None, Seed(1)).unwrap();
    classifier
}

fn samples() -> Vec<Sample> {
    let sample = |index: usize| {
        let mut noise = Seed(4).stream(&format!("image {index}"));
        let pixels: Vec<f32> = (0..SIZE * SIZE).map(|_| noise.normal() as f32 + index as f32).collect();
        Sample::image(Arc::from(pixels), 16, (index % 2) as u32)
    };
    (0..4).map(sample).collect()
}

/// One step on four images, two at a time.
fn train(classifier: &Classifier) {
    let train = samples();
    let objective = Supervised::new(classifier, &train, &[]);
    let (mut grads, settings) = (Grads::new(&classifier.params), OptimizerSettings::default());
    let mut optimizer = Optimizer::new(&classifier.params, settings);
    let settings = StepSettings {
        step: 0,
        epoch: 0,
        seed: Seed(5),
        micro_batch: 2,
        accumulate: 2,
        lr: 1e-2,
        head_lr: 1e-2,
        clip: 0.0,
    };
    step(&objective, &[0, 1, 2, 3], &settings, (&mut grads, &mut optimizer), &Pool::default()).unwrap();
}

fn values(params: &Params, name: &str) -> Vec<f32> {
    params.values(params.find(name).unwrap().0).unwrap().to_vec()
}

fn is_statistic(layer: &Layer) -> bool {
    matches!(layer, Layer::Statistic { .. } | Layer::Count)
}

/// The mean of the stem's convolution over two images, by its definition: 7 × 7 taps, every second place, 3 of padding.
fn stem_means(w: &[f32], images: &[Sample]) -> Vec<f64> {
    let seen = |output: usize, tap: usize| (2 * output + tap).checked_sub(3).filter(|place| *place < SIZE);
    let one = |w: &[f32]| {
        let mut sum = 0.0;
        for sample in images {
            let Content::Image { image, .. } = &sample.content else { unreachable!() };
            let pixels = image.pixels(None).unwrap();
            for (i, j) in (0..8).flat_map(|i| (0..8).map(move |j| (i, j))) {
                for (a, b) in (0..7).flat_map(|a| (0..7).map(move |b| (a, b))) {
                    if let Some((row, column)) = seen(i, a).zip(seen(j, b)) {
                        sum += f64::from(pixels[row * SIZE + column]) * f64::from(w[a * 7 + b]);
                    }
                }
            }
        }
        sum / (images.len() * 64) as f64
    };
    w.chunks_exact(49).map(one).collect()
}

#[test]
fn each_micro_batch_moves_the_running_statistics_and_counts() {
    let classifier = classifier();
    let samples = samples();
    let kernel = values(&classifier.params, &format!("{STEM}.convolution.weight"));
    let (first, second) = (stem_means(&kernel, &samples[..2]), stem_means(&kernel, &samples[2..]));
    train(&classifier);
    let mean = values(&classifier.params, &format!("{STEM}.normalization.running_mean"));
    for c in 0..2 {
        // From 0, a tenth of the way to each micro-batch's mean.
        let expected = 0.9 * (0.1 * first[c]) + 0.1 * second[c];
        assert!((f64::from(mean[c]) - expected).abs() < 1e-5, "{} {expected}", mean[c]);
    }
    for (name, weight) in classifier.params.by_name().filter(|(_, weight)| is_statistic(&weight.layer)) {
        assert!(!weight.trainable && !weight.decays(), "{name}");
        if weight.layer == Layer::Count {
            assert_eq!(values(&classifier.params, name), [2.0], "{name}");
        }
    }

    // As PyTorch has it: a whole number of 64 bits without axes, which reads back.
    let bytes = serialize(&classifier.params).unwrap();
    let name = format!("{STEM}.normalization.num_batches_tracked");
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let view = file.tensor(&name).unwrap();
    let two = 2i64.to_le_bytes();
    assert_eq!((view.dtype(), view.shape(), view.data()), (Dtype::I64, &[][..], &two[..]));
    let checkpoint = Checkpoint::from_bytes("saved".as_ref(), bytes).unwrap();
    let mut declared = Declarations::default();
    families::find(&config()).unwrap().declare(&config(), &mut declared, Reading::Features).unwrap();
    let (params, report) = declared.load(&checkpoint, Seed(0)).unwrap();
    assert_eq!((values(&params, &name), report.new), (vec![2.0], Vec::<String>::new()));
}

#[test]
fn a_frozen_norm_is_the_function_that_it_is_in_evaluation() {
    let mut classifier = classifier();
    train(&classifier);
    classifier.params.train_only(|name| name.starts_with("classifier"));
    let statistics = |classifier: &Classifier| -> Vec<Vec<f32>> {
        let all = classifier.params.by_name().filter(|(_, weight)| is_statistic(&weight.layer));
        all.map(|(name, _)| values(&classifier.params, name)).collect()
    };
    let (before, (input, _)) = (statistics(&classifier), pack(samples().iter()).unwrap());
    let logits = |mode| {
        let pool = Pool::default();
        classifier.forward(&input, &mut Pass::new(&pool, mode)).unwrap().values.to_vec()
    };
    assert_eq!(logits(Mode::Train { seed: Seed(1), step: 0 }), logits(Mode::Eval));
    train(&classifier);
    assert_eq!(statistics(&classifier), before);
}

#[test]
fn the_variance_of_a_single_place_is_refused() {
    let classifier = classifier();
    // Eight pixels a side are four places after the stem, two after the pool: one image has places enough in every layer.
    let image = |size: usize| pack([Sample::image(Arc::from(vec![0.5; size * size]), 1, 0)].iter());
    let run = |size: usize, mode| {
        let (input, _) = image(size).unwrap();
        let pool = Pool::default();
        classifier.forward(&input, &mut Pass::new(&pool, mode)).map(|_| ()).map_err(|e| e.to_string())
    };
    let training = Mode::Train { seed: Seed(1), step: 0 };
    assert_eq!(run(8, training), Ok(()));
    assert!(run(1, training).unwrap_err().contains("more than one place"));
    assert_eq!(run(1, Mode::Eval), Ok(()));
}

#[test]
fn the_search_for_a_rate_leaves_every_bit_as_it_was() {
    let mut classifier = classifier();
    // A head of zeros has weights lent for the search.
    classifier.initialize(HeadInit::Zero, 1.0, None, Seed(1)).unwrap();
    let before = serialize(&classifier.params).unwrap();
    let train = samples();
    let settings = Settings {
        epochs: 1,
        max_steps: None,
        batch_size: 2,
        accumulate: 1,
        lr: 1e-2,
        head_lr: 1e-2,
        schedule: Shape::Linear,
        warmup: 0.0,
        weight_decay: 0.0,
        clip: 0.0,
        seed: Seed(5),
        log_every: 1,
        checkpoint_every: None,
        patience: None,
        average: None,
    };
    let objective = Supervised::new(&classifier, &train, &[]);
    let found = first_steps::measure(&objective, &settings).unwrap().unwrap();
    assert_eq!(found, first_steps::measure(&objective, &settings).unwrap().unwrap());
    assert!(found.examples == 4 && found.along.lowest < found.loss && found.along.best > 0.0, "{found:?}");
    assert_eq!(serialize(&classifier.params).unwrap(), before);
    assert!(classifier.params.iter().all(|(_, weight)| weight.learning() == weight.trainable));
}
