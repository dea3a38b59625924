//! ALBERT: narrow embeddings, and blocks that share their weights. Source: Lan et al. 2020; names and defaults from
//! transformers' `AlbertConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range, plain_encoder, spellings};
use crate::config::{Config, DEEPEST};
use crate::layers::{
    Block, BlockNames, BlockSpec, Embeddings, EmbeddingsSpec, Linear, Placement, Positions, Stack, Stem, Top,
    TopSpec,
};
use crate::{Declarations, Encoder, Origin, Result};
use std::sync::Arc;
use xexp_init::Init;
use xexp_kernels::attention::Mask;

pub(super) const FAMILY: Family = Family {
    model_type: "albert",
    modality: Modality::Text,
    frozen: false,
    summary: "ALBERT encoders",
    base_architecture: "AlbertModel",
    classifier_architecture: "AlbertForSequenceClassification",
    prefix: "albert.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        dropout: |config| config.dropout("classifier_dropout_prob", 0.1),
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

const NAMES: BlockNames = BlockNames {
    query: "attention.query",
    key: "attention.key",
    value: "attention.value",
    attention_output: "attention.dense",
    attention_norm: "attention.LayerNorm",
    up: "ffn",
    down: "ffn_output",
    mlp_norm: "full_layer_layer_norm",
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    plain_encoder(config)?;
    spellings(declared, "albert.");
    let width = config.size("hidden_size")?;
    let narrow = config.size_or("embedding_size", 128)?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.0)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let stem = EmbeddingsSpec {
        vocabulary: config.size("vocab_size")?,
        positions: Some(Positions::absolute(config.size("max_position_embeddings")?)),
        types: config.size("type_vocab_size")?,
        width: narrow,
        norm_eps,
        dropout,
        init,
        path: "albert.embeddings",
    };
    let stem = Arc::new(Stem::Words(Embeddings::declare(declared, &stem)));
    let path = "albert.encoder.embedding_hidden_mapping_in";
    let projection = Some(Linear::declare(declared, path, (narrow, width), init, Origin::Checkpoint));
    let block = BlockSpec {
        width,
        hidden: config.size("intermediate_size")?,
        heads,
        attention_scale: 1.0 / ((width / heads) as f64).sqrt(),
        mask: Mask::Full,
        activation: config.activation("hidden_act", "gelu_new")?,
        norm: Placement::Post,
        norm_eps,
        residual_scale: (1.0, 1.0),
        dropout,
        attention_dropout: config.dropout("attention_probs_dropout_prob", 0.0)?,
        init,
    };
    let blocks = blocks(config, declared, &block)?;
    let pooler = TopSpec::Pooler { path: "albert.pooler" };
    let top = (reading == Reading::Features).then(|| Arc::new(Top::declare(declared, &pooler, width, init)));
    Ok(Encoder::new(Stack { stem, projection, blocks, top, width }))
}

/// The blocks in the order in which they are applied: each layer is all blocks of its group.
fn blocks(config: &Config, declared: &mut Declarations, spec: &BlockSpec) -> Result<Vec<Arc<Block>>> {
    let layers = config.layers("num_hidden_layers")?;
    let groups = config.size_or("num_hidden_groups", 1)?;
    let inner = config.size_or("inner_group_num", 1)?;
    for (field, of) in [("num_hidden_groups", groups), ("inner_group_num", layers.max(groups))] {
        if of * inner > DEEPEST {
            let expected = format!("at most {DEEPEST} layers in all");
            return Err(config.unexpected(field, &expected, config.fields.get(field)));
        }
    }
    let declare = |(group, inner): (usize, usize)| {
        let path = format!("albert.encoder.albert_layer_groups.{group}.albert_layers.{inner}");
        // Nothing is dropped of what the feed-forward layer adds.
        Block::declare(declared, &path, &NAMES, spec).with_dropout(spec.dropout, 0.0)
    };
    let all: Vec<Block> =
        (0..groups).flat_map(|group| (0..inner).map(move |inner| (group, inner))).map(declare).collect();
    // The quotient as transformers rounds it where groups do not divide layers.
    let group = |layer: usize| (layer as f64 / (layers as f64 / groups as f64)) as usize;
    let applied = (0..layers).flat_map(|layer| (0..inner).map(move |inner| (layer, inner)));
    let placed = |(layer, i): (usize, usize)| {
        Arc::new(all[group(layer) * inner + i].at(&format!("albert.encoder.layer.{layer}.{i}")))
    };
    Ok(applied.map(placed).collect())
}
