//! PEFT's `adapter_config.json`.

use crate::{Error, Result};
use serde_json::{Map, Value, json};
use std::path::Path;

/// What of an adapter's configuration matters for its weights.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterConfig {
    /// `r`.
    pub rank: usize,
    /// `lora_alpha`.
    pub alpha: f64,
    /// `lora_dropout`.
    pub dropout: f64,
    /// `use_rslora`: the factor is `α/√r`. Source: Kalajdzievski 2023.
    pub rank_stabilized: bool,
    /// `base_model_name_or_path`.
    pub base: Option<String>,
    /// `revision` of the base model.
    pub revision: Option<String>,
}

/// What is written beside it.
pub(super) struct Written {
    pub targets: Vec<String>,
    /// `modules_to_save`.
    pub saved: Vec<String>,
    /// `fan_in_fan_out`.
    pub transposed: bool,
    /// Whether the task is one that PEFT has a name for.
    pub texts: bool,
}

/// Fields that say how training went, or where adapters stand, which the tensors' names say too: any value will do.
const FREE: [&str; 25] = [
    "auto_mapping",
    "base_model_name_or_path",
    "revision",
    "peft_version",
    "inference_mode",
    "task_type",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "lora_dropout",
    "lora_alpha",
    "r",
    "use_rslora",
    "init_lora_weights",
    "megatron_core",
    "qalora_group_size",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "peft_type",
    "bias",
];

/// Ways to draw an adapter that leave the model's own weights as they are. The others (PiSSA, OLoRA, CorDA, …) change these, so
/// that the adapter means nothing without them.
const DRAWN: [&str; 3] = ["gaussian", "eva", "orthogonal"];

impl AdapterConfig {
    /// What the product of the two matrices is multiplied by.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.rank_stabilized { rank.sqrt() } else { rank }
    }

    /// Reads a configuration and refuses what makes another function of the adapter than `W + s·B·A`.
    ///
    /// # Errors
    /// [`Error::Adapter`] with the field, what was expected, and what was found.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong = |reason: String| Error::Adapter { path: path.into(), reason };
        let fields: Map<String, Value> = match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) => return Err(wrong("expected a JSON object".to_string())),
            Err(error) => return Err(wrong(format!("not JSON: {error}"))),
        };
        let get = |field: &str| fields.get(field).unwrap_or(&Value::Null);
        let unexpected = |field: &str, expected: &str| {
            wrong(format!("{field}: expected {expected}, found {}", get(field)))
        };
        if get("peft_type") != "LORA" {
            return Err(unexpected("peft_type", "\"LORA\""));
        }
        if !matches!(get("bias"), Value::Null) && get("bias") != "none" {
            return Err(unexpected("bias", "\"none\""));
        }
        match get("init_lora_weights") {
            Value::Null | Value::Bool(_) => (),
            Value::String(law) if DRAWN.contains(&law.as_str()) => (),
            _ => return Err(unexpected("init_lora_weights", "one that leaves the model's weights alone")),
        }
        let off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Object(fields) => fields.is_empty(),
            Value::Array(values) => values.is_empty(),
            _ => false,
        };
        if let Some(field) = fields.keys().find(|field| !FREE.contains(&field.as_str()) && !off(get(field))) {
            return Err(unexpected(field, "nothing: only plain LoRA can be opened"));
        }
        let rank = get("r").as_u64().filter(|rank| (1..=1 << 16).contains(rank));
        let number = |field: &str| get(field).as_f64().filter(|value| value.is_finite());
        Ok(AdapterConfig {
            rank: rank.ok_or_else(|| unexpected("r", "a positive whole number"))? as usize,
            alpha: number("lora_alpha").ok_or_else(|| unexpected("lora_alpha", "a number"))?,
            dropout: number("lora_dropout").unwrap_or(0.0),
            rank_stabilized: get("use_rslora") == true,
            base: get("base_model_name_or_path").as_str().map(str::to_string),
            revision: get("revision").as_str().map(str::to_string),
        })
    }

    /// The file, sorted by field as PEFT writes it.
    pub(super) fn json(&self, written: Written) -> Value {
        // PEFT has whole numbers there, and readers that want one.
        let whole = self.alpha.fract() == 0.0 && self.alpha.abs() < 1e9;
        let alpha = if whole { json!(self.alpha as i64) } else { json!(self.alpha) };
        json!({
            "alpha_pattern": {},
            "auto_mapping": null,
            "base_model_name_or_path": self.base,
            "bias": "none",
            "exclude_modules": null,
            "fan_in_fan_out": written.transposed,
            "inference_mode": true,
            "init_lora_weights": true,
            "layer_replication": null,
            "layers_pattern": null,
            "layers_to_transform": null,
            "lora_alpha": alpha,
            "lora_bias": false,
            "lora_dropout": self.dropout,
            "modules_to_save": written.saved,
            "peft_type": "LORA",
            "r": self.rank,
            "rank_pattern": {},
            "revision": self.revision,
            "target_modules": written.targets,
            "task_type": written.texts.then_some("SEQ_CLS"),
            "use_dora": false,
            "use_rslora": self.rank_stabilized,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: Value) -> Result<AdapterConfig> {
        let spec = AdapterConfig {
            rank: 4,
            alpha: 6.0,
            dropout: 0.1,
            rank_stabilized: false,
            base: Some("org/name".into()),
            revision: None,
        };
        let written =
            Written { targets: vec!["query".into()], saved: vec![], transposed: false, texts: true };
        let mut file = spec.json(written);
        file.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        AdapterConfig::parse("adapter_config.json".as_ref(), &file.to_string())
    }

    #[test]
    fn what_is_written_reads_back_and_scales_by_alpha_over_rank_or_its_root() {
        let found = parse(json!({})).unwrap();
        assert_eq!((found.rank, found.scale(), found.base.as_deref()), (4, 1.5, Some("org/name")));
        assert_eq!(parse(json!({ "use_rslora": true })).unwrap().scale(), 3.0);
        assert!(parse(json!({ "init_lora_weights": "gaussian", "peft_version": "0.21.2" })).is_ok());
    }

    #[test]
    fn another_kind_of_adapter_is_refused_by_its_field() {
        for (field, value) in [
            ("peft_type", json!("IA3")),
            ("use_dora", json!(true)),
            ("bias", json!("all")),
            ("rank_pattern", json!({ "query": 4 })),
            ("alpha_pattern", json!({ "query": 4 })),
            ("init_lora_weights", json!("pissa")),
            ("layer_replication", json!([[0, 4]])),
            ("lora_bias", json!(true)),
            ("target_parameters", json!(["a"])),
            ("trainable_token_indices", json!([1])),
            ("something_new", json!("on")),
            ("r", json!(0)),
            ("lora_alpha", json!("big")),
        ] {
            let error = parse(json!({ field: value })).unwrap_err().to_string();
            assert!(error.contains(field) && error.contains("expected"), "{field}: {error}");
        }
        for text in ["[]", "{", ""] {
            assert!(AdapterConfig::parse("a".as_ref(), text).is_err());
        }
    }
}
