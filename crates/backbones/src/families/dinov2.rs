//! DINOv2, and DINOv2 with register tokens. Sources: Oquab et al. 2024, Darcet et al. 2024; names and defaults from
//! transformers' `Dinov2Config` and `Dinov2WithRegistersConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range};
use crate::checkpoint::Resampling;
use crate::config::Config;
use crate::layers::{
    BlockNames, ImageTokens, ImageTokensSpec, LayerNorm, VisionBlock, VisionBlockSpec, VisionStack, VisionTop,
};
use crate::{Declarations, Encoder, Origin, Result};
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;

pub(super) const FAMILY: Family = Family {
    model_type: "dinov2",
    modality: Modality::Image,
    frozen: false,
    summary: "DINOv2: self-supervised vision transformers, read by class token and mean of patches",
    base_architecture: "Dinov2Model",
    classifier_architecture: "Dinov2ForImageClassification",
    prefix: "dinov2.",
    head: HEAD,
    masked_lm: None,
    network: |config, declared, reading| {
        // Bare checkpoints have no prefix.
        declared.alias(|name| name.strip_prefix("dinov2.").map(str::to_string));
        let mask = config.flag("use_mask_token", true)?;
        network(
            config,
            declared,
            reading,
            Variant { prefix: "dinov2", mask, registers: 0, resampling: Resampling::Bicubic },
        )
    },
};

pub(super) const WITH_REGISTERS: Family = Family {
    model_type: "dinov2_with_registers",
    summary: "DINOv2 with register tokens",
    base_architecture: "Dinov2WithRegistersModel",
    classifier_architecture: "Dinov2WithRegistersForImageClassification",
    prefix: "dinov2_with_registers.",
    network: |config, declared, reading| {
        declared.alias(|name| name.strip_prefix("dinov2_with_registers.").map(str::to_string));
        let registers = config.count("num_register_tokens", 4)?;
        if registers == 0 {
            // transformers saves a tensor without values then, which no layer of ours can be.
            let found = config.fields.get("num_register_tokens");
            return Err(config.unexpected("num_register_tokens", "a positive whole number", found));
        }
        network(
            config,
            declared,
            reading,
            Variant {
                prefix: "dinov2_with_registers",
                mask: true,
                registers,
                resampling: Resampling::Smooth,
            },
        )
    },
    ..FAMILY
};

const HEAD: HeadSpec = HeadSpec {
    path: "classifier",
    bias: true,
    hidden: &[],
    dropout: |_| Ok(0.0),
    // transformers cuts the law at ±2, a hundred standard deviations.
    law: |config, _| HeadLaw::of(config),
};

/// In what the two families differ.
struct Variant {
    prefix: &'static str,
    /// Whether there is a mask token, which pretraining alone reads.
    mask: bool,
    registers: usize,
    /// How positions become those of another image size.
    resampling: Resampling,
}

fn network(
    config: &Config,
    declared: &mut Declarations,
    reading: Reading,
    Variant { prefix, mask, registers, resampling }: Variant,
) -> Result<Encoder> {
    let width = config.size("hidden_size")?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let norm_eps = config.number("layer_norm_eps", 1e-6)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let gated = config.flag("use_swiglu_ffn", false)?;
    let ratio = config.number("mlp_ratio", 4.0)?;
    let hidden = (width as f64 * ratio) as usize;
    if hidden == 0 {
        return Err(config.unexpected("mlp_ratio", "a positive number", config.fields.get("mlp_ratio")));
    }
    // Three matrices in place of two: two thirds as wide, up to a multiple of 8.
    let hidden = if gated { ((hidden as f64 * 2.0 / 3.0) as usize).next_multiple_of(8) } else { hidden };
    let activation = config.activation("hidden_act", "gelu")?;
    let drop_path = config.dropout("drop_path_rate", 0.0)?;
    let block = VisionBlockSpec {
        width,
        hidden,
        heads,
        biases: [config.flag("qkv_bias", true)?; 3],
        activation: if gated { Activation::Silu } else { activation },
        gated,
        norm_eps,
        layer_scale: Some((
            ["layer_scale1.lambda1", "layer_scale2.lambda1"],
            config.number("layerscale_value", 1.0)?,
        )),
        // `hidden_dropout_prob` is for the tokens alone.
        dropout: 0.0,
        attention_dropout: config.dropout("attention_probs_dropout_prob", 0.0)?,
        drop_path: [drop_path; 2],
        init,
    };
    let names = BlockNames {
        query: "attention.attention.query",
        key: "attention.attention.key",
        value: "attention.attention.value",
        attention_output: "attention.output.dense",
        attention_norm: "norm1",
        up: if gated { "mlp.weights_in" } else { "mlp.fc1" },
        down: if gated { "mlp.weights_out" } else { "mlp.fc2" },
        mlp_norm: "norm2",
    };
    let stem = ImageTokensSpec {
        image: config.size("image_size")?,
        patch: config.divisor("patch_size", "image_size")?,
        channels: config.size("num_channels")?,
        width,
        dropout: config.dropout("hidden_dropout_prob", 0.0)?,
        init,
        front: &["cls_token"],
        registers,
        positions: Some(resampling),
        path: &format!("{prefix}.embeddings"),
    };
    let stem = ImageTokens::declare(declared, &stem);
    if mask {
        let name = format!("{prefix}.embeddings.mask_token");
        declared.carried(name, Layer::Embedding { count: 1, width });
    }
    let block = |i: usize| {
        let path = format!("{prefix}.encoder.layer.{i}");
        (VisionBlock::declare(declared, &path, &names, &block), None)
    };
    let blocks = (0..config.layers("num_hidden_layers")?).map(block).collect();
    let top = (reading == Reading::Features).then(|| {
        let path = format!("{prefix}.layernorm");
        VisionTop::ClassAndMean(LayerNorm::declare(declared, &path, width, norm_eps, Origin::Checkpoint))
    });
    Ok(Encoder::new(VisionStack::new(stem, blocks, None, top, width)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for (field, value) in [
            ("num_register_tokens", json!(0)),
            ("mlp_ratio", json!(0)),
            ("use_swiglu_ffn", json!("yes")),
            ("qkv_bias", json!(1)),
            ("patch_size", json!(5)),
            ("image_size", json!([8, 8])),
            ("layerscale_value", json!("1")),
            ("drop_path_rate", json!(-0.1)),
        ] {
            let mut fields = json!({
                "image_size": 8, "patch_size": 4, "num_channels": 3, "hidden_size": 6, "num_hidden_layers": 1,
                "num_attention_heads": 2,
            });
            fields[field] = value.clone();
            let config = Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
            let error = WITH_REGISTERS.declare(&config, &mut Declarations::default(), Reading::Features);
            let error = error.err().unwrap().to_string();
            assert!(error.contains(field) && error.contains("expected"), "{field} {value}: {error}");
        }
    }
}
