//! What others may see of a run: a model card names the command, and folders of this machine are nobody's business.

use std::path::Path;

use crate::provenance::quoted;

/// Fields of a tokenizer's or a model's configuration that say where it was opened; nothing reads them.
const ORIGINS: [&str; 2] = ["_name_or_path", "name_or_path"];

/// A command as `run.json` has it, with each path of this machine cut down to its last part.
pub fn command(full: &str) -> String {
    let shortened = words(full).into_iter().map(|word| match word.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => quoted(&format!("{flag}={}", last_part(value))),
        _ => quoted(&last_part(&word)),
    });
    shortened.collect::<Vec<_>>().join(" ")
}

/// A configuration in JSON without the fields that name a folder of this machine; `None` where it has none.
pub fn without_origin(json: &[u8]) -> Option<Vec<u8>> {
    let mut fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(json).ok()?;
    let local = |name: &&&str| fields.get(**name).and_then(|value| value.as_str()).is_some_and(is_local);
    let found: Vec<&str> = ORIGINS.iter().filter(local).copied().collect();
    if found.is_empty() {
        return None;
    }
    // The order of the others stays.
    found.into_iter().for_each(|name| drop(fields.shift_remove(name)));
    let text = serde_json::to_string_pretty(&fields).ok()?;
    Some((text + "\n").into_bytes())
}

/// The words of a line that [`quoted`] words were joined to.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut inside) = (vec![], String::new(), false);
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\'' => inside = !inside,
            '\\' if !inside => word.extend(signs.next()),
            ' ' if !inside => words.push(std::mem::take(&mut word)),
            sign => word.push(sign),
        }
    }
    words.push(word);
    words
}

fn last_part(word: &str) -> String {
    let name = Path::new(word).file_name().map(|name| name.to_string_lossy().into_owned());
    let is_path = is_local(word) || (word.contains('/') && Path::new(word).exists());
    if is_path { name.unwrap_or_else(|| ".".to_owned()) } else { word.to_owned() }
}

/// Whether a text is a path that begins at the root, at home, or where somebody stood.
fn is_local(text: &str) -> bool {
    let mut signs = text.chars();
    let drive = signs.next().is_some_and(|c| c.is_ascii_alphabetic()) && signs.next() == Some(':');
    let drive = drive && matches!(signs.next(), Some('\\' | '/'));
    text.starts_with(['/', '~', '\\']) || text.starts_with("./") || text.starts_with("../") || drive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_keeps_its_names_and_loses_its_folders() {
        let full = "xexp finetune --model org/name@main --train '/home/me/my data/a.csv' --valid=../b.csv --push org/fine \
                    --test ~/c.csv --label-column 'it'\\''s' --delimiter / --train hub:o/n";
        let shown = "xexp finetune --model org/name@main --train a.csv --valid=b.csv --push org/fine --test c.csv \
                     --label-column 'it'\\''s' --delimiter . --train hub:o/n";
        assert_eq!(command(full), shown);
        // The tests run in the folder of the package, where this path is one.
        assert_eq!(command("xexp finetune --config crates/cli/main.rs"), "xexp finetune --config main.rs");
    }

    #[test]
    fn a_folder_of_this_machine_leaves_a_configuration_and_nothing_else_does() {
        let text = br#"{"b": 1, "name_or_path": "/home/me/bert", "a": [2.5], "_name_or_path": "C:\\models"}"#;
        let left = String::from_utf8(without_origin(text).unwrap()).unwrap();
        assert_eq!(left, "{\n  \"b\": 1,\n  \"a\": [\n    2.5\n  ]\n}\n");
        for kept in [&br#"{"name_or_path": "org/bert"}"#[..], br#"{"vocab": "/a"}"#, b"word\npiece\n", b"[1]"]
        {
            assert_eq!(without_origin(kept), None);
        }
    }
}
