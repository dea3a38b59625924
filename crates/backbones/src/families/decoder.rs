//! What the families of Llama's design read from their configurations alike.

use super::{HeadLaw, HeadSpec, Reading, initializer_range, rope};
use crate::Result;
use crate::config::Config;
use crate::layers::DecoderSpec;
use serde_json::{Value, json};
use xexp_init::Init;
use xexp_kernels::attention::Mask;

/// `score`, on the last token, without dropout and without a bias.
pub(super) const HEAD: HeadSpec = HeadSpec {
    path: "score",
    bias: false,
    hidden: &[],
    dropout: |_| Ok(0.0),
    law: |config, _| HeadLaw::of(config),
};

/// Bare checkpoints have no prefix.
pub(super) fn bare(name: &str) -> Option<String> {
    name.strip_prefix("model.").map(str::to_string)
}

/// A decoder without biases and without norms of heads, every token of which sees all before it.
pub(super) fn spec(
    config: &Config,
    reading: Reading,
    heads: usize,
    head_width: usize,
    default_kv_heads: usize,
) -> Result<DecoderSpec> {
    config.only("is_causal", &json!(true))?;
    let kv_heads = match config.fields.get("num_key_value_heads") {
        // A null asks for as many as there are query heads, a missing field for the class's default.
        Some(Value::Null) => heads,
        _ => config.size_or("num_key_value_heads", default_kv_heads)?,
    };
    if !heads.is_multiple_of(kv_heads) {
        let expected = format!("a divisor of num_attention_heads = {heads}");
        let found = config.fields.get("num_key_value_heads");
        return Err(config.unexpected("num_key_value_heads", &expected, found));
    }
    Ok(DecoderSpec {
        vocabulary: config.size("vocab_size")?,
        width: config.size("hidden_size")?,
        hidden: config.size("intermediate_size")?,
        heads,
        kv_heads,
        head_width,
        qkv_bias: false,
        output_bias: false,
        mlp_bias: false,
        head_norms: false,
        masks: vec![Mask::Causal; config.layers("num_hidden_layers")?],
        rotary: rope::rotary(config, head_width)?,
        activation: config.activation("hidden_act", "silu")?,
        norm_eps: config.number("rms_norm_eps", 1e-6)?,
        attention_dropout: config.dropout("attention_dropout", 0.0)?,
        init: Init::Normal { std: initializer_range(config)? },
        pad: pad(config)?,
        features: reading == Reading::Features,
    })
}

/// The padding token. Some configurations say by -1 that there is none.
pub(super) fn pad(config: &Config) -> Result<Option<u32>> {
    match config.fields.get("pad_token_id") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_i64() {
            Some(id) if id < 0 => Ok(None),
            Some(id) if id <= i64::from(u32::MAX) => Ok(Some(id as u32)),
            _ => Err(config.unexpected("pad_token_id", "a token id", Some(value))),
        },
    }
}

/// Masks of the blocks of Qwen's families: full, or from some block on a window that slides.
pub(super) fn masks(config: &Config) -> Result<Vec<Mask>> {
    let blocks = config.layers("num_hidden_layers")?;
    let field = config.fields.get("sliding_window");
    let window = match (config.flag("use_sliding_window", false)?, field) {
        (false, _) | (true, Some(Value::Null)) => None,
        (true, _) => Some(config.size_or("sliding_window", 4096)?),
    };
    let first = config.count("max_window_layers", 28)?;
    let kinds = layer_types(config, blocks, |i| window.is_some() && i >= first)?;
    let mask = |slides: bool| match (slides, window) {
        (false, _) => Ok(Mask::Causal),
        (true, Some(window)) => Ok(Mask::Recent(window)),
        (true, None) => {
            let expected = "full_attention alone, as there is no use_sliding_window";
            Err(config.unexpected("layer_types", expected, config.fields.get("layer_types")))
        }
    };
    kinds.into_iter().map(mask).collect()
}

/// Whether each block's attention is local, by `layer_types`, or by `default` where there are none.
pub(super) fn layer_types(
    config: &Config,
    blocks: usize,
    default: impl Fn(usize) -> bool,
) -> Result<Vec<bool>> {
    let found = config.fields.get("layer_types");
    let kinds = match found {
        None | Some(Value::Null) => return Ok((0..blocks).map(default).collect()),
        Some(value) => value.as_array().map_or(&[][..], |kinds| &kinds[..]),
    };
    let local = |kind: &Value| match kind.as_str() {
        Some("full_attention") => Some(false),
        Some("sliding_attention") => Some(true),
        _ => None,
    };
    let known = kinds.iter().map(local).collect::<Option<Vec<bool>>>();
    known.filter(|kinds| kinds.len() == blocks).ok_or_else(|| {
        let expected = format!("{blocks} of full_attention and sliding_attention");
        config.unexpected("layer_types", &expected, found)
    })
}

#[cfg(test)]
mod tests {
    use super::super::{BACKBONES, Family};
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::{Declarations, Params, Seed};
    use safetensors::tensor::{Dtype, TensorView};

    const FAMILIES: [&str; 3] = ["llama", "qwen2", "qwen3"];

    fn family(name: &str) -> &'static Family {
        BACKBONES.iter().find(|family| family.model_type == name).unwrap()
    }

    fn config(fields: Value) -> Config {
        let mut all = json!({
            "vocab_size": 7, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4,
            "num_key_value_heads": 2, "intermediate_size": 6, "max_position_embeddings": 16, "head_dim": 2,
        });
        let map = all.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        Config { path: "config.json".into(), fields: map.clone() }
    }

    fn declare(name: &str, fields: Value) -> Result<Declarations> {
        let mut declared = Declarations::default();
        family(name).declare(&config(fields), &mut declared, Reading::Features)?;
        Ok(declared)
    }

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for name in FAMILIES {
            for (field, value) in [
                ("num_key_value_heads", json!(3)),
                ("num_attention_heads", json!(0)),
                ("hidden_act", json!("mish")),
                ("is_causal", json!(false)),
                ("rope_scaling", json!({ "type": "yarn", "factor": 4.0 })),
                ("attention_dropout", json!(1.0)),
                ("pad_token_id", json!("<pad>")),
                ("head_dim", json!(3)),
            ] {
                let error = declare(name, json!({ field: value })).err().unwrap().to_string();
                assert!(error.contains(field) && error.contains("expected"), "{name} {field}: {error}");
            }
        }
        for (fields, named) in [
            (json!({ "layer_types": ["full_attention", "sliding_attention"] }), "layer_types"),
            (json!({ "layer_types": ["full_attention"] }), "layer_types"),
            (json!({ "layer_types": ["full_attention", "chunked_attention"] }), "layer_types"),
            (json!({ "use_sliding_window": true, "sliding_window": 0 }), "sliding_window"),
            (json!({ "use_sliding_window": "yes" }), "use_sliding_window"),
            (json!({ "max_window_layers": -1 }), "max_window_layers"),
        ] {
            for name in &FAMILIES[1..] {
                let error = declare(name, fields.clone()).err().unwrap().to_string();
                assert!(error.contains(named), "{name} {fields}: {error}");
            }
        }
    }

    #[test]
    fn windows_slide_where_the_configuration_has_them() {
        let all = [Mask::Causal; 2];
        let upper = [Mask::Causal, Mask::Recent(5)];
        for (fields, expected) in [
            (json!({}), all),
            (json!({ "sliding_window": 5, "max_window_layers": 0 }), all),
            (json!({ "use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1 }), upper),
            (json!({ "use_sliding_window": true, "sliding_window": 5 }), all),
            (json!({ "use_sliding_window": true, "sliding_window": null, "max_window_layers": 0 }), all),
            (
                json!({ "use_sliding_window": true, "sliding_window": 5,
                    "layer_types": ["full_attention", "sliding_attention"] }),
                upper,
            ),
        ] {
            assert_eq!(masks(&config(fields.clone())).unwrap(), expected, "{fields}");
        }
    }

    #[test]
    fn no_padding_token_is_spelt_in_three_ways() {
        for (fields, expected) in [
            (json!({}), None),
            (json!({ "pad_token_id": null }), None),
            (json!({ "pad_token_id": -1 }), None),
            (json!({ "pad_token_id": 0 }), Some(0)),
        ] {
            assert_eq!(pad(&config(fields)).unwrap(), expected);
        }
    }

    /// Checkpoints of the bare model have no prefix; those of the language model have its head, which is ignored and listed.
    #[test]
    fn bare_checkpoints_and_those_of_language_models_load() {
        for name in FAMILIES {
            let made = declare(name, json!({})).unwrap().draw(Seed(3)).unwrap();
            for (bare, head) in [(true, false), (false, true)] {
                let values = |(name, weight): (&str, &crate::Weight)| {
                    let name = if bare { name.strip_prefix("model.").unwrap() } else { name };
                    let (id, _) = made.find(&weight.name).unwrap();
                    let raw = made.values(id).unwrap().iter().flat_map(|v| v.to_le_bytes()).collect();
                    (name.to_string(), weight.layer.shape(), raw)
                };
                let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = made.by_name().map(values).collect();
                if head {
                    tensors.push(("lm_head.weight".into(), vec![7, 8], vec![0; 4 * 56]));
                }
                let view = |shape: &Vec<usize>, raw| TensorView::new(Dtype::F32, shape.clone(), raw).unwrap();
                let views = tensors.iter().map(|(name, shape, raw)| (name, view(shape, raw)));
                let bytes = safetensors::serialize(views, None).unwrap();
                let checkpoint = Checkpoint::from_bytes("model.safetensors".as_ref(), bytes).unwrap();
                let (read, report) = declare(name, json!({})).unwrap().load(&checkpoint, Seed(4)).unwrap();
                let ignored: &[&str] = if head { &["lm_head.weight"] } else { &[] };
                assert!(report.new.is_empty() && report.ignored == ignored, "{name}: {report}");
                let all = |params: &Params| -> Vec<f32> {
                    params.iter().flat_map(|(id, _)| params.values(id).unwrap().to_vec()).collect()
                };
                assert_eq!(all(&made), all(&read), "{name}");
            }
        }
    }
}
