//! Families that candle-transformers computes: what is refused, and what a batch may not change.

use serde_json::{Value, json};
use xexp_backbones::families::Reading;
use xexp_backbones::{Content, Declarations, Error, Input, Mode, Pass, Seed};
use xexp_heads::Classifier;
use xexp_kernels::Pool;

use crate::fixture::Fixture;

fn frozen() -> Vec<Fixture> {
    let found: Vec<Fixture> = Fixture::all().into_iter().filter(|one| one.family().frozen).collect();
    assert!(found.len() >= 8, "{}", found.len());
    found
}

fn logits(classifier: &Classifier, input: &Input) -> Vec<f32> {
    let pool = Pool::default();
    classifier.forward(input, &mut Pass::new(&pool, Mode::Eval)).unwrap().values.to_vec()
}

/// A sequence of a batch by itself.
fn one(input: &Input, index: usize) -> Input {
    let range = input.offsets[index]..input.offsets[index + 1];
    match &input.content {
        Content::Words(words) => Input::pack([(&words.ids[range.clone()], &words.type_ids[range])]).unwrap(),
        Content::Images(pixels) => {
            let values = pixels.len() / input.batch();
            Input::pack_images([&pixels[index * values..(index + 1) * values]], range.len()).unwrap()
        }
    }
}

#[test]
fn a_backbone_that_is_to_be_trained_is_refused_before_the_first_step() {
    for fixture in frozen() {
        let (classifier, input) = (fixture.classifier(), fixture.input());
        let pool = Pool::default();
        let mut pass = Pass::new(&pool, Mode::Train { seed: Seed(1), step: 0 });
        let error = classifier.forward(&input, &mut pass).err().unwrap();
        let xexp_heads::Error::Backbone(Error::Frozen { family, weight }) = &error else { panic!("{error}") };
        assert_eq!(*family, fixture.family().model_type, "{}", fixture.case);
        assert!(classifier.params.find(weight).is_some_and(|(_, weight)| weight.trainable));
    }
}

/// To the bit: a sequence is computed by itself.
#[test]
fn a_sequence_has_the_same_logits_alone_and_in_every_batch() {
    for fixture in frozen() {
        let (classifier, input) = (fixture.classifier(), fixture.input());
        let together = logits(&classifier, &input);
        let alone: Vec<f32> =
            (0..input.batch()).flat_map(|index| logits(&classifier, &one(&input, index))).collect();
        assert_eq!(together, alone, "{}", fixture.case);
    }
}

/// What follows a change of the weights is computed with the new ones.
#[test]
fn a_changed_weight_changes_the_next_pass() {
    for fixture in frozen() {
        let (classifier, input) = (fixture.classifier(), fixture.input());
        let before = logits(&classifier, &input);
        for (id, weight) in classifier.params.iter().filter(|(_, weight)| weight.learns) {
            if !classifier.in_head(&weight.name) {
                let half: Vec<f32> = classifier.params.values(id).unwrap().iter().map(|v| 0.5 * v).collect();
                classifier.params.set(id, &half).unwrap();
            }
        }
        assert_ne!(before, logits(&classifier, &input), "{}", fixture.case);
    }
}

#[test]
fn what_candle_computes_otherwise_is_refused_by_the_name_of_the_field() {
    let tower =
        |field: &str, value: Value| json!({ "model_type": "clip", "vision_config": { field: value } });
    for (mut config, field) in [
        (tower("hidden_act", json!("gelu")), "hidden_act"),
        (tower("layer_norm_eps", json!(1e-6)), "layer_norm_eps"),
        (tower("num_attention_heads", json!(7)), "num_attention_heads"),
        (tower("patch_size", json!(300)), "patch_size"),
        (json!({ "model_type": "clip", "vision_config": 3 }), "vision_config"),
        (json!({ "model_type": "clip_vision_model", "hidden_act": "gelu" }), "hidden_act"),
        (json!({ "model_type": "siglip", "vision_config": { "hidden_act": "mish" } }), "hidden_act"),
        (json!({ "model_type": "siglip_vision_model", "image_size": [224, 224] }), "image_size"),
        (json!({ "model_type": "t5", "feed_forward_proj": "gelu" }), "feed_forward_proj"),
        (json!({ "model_type": "t5", "feed_forward_proj": "gated-relu" }), "feed_forward_proj"),
        (
            json!({ "model_type": "t5", "relative_attention_num_buckets": 30 }),
            "relative_attention_num_buckets",
        ),
        (
            json!({ "model_type": "t5", "relative_attention_max_distance": 8 }),
            "relative_attention_max_distance",
        ),
        (json!({ "model_type": "t5", "num_layers": 1_000_000 }), "num_layers"),
        (json!({ "model_type": "nomic_bert", "activation_function": "gelu" }), "activation_function"),
        (json!({ "model_type": "nomic_bert", "prenorm": true }), "prenorm"),
        (json!({ "model_type": "nomic_bert", "rotary_emb_fraction": 0.5 }), "rotary_emb_fraction"),
        (json!({ "model_type": "nomic_bert", "rotary_scaling_factor": 2.0 }), "rotary_scaling_factor"),
        (json!({ "model_type": "nomic_bert", "rope_parameters": { "rope_type": "yarn" } }), "rope_type"),
        (json!({ "model_type": "nomic_bert", "n_embd": 36 }), "num_attention_heads"),
        (
            json!({ "model_type": "bert", "position_embedding_type": "alibi", "feed_forward_type": "reglu" }),
            "feed_forward_type",
        ),
    ] {
        for (name, size) in [("hidden_size", 768), ("num_attention_heads", 12)] {
            if config["model_type"] == "bert" {
                config[name] = json!(size);
            }
        }
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("config.json", config.to_string()), ("tokenizer.json", "{}".into())] {
            std::fs::write(folder.path().join(name), &text).unwrap();
        }
        std::fs::write(folder.path().join("preprocessor_config.json"), "{}").unwrap();
        let folder = xexp_backbones::folder::Folder::without_weights(folder.path()).unwrap();
        let error = folder.family.declare(&folder.config, &mut Declarations::default(), Reading::Features);
        let error = error.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(&format!("{field}: expected")), "{config}: {error}");
    }
}

#[test]
fn ids_and_segments_that_a_model_has_not_are_refused() {
    for fixture in frozen().iter().filter(|fixture| fixture.texts.is_some()) {
        let classifier = fixture.classifier();
        let refused = |ids: &[u32], types: &[u32]| {
            let (input, pool) = (Input::pack([(ids, types)]).unwrap(), Pool::default());
            classifier.forward(&input, &mut Pass::new(&pool, Mode::Eval)).err().map(|error| error.to_string())
        };
        assert!(refused(&[3, 23], &[0, 0]).unwrap().contains("vocabulary of 23"), "{}", fixture.case);
        let pair = refused(&[3, 4], &[0, 1]);
        match fixture.family().model_type {
            "jina_bert" => assert!(pair.unwrap().contains("single texts")),
            _ => assert_eq!(pair, None),
        }
        if fixture.family().model_type == "nomic_bert" {
            assert!(refused(&[3, 4], &[0, 2]).unwrap().contains("segments of 2"));
        }
    }
}
