//! ViT. Source: Dosovitskiy et al. 2021; names and defaults from transformers' `ViTConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range};
use crate::checkpoint::Resampling;
use crate::config::Config;
use crate::layers::{BlockNames, BlockSpec, ImageTokensSpec, Placement, Stack, StackSpec, StemSpec, TopSpec};
use crate::{Declarations, Encoder, Result};
use xexp_init::Init;
use xexp_kernels::attention::Mask;

pub(super) const FAMILY: Family = Family {
    model_type: "vit",
    modality: Modality::Image,
    frozen: false,
    summary: "Vision transformers over square patches, with a class token",
    base_architecture: "ViTModel",
    classifier_architecture: "ViTForImageClassification",
    prefix: "vit.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        // transformers puts nothing between the last norm and the classifier.
        dropout: |_| Ok(0.0),
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

const NAMES: BlockNames = BlockNames {
    query: "attention.attention.query",
    key: "attention.attention.key",
    value: "attention.attention.value",
    attention_output: "attention.output.dense",
    attention_norm: "layernorm_before",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "layernorm_after",
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix("vit.").map(str::to_string));
    stack(config, declared, reading, ("vit", &["cls_token"]))
}

/// The backbone under the path `prefix`, whose features are the first of the tokens `front`.
pub(super) fn stack(
    config: &Config,
    declared: &mut Declarations,
    reading: Reading,
    (prefix, front): (&str, &[&str]),
) -> Result<Encoder> {
    let width = config.size("hidden_size")?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    if let Some(bias) = config.fields.get("qkv_bias").filter(|bias| bias.as_bool() != Some(true)) {
        return Err(config.unexpected("qkv_bias", "true", Some(bias)));
    }
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.0)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let norm = format!("{prefix}.layernorm");
    let spec = StackSpec {
        stem: StemSpec::Image(ImageTokensSpec {
            image: config.size("image_size")?,
            patch: config.divisor("patch_size", "image_size")?,
            channels: config.size("num_channels")?,
            width,
            dropout,
            init,
            front,
            registers: 0,
            positions: Some(Resampling::Bicubic),
            path: &format!("{prefix}.embeddings"),
        }),
        blocks: config.layers("num_hidden_layers")?,
        block: BlockSpec {
            width,
            hidden: config.size("intermediate_size")?,
            heads,
            attention_scale: 1.0 / ((width / heads) as f64).sqrt(),
            mask: Mask::Full,
            activation: config.activation("hidden_act", "gelu")?,
            norm: Placement::Pre,
            norm_eps,
            residual_scale: (1.0, 1.0),
            dropout,
            attention_dropout: config.dropout("attention_probs_dropout_prob", 0.0)?,
            init,
        },
        block_path: &format!("{prefix}.encoder.layer"),
        block_names: NAMES,
        top: (reading == Reading::Features).then_some(TopSpec::Norm { path: &norm, eps: norm_eps }),
    };
    Ok(Encoder::new(Stack::declare(declared, &spec)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Params, Seed};
    use serde_json::{Value, json};

    fn config() -> Config {
        let fields = json!({
            "model_type": "vit", "image_size": 8, "patch_size": 4, "num_channels": 3, "hidden_size": 6,
            "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 10,
        });
        Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() }
    }

    fn params(config: &Config) -> Result<Params> {
        let mut declared = Declarations::default();
        FAMILY.declare(config, &mut declared, Reading::Features)?;
        declared.draw(Seed(1))
    }

    #[test]
    fn keys_and_shapes_are_those_of_transformers() {
        // ViTModel(ViTConfig(…the sizes above…), add_pooling_layer=False).state_dict(), as saved with the Hub's names.
        let mut expected: Vec<(String, Vec<usize>)> = [
            ("embeddings.cls_token", &[1, 1, 6][..]),
            ("embeddings.position_embeddings", &[1, 5, 6]),
            ("embeddings.patch_embeddings.projection.weight", &[6, 3, 4, 4]),
            ("embeddings.patch_embeddings.projection.bias", &[6]),
            ("encoder.layer.0.attention.attention.query.weight", &[6, 6]),
            ("encoder.layer.0.attention.attention.query.bias", &[6]),
            ("encoder.layer.0.attention.attention.key.weight", &[6, 6]),
            ("encoder.layer.0.attention.attention.key.bias", &[6]),
            ("encoder.layer.0.attention.attention.value.weight", &[6, 6]),
            ("encoder.layer.0.attention.attention.value.bias", &[6]),
            ("encoder.layer.0.attention.output.dense.weight", &[6, 6]),
            ("encoder.layer.0.attention.output.dense.bias", &[6]),
            ("encoder.layer.0.intermediate.dense.weight", &[10, 6]),
            ("encoder.layer.0.intermediate.dense.bias", &[10]),
            ("encoder.layer.0.output.dense.weight", &[6, 10]),
            ("encoder.layer.0.output.dense.bias", &[6]),
            ("encoder.layer.0.layernorm_before.weight", &[6]),
            ("encoder.layer.0.layernorm_before.bias", &[6]),
            ("encoder.layer.0.layernorm_after.weight", &[6]),
            ("encoder.layer.0.layernorm_after.bias", &[6]),
            ("layernorm.weight", &[6]),
            ("layernorm.bias", &[6]),
        ]
        .iter()
        .map(|(name, shape)| (format!("vit.{name}"), shape.to_vec()))
        .collect();
        expected.sort();
        let params = params(&config()).unwrap();
        let found: Vec<_> = params.by_name().map(|(n, w)| (n.to_string(), w.layer.shape())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        let wrong: [(&str, Value); 6] = [
            ("patch_size", json!(3)),
            ("num_attention_heads", json!(4)),
            ("num_channels", json!(null)),
            ("qkv_bias", json!(false)),
            ("hidden_act", json!("mish")),
            ("image_size", json!([8, 8])),
        ];
        for (field, value) in wrong {
            let mut config = config();
            config.fields.insert(field.to_string(), value);
            let error = params(&config).err().unwrap().to_string();
            assert!(error.contains(field) && error.contains("expected"), "{field}: {error}");
        }
    }
}
