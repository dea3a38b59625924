//! Configurations in other spellings than their family's.

use crate::config::Config;
use serde_json::{Map, Value, json};

/// A configuration as its family writes it: an image tower by itself becomes the model of which it is a part, as
/// transformers' classifiers know it; fields that have been renamed appear under both names.
pub(crate) fn spelled(config: Config) -> Config {
    match config.fields.get("model_type").and_then(Value::as_str) {
        Some("clip_vision_model") => wrapped(config, "clip"),
        Some("siglip_vision_model") => wrapped(config, "siglip"),
        Some("nomic_bert") => renamed(config),
        _ => config,
    }
}

fn wrapped(config: Config, whole: &str) -> Config {
    let Config { path, mut fields } = config;
    let mut outer = Map::new();
    outer.insert("model_type".to_string(), json!(whole));
    for field in ["id2label", "label2id"] {
        if let Some(value) = fields.shift_remove(field) {
            outer.insert(field.to_string(), value);
        }
    }
    outer.insert("vision_config".to_string(), Value::Object(fields));
    Config { path, fields: outer }
}

/// Names of Nomic's own code, and transformers' names of the same.
const NOMIC: [(&str, &str); 6] = [
    ("n_embd", "hidden_size"),
    ("n_layer", "num_hidden_layers"),
    ("n_head", "num_attention_heads"),
    ("n_inner", "intermediate_size"),
    ("n_positions", "max_position_embeddings"),
    ("layer_norm_epsilon", "layer_norm_eps"),
];

fn renamed(mut config: Config) -> Config {
    let fields = &mut config.fields;
    for (own, name) in NOMIC {
        if let (Some(value), false) = (fields.get(own).cloned(), fields.contains_key(name)) {
            fields.insert(name.to_string(), value);
        }
    }
    if let (Some(base), false) =
        (fields.get("rotary_emb_base").cloned(), fields.contains_key("rope_parameters"))
    {
        fields.insert("rope_parameters".to_string(), json!({ "rope_type": "default", "rope_theta": base }));
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: Value) -> Value {
        let config = Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
        Value::Object(spelled(config).fields)
    }

    #[test]
    fn a_tower_is_part_of_its_model_and_keeps_the_classes_outside() {
        let tower = json!({ "model_type": "clip_vision_model", "hidden_size": 8, "id2label": { "0": "a" } });
        let whole = json!({
            "model_type": "clip", "id2label": { "0": "a" },
            "vision_config": { "model_type": "clip_vision_model", "hidden_size": 8 },
        });
        assert_eq!(of(tower), whole);
        assert_eq!(of(whole.clone()), whole);
    }

    #[test]
    fn renamed_fields_have_both_names_and_a_new_name_wins() {
        let own = json!({ "model_type": "nomic_bert", "n_embd": 8, "n_head": 2, "num_attention_heads": 4, "rotary_emb_base": 10 });
        let both = of(own);
        assert_eq!((&both["n_embd"], &both["hidden_size"]), (&json!(8), &json!(8)));
        assert_eq!(both["num_attention_heads"], json!(4));
        assert_eq!(both["rope_parameters"], json!({ "rope_type": "default", "rope_theta": 10 }));
        let other = json!({ "model_type": "bert", "n_embd": 8 });
        assert_eq!(of(other.clone()), other);
    }
}
