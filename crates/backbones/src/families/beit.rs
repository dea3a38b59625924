//! BEiT. Source: Bao et al. 2022; names and defaults from transformers' `BeitConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range};
use crate::checkpoint::Resampling;
use crate::config::Config;
use crate::layers::{
    BlockNames, Displacements, ImageTokens, ImageTokensSpec, LayerNorm, RelativeBias, VisionBlock,
    VisionBlockSpec, VisionStack, VisionTop,
};
use crate::{Declarations, Encoder, Origin, Result};
use xexp_init::{Init, Layer};

pub(super) const FAMILY: Family = Family {
    model_type: "beit",
    modality: Modality::Image,
    frozen: false,
    summary: "BEiT: vision transformers with relative positions, pretrained on hidden patches",
    base_architecture: "BeitModel",
    classifier_architecture: "BeitForImageClassification",
    prefix: "beit.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
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

/// A table of relative positions below its path.
const TABLE: &str = "relative_position_bias.relative_position_bias_table";

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let width = config.size("hidden_size")?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.0)?;
    let init = Init::Normal { std: initializer_range(config)? };
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix("beit.").map(str::to_string));
    let stem = ImageTokensSpec {
        image: config.size("image_size")?,
        patch: config.divisor("patch_size", "image_size")?,
        channels: config.size("num_channels")?,
        width,
        dropout,
        init,
        front: &["cls_token"],
        registers: 0,
        positions: config.flag("use_absolute_position_embeddings", false)?.then_some(Resampling::Bicubic),
        path: "beit.embeddings",
    };
    let stem = ImageTokens::declare(declared, &stem);
    if config.flag("use_mask_token", false)? {
        // Pretraining alone reads it.
        let layer = Layer::Tokens { count: 1, width };
        declared.carried("beit.embeddings.mask_token", layer);
    }
    let displacements = Displacements { side: stem.side(), class: true };
    let table = |declared: &mut Declarations, wanted: bool, path: &str| {
        wanted.then(|| RelativeBias::declare(declared, format!("{path}.{TABLE}"), heads, displacements))
    };
    let shared = config.flag("use_shared_relative_position_bias", false)?;
    let shared = table(declared, shared, "beit.encoder");
    let own = config.flag("use_relative_position_bias", false)?;
    let scale = config.number("layer_scale_init_value", 0.1)?;
    let drop_path = config.dropout("drop_path_rate", 0.1)?;
    let count = config.layers("num_hidden_layers")?;
    let mut blocks = Vec::with_capacity(count);
    let mut spec = VisionBlockSpec {
        width,
        hidden: config.size("intermediate_size")?,
        heads,
        biases: [true, false, true],
        activation: config.activation("hidden_act", "gelu")?,
        gated: false,
        norm_eps,
        layer_scale: (scale > 0.0).then_some((["lambda_1", "lambda_2"], scale)),
        dropout,
        attention_dropout: config.dropout("attention_probs_dropout_prob", 0.0)?,
        drop_path: [0.0; 2],
        init,
    };
    for i in 0..count {
        let path = format!("beit.encoder.layer.{i}");
        // The deeper, the more often. Source: Huang et al. 2016, §3, "linear decay".
        spec.drop_path = [drop_path * i as f64 / (count - 1).max(1) as f64; 2];
        let block = VisionBlock::declare(declared, &path, &NAMES, &spec);
        blocks.push((block, table(declared, own, &format!("{path}.attention.attention"))));
    }
    let mean = config.flag("use_mean_pooling", true)?;
    let top = (reading == Reading::Features).then(|| {
        let path = if mean { "beit.pooler.layernorm" } else { "beit.layernorm" };
        let norm = LayerNorm::declare(declared, path, width, norm_eps, Origin::Checkpoint);
        if mean { VisionTop::Mean(norm) } else { VisionTop::Class(norm) }
    });
    Ok(Encoder::new(VisionStack::new(stem, blocks, shared, top, width)))
}
