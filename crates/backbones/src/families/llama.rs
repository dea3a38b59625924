//! Llama. Source: Touvron et al. 2023; names and defaults from transformers' `LlamaConfig`.

use super::{Family, Modality, Reading, decoder};
use crate::config::Config;
use crate::layers::{Decoder, DecoderSpec};
use crate::{Declarations, Encoder, Result};

pub(super) const FAMILY: Family = Family {
    model_type: "llama",
    modality: Modality::Text,
    frozen: false,
    summary: "Llama decoders, and SmolLM and TinyLlama models of that layout",
    base_architecture: "LlamaModel",
    classifier_architecture: "LlamaForSequenceClassification",
    prefix: "model.",
    head: decoder::HEAD,
    masked_lm: None,
    network,
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let head_width = config.size_or("head_dim", config.size("hidden_size")? / heads)?;
    let bias = config.flag("attention_bias", false)?;
    declared.alias(decoder::bare);
    let spec = DecoderSpec {
        qkv_bias: bias,
        output_bias: bias,
        mlp_bias: config.flag("mlp_bias", false)?,
        ..decoder::spec(config, reading, heads, head_width, heads)?
    };
    Ok(Encoder::new(Decoder::declare(declared, &spec)))
}
