//! T5's encoder, also of T5 1.1 and Flan-T5. Source: Raffel et al. 2020; names and defaults from transformers' `T5Config`.

use super::super::{Family, Modality, Reading};
use super::CLASSIFIER;
use super::lent::{Lender, Lent};
use super::network::{Foreign, Frozen, Pooling, Reads, Segments, Sequence};
use crate::config::Config;
use crate::{Declarations, Encoder, Result};
use candle_core::Tensor;
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::t5::{self, ActivationWithOptionalGating, T5EncoderModel};
use serde_json::json;
use xexp_init::Init;

pub(in super::super) const FAMILY: Family = Family {
    model_type: "t5",
    modality: Modality::Text,
    frozen: true,
    summary: "T5's encoder, read by the mean of its tokens; the decoder is left out",
    base_architecture: "T5EncoderModel",
    // transformers' `T5ForSequenceClassification` reads the decoder.
    classifier_architecture: "T5EncoderModel",
    prefix: "",
    head: CLASSIFIER,
    masked_lm: None,
    network,
};

struct T5(t5::Config);

impl Foreign for T5 {
    type Model = T5EncoderModel;

    fn build(&self, weights: VarBuilder<'_>, _: usize) -> candle_core::Result<Self::Model> {
        T5EncoderModel::load(weights, &self.0)
    }

    fn hidden(&self, model: &Self::Model, text: &Sequence) -> candle_core::Result<Tensor> {
        // It may be changed by a pass, which in an encoder it is not; the copy shares all tensors.
        model.clone().forward(&text.values)
    }
}

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    declared.alias(|name| (name == "shared.weight").then(|| "encoder.embed_tokens.weight".to_string()));
    config.only("is_decoder", &json!(false))?;
    let width = config.size_or("d_model", 512)?;
    let (hidden, vocabulary) = (config.size_or("d_ff", 2048)?, config.size_or("vocab_size", 32128)?);
    let (heads, head) = (config.size_or("num_heads", 8)?, config.size_or("d_kv", 64)?);
    let blocks = config.layers_or("num_layers", 6)?;
    let (buckets, distance) = buckets(config)?;
    let feed_forward = feed_forward(config)?;
    let init = Init::Normal { std: config.number("initializer_factor", 1.0)? / (width as f64).sqrt() };
    let mut lender = Lender { declared, path: "", init, lent: Lent::default() };
    lender.table("shared", vocabulary, width);
    for block in 0..blocks {
        let path = format!("encoder.block.{block}.layer");
        for projection in ["q", "k", "v"] {
            lender.matrix(&format!("{path}.0.SelfAttention.{projection}"), (width, heads * head));
        }
        lender.matrix(&format!("{path}.0.SelfAttention.o"), (heads * head, width));
        if block == 0 {
            lender.table(&format!("{path}.0.SelfAttention.relative_attention_bias"), buckets, heads);
        }
        lender.gains(&format!("{path}.0.layer_norm"), width);
        for up in if feed_forward.gated { &["wi_0", "wi_1"][..] } else { &["wi"] } {
            lender.matrix(&format!("{path}.1.DenseReluDense.{up}"), (width, hidden));
        }
        lender.matrix(&format!("{path}.1.DenseReluDense.wo"), (hidden, width));
        lender.gains(&format!("{path}.1.layer_norm"), width);
    }
    lender.gains("encoder.final_layer_norm", width);
    let lent = lender.lent;
    let sizes = t5::Config {
        vocab_size: vocabulary,
        d_model: width,
        d_kv: head,
        d_ff: hidden,
        num_layers: blocks,
        num_heads: heads,
        relative_attention_num_buckets: buckets,
        relative_attention_max_distance: distance,
        layer_norm_epsilon: config.number("layer_norm_epsilon", 1e-6)?,
        feed_forward_proj: feed_forward,
        use_cache: false,
        ..t5::Config::default()
    };
    Ok(Encoder::new(Frozen {
        family: FAMILY.model_type,
        foreign: T5(sizes),
        lent,
        reads: Reads::Words { vocabulary, segments: Segments::None, longest: None },
        width,
        pooling: (reading == Reading::Features).then_some(Pooling::MeanFrom(0)),
    }))
}

/// Number of buckets of distances, half of them for each direction, and the distance from which all share the last one.
fn buckets(config: &Config) -> Result<(usize, usize)> {
    let buckets = config.size_or("relative_attention_num_buckets", 32)?;
    if !buckets.is_multiple_of(4) {
        let found = config.fields.get("relative_attention_num_buckets");
        return Err(config.unexpected("relative_attention_num_buckets", "a multiple of 4", found));
    }
    let distance = config.size_or("relative_attention_max_distance", 128)?;
    if distance <= buckets / 4 {
        let found = config.fields.get("relative_attention_max_distance");
        let expected = format!("more than a quarter of relative_attention_num_buckets = {buckets}");
        return Err(config.unexpected("relative_attention_max_distance", &expected, found));
    }
    Ok((buckets, distance))
}

fn feed_forward(config: &Config) -> Result<ActivationWithOptionalGating> {
    let (gated, activation) = match config.text("feed_forward_proj", "relu")? {
        // Without a gate, candle-transformers knows no other nonlinearity.
        "relu" => (false, Activation::Relu),
        "gated-gelu" => (true, Activation::NewGelu),
        "gated-silu" => (true, Activation::Silu),
        _ => {
            let found = config.fields.get("feed_forward_proj");
            return Err(config.unexpected("feed_forward_proj", "one of relu, gated-gelu, gated-silu", found));
        }
    };
    Ok(ActivationWithOptionalGating { gated, activation })
}
