//! Backbones of the sizes of checkpoints that many use, and the features that they hand to a head.

use std::path::Path;

use serde_json::{Value, json};
use xexp_backbones::config::Config;
use xexp_backbones::families::{self, HeadLaw, Modality};
use xexp_backbones::folder::Folder;
use xexp_backbones::{Input, Mode, Pass, Seed};
use xexp_bundled::images::{CHANNELS, SIZE, image_set};
use xexp_data::{Format, Source, Tokenizer, read_bytes};
use xexp_heads::{Classifier, Features, HeadInit};
use xexp_kernels::Pool;

use crate::catalogue::bundled_features as bundled;
use crate::{Error, Result};

/// The texts that all text backbones read, and whose words give the ids.
const TEXTS: (&str, &str) = ("shop-requests", "mini-text");
/// The images that all image backbones see.
const IMAGES: &str = "symbols";
/// Sequences at once.
const BATCH: usize = 16;
/// Most tokens of a text.
const LONGEST: usize = 64;

/// Sizes by family: those of the checkpoint named, but for depth, vocabulary and the size of images, which change the
/// features' energy little or not at all, since a norm or a pooler closes every one of these networks.
pub fn sizes(family: &str) -> Option<(&'static str, Value)> {
    let encoder = |other: Value| {
        let usual = json!({
            "vocab_size": 6000, "hidden_size": 768, "num_hidden_layers": 4, "num_attention_heads": 12,
            "intermediate_size": 3072, "max_position_embeddings": 514, "type_vocab_size": 1,
        });
        joined(usual, other)
    };
    let patches = |other: Value| {
        let usual = json!({
            "hidden_size": 768, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 3072,
            "image_size": 96, "patch_size": 16, "num_channels": 3,
        });
        joined(usual, other)
    };
    let decoder = |other: Value| {
        let usual = json!({
            "vocab_size": 6000, "num_hidden_layers": 2, "max_position_embeddings": 512, "pad_token_id": 0,
        });
        joined(usual, other)
    };
    let stages = json!({ "depths": [2, 2, 2, 2], "hidden_sizes": [96, 192, 384, 768], "num_stages": 4, "image_size": 96, "num_channels": 3 });
    Some(match family {
        "albert" => ("albert-base-v2", encoder(json!({ "embedding_size": 128, "type_vocab_size": 2 }))),
        "bert" => ("bert-base-uncased", encoder(json!({ "type_vocab_size": 2 }))),
        "camembert" => ("camembert-base", encoder(json!({ "pad_token_id": 1 }))),
        "roberta" => ("roberta-base", encoder(json!({ "pad_token_id": 1 }))),
        "xlm-roberta" => ("xlm-roberta-base", encoder(json!({ "pad_token_id": 1 }))),
        "mpnet" => ("mpnet-base", encoder(json!({ "pad_token_id": 1 }))),
        "electra" => (
            "electra-small-discriminator",
            encoder(json!({
                "hidden_size": 256, "embedding_size": 128, "num_attention_heads": 4, "intermediate_size": 1024,
                "type_vocab_size": 2,
            })),
        ),
        "deberta-v2" => (
            "deberta-v3-base",
            encoder(json!({
                "relative_attention": true, "position_buckets": 256, "pos_att_type": ["p2c", "c2p"],
                "share_att_key": true, "norm_rel_ebd": "layer_norm", "position_biased_input": false,
                "type_vocab_size": 0, "max_relative_positions": -1, "layer_norm_eps": 1e-7,
                "pooler_hidden_size": 768, "pooler_hidden_act": "gelu",
            })),
        ),
        "distilbert" => (
            "distilbert-base-uncased",
            json!({
                "vocab_size": 6000, "dim": 768, "n_heads": 12, "n_layers": 4, "hidden_dim": 3072,
                "max_position_embeddings": 512,
            }),
        ),
        "modernbert" => (
            "ModernBERT-base",
            encoder(json!({ "intermediate_size": 1152, "pad_token_id": 0, "max_position_embeddings": 512 })),
        ),
        "gpt2" => (
            "gpt2",
            json!({
                "vocab_size": 6000, "n_embd": 768, "n_head": 12, "n_layer": 4, "n_positions": 512, "pad_token_id": 0,
            }),
        ),
        "llama" => (
            "Llama-3.2-1B",
            decoder(json!({
                "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32, "num_key_value_heads": 8,
            })),
        ),
        "qwen2" => (
            "Qwen2-0.5B",
            decoder(json!({
                "hidden_size": 896, "intermediate_size": 4864, "num_attention_heads": 14, "num_key_value_heads": 2,
            })),
        ),
        "qwen3" => (
            "Qwen3-0.6B",
            decoder(json!({
                "hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8,
                "head_dim": 128,
            })),
        ),
        "vit" => ("vit-base-patch16-224", patches(json!({}))),
        "deit" => ("deit-base-distilled-patch16-224", patches(json!({}))),
        "beit" => (
            "beit-base-patch16-224",
            patches(json!({ "use_relative_position_bias": true, "layer_scale_init_value": 0.1 })),
        ),
        "dinov2" => ("dinov2-base", patches(json!({ "image_size": 98, "patch_size": 14 }))),
        "dinov2_with_registers" => {
            ("dinov2-with-registers-base", patches(json!({ "image_size": 98, "patch_size": 14 })))
        }
        "swin" => (
            "swin-tiny-patch4-window7-224",
            json!({
                "embed_dim": 96, "depths": [2, 2, 2, 2], "num_heads": [3, 6, 12, 24], "window_size": 7,
                "image_size": 224, "patch_size": 4, "num_channels": 3,
            }),
        ),
        "convnext" => ("convnext-tiny-224", stages),
        "convnextv2" => ("convnextv2-tiny-1k-224", stages),
        "resnet" => ("resnet-50", json!({ "depths": [2, 2, 2, 2] })),
        "mobilenet_v2" => ("mobilenet_v2_1.0_224", json!({ "image_size": 96 })),
        _ => return None,
    })
}

fn joined(mut usual: Value, other: Value) -> Value {
    if let (Value::Object(usual), Value::Object(other)) = (&mut usual, other) {
        usual.extend(other);
    }
    usual
}

fn config(family: &str) -> Result<Config> {
    let unknown = || Error::Parameter {
        experiment: super::HeadAudit::ID,
        parameter: "families",
        found: family.to_owned(),
        expected: "families that `xexp list --models` names, or folders of models",
    };
    let (_, Value::Object(mut fields)) = sizes(family).ok_or_else(unknown)? else { return Err(unknown()) };
    fields.insert("model_type".into(), family.into());
    Ok(Config { path: Path::new("config.json").into(), fields })
}

/// A family's features, and how transformers draws a head on them.
pub struct Subject {
    /// `(examples, width)`.
    pub features: Features,
    /// transformers' law of the last layer.
    pub law: HeadLaw,
}

/// Features of `examples` texts or images in a backbone of the family's sizes that has learned nothing. Layers of the head
/// in front of the last one are drawn by `init`.
///
/// # Errors
/// A family without sizes.
pub fn untrained(family: &str, examples: usize, init: HeadInit) -> Result<Subject> {
    let config = config(family)?;
    let family = families::find(&config)?;
    let (mut classifier, _) = Classifier::untrained(family, &config, 2, Seed(0))?;
    classifier.initialize_hidden(init, Seed(0))?;
    let law = (family.head.law)(&config, classifier.backbone.width())?;
    // Running statistics of batch norms are those of no data yet: such a backbone goes by its batch.
    let mode = match family.model_type {
        "resnet" | "mobilenet_v2" => Mode::Train { seed: Seed(0), step: 0 },
        _ => Mode::Eval,
    };
    let inputs = match family.modality {
        Modality::Text => texts(examples)?,
        Modality::Image => images(&classifier, examples)?,
    };
    Ok(Subject { features: run(&classifier, &inputs, mode)?, law })
}

/// A pretrained model's folder.
///
/// # Errors
/// A place without a model.
pub fn open(place: &str) -> Result<Folder> {
    match place.strip_prefix("bundled:") {
        Some(name) => bundled::open(name)?.ok_or_else(|| Error::Parameter {
            experiment: super::HeadAudit::ID,
            parameter: "models",
            found: place.to_owned(),
            expected: "folders of models, or models that the program carries, such as bundled:mini-text",
        }),
        None => Ok(Folder::open(Path::new(place))?),
    }
}

/// Features of `examples` texts or images in a pretrained backbone, as [`untrained`].
///
/// # Errors
/// A model that cannot be read.
pub fn pretrained(place: &str, examples: usize, init: HeadInit) -> Result<Subject> {
    let folder = open(place)?;
    let (mut classifier, _) = Classifier::with_new_head(&folder, 2, Seed(0))?;
    classifier.initialize_hidden(init, Seed(0))?;
    let law = (folder.family.head.law)(&folder.config, classifier.backbone.width())?;
    let set = if folder.family.modality == Modality::Image { IMAGES } else { TEXTS.0 };
    let chosen: Vec<usize> = (0..examples).collect();
    Ok(Subject { features: bundled::features_of(&classifier, &folder, set, "train", &chosen)?, law })
}

fn run(classifier: &Classifier, inputs: &[Input], mode: Mode) -> Result<Features> {
    let pool = Pool::default();
    let mut features = Features { values: vec![], width: classifier.backbone.width() };
    for input in inputs {
        let encoded = classifier.backbone.forward(&classifier.params, input, &mut Pass::new(&pool, mode))?;
        features.values.extend_from_slice(&encoded.features);
    }
    Ok(features)
}

fn texts(examples: usize) -> Result<Vec<Input>> {
    let (set, model) = TEXTS;
    let missing = || Error::Parameter {
        experiment: super::HeadAudit::ID,
        parameter: "examples",
        found: set.to_owned(),
        expected: "a set that the program carries",
    };
    let bytes = xexp_bundled::texts(set).and_then(|set| set.split("train")).ok_or_else(missing)?;
    let source = Source { format: Some(Format::Csv), ..Source::new(set) };
    let mut read = read_bytes(&source, bytes, true)?.examples;
    read.truncate(examples);
    let model = xexp_bundled::model(model).ok_or_else(missing)?;
    let folder = Folder::in_memory(model.name, model.files)?;
    let tokenizer = Tokenizer::from_bytes(Path::new("tokenizer.json"), &folder.companion()?)?;
    let encoded = tokenizer.encode_examples(&read, LONGEST)?;
    // One kind of token: not all families have two.
    let input = |part: &[xexp_data::Encoded]| {
        let zeros = vec![0; LONGEST];
        Ok(Input::pack(part.iter().map(|text| (&text.ids[..], &zeros[..text.ids.len()])))?)
    };
    encoded.chunks(BATCH).map(input).collect()
}

fn images(classifier: &Classifier, examples: usize) -> Result<Vec<Input>> {
    let missing = |found: &str| Error::Parameter {
        experiment: super::HeadAudit::ID,
        parameter: "families",
        found: found.to_owned(),
        expected: "backbones that see images in colour",
    };
    let shape = classifier.backbone.image().ok_or_else(|| missing(classifier.family.model_type))?;
    if shape.channels != CHANNELS {
        return Err(missing(classifier.family.model_type));
    }
    let set = image_set(IMAGES).ok_or_else(|| missing(IMAGES))?;
    let drawn: Vec<Vec<f32>> = (0..examples)
        .filter_map(|index| set.image("train", index))
        .map(|image| enlarged(&image.pixels, shape.size))
        .collect();
    drawn
        .chunks(BATCH)
        .map(|part| Ok(Input::pack_images(part.iter().map(|image| &image[..]), shape.tokens)?))
        .collect()
}

/// Each pixel, from 0 to 255, as the nearest of a square image, from −1 to 1.
fn enlarged(pixels: &[u8], size: usize) -> Vec<f32> {
    let mut image = Vec::with_capacity(CHANNELS * size * size);
    for plane in pixels.chunks_exact(SIZE * SIZE) {
        for y in 0..size {
            image.extend(
                (0..size).map(|x| f32::from(plane[(y * SIZE / size) * SIZE + x * SIZE / size]) / 127.5 - 1.0),
            );
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_that_trains_has_sizes_that_it_can_be_built_with() {
        for family in families::BACKBONES.iter().filter(|family| !family.frozen) {
            let config = config(family.model_type).unwrap();
            assert!(family.longest(&config).is_ok(), "{}", family.model_type);
        }
        assert!(config("gpt5").is_err());
    }
}
