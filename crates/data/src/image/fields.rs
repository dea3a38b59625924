//! Fields of a `preprocessor_config.json`, each taken by name; what nobody takes is refused by name.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::processors::Size;

/// Fields that say nothing about pixels, or the same for every processor here.
const SILENT: &[&str] = &[
    "_processor_class",
    "_valid_processor_keys",
    "auto_map",
    "backend",
    "disable_grouping",
    "feature_extractor_type",
    "image_processor_type",
    "processor_class",
    "use_fast",
];

/// The fields of a file, and which have been looked at.
pub(super) struct Fields {
    fields: Map<String, Value>,
    taken: BTreeSet<&'static str>,
}

type Found<T> = Result<Option<T>, String>;

impl Fields {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        match serde_json::from_slice(bytes).map_err(|error| error.to_string())? {
            Value::Object(fields) => Ok(Fields { fields, taken: SILENT.iter().copied().collect() }),
            _ => Err("expected an object of fields".into()),
        }
    }

    /// A field's value; `None` where it is absent or null.
    pub(super) fn take(&mut self, name: &'static str) -> Option<&Value> {
        self.taken.insert(name);
        self.fields.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Found<bool> {
        self.take(name)
            .map(|value| value.as_bool().ok_or_else(|| kind(name, "true or false", value)))
            .transpose()
    }

    pub(super) fn number(&mut self, name: &'static str) -> Found<f64> {
        self.take(name).map(|value| value.as_f64().ok_or_else(|| kind(name, "a number", value))).transpose()
    }

    /// One number for all colours, or a number for each.
    pub(super) fn colours(&mut self, name: &'static str) -> Found<Vec<f64>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let numbers = match value {
            Value::Array(list) => list.iter().map(Value::as_f64).collect(),
            value => value.as_f64().map(|number| vec![number]),
        };
        let numbers = numbers.filter(|numbers: &Vec<f64>| !numbers.is_empty());
        numbers.map(Some).ok_or_else(|| kind(name, "a list of numbers", value))
    }

    /// A size in any of its spellings; one number means a square or a shorter edge.
    pub(super) fn size(&mut self, name: &'static str, number_is_square: bool) -> Found<Size> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let expected = "a number, a pair, {height, width} or {shortest_edge}";
        let wrong = || kind(name, expected, value);
        let pixels = |value: &Value| value.as_u64().filter(|&n| n > 0 && n < 1 << 16).map(|n| n as usize);
        let size = match value {
            Value::Object(fields) => {
                let present: Vec<(&str, &Value)> =
                    fields.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.as_str(), v)).collect();
                match present[..] {
                    [("height", h), ("width", w)] | [("width", w), ("height", h)] => {
                        pixels(h).zip(pixels(w)).map(|(h, w)| Size::Fixed(h, w))
                    }
                    [("shortest_edge", edge)] => pixels(edge).map(Size::Shorter),
                    _ => None,
                }
            }
            Value::Array(pair) => match &pair[..] {
                [h, w] => pixels(h).zip(pixels(w)).map(|(h, w)| Size::Fixed(h, w)),
                _ => None,
            },
            value => {
                pixels(value).map(|n| if number_is_square { Size::Fixed(n, n) } else { Size::Shorter(n) })
            }
        };
        size.map(Some).ok_or_else(wrong)
    }

    /// Refuses what was not taken and would change pixels.
    pub(super) fn finish(&self) -> Result<(), String> {
        // Switches that are off, and what belongs to them, change nothing.
        let off = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        let silent = |name: &str, value: &Value| match name {
            "data_format" => value.as_str() == Some("channels_first"),
            "default_to_square" => true,
            _ => off(value),
        };
        let left = self
            .fields
            .iter()
            .find(|(name, value)| !self.taken.contains(name.as_str()) && !silent(name, value));
        match left {
            Some((name, value)) => Err(format!("{name}: {value} is not supported")),
            None => Ok(()),
        }
    }
}

fn kind(name: &str, expected: &str, found: &Value) -> String {
    format!("{name}: expected {expected}, found {found}")
}
