//! The image encoder: its backward pass against finite differences, and what is refused.

use std::sync::Arc;

use serde_json::json;
use xexp_backbones::config::Config;
use xexp_backbones::{Mode, Seed, families};
use xexp_heads::{Classifier, HeadInit};
use xexp_train::{Sample, pack};

use crate::gradients::{TRAIN, gradients, loss, norm, packed};
use crate::support::slopes;

const CLASSES: usize = 3;

/// Two blocks of width 8 on 3 × 6 × 6 images in patches of 3.
fn classifier(dropout: f64) -> Classifier {
    let fields = json!({
        "model_type": "vit", "image_size": 6, "patch_size": 3, "num_channels": 3, "hidden_size": 8,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12, "initializer_range": 0.4,
        "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout,
    });
    let config = Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
    let family = families::find(&config).unwrap();
    let (mut classifier, report) = Classifier::untrained(family, &config, CLASSES, Seed(1)).unwrap();
    assert_eq!((report.new.len(), report.loaded.len()), (classifier.params.len(), 0));
    classifier.initialize(HeadInit::Xavier, 1.0, None, Seed(1)).unwrap();
    classifier
}

fn samples() -> Vec<Sample> {
    let mut stream = Seed(9).stream("images");
    let image = |index: usize| {
        let pixels: Arc<[f32]> = (0..108).map(|_| stream.normal() as f32).collect();
        Sample::image(pixels, 5, (index % CLASSES) as u32)
    };
    (0..5).map(image).collect()
}

#[test]
fn gradients_are_the_slopes_of_the_loss_with_and_without_dropout() {
    for dropout in [0.0, 0.2] {
        let (classifier, batch) = (classifier(dropout), packed(&samples()));
        let grads = gradients(&classifier, &batch, TRAIN);
        let steepest = slopes::check(&classifier.params, &grads, || loss(&classifier, &batch, TRAIN));
        assert_eq!(steepest.len(), classifier.params.len());
        for (name, slope) in steepest {
            // A key's bias moves all logits of a query alike, which softmax does not see.
            let seen = !name.ends_with("key.bias");
            assert_eq!(slope > 10.0 * slopes::TOLERANCE, seen, "{name}: {slope}");
        }
    }
}

#[test]
fn frozen_layers_have_no_gradient_and_change_none_of_the_others() {
    let (mut classifier, batch) = (classifier(0.1), packed(&samples()));
    let whole = gradients(&classifier, &batch, TRAIN);
    assert!(classifier.params.iter().all(|(id, _)| norm(whole.get(id).unwrap()) > 0.0));
    type Choice = fn(&str) -> bool;
    let wanted: [Choice; 4] = [
        |name| !name.contains("embeddings"),
        |name| name.contains("layer.1") || name.starts_with("classifier"),
        |name| name.starts_with("vit.layernorm") || name.starts_with("classifier"),
        |name| name.ends_with("cls_token"),
    ];
    for trainable in wanted {
        classifier.params.train_only(trainable);
        let some = gradients(&classifier, &batch, TRAIN);
        for (id, weight) in classifier.params.iter() {
            let name = &weight.name;
            assert!(some.get(id) == trainable(name).then(|| whole.get(id).unwrap()), "{name}");
            assert!(some.reached(id) || !trainable(name), "{name}");
        }
    }
}

#[test]
fn texts_for_an_image_encoder_are_refused() {
    let text = Sample::text(vec![1, 2], vec![0, 0], 0);
    let (input, _) = pack([&text].into_iter()).unwrap();
    let pool = xexp_kernels::Pool::default();
    let mut pass = xexp_backbones::Pass::new(&pool, Mode::Eval);
    let error = classifier(0.0).forward(&input, &mut pass).err().unwrap().to_string();
    assert!(error.contains("expected images"), "{error}");
    let mixed = [text, samples().swap_remove(0)];
    assert!(pack(mixed.iter()).is_err());
}
