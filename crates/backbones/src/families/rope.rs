//! The rotary fields of a `config.json`, old and new spellings.

use crate::Result;
use crate::config::Config;
use crate::layers::{Rotary, RotaryScaling};
use serde_json::{Map, Value};

const KINDS: &str = "one of default, linear, llama3";

/// The rotary embedding of heads of a width: `rope_parameters`, or `rope_scaling` beside `rope_theta`.
///
/// # Errors
/// A kind of scaling that we do not have, a part of a head turned, or a field of another type.
pub(super) fn rotary(config: &Config, head: usize) -> Result<Rotary> {
    // transformers lets the old field win.
    let fields = ["rope_scaling", "rope_parameters"];
    let found = fields.into_iter().find_map(|field| match config.fields.get(field) {
        Some(Value::Object(map)) if !map.is_empty() => Some((field, map.clone())),
        _ => None,
    });
    for field in fields {
        if let Some(wrong) = config.fields.get(field).filter(|value| !value.is_object() && !value.is_null()) {
            return Err(config.unexpected(field, "an object", Some(wrong)));
        }
    }
    let (field, parameters) = found.unwrap_or(("rope_parameters", Map::new()));
    whole_heads(config, config.fields.get("partial_rotary_factor"))?;
    read(config, field, &parameters, ("rope_theta", 10_000.0), head)
}

/// The rotary embedding by one object of parameters, found in `field`. Where they have no theta, it is that of another
/// field, or a default.
pub(super) fn read(
    config: &Config,
    field: &str,
    parameters: &Map<String, Value>,
    (elsewhere, default): (&str, f64),
    head: usize,
) -> Result<Rotary> {
    let number = |name: &str, default: Option<f64>| match (parameters.get(name), default) {
        (None | Some(Value::Null), Some(default)) => Ok(default),
        (value, _) => value
            .and_then(Value::as_f64)
            .filter(|number| *number > 0.0)
            .ok_or_else(|| config.unexpected(&format!("{field}.{name}"), "a positive number", value)),
    };
    let kind = parameters.get("rope_type").or_else(|| parameters.get("type"));
    let (scaling, known): (_, &[&str]) = match kind.map_or(Some("default"), Value::as_str) {
        Some("default") => (RotaryScaling::None, &[]),
        Some("linear") => (RotaryScaling::Linear { factor: number("factor", None)? }, &["factor"]),
        Some("llama3") => {
            let name = "original_max_position_embeddings";
            let context = match (config.fields.get(name), parameters.get(name)) {
                (Some(_), _) => config.size(name)? as f64,
                (None, Some(_)) => number(name, None)?,
                (None, None) => config.size("max_position_embeddings")? as f64,
            };
            let (low, high) = (number("low_freq_factor", None)?, number("high_freq_factor", None)?);
            if low >= high {
                let field = format!("{field}.high_freq_factor");
                let expected = format!("more than low_freq_factor = {low}");
                return Err(config.unexpected(&field, &expected, parameters.get("high_freq_factor")));
            }
            let scaling = RotaryScaling::Llama3 { factor: number("factor", None)?, low, high, context };
            (scaling, &["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"])
        }
        _ => return Err(config.unexpected(&format!("{field}.rope_type"), KINDS, kind)),
    };
    whole_heads(config, parameters.get("partial_rotary_factor"))?;
    let common = ["rope_type", "type", "rope_theta", "partial_rotary_factor"];
    let stranger = parameters.iter().find(|(name, value)| {
        !value.is_null() && !common.contains(&name.as_str()) && !known.contains(&name.as_str())
    });
    if let Some((name, value)) = stranger {
        let expected = "no such parameter with this rope_type";
        return Err(config.unexpected(&format!("{field}.{name}"), expected, Some(value)));
    }
    if head % 2 == 1 {
        return Err(config.unexpected("head_dim", "an even width of heads", Some(&head.into())));
    }
    let theta = config.number(elsewhere, default)?;
    if theta <= 0.0 {
        return Err(config.unexpected(elsewhere, "a positive number", config.fields.get(elsewhere)));
    }
    Ok(Rotary::new(head, number("rope_theta", Some(theta))?, scaling))
}

/// transformers' classes of these families turn whole heads, and fail on less.
fn whole_heads(config: &Config, share: Option<&Value>) -> Result<()> {
    match share {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value.as_f64() == Some(1.0) => Ok(()),
        found => Err(config.unexpected("partial_rotary_factor", "1", found)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(fields: Value) -> Result<Rotary> {
        let mut all = json!({ "max_position_embeddings": 64 }).as_object().unwrap().clone();
        all.extend(fields.as_object().unwrap().clone());
        rotary(&Config { path: "config.json".into(), fields: all }, 8)
    }

    #[test]
    fn old_and_new_spellings_are_the_same() {
        let llama3 =
            json!({ "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4.0 });
        let mut new = llama3.clone();
        new["rope_theta"] = json!(500.0);
        new["original_max_position_embeddings"] = json!(64);
        let pairs = [
            (json!({}), json!({ "rope_parameters": { "rope_type": "default", "rope_theta": 10000.0 } })),
            (
                json!({ "rope_theta": 500.0, "rope_scaling": { "type": "linear", "factor": 2.0 } }),
                json!({ "rope_parameters": { "rope_type": "linear", "factor": 2, "rope_theta": 500.0 } }),
            ),
            (json!({ "rope_theta": 500, "rope_scaling": llama3 }), json!({ "rope_parameters": new })),
            (
                json!({ "rope_scaling": null, "rope_theta": 7.0 }),
                json!({ "rope_parameters": { "rope_theta": 7.0 } }),
            ),
        ];
        for (old, new) in pairs {
            assert_eq!(read(old.clone()).unwrap(), read(new).unwrap(), "{old}");
        }
    }

    #[test]
    fn what_cannot_be_built_is_named() {
        let kind = |kind: &str| json!({ "rope_scaling": { "rope_type": kind, "factor": 2.0 } });
        for (fields, named) in [
            (kind("yarn"), "rope_type"),
            (kind("dynamic"), "rope_type"),
            (kind("longrope"), "rope_type"),
            (kind("llama3"), "low_freq_factor"),
            (
                json!({ "rope_scaling": { "rope_type": "llama3", "factor": 2.0, "low_freq_factor": 4.0,
                    "high_freq_factor": 4.0 } }),
                "high_freq_factor",
            ),
            (kind("default"), "factor"),
            (json!({ "rope_scaling": { "type": "linear" } }), "rope_scaling.factor"),
            (json!({ "rope_scaling": { "type": 3 } }), "rope_type"),
            (json!({ "rope_scaling": "linear" }), "rope_scaling"),
            (json!({ "rope_parameters": { "full_attention": {} } }), "full_attention"),
            (json!({ "rope_theta": -1.0 }), "rope_theta"),
            (json!({ "partial_rotary_factor": 0.5 }), "partial_rotary_factor"),
        ] {
            let error = read(fields.clone()).err().unwrap().to_string();
            assert!(error.contains(named) && error.contains("expected"), "{fields}: {error}");
        }
    }
}
