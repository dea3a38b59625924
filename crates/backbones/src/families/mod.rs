//! The families of backbones, by the `model_type` of their `config.json`.

mod albert;
mod beit;
mod bert;
mod convnext;
mod convnextv2;
mod deberta_v2;
mod decoder;
mod deit;
mod dinov2;
mod distilbert;
mod electra;
mod frozen;
mod gpt2;
mod llama;
mod mobilenet_v2;
mod modernbert;
mod mpnet;
mod qwen2;
mod qwen3;
mod resnet;
mod roberta;
mod rope;
mod swin;
mod vit;

pub(crate) use frozen::{preprocessor, spelled};

use crate::config::Config;
use crate::{Declarations, Encoder, Error, Result};
use serde_json::{Value, json};
use xexp_init::Init;

/// A family: what its checkpoints are called and how its backbone and its head are built.
pub struct Family {
    /// `model_type` in `config.json`; that of jina-embeddings-v2 says `bert`, those of timm name an
    /// `architecture` instead.
    pub model_type: &'static str,
    /// What it reads.
    pub modality: Modality,
    /// Whether candle-transformers computes its backbone, forward alone: a head can be trained on its features, and the
    /// backbone cannot.
    pub frozen: bool,
    /// What it is, for `xexp list --models` and messages.
    pub summary: &'static str,
    /// transformers' class of the bare backbone.
    pub base_architecture: &'static str,
    /// transformers' class of backbone and head; that of the bare backbone where there is no such class.
    pub classifier_architecture: &'static str,
    /// Where the backbone lies in a classifier's checkpoint.
    pub prefix: &'static str,
    /// Its head.
    pub head: HeadSpec,
    /// Names of the masked-language-modelling head, for families that have one.
    pub masked_lm: Option<MaskedLmNames>,
    /// Declares the backbone's weights, with the keys' other spellings.
    network: fn(&Config, &mut Declarations, Reading) -> Result<Encoder>,
}

/// The head of a family's classifier.
pub struct HeadSpec {
    /// Path of the last layer.
    pub path: &'static str,
    /// Whether the last layer has a bias.
    pub bias: bool,
    /// Paths of the layers in front of it that are new with it, and not the backbone's. The network runs them: the
    /// features are their output.
    pub hidden: &'static [&'static str],
    /// Dropout in front of the last layer.
    pub dropout: fn(&Config) -> Result<f64>,
    /// How transformers draws the last layer on features of a width.
    pub law: fn(&Config, usize) -> Result<HeadLaw>,
}

impl HeadSpec {
    /// Whether a weight belongs to the head.
    pub fn holds(&self, name: &str) -> bool {
        let in_layer = |path: &&str| name.strip_prefix(*path).is_some_and(|rest| rest.starts_with('.'));
        std::iter::once(&self.path).chain(self.hidden).any(in_layer)
    }
}

/// How transformers draws a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadLaw {
    /// The weight.
    pub weight: Init,
    /// The bias.
    pub bias: Init,
}

impl HeadLaw {
    /// A normal law, and a bias of zero: the rule of `PreTrainedModel._init_weights`.
    pub fn normal(std: f64) -> Self {
        HeadLaw { weight: Init::Normal { std }, bias: Init::Constant(0.0) }
    }

    /// Uniform within `±1/√width`: what `torch.nn.Linear` draws by itself.
    ///
    /// Source: `torch/nn/modules/linear.py`, `reset_parameters`.
    pub fn torch(width: usize) -> Self {
        let init = Init::Uniform { bound: 1.0 / (width as f64).sqrt() };
        HeadLaw { weight: init, bias: init }
    }

    /// [`HeadLaw::normal`] by the configuration's `initializer_range`.
    ///
    /// # Errors
    /// A field that is no number.
    pub fn of(config: &Config) -> Result<Self> {
        Ok(HeadLaw::normal(initializer_range(config)?))
    }
}

/// The standard deviation by which transformers draws a family's matrices.
fn initializer_range(config: &Config) -> Result<f64> {
    config.number("initializer_range", 0.02)
}

/// Dropout of heads that have their own, and else that of the blocks.
fn classifier_dropout(config: &Config) -> Result<f64> {
    let hidden = config.dropout("hidden_dropout_prob", 0.1)?;
    config.dropout("classifier_dropout", hidden)
}

/// Refuses what makes a text encoder another model: a causal mask, attention to a second model, relative positions.
fn plain_encoder(config: &Config) -> Result<()> {
    config.only("is_decoder", &json!(false))?;
    config.only("add_cross_attention", &json!(false))?;
    config.only("position_embedding_type", &json!("absolute"))
}

/// The spellings under which checkpoints of a family may hold its weights: bare ones have no prefix; old ones call a
/// norm's weight and bias gamma and beta.
fn spellings(declared: &mut Declarations, prefix: &'static str) {
    declared.alias(move |name| name.strip_prefix(prefix).map(str::to_string));
    declared.alias(old_norm);
    declared.alias(move |name| old_norm(name.strip_prefix(prefix)?));
}

fn old_norm(name: &str) -> Option<String> {
    let new = name.strip_suffix("LayerNorm.weight").map(|stem| format!("{stem}LayerNorm.gamma"));
    new.or_else(|| name.strip_suffix("LayerNorm.bias").map(|stem| format!("{stem}LayerNorm.beta")))
}

/// What of a backbone is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The features of sequences, for a head.
    Features,
    /// The hidden states alone: layers above the last block are not declared.
    Hidden,
}

/// What a family reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// Texts, through a `tokenizer.json`.
    Text,
    /// Images, through a `preprocessor_config.json`.
    Image,
}

impl Modality {
    /// The file of a model folder that says how input becomes numbers.
    pub fn companion(self) -> &'static str {
        match self {
            Modality::Text => "tokenizer.json",
            Modality::Image => "preprocessor_config.json",
        }
    }
}

/// Names of a masked-language-modelling head: dense, activation, norm, and the word table as decoder.
pub struct MaskedLmNames {
    /// transformers' class.
    pub architecture: &'static str,
    /// Path of the dense layer.
    pub dense: &'static str,
    /// Path of the norm.
    pub norm: &'static str,
    /// Name of the decoder's bias.
    pub bias: &'static str,
    /// Name of the word table, which the decoder shares.
    pub table: &'static str,
}

impl Family {
    /// Whether transformers has a class for backbone and head, which opens what is saved.
    pub fn opens_in_transformers(&self) -> bool {
        self.classifier_architecture != self.base_architecture
    }

    /// Declares the backbone's weights.
    ///
    /// # Errors
    /// A field of the configuration that is missing or that we cannot build.
    pub fn declare(&self, config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
        (self.network)(config, declared, reading)
    }

    /// Most tokens of a sequence; `None` where nothing in the network bounds them.
    ///
    /// # Errors
    /// As [`Family::declare`].
    pub fn longest(&self, config: &Config) -> Result<Option<usize>> {
        Ok(self.declare(config, &mut Declarations::default(), Reading::Hidden)?.longest())
    }
}

/// All families.
pub const BACKBONES: &[Family] = &[
    albert::FAMILY,
    beit::FAMILY,
    bert::FAMILY,
    frozen::clip::FAMILY,
    deberta_v2::FAMILY,
    deit::FAMILY,
    dinov2::FAMILY,
    dinov2::WITH_REGISTERS,
    convnext::FAMILY,
    convnextv2::FAMILY,
    distilbert::FAMILY,
    electra::FAMILY,
    frozen::eva02::FAMILY,
    gpt2::FAMILY,
    frozen::jina_bert::FAMILY,
    llama::FAMILY,
    mobilenet_v2::FAMILY,
    modernbert::FAMILY,
    mpnet::FAMILY,
    frozen::nomic_bert::FAMILY,
    qwen2::FAMILY,
    qwen3::FAMILY,
    resnet::FAMILY,
    roberta::CAMEMBERT,
    roberta::ROBERTA,
    roberta::XLM_ROBERTA,
    frozen::siglip::FAMILY,
    swin::FAMILY,
    frozen::t5::FAMILY,
    vit::FAMILY,
];

/// The family of a configuration.
///
/// # Errors
/// [`Error::UnknownFamily`], naming those that we have.
pub fn find(config: &Config) -> Result<&'static Family> {
    let found = config.text("model_type", "")?;
    // jina-embeddings-v2 calls itself what it is not.
    let alibi = config.fields.get("position_embedding_type").and_then(Value::as_str) == Some("alibi");
    let found = if found == "bert" && alibi { frozen::jina_bert::FAMILY.model_type } else { found };
    let timm =
        config.fields.get("architecture").and_then(Value::as_str).is_some_and(|a| a.starts_with("eva02_"));
    let found = if found.is_empty() && timm { frozen::eva02::FAMILY.model_type } else { found };
    BACKBONES.iter().find(|f| f.model_type == found).ok_or_else(|| Error::UnknownFamily {
        path: config.path.clone(),
        found: found.to_string(),
        known: BACKBONES.iter().map(|f| f.model_type).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes that all text families understand, with `other` fields.
    fn config(model_type: &str, other: Value) -> Config {
        let mut fields = json!({
            "model_type": model_type, "vocab_size": 7, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 6, "max_position_embeddings": 12, "type_vocab_size": 2, "dim": 4, "n_heads": 2,
            "n_layers": 1, "hidden_dim": 6, "relative_attention": true,
        });
        fields.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
        Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() }
    }

    fn longest(config: &Config) -> Result<Option<usize>> {
        find(config)?.longest(config)
    }

    #[test]
    fn a_sequence_is_at_most_as_long_as_the_rows_behind_the_padding() {
        for (model_type, other, expected) in [
            ("bert", json!({}), Some(12)),
            ("distilbert", json!({}), Some(12)),
            ("roberta", json!({}), Some(10)),
            ("xlm-roberta", json!({ "pad_token_id": 4 }), Some(7)),
            ("mpnet", json!({ "pad_token_id": 4 }), Some(10)),
            ("deberta-v2", json!({}), Some(12)),
            ("deberta-v2", json!({ "position_biased_input": false }), None),
        ] {
            assert_eq!(longest(&config(model_type, other)).unwrap(), expected, "{model_type}");
        }
    }

    #[test]
    fn a_field_that_makes_another_model_is_named() {
        for (model_type, field, value) in [
            ("roberta", "is_decoder", json!(true)),
            ("electra", "add_cross_attention", json!(true)),
            ("albert", "position_embedding_type", json!("relative_key")),
            ("albert", "num_hidden_groups", json!(0)),
            ("roberta", "pad_token_id", json!(-1)),
            ("mpnet", "relative_attention_num_buckets", json!(16)),
            ("deberta-v2", "pos_att_type", json!("c2p|p2p")),
            ("deberta-v2", "pos_att_type", json!([1])),
            ("deberta-v2", "norm_rel_ebd", json!("batch_norm")),
            ("deberta-v2", "pooler_hidden_size", json!(8)),
            ("deberta-v2", "attention_head_size", json!(4)),
            ("deberta-v2", "embedding_size", json!(2)),
            ("deberta-v2", "position_buckets", json!(1)),
            ("deberta-v2", "position_buckets", json!(22)),
            ("deberta-v2", "conv_kernel_size", json!(2)),
        ] {
            let error = longest(&config(model_type, json!({ field: value }))).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(
                error.contains(field) && error.contains("expected"),
                "{model_type} {field} {value}: {error}"
            );
        }
        let groups = json!({ "conv_kernel_size": 3, "conv_groups": 2 });
        assert!(longest(&config("deberta-v2", groups)).is_err());
    }
}
