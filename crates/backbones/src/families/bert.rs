//! BERT. Source: Devlin et al. 2019; names and defaults from transformers' `BertConfig`.

use super::{
    Family, HeadLaw, HeadSpec, MaskedLmNames, Modality, Reading, classifier_dropout, initializer_range,
    plain_encoder, spellings,
};
use crate::config::Config;
use crate::layers::{
    BlockNames, BlockSpec, EmbeddingsSpec, Placement, Positions, Stack, StackSpec, StemSpec, TopSpec,
};
use crate::{Declarations, Encoder, Result};
use xexp_init::Init;
use xexp_kernels::attention::Mask;

pub(super) const FAMILY: Family = Family {
    model_type: "bert",
    modality: Modality::Text,
    frozen: false,
    summary: "BERT encoders, and MiniLM and BGE models of that layout",
    base_architecture: "BertModel",
    classifier_architecture: "BertForSequenceClassification",
    prefix: "bert.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        dropout: classifier_dropout,
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: Some(MaskedLmNames {
        architecture: "BertForMaskedLM",
        dense: "cls.predictions.transform.dense",
        norm: "cls.predictions.transform.LayerNorm",
        bias: "cls.predictions.bias",
        table: "bert.embeddings.word_embeddings.weight",
    }),
    network,
};

pub(super) const NAMES: BlockNames = BlockNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "attention.output.LayerNorm",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "output.LayerNorm",
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let width = config.size("hidden_size")?;
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    plain_encoder(config)?;
    let activation = config.activation("hidden_act", "gelu")?;
    let norm_eps = config.number("layer_norm_eps", 1e-12)?;
    let dropout = config.dropout("hidden_dropout_prob", 0.1)?;
    let init = Init::Normal { std: initializer_range(config)? };
    spellings(declared, "bert.");
    let spec = StackSpec {
        stem: StemSpec::Words(EmbeddingsSpec {
            vocabulary: config.size("vocab_size")?,
            positions: Some(Positions::absolute(config.size("max_position_embeddings")?)),
            types: config.size("type_vocab_size")?,
            width,
            norm_eps,
            dropout,
            init,
            path: "bert.embeddings",
        }),
        blocks: config.layers("num_hidden_layers")?,
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
        top: (reading == Reading::Features).then_some(TopSpec::Pooler { path: "bert.pooler.dense" }),
    };
    Ok(Encoder::new(Stack::declare(declared, &spec)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Checkpoint, LoadReport};
    use crate::{Params, Seed};
    use safetensors::tensor::{Dtype, TensorView};
    use serde_json::json;

    /// Keys and shapes of transformers' `BertModel(BertConfig(vocab_size=7, hidden_size=4, num_hidden_layers=1,
    /// num_attention_heads=2, intermediate_size=6, max_position_embeddings=5)).state_dict()`, without the pooler.
    const KEYS: [(&str, &[usize]); 21] = [
        ("embeddings.word_embeddings.weight", &[7, 4]),
        ("embeddings.position_embeddings.weight", &[5, 4]),
        ("embeddings.token_type_embeddings.weight", &[2, 4]),
        ("embeddings.LayerNorm.weight", &[4]),
        ("embeddings.LayerNorm.bias", &[4]),
        ("encoder.layer.0.attention.self.query.weight", &[4, 4]),
        ("encoder.layer.0.attention.self.query.bias", &[4]),
        ("encoder.layer.0.attention.self.key.weight", &[4, 4]),
        ("encoder.layer.0.attention.self.key.bias", &[4]),
        ("encoder.layer.0.attention.self.value.weight", &[4, 4]),
        ("encoder.layer.0.attention.self.value.bias", &[4]),
        ("encoder.layer.0.attention.output.dense.weight", &[4, 4]),
        ("encoder.layer.0.attention.output.dense.bias", &[4]),
        ("encoder.layer.0.attention.output.LayerNorm.weight", &[4]),
        ("encoder.layer.0.attention.output.LayerNorm.bias", &[4]),
        ("encoder.layer.0.intermediate.dense.weight", &[6, 4]),
        ("encoder.layer.0.intermediate.dense.bias", &[6]),
        ("encoder.layer.0.output.dense.weight", &[4, 6]),
        ("encoder.layer.0.output.dense.bias", &[4]),
        ("encoder.layer.0.output.LayerNorm.weight", &[4]),
        ("encoder.layer.0.output.LayerNorm.bias", &[4]),
    ];

    fn config() -> Config {
        let fields = json!({
            "model_type": "bert", "vocab_size": 7, "hidden_size": 4, "num_hidden_layers": 1,
            "num_attention_heads": 2, "intermediate_size": 6, "max_position_embeddings": 5, "type_vocab_size": 2,
        });
        Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() }
    }

    /// Loads a checkpoint whose tensor `i` of [`KEYS`] is `i` everywhere, each key as `spelt`.
    fn load(spelt: impl Fn(&str) -> String) -> (Params, LoadReport) {
        let raw = |(i, (_, shape)): (usize, &(&str, &[usize]))| {
            (i as f32).to_le_bytes().repeat(shape.iter().product())
        };
        let raw: Vec<Vec<u8>> = KEYS.iter().enumerate().map(raw).collect();
        let views = KEYS.iter().zip(&raw).map(|((key, shape), raw)| {
            (spelt(key), TensorView::new(Dtype::F32, shape.to_vec(), raw).unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        let mut declared = Declarations::default();
        FAMILY.declare(&config(), &mut declared, Reading::Features).unwrap();
        declared.load(&Checkpoint::from_bytes("model.safetensors".as_ref(), bytes).unwrap(), Seed(1)).unwrap()
    }

    #[test]
    fn every_spelling_of_the_keys_loads_the_same_weights() {
        let old = |key: &str| {
            key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        };
        let loads = [
            load(|key| key.to_string()),
            load(|key| format!("bert.{key}")),
            load(old),
            load(|key| format!("bert.{}", old(key))),
        ];
        for (params, report) in loads {
            assert_eq!((report.loaded.len(), report.ignored), (KEYS.len(), vec![]));
            assert_eq!(report.new, ["bert.pooler.dense.weight", "bert.pooler.dense.bias"]);
            for (i, (key, shape)) in KEYS.iter().enumerate() {
                let (id, weight) = params.find(&format!("bert.{key}")).unwrap();
                assert_eq!(weight.layer.shape(), *shape, "{key}");
                assert!(params.values(id).unwrap().iter().all(|v| *v == i as f32), "{key}");
            }
        }
    }

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for (field, value) in [
            ("hidden_size", json!(5)),
            ("hidden_size", json!(0)),
            ("num_attention_heads", json!(3)),
            ("hidden_act", json!("mish")),
            ("position_embedding_type", json!("relative_key")),
            ("hidden_dropout_prob", json!(1.0)),
            ("vocab_size", json!("7")),
        ] {
            let mut config = config();
            config.fields.insert(field.to_string(), value.clone());
            let error = FAMILY
                .declare(&config, &mut Declarations::default(), Reading::Features)
                .err()
                .unwrap()
                .to_string();
            // Heads that do not divide the width are one fault of two fields.
            assert!(
                error.contains(field) || error.contains("num_attention_heads"),
                "{field} {value}: {error}"
            );
            assert!(error.contains("config.json") && error.contains("expected"), "{error}");
        }
    }
}
