//! RoBERTa, XLM-RoBERTa and CamemBERT: BERT's blocks, places counted from behind the padding's row, a head of two layers.
//! Source: Liu et al. 2019; Conneau et al. 2020; Martin et al. 2020; names and defaults from transformers'
//! `RobertaConfig`.

use super::{
    Family, HeadLaw, HeadSpec, Modality, Reading, bert, classifier_dropout, initializer_range, plain_encoder,
    spellings,
};
use crate::config::Config;
use crate::layers::{BlockSpec, EmbeddingsSpec, Placement, Positions, Stack, StackSpec, StemSpec, TopSpec};
use crate::{Declarations, Encoder, Result};
use xexp_init::Init;
use xexp_kernels::Activation;
use xexp_kernels::attention::Mask;

pub(super) const ROBERTA: Family = Family {
    model_type: "roberta",
    modality: Modality::Text,
    frozen: false,
    summary: "RoBERTa encoders, and DistilRoBERTa",
    base_architecture: "RobertaModel",
    classifier_architecture: "RobertaForSequenceClassification",
    prefix: "roberta.",
    head: HeadSpec {
        path: "classifier.out_proj",
        bias: true,
        hidden: &["classifier.dense"],
        dropout: classifier_dropout,
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

pub(super) const XLM_ROBERTA: Family = Family {
    model_type: "xlm-roberta",
    summary: "XLM-RoBERTa, an encoder of a hundred languages",
    base_architecture: "XLMRobertaModel",
    classifier_architecture: "XLMRobertaForSequenceClassification",
    ..ROBERTA
};

pub(super) const CAMEMBERT: Family = Family {
    model_type: "camembert",
    summary: "CamemBERT, an encoder of French",
    base_architecture: "CamembertModel",
    classifier_architecture: "CamembertForSequenceClassification",
    ..ROBERTA
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    plain_encoder(config)?;
    spellings(declared, "roberta.");
    let width = config.size("hidden_size")?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.1)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let spec = StackSpec {
        stem: StemSpec::Words(EmbeddingsSpec {
            vocabulary: config.size("vocab_size")?,
            positions: Some(Positions {
                rows: config.size("max_position_embeddings")?,
                first: Some(config.count("pad_token_id", 1)? + 1),
            }),
            types: config.size("type_vocab_size")?,
            width,
            norm_eps,
            dropout,
            init,
            path: "roberta.embeddings",
        }),
        blocks: config.layers("num_hidden_layers")?,
        block: BlockSpec {
            width,
            hidden: config.size("intermediate_size")?,
            heads,
            attention_scale: 1.0 / ((width / heads) as f64).sqrt(),
            mask: Mask::Full,
            activation: config.activation("hidden_act", "gelu")?,
            norm: Placement::Post,
            norm_eps,
            residual_scale: (1.0, 1.0),
            dropout,
            attention_dropout: config.dropout("attention_probs_dropout_prob", 0.1)?,
            init,
        },
        block_path: "roberta.encoder.layer",
        block_names: bert::NAMES,
        top: (reading == Reading::Features).then_some(TopSpec::Hidden {
            path: "classifier.dense",
            activation: Activation::Tanh,
            dropout: classifier_dropout(config)?,
        }),
    };
    Ok(Encoder::new(Stack::declare(declared, &spec)))
}
