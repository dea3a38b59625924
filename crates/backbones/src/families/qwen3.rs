//! Qwen3. Source: Yang et al. 2025; names and defaults from transformers' `Qwen3Config`.

use super::{Family, Modality, Reading, decoder};
use crate::config::Config;
use crate::layers::{Decoder, DecoderSpec};
use crate::{Declarations, Encoder, Result};

pub(super) const FAMILY: Family = Family {
    model_type: "qwen3",
    modality: Modality::Text,
    frozen: false,
    summary: "Qwen3 decoders, and embedding models of that layout",
    base_architecture: "Qwen3Model",
    classifier_architecture: "Qwen3ForSequenceClassification",
    prefix: "model.",
    head: decoder::HEAD,
    masked_lm: None,
    network,
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let heads = config.size("num_attention_heads")?;
    let head_width = config.size_or("head_dim", 128)?;
    let bias = config.flag("attention_bias", false)?;
    declared.alias(decoder::bare);
    let spec = DecoderSpec {
        qkv_bias: bias,
        output_bias: bias,
        head_norms: true,
        masks: decoder::masks(config)?,
        ..decoder::spec(config, reading, heads, head_width, 32)?
    };
    Ok(Encoder::new(Decoder::declare(declared, &spec)))
}
