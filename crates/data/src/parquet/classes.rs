//! Class names in a file's metadata.
//!
//! Source: the library `datasets` writes its features as JSON under the key `huggingface`; the names of a column of class
//! ids are at `info.features.COLUMN.names`, in the order of the ids.

use parquet::file::metadata::KeyValue;
use serde_json::Value;

/// The key in the metadata.
const KEY: &str = "huggingface";

/// The names of the classes of a label column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Classes {
    /// In the order of their ids.
    pub(super) names: Vec<String>,
}

impl Classes {
    /// Those that the metadata have for a column; `None` where they have none.
    ///
    /// # Errors
    /// An entry under this key that is not what belongs there, in words.
    pub(super) fn of(column: &str, entries: &[KeyValue]) -> Result<Option<Self>, String> {
        let Some(text) = entries.iter().find(|entry| entry.key == KEY).and_then(|entry| entry.value.as_ref())
        else {
            return Ok(None);
        };
        let wrong = |what: String| format!("the metadata under the key `{KEY}` {what}");
        let info: Value =
            serde_json::from_str(text).map_err(|error| wrong(format!("are no JSON: {error}")))?;
        let Some(names) = info["info"]["features"][column].get("names").filter(|names| !names.is_null())
        else {
            return Ok(None);
        };
        let text = |name: &Value| name.as_str().map(|name| name.trim().to_string());
        let names = names.as_array().and_then(|names| names.iter().map(text).collect::<Option<Vec<_>>>());
        match names {
            Some(names) if !names.is_empty() => Ok(Some(Classes { names })),
            _ => Err(wrong(format!("have no list of names for the column `{column}`"))),
        }
    }
}
