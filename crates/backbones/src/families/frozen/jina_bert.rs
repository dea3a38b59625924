//! Jina BERT, of jina-embeddings-v2. Sources: Günther et al. 2023; Press et al. 2022 (ALiBi); names from the checkpoints
//! on the Hub, whose `model_type` is `bert`.

use super::super::{Family, HeadLaw, HeadSpec, Modality, Reading, classifier_dropout, initializer_range};
use super::lent::{Lender, Lent};
use super::network::{Foreign, Frozen, Pooling, Reads, Segments, Sequence};
use crate::config::Config;
use crate::{Declarations, Encoder, Result};
use candle_core::{Module, Tensor};
use candle_nn::{Activation, VarBuilder};
use candle_transformers::models::jina_bert::{self, BertModel, PositionEmbeddingType};
use serde_json::json;
use xexp_init::Init;

pub(in super::super) const FAMILY: Family = Family {
    model_type: "jina_bert",
    modality: Modality::Text,
    frozen: true,
    summary: "BERT with position_embedding_type alibi (jina-embeddings-v2), read by the mean of its tokens",
    base_architecture: "JinaBertModel",
    // transformers has none of its own; the checkpoints bring code for the encoder alone.
    classifier_architecture: "JinaBertModel",
    prefix: "",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        dropout: classifier_dropout,
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

struct Jina(jina_bert::Config);

impl Foreign for Jina {
    type Model = BertModel;

    fn build(&self, weights: VarBuilder<'_>, longest: usize) -> candle_core::Result<Self::Model> {
        // It makes its biases for so many places, each with each.
        let config = jina_bert::Config { max_position_embeddings: longest, ..self.0.clone() };
        BertModel::new(weights, &config)
    }

    fn hidden(&self, model: &Self::Model, text: &Sequence) -> candle_core::Result<Tensor> {
        model.forward(&text.values)
    }
}

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    declared.alias(|name| Some(format!("bert.{name}")));
    config.only("is_decoder", &json!(false))?;
    config.only("add_cross_attention", &json!(false))?;
    config.only("position_embedding_type", &json!("alibi"))?;
    config.only("feed_forward_type", &json!("geglu"))?;
    let (width, heads) = (config.size("hidden_size")?, config.divisor("num_attention_heads", "hidden_size")?);
    let (hidden, vocabulary) = (config.size("intermediate_size")?, config.size("vocab_size")?);
    let (blocks, types) = (config.layers("num_hidden_layers")?, config.size("type_vocab_size")?);
    let init = Init::Normal { std: initializer_range(config)? };
    let mut lender = Lender { declared, path: "", init, lent: Lent::default() };
    lender.table("embeddings.word_embeddings", vocabulary, width);
    lender.table("embeddings.token_type_embeddings", types, width);
    lender.norm("embeddings.LayerNorm", width);
    for block in 0..blocks {
        let path = format!("encoder.layer.{block}");
        for projection in ["self.query", "self.key", "self.value", "output.dense"] {
            lender.linear(&format!("{path}.attention.{projection}"), (width, width));
        }
        lender.norm(&format!("{path}.attention.output.LayerNorm"), width);
        lender.matrix(&format!("{path}.mlp.gated_layers"), (width, 2 * hidden));
        lender.linear(&format!("{path}.mlp.wo"), (hidden, width));
        lender.norm(&format!("{path}.mlp.layernorm"), width);
    }
    let lent = lender.lent;
    let sizes = jina_bert::Config {
        vocab_size: vocabulary,
        hidden_size: width,
        num_hidden_layers: blocks,
        num_attention_heads: heads,
        intermediate_size: hidden,
        hidden_act: Activation::Gelu,
        max_position_embeddings: 0,
        type_vocab_size: types,
        initializer_range: 0.0,
        layer_norm_eps: config.number("layer_norm_eps", 1e-12)?,
        pad_token_id: 0,
        position_embedding_type: PositionEmbeddingType::Alibi,
    };
    Ok(Encoder::new(Frozen {
        family: FAMILY.model_type,
        foreign: Jina(sizes),
        lent,
        reads: Reads::Words { vocabulary, segments: Segments::First, longest: None },
        width,
        pooling: (reading == Reading::Features).then_some(Pooling::MeanFrom(0)),
    }))
}
