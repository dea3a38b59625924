//! A model's `config.json`, kept whole.

use crate::{Error, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xexp_kernels::Activation;

/// The largest size that a configuration may give. No model comes near it; a number beyond it is a slip, and must not end
/// the program for want of memory.
pub const LARGEST: usize = 1 << 24;

/// The most layers of a kind, for the same reason: each of them has a name for every weight.
pub const DEEPEST: usize = 10_000;

/// The fields of a `config.json`, in the file's order, with readers that say what is wrong.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, for messages.
    pub path: PathBuf,
    /// All fields, also those we do not know.
    pub fields: Map<String, Value>,
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or is not a JSON object.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })?;
        Self::parse(path, &text)
    }

    /// The same of a text in memory; `path` is for messages.
    ///
    /// # Errors
    /// When it is not a JSON object.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        match serde_json::from_str(text) {
            Ok(Value::Object(fields)) => Ok(Config { path: path.into(), fields }),
            Ok(_) => Err(wrong(path, "expected a JSON object".to_string())),
            Err(error) => Err(wrong(path, format!("not JSON: {error}"))),
        }
    }

    /// A positive whole number, of at most [`LARGEST`].
    pub fn size(&self, field: &str) -> Result<usize> {
        let found = self.fields.get(field);
        found.and_then(positive).ok_or_else(|| self.unexpected(field, &one_to(LARGEST), found))
    }

    /// A number of layers, of at most [`DEEPEST`].
    pub fn layers(&self, field: &str) -> Result<usize> {
        let count = self.size(field)?;
        self.shallow(field, &[count])?;
        Ok(count)
    }

    /// A number of layers, or `default` where the field is absent or null.
    pub fn layers_or(&self, field: &str, default: usize) -> Result<usize> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(_) => self.layers(field),
        }
    }

    /// The fields of a part, none where it is absent or null; messages name the part and the file.
    pub fn section(&self, field: &str) -> Result<Config> {
        let path = PathBuf::from(format!("{} of {}", field, self.path.display()));
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(Config { path, fields: Map::new() }),
            Some(Value::Object(fields)) => Ok(Config { path, fields: fields.clone() }),
            found => Err(self.unexpected(field, "an object", found)),
        }
    }

    /// Numbers of layers, or `default` where the field is absent or null.
    pub fn depths(&self, field: &str, default: &[usize]) -> Result<Vec<usize>> {
        let depths = self.sizes(field, default)?;
        self.shallow(field, &depths)?;
        Ok(depths)
    }

    fn shallow(&self, field: &str, depths: &[usize]) -> Result<()> {
        match depths.iter().all(|depth| *depth <= DEEPEST) {
            true => Ok(()),
            false => {
                Err(self.unexpected(field, &format!("at most {DEEPEST} layers"), self.fields.get(field)))
            }
        }
    }

    /// A whole number, or `default` where the field is absent or null.
    pub fn whole(&self, field: &str, default: i64) -> Result<i64> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => {
                value.as_i64().ok_or_else(|| self.unexpected(field, "a whole number", Some(value)))
            }
        }
    }

    /// A whole number of at least 0, or `default`.
    pub fn count(&self, field: &str, default: usize) -> Result<usize> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value
                .as_u64()
                .map(|n| n as usize)
                .ok_or_else(|| self.unexpected(field, "a whole number of at least 0", Some(value))),
        }
    }

    /// Refuses a field of another value than the one that can be built, which is also what an absent field means.
    ///
    /// # Errors
    /// A value that is there and another.
    pub fn only(&self, field: &str, value: &Value) -> Result<()> {
        match self.fields.get(field) {
            Some(found) if found != value && !found.is_null() => {
                Err(self.unexpected(field, &value.to_string(), Some(found)))
            }
            _ => Ok(()),
        }
    }

    /// A positive whole number that divides `whole`, another field.
    pub fn divisor(&self, field: &str, whole: &str) -> Result<usize> {
        let (part, all) = (self.size(field)?, self.size(whole)?);
        if all.is_multiple_of(part) {
            return Ok(part);
        }
        Err(self.unexpected(field, &format!("a divisor of {whole} = {all}"), self.fields.get(field)))
    }

    /// Positive whole numbers, or `default` where the field is absent or null.
    pub fn sizes(&self, field: &str, default: &[usize]) -> Result<Vec<usize>> {
        let found = match self.fields.get(field) {
            None | Some(Value::Null) => return Ok(default.to_vec()),
            Some(found) => found,
        };
        let sizes: Option<Vec<usize>> = found
            .as_array()
            .and_then(|values| values.iter().map(positive).collect())
            .filter(|s: &Vec<_>| !s.is_empty());
        sizes.ok_or_else(|| self.unexpected(field, "positive whole numbers", Some(found)))
    }

    /// A nonlinearity by transformers' name, or the one called `default`.
    pub fn activation(&self, field: &str, default: &str) -> Result<Activation> {
        let known = "one of gelu, gelu_new, gelu_pytorch_tanh, relu, relu6, silu, tanh";
        let name = self.text(field, default)?;
        Activation::from_name(name).ok_or_else(|| self.unexpected(field, known, self.fields.get(field)))
    }

    /// A number, or `default` where the field is absent or null.
    pub fn number(&self, field: &str, default: f64) -> Result<f64> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_f64().ok_or_else(|| self.unexpected(field, "a number", Some(value))),
        }
    }

    /// A probability below 1, or `default`.
    pub fn dropout(&self, field: &str, default: f64) -> Result<f64> {
        let p = self.number(field, default)?;
        if (0.0..1.0).contains(&p) {
            return Ok(p);
        }
        Err(self.unexpected(field, "a probability in [0, 1)", self.fields.get(field)))
    }

    /// A positive whole number, or `default` where the field is absent or null.
    pub fn size_or(&self, field: &str, default: usize) -> Result<usize> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(_) => self.size(field),
        }
    }

    /// True or false, or `default` where the field is absent or null.
    pub fn flag(&self, field: &str, default: bool) -> Result<bool> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => {
                value.as_bool().ok_or_else(|| self.unexpected(field, "true or false", Some(value)))
            }
        }
    }

    /// A string, or `default`.
    pub fn text<'a>(&'a self, field: &str, default: &'a str) -> Result<&'a str> {
        match self.fields.get(field) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value.as_str().ok_or_else(|| self.unexpected(field, "a string", Some(value))),
        }
    }

    /// The label names by id, where `id2label` has them.
    ///
    /// # Errors
    /// When the ids are not 0, 1, 2, … or a name is not a string.
    pub fn labels(&self) -> Result<Option<Vec<String>>> {
        let Some(value) = self.fields.get("id2label") else { return Ok(None) };
        let bad = || self.unexpected("id2label", "names by the ids 0, 1, 2, …", Some(value));
        let object = value.as_object().ok_or_else(bad)?;
        let mut names = BTreeMap::new();
        for (id, name) in object {
            names.insert(id.parse::<usize>().map_err(|_| bad())?, name.as_str().ok_or_else(bad)?.to_string());
        }
        if names.keys().copied().ne(0..names.len()) {
            return Err(bad());
        }
        Ok(Some(names.into_values().collect()))
    }

    /// An error about one field.
    pub fn unexpected(&self, field: &str, expected: &str, found: Option<&Value>) -> Error {
        let found = found.map_or("nothing".to_string(), |v| {
            let text = v.to_string();
            if text.len() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text }
        });
        wrong(&self.path, format!("{field}: expected {expected}, found {found}"))
    }
}

fn positive(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|n| usize::try_from(n).ok()).filter(|n| (1..=LARGEST).contains(n))
}

fn one_to(most: usize) -> String {
    format!("a whole number from 1 to {most}")
}

fn wrong(path: &Path, reason: String) -> Error {
    Error::Config { path: path.into(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(fields: Value) -> Config {
        Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() }
    }

    #[test]
    fn labels_are_in_the_order_of_their_ids_and_not_of_their_text() {
        let names: Vec<String> = (0..12).map(|id| format!("class {id}")).collect();
        // As text, "10" and "11" stand before "2".
        let fields: Map<String, Value> =
            names.iter().enumerate().rev().map(|(id, name)| (id.to_string(), json!(name))).collect();
        assert_eq!(config(json!({ "id2label": fields })).labels().unwrap(), Some(names));
        assert_eq!(config(json!({})).labels().unwrap(), None);
        for wrong in [json!({"0": "a", "2": "b"}), json!({"x": "a"}), json!({"0": 1}), json!(["a"])] {
            assert!(config(json!({ "id2label": wrong })).labels().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_number_that_no_model_has_is_refused_and_not_tried() {
        let config = config(
            json!({ "width": 1u64 << 40, "layers": 1 << 20, "depths": [2, 1 << 20], "heads": [1u64 << 40] }),
        );
        for error in [
            config.size("width").unwrap_err(),
            config.size_or("width", 1).unwrap_err(),
            config.layers("layers").unwrap_err(),
            config.depths("depths", &[1]).unwrap_err(),
            config.sizes("heads", &[1]).unwrap_err(),
        ] {
            assert!(error.to_string().contains("expected"), "{error}");
        }
        assert_eq!(config.size("layers").unwrap(), 1 << 20);
        assert_eq!(config.depths("absent", &[2, 6]).unwrap(), [2, 6]);
    }

    #[test]
    fn an_absent_field_and_a_null_are_the_default_and_a_wrong_type_is_an_error() {
        let config = config(json!({ "p": null, "text": 3, "n": 2.5, "q": -0.1 }));
        assert_eq!(config.dropout("p", 0.1).unwrap(), 0.1);
        assert_eq!(config.text("absent", "gelu").unwrap(), "gelu");
        assert!(config.text("text", "gelu").is_err() && config.number("id", 1.0).is_ok());
        assert!(
            config.size("n").is_err() && config.size("absent").is_err() && config.dropout("q", 0.0).is_err()
        );
    }
}
