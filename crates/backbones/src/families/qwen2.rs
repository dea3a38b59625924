//! Qwen2 and Qwen2.5. Source: Yang et al. 2024; names and defaults from transformers' `Qwen2Config`.

use super::{Family, Modality, Reading, decoder};
use crate::config::Config;
use crate::layers::{Decoder, DecoderSpec};
use crate::{Declarations, Encoder, Result};

pub(super) const FAMILY: Family = Family {
    model_type: "qwen2",
    modality: Modality::Text,
    frozen: false,
    summary: "Qwen2 and Qwen2.5 decoders",
    base_architecture: "Qwen2Model",
    classifier_architecture: "Qwen2ForSequenceClassification",
    prefix: "model.",
    head: decoder::HEAD,
    masked_lm: None,
    network,
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let (heads, head_width) = match config.fields.get("head_dim") {
        Some(_) => (config.size("num_attention_heads")?, config.size("head_dim")?),
        None => {
            let heads = config.divisor("num_attention_heads", "hidden_size")?;
            (heads, config.size("hidden_size")? / heads)
        }
    };
    declared.alias(decoder::bare);
    let spec = DecoderSpec {
        qkv_bias: true,
        masks: decoder::masks(config)?,
        ..decoder::spec(config, reading, heads, head_width, 32)?
    };
    Ok(Encoder::new(Decoder::declare(declared, &spec)))
}
