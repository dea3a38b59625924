//! ModernBERT. Source: Warner et al. 2024; names and defaults from transformers' `ModernBertConfig`.

mod network;

use self::network::{ModernBert, Pooling, Spec};
use super::{Family, HeadLaw, HeadSpec, Modality, Reading, decoder, initializer_range, rope};
use crate::config::Config;
use crate::layers::Rotary;
use crate::{Declarations, Encoder, Result};
use serde_json::{Map, Value};
use xexp_init::{Dist, Init};
use xexp_kernels::attention::Mask;

pub(super) const FAMILY: Family = Family {
    model_type: "modernbert",
    modality: Modality::Text,
    frozen: false,
    summary: "ModernBERT encoders",
    base_architecture: "ModernBertModel",
    classifier_architecture: "ModernBertForSequenceClassification",
    prefix: "model.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        dropout: |config| config.dropout("classifier_dropout", 0.0),
        law: |config, width| {
            let std = 1.0 / (width as f64).sqrt();
            Ok(HeadLaw { weight: truncated(config, std)?, bias: Init::Constant(0.0) })
        },
    },
    masked_lm: None,
    network: declare,
};

/// A normal law of this standard deviation, cut off at `initializer_cutoff_factor` of them: transformers gives that before
/// the cut, [`Init::TruncatedNormal`] takes that after it.
fn truncated(config: &Config, std: f64) -> Result<Init> {
    let cut = match config.fields.get("initializer_cutoff_factor") {
        None => 2.0,
        // ModernBERT's own code says 3 where the field is empty.
        Some(_) => config.number("initializer_cutoff_factor", 3.0)?,
    };
    if cut <= 0.0 {
        let (field, expected) = ("initializer_cutoff_factor", "a positive number");
        return Err(config.unexpected(field, expected, config.fields.get(field)));
    }
    let after = cut / Dist::TruncatedNormal { cut }.bound()?;
    Ok(Init::TruncatedNormal { std: std * after, cut })
}

fn declare(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let (width, blocks) = (config.size("hidden_size")?, config.layers("num_hidden_layers")?);
    let heads = config.divisor("num_attention_heads", "hidden_size")?;
    let every = config.size_or("global_attn_every_n_layers", 3)?;
    let local = decoder::layer_types(config, blocks, |i| !i.is_multiple_of(every))?;
    let reach = config.size_or("local_attention", 128)? / 2;
    let rotary = |kind: &str, theta| rotary(config, kind, theta, width / heads);
    let whole = rotary("full_attention", ("global_rope_theta", 160_000.0))?;
    let near = rotary("sliding_attention", ("local_rope_theta", 10_000.0))?;
    let std = initializer_range(config)?;
    let pooling = match config.text("classifier_pooling", "cls")? {
        "cls" => Pooling::First,
        "mean" => Pooling::Mean,
        _ => {
            let found = config.fields.get("classifier_pooling");
            return Err(config.unexpected("classifier_pooling", "\"cls\" or \"mean\"", found));
        }
    };
    let kind = |local: bool| match local {
        true => (Mask::Near(reach), near.clone()),
        false => (Mask::Full, whole.clone()),
    };
    let spec = Spec {
        vocabulary: config.size("vocab_size")?,
        width,
        hidden: config.size("intermediate_size")?,
        heads,
        blocks: local.into_iter().map(kind).collect(),
        activation: config.activation("hidden_activation", "gelu")?,
        norm_eps: config.number("norm_eps", 1e-5)?,
        norm_bias: config.flag("norm_bias", false)?,
        attention_bias: config.flag("attention_bias", false)?,
        mlp_bias: config.flag("mlp_bias", false)?,
        top_bias: config.flag("classifier_bias", false)?,
        top_activation: config.activation("classifier_activation", "gelu")?,
        pooling,
        embedding_dropout: config.dropout("embedding_dropout", 0.0)?,
        attention_dropout: config.dropout("attention_dropout", 0.0)?,
        mlp_dropout: config.dropout("mlp_dropout", 0.0)?,
        inner: truncated(config, std)?,
        outer: truncated(config, std / (2.0 * blocks as f64).sqrt())?,
        features: reading == Reading::Features,
    };
    // Bare checkpoints have no prefix.
    declared.alias(decoder::bare);
    Ok(Encoder::new(ModernBert::declare(declared, spec)))
}

/// The rotary embedding of one kind of block: its object in `rope_parameters`, with what `rope_scaling` says of both.
fn rotary(config: &Config, kind: &str, theta: (&str, f64), head: usize) -> Result<Rotary> {
    let object = |value: Option<&Value>, name: &str| match value {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(map)) => Ok(map.clone()),
        wrong => Err(config.unexpected(name, "an object", wrong)),
    };
    let all = object(config.fields.get("rope_parameters"), "rope_parameters")?;
    let kinds = ["full_attention", "sliding_attention"];
    if let Some((name, value)) = all.iter().find(|(name, _)| !kinds.contains(&name.as_str())) {
        let expected = "full_attention and sliding_attention alone";
        return Err(config.unexpected(&format!("rope_parameters.{name}"), expected, Some(value)));
    }
    let field = format!("rope_parameters.{kind}");
    let mut parameters = object(all.get(kind), &field)?;
    parameters.extend(object(config.fields.get("rope_scaling"), "rope_scaling")?);
    rope::read(config, &field, &parameters, theta, head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::{Error, Seed};
    use serde_json::json;
    use xexp_init::Layer;

    fn config(fields: Value) -> Config {
        let mut all = json!({
            "vocab_size": 7, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 6, "max_position_embeddings": 16,
        });
        let map = all.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        Config { path: "config.json".into(), fields: map.clone() }
    }

    fn built(fields: Value, reading: Reading) -> Result<Declarations> {
        let mut declared = Declarations::default();
        FAMILY.declare(&config(fields), &mut declared, reading)?;
        Ok(declared)
    }

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for (field, value) in [
            ("classifier_pooling", json!("max")),
            ("num_attention_heads", json!(3)),
            ("hidden_activation", json!("mish")),
            ("classifier_activation", json!("mish")),
            ("layer_types", json!(["full_attention"])),
            ("rope_parameters", json!({ "rope_theta": 10.0 })),
            ("rope_parameters", json!({ "full_attention": { "rope_type": "yarn" } })),
            ("rope_scaling", json!({ "factor": 2.0 })),
            ("local_rope_theta", json!(0)),
            ("initializer_cutoff_factor", json!(-2)),
        ] {
            let error = built(json!({ field: value }), Reading::Features).err().unwrap().to_string();
            let named = if field == "rope_scaling" { "factor" } else { field };
            assert!(error.contains(named) && error.contains("expected"), "{field} {value}: {error}");
        }
    }

    /// A normal law cut off at two of its standard deviations has 0.8796 of one left: the constant of
    /// `jax.nn.initializers.variance_scaling`.
    #[test]
    fn the_head_has_the_law_of_transformers() {
        let law = (FAMILY.head.law)(&config(json!({})), 16).unwrap();
        let layer = Layer::Linear { input: 16, output: 3 };
        assert!((law.weight.std(&layer).unwrap() - 0.25 * 0.879_625_661_034_239_8).abs() < 1e-12);
        assert_eq!(law.bias, Init::Constant(0.0));
        let largest = law.weight.fill(&Layer::Linear { input: 16, output: 900 }, &mut Seed(1).stream("head"));
        let largest = largest.unwrap().iter().fold(0f32, |largest, v| largest.max(v.abs()));
        // Two standard deviations of the law before the cut.
        assert!((0.49..=0.5).contains(&largest), "{largest}");
    }

    #[test]
    fn the_top_may_be_new_and_nothing_else() {
        let empty = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        let empty = Checkpoint::from_bytes("model.safetensors".as_ref(), empty).unwrap();
        let found = built(json!({}), Reading::Features).unwrap().load(&empty, Seed(1)).err().unwrap();
        let Error::MissingTensors { count, .. } = found else { panic!("{found}") };
        // Two of the embeddings, six and five of the blocks, the closing norm; head.dense and head.norm are optional.
        assert_eq!(count, 2 + 5 + 6 + 1);
        let found = built(json!({}), Reading::Hidden).unwrap().load(&empty, Seed(1)).err().unwrap();
        assert!(matches!(found, Error::MissingTensors { count: 13, .. }));
    }
}
