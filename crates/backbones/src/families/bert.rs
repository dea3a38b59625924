//! BERT. Source: Devlin et al. 2019; names and defaults from transformers' `BertConfig`.

use super::Family;
use crate::config::Config;
use crate::layers::{BlockNames, BlockSpec, EmbeddingsSpec, Placement};
use crate::{Declarations, EncoderSpec, Result, TextEncoder};
use xexp_init::Init;
use xexp_kernels::Activation;
use xexp_kernels::attention::Mask;

pub(super) const FAMILY: Family = Family {
    model_type: "bert",
    summary: "BERT encoders, and MiniLM and BGE models of that layout",
    base_architecture: "BertModel",
    classifier_architecture: "BertForSequenceClassification",
    prefix: "bert.",
    head_path: "classifier",
    head_dropout: |config| {
        let hidden = config.dropout("hidden_dropout_prob", 0.1)?;
        config.dropout("classifier_dropout", hidden)
    },
    head_std,
    declare,
};

const NAMES: BlockNames = BlockNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

fn head_std(config: &Config) -> Result<f64> {
    config.number("initializer_range", 0.02)
}

fn declare(config: &Config, declared: &mut Declarations) -> Result<TextEncoder> {
    let width = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    if width % heads != 0 {
        let expected = format!("a divisor of hidden_size = {width}");
        return Err(config.unexpected(
            "num_attention_heads",
            &expected,
            config.fields.get("num_attention_heads"),
        ));
    }
    if config.text("position_embedding_type", "absolute")? != "absolute" {
        let found = config.fields.get("position_embedding_type");
        return Err(config.unexpected("position_embedding_type", "\"absolute\"", found));
    }
    let activation = config.text("hidden_act", "gelu")?;
    let activation = Activation::from_name(activation).ok_or_else(|| {
        let known = "one of gelu, gelu_new, gelu_pytorch_tanh, relu, silu, tanh";
        config.unexpected("hidden_act", known, config.fields.get("hidden_act"))
    })?;
    let positions = config.size("max_position_embeddings")?;
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.1)?;
    let init = Init::Normal { std: head_std(config)? };
    // Bare checkpoints have no prefix; old ones call a norm's weight and bias gamma and beta.
    declared.alias(|name| name.strip_prefix("bert.").map(str::to_string));
    declared.alias(old_norm);
    declared.alias(|name| old_norm(name.strip_prefix("bert.")?));
    let spec = EncoderSpec {
        embeddings: EmbeddingsSpec {
            vocabulary: config.size("vocab_size")?,
            positions,
            types: config.size("type_vocab_size")?,
            width,
            norm_eps,
            dropout,
            init,
            path: "bert.embeddings",
        },
        blocks: config.size("num_hidden_layers")?,
        block: BlockSpec {
            width,
            hidden: config.size("intermediate_size")?,
            heads,
            attention_scale: 1.0 / ((width / heads) as f64).sqrt(),
            mask: Mask::Full,
            activation,
            norm: Placement::Post,
            norm_eps,
            residual_scale: (1.0, 1.0),
            dropout,
            attention_dropout: config.dropout("attention_probs_dropout_prob", 0.1)?,
            init,
        },
        block_path: "bert.encoder.layer",
        block_names: NAMES,
        pooler_path: "bert.pooler.dense",
        max_length: positions,
    };
    Ok(TextEncoder::declare(declared, &spec))
}

fn old_norm(name: &str) -> Option<String> {
    let new = name.strip_suffix("LayerNorm.weight").map(|stem| format!("{stem}LayerNorm.gamma"));
    new.or_else(|| name.strip_suffix("LayerNorm.bias").map(|stem| format!("{stem}LayerNorm.beta")))
}
