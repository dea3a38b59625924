//! Which experiments, with which parameters.

use serde_json::Value;
use xexp_data::nearest;
use xexp_experiments::{EXPERIMENTS, Entry, Opened};

use crate::failure::Failure;

/// An experiment with its parameters.
pub struct Subject {
    /// Its line in the registry.
    pub entry: &'static Entry,
    /// With its parameters.
    pub opened: Box<dyn Opened>,
    /// Its own settings, as `key=value`.
    pub set: Vec<String>,
}

/// The experiment of this id.
///
/// # Errors
/// Exit 2, with the nearest name.
pub fn entry(id: &str) -> Result<&'static Entry, Failure> {
    EXPERIMENTS.iter().find(|entry| entry.about.id == id).ok_or_else(|| {
        let ids = EXPERIMENTS.iter().map(|entry| entry.about.id).chain(["all"]);
        let failure = Failure::input(format!("there is no experiment `{id}`"));
        match nearest(id, ids) {
            Some(near) => failure.hint(format!("did you mean `{near}`? `xexp list` names them all")),
            None => failure.hint("`xexp list` names them all"),
        }
    })
}

/// The experiments that are asked for, in the order asked, with their parameters; `all` stands for the claims of the
/// document.
///
/// # Errors
/// Exit 2 for an unknown experiment or parameter, or one that is named twice.
pub fn subjects(ids: &[String], full: bool, set: &[String]) -> Result<Vec<Subject>, Failure> {
    let mut entries: Vec<&'static Entry> = vec![];
    for id in ids {
        let named = match id.as_str() {
            "all" => EXPERIMENTS.iter().filter(|entry| entry.document).collect(),
            id => vec![entry(id)?],
        };
        for entry in named {
            if entries.iter().any(|known| known.about.id == entry.about.id) {
                return Err(Failure::input(format!("the experiment `{}` is named twice", entry.about.id)));
            }
            entries.push(entry);
        }
    }
    let mut chosen = vec![];
    for entry in entries {
        chosen.push((entry, if full { (entry.full)()? } else { (entry.usual)()? }, vec![]));
    }
    for setting in set {
        apply(setting, &mut chosen)?;
    }
    let open = |(entry, parameters, set): (&'static Entry, Value, Vec<String>)| -> Result<Subject, Failure> {
        Ok(Subject { entry, opened: (entry.open)(parameters)?, set })
    };
    chosen.into_iter().map(open).collect()
}

/// Puts one `key=value` or `id.key=value` into the parameters that it is meant for.
fn apply(setting: &str, chosen: &mut [(&'static Entry, Value, Vec<String>)]) -> Result<(), Failure> {
    let Some((key, text)) = setting.split_once('=') else {
        return Err(Failure::input(format!("--set {setting}: expected key=value"))
            .hint("for instance --set batch=8; values are written as in TOML"));
    };
    let key = key.trim();
    let (id, key) = match key.split_once('.') {
        Some((id, rest)) if chosen.iter().any(|(entry, ..)| entry.about.id == id) => (Some(id), rest),
        _ => (None, key),
    };
    let value = value(text)
        .map_err(|reason| Failure::input(format!("--set {setting}: not a value of TOML: {reason}")))?;
    let mut known: Vec<String> = vec![];
    let mut applied = false;
    for (entry, parameters, set) in chosen.iter_mut() {
        if id.is_some_and(|id| entry.about.id != id) {
            continue;
        }
        let Value::Object(fields) = parameters else { continue };
        match fields.get_mut(key) {
            Some(place) => {
                let before = std::mem::replace(place, value.clone());
                // A value of another kind is found here, where its parameter is known.
                if let Err(xexp_experiments::Error::Parameters { found, .. }) =
                    (entry.open)(parameters.clone())
                {
                    let failure = Failure::input(format!("--set {setting}: {found}"));
                    return Err(failure.hint(format!("the usual value is {key}={before}")));
                }
                set.push(format!("{key}={}", text.trim()));
                applied = true;
            }
            None => known.extend(fields.keys().cloned()),
        }
    }
    if applied {
        return Ok(());
    }
    known.sort();
    known.dedup();
    let names = known.join(", ");
    let of = id.or_else(|| (chosen.len() == 1).then(|| chosen[0].0.about.id));
    let whose = of.map_or_else(|| "any of these experiments".to_owned(), |id| format!("`{id}`"));
    let failure =
        Failure::input(format!("--set {setting}: `{key}` is no parameter of {whose}; known are {names}"));
    Err(match nearest(key, known.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("the parameters of an experiment are in `xexp list --format json`"),
    })
}

/// A value of TOML as JSON; a bare word is a string, for the sake of shells.
fn value(text: &str) -> Result<Value, String> {
    let text = text.trim();
    let bare = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !["true", "false", "inf", "nan"].contains(&text);
    if bare {
        return Ok(Value::String(text.to_owned()));
    }
    let table: toml::Table =
        format!("value = {text}").parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let [(_, value)] = &table.into_iter().collect::<Vec<_>>()[..] else {
        return Err("expected one value".into());
    };
    serde_json::to_value(value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_toml_and_bare_words() {
        for (text, expected) in [
            ("3", serde_json::json!(3)),
            ("0.5", serde_json::json!(0.5)),
            ("[[1, 2, 3]]", serde_json::json!([[1, 2, 3]])),
            ("relu", serde_json::json!("relu")),
            ("\"a b\"", serde_json::json!("a b")),
            ("true", serde_json::json!(true)),
        ] {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
        for text in ["", "1 2", "[1", "a b", "1\nother = 2"] {
            assert!(value(text).is_err(), "{text}");
        }
    }
}
