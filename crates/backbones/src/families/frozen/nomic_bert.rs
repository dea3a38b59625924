//! Nomic BERT. Source: Nussbaum et al. 2024; names and defaults from transformers' `NomicBertConfig`.

use super::super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range, plain_encoder};
use super::lent::{Lender, Lent};
use super::network::{Foreign, Frozen, Pooling, Reads, Segments, Sequence};
use crate::config::Config;
use crate::layers::{HIDDEN, Linear};
use crate::{Declarations, Encoder, Origin, Result};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_transformers::models::nomic_bert::{self, NomicBertModel};
use serde_json::json;
use xexp_init::Init;

pub(in super::super) const FAMILY: Family = Family {
    model_type: "nomic_bert",
    modality: Modality::Text,
    frozen: true,
    summary: "Nomic's BERT with rotary positions and gated feed-forward layers",
    base_architecture: "NomicBertModel",
    classifier_architecture: "NomicBertForSequenceClassification",
    prefix: PATH,
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        dropout: |config| {
            let hidden = config.dropout("hidden_dropout_prob", 0.0)?;
            config.dropout("classifier_dropout", hidden)
        },
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

const PATH: &str = "nomic_bert.";

struct Nomic(nomic_bert::Config);

impl Foreign for Nomic {
    type Model = NomicBertModel;

    fn build(&self, weights: VarBuilder<'_>, longest: usize) -> candle_core::Result<Self::Model> {
        // It makes its table of angles for so many places.
        NomicBertModel::load(weights, &nomic_bert::Config { n_positions: longest, ..self.0.clone() })
    }

    fn hidden(&self, model: &Self::Model, text: &Sequence) -> candle_core::Result<Tensor> {
        model.forward(&text.values, Some(&text.segments), None)
    }
}

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix(PATH).map(str::to_string));
    refuse(config)?;
    let (width, heads) = (config.size_or("hidden_size", 768)?, config.size_or("num_attention_heads", 12)?);
    if !width.is_multiple_of(2 * heads) {
        let found = config.fields.get("num_attention_heads");
        let expected = format!("heads of an even width, of hidden_size = {width}");
        return Err(config.unexpected("num_attention_heads", &expected, found));
    }
    config.only("head_dim", &json!(width / heads))?;
    let (hidden, vocabulary) =
        (config.size_or("intermediate_size", 3072)?, config.size_or("vocab_size", 30528)?);
    let (blocks, types) = (config.layers_or("num_hidden_layers", 12)?, config.size_or("type_vocab_size", 2)?);
    let init = Init::Normal { std: initializer_range(config)? };
    let mut lender = Lender { declared, path: PATH, init, lent: Lent::default() };
    lender.table("embeddings.word_embeddings", vocabulary, width);
    lender.table("embeddings.token_type_embeddings", types, width);
    lender.norm("emb_ln", width);
    for block in 0..blocks {
        let path = format!("encoder.layers.{block}");
        lender.matrix(&format!("{path}.attn.Wqkv"), (width, 3 * width));
        lender.matrix(&format!("{path}.attn.out_proj"), (width, width));
        lender.matrix(&format!("{path}.mlp.fc11"), (width, hidden));
        lender.matrix(&format!("{path}.mlp.fc12"), (width, hidden));
        lender.matrix(&format!("{path}.mlp.fc2"), (hidden, width));
        lender.norm(&format!("{path}.norm1"), width);
        lender.norm(&format!("{path}.norm2"), width);
    }
    let lent = lender.lent;
    let sizes = nomic_bert::Config {
        vocab_size: vocabulary,
        n_embd: width,
        n_head: heads,
        n_layer: blocks,
        n_inner: hidden,
        type_vocab_size: types,
        layer_norm_epsilon: config.number("layer_norm_eps", 1e-12)?,
        rotary_emb_base: base(config)?,
        model_type: None,
        ..nomic_bert::Config::default()
    };
    // Checkpoints made for sentence vectors have no pooler.
    let pooling = (reading == Reading::Features).then(|| {
        let path = "nomic_bert.pooler.dense";
        Pooling::First(Linear::declare(declared, path, (width, width), HIDDEN, Origin::CheckpointOrNew))
    });
    Ok(Encoder::new(Frozen {
        family: FAMILY.model_type,
        foreign: Nomic(sizes),
        lent,
        reads: Reads::Words {
            vocabulary,
            segments: Segments::Table(types),
            longest: Some(config.size_or("max_position_embeddings", 2048)?),
        },
        width,
        pooling,
    }))
}

/// Refuses what transformers' class, which is the reference, has not.
fn refuse(config: &Config) -> Result<()> {
    plain_encoder(config)?;
    config.only("hidden_act", &json!("silu"))?;
    config.only("activation_function", &json!("swiglu"))?;
    for field in [
        "prenorm",
        "parallel_block",
        "causal",
        "use_rms_norm",
        "qkv_proj_bias",
        "mlp_fc1_bias",
        "mlp_fc2_bias",
        "rotary_emb_interleaved",
    ] {
        config.only(field, &json!(false))?;
    }
    config.only("rotary_scaling_factor", &json!(null))?;
    if config.number("rotary_emb_fraction", 1.0)? != 1.0 {
        return Err(config.unexpected("rotary_emb_fraction", "1", config.fields.get("rotary_emb_fraction")));
    }
    Ok(())
}

/// The base of the rotary angles.
fn base(config: &Config) -> Result<f64> {
    let rope = config.section("rope_parameters")?;
    rope.only("rope_type", &json!("default"))?;
    if rope.number("partial_rotary_factor", 1.0)? != 1.0 {
        return Err(rope.unexpected("partial_rotary_factor", "1", rope.fields.get("partial_rotary_factor")));
    }
    rope.number("rope_theta", 1000.0)
}
