//! DistilBERT. Source: Sanh et al. 2019; names and defaults from transformers' `DistilBertConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range, spellings};
use crate::config::Config;
use crate::layers::{
    Block, BlockNames, BlockSpec, Embeddings, EmbeddingsSpec, Placement, Positions, Stack, Stem, Top, TopSpec,
};
use crate::{Declarations, Encoder, Result};
use std::sync::Arc;
use xexp_init::Init;
use xexp_kernels::Activation;
use xexp_kernels::attention::Mask;

pub(super) const FAMILY: Family = Family {
    model_type: "distilbert",
    modality: Modality::Text,
    frozen: false,
    summary: "DistilBERT encoders",
    base_architecture: "DistilBertModel",
    classifier_architecture: "DistilBertForSequenceClassification",
    prefix: "distilbert.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &["pre_classifier"],
        dropout: |config| config.dropout("seq_classif_dropout", 0.2),
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

const NAMES: BlockNames = BlockNames {
    query: "attention.q_lin",
    key: "attention.k_lin",
    value: "attention.v_lin",
    attention_output: "attention.out_lin",
    attention_norm: "sa_layer_norm",
    up: "ffn.lin1",
    down: "ffn.lin2",
    mlp_norm: "output_layer_norm",
};

/// ε of all norms, which is no field of the configuration.
const NORM_EPS: f64 = 1e-12;

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    spellings(declared, "distilbert.");
    let width = config.size("dim")?;
    let heads = config.divisor("n_heads", "dim")?;
    let dropout = config.dropout("dropout", 0.1)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let stem = EmbeddingsSpec {
        vocabulary: config.size("vocab_size")?,
        positions: Some(Positions::absolute(config.size("max_position_embeddings")?)),
        types: 0,
        width,
        norm_eps: NORM_EPS,
        dropout,
        init,
        path: "distilbert.embeddings",
    };
    let block = BlockSpec {
        width,
        hidden: config.size("hidden_dim")?,
        heads,
        attention_scale: 1.0 / ((width / heads) as f64).sqrt(),
        mask: Mask::Full,
        activation: config.activation("activation", "gelu")?,
        norm: Placement::Post,
        norm_eps: NORM_EPS,
        residual_scale: (1.0, 1.0),
        dropout,
        attention_dropout: config.dropout("attention_dropout", 0.1)?,
        init,
    };
    let stem = Arc::new(Stem::Words(Embeddings::declare(declared, &stem)));
    let blocks = (0..config.layers("n_layers")?).map(|i| {
        let path = format!("distilbert.transformer.layer.{i}");
        // Nothing is dropped of what attention adds.
        Arc::new(Block::declare(declared, &path, &NAMES, &block).with_dropout(0.0, dropout))
    });
    let blocks = blocks.collect();
    let head = TopSpec::Hidden { path: "pre_classifier", activation: Activation::Relu, dropout: 0.0 };
    let top = (reading == Reading::Features).then(|| Arc::new(Top::declare(declared, &head, width, init)));
    Ok(Encoder::new(Stack { stem, projection: None, blocks, top, width }))
}
