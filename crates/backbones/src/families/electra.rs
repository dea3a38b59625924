//! ELECTRA's discriminator. Source: Clark et al. 2020; names and defaults from transformers' `ElectraConfig`.

use super::{
    Family, HeadLaw, HeadSpec, Modality, Reading, bert, classifier_dropout, initializer_range, plain_encoder,
    spellings,
};
use crate::config::Config;
use crate::layers::{
    BlockSpec, EmbeddingsSpec, Linear, Placement, Positions, Stack, StackSpec, StemSpec, TopSpec,
};
use crate::{Declarations, Encoder, Origin, Result};
use xexp_init::Init;
use xexp_kernels::Activation;
use xexp_kernels::attention::Mask;

pub(super) const FAMILY: Family = Family {
    model_type: "electra",
    modality: Modality::Text,
    frozen: false,
    summary: "ELECTRA discriminators",
    base_architecture: "ElectraModel",
    classifier_architecture: "ElectraForSequenceClassification",
    prefix: "electra.",
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

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    plain_encoder(config)?;
    spellings(declared, "electra.");
    let width = config.size("hidden_size")?;
    let narrow = config.size_or("embedding_size", 128)?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.1)?;
    let init = Init::Normal { std: initializer_range(config)? };
    let spec = StackSpec {
        stem: StemSpec::Words(EmbeddingsSpec {
            vocabulary: config.size("vocab_size")?,
            positions: Some(Positions::absolute(config.size("max_position_embeddings")?)),
            types: config.size("type_vocab_size")?,
            width: narrow,
            norm_eps,
            dropout,
            init,
            path: "electra.embeddings",
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
        block_path: "electra.encoder.layer",
        block_names: bert::NAMES,
        top: (reading == Reading::Features).then_some(TopSpec::Hidden {
            path: "classifier.dense",
            activation: Activation::Gelu,
            dropout: classifier_dropout(config)?,
        }),
    };
    let mut stack = Stack::declare(declared, &spec);
    stack.projection = (narrow != width).then(|| {
        let path = "electra.embeddings_project";
        Linear::declare(declared, path, (narrow, width), init, Origin::Checkpoint)
    });
    Ok(Encoder::new(stack))
}
