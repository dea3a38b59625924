//! `xexp config schema`: what a config file may hold, as a JSON schema.

use clap::Arg;
use serde_json::{Map, Value, json};

use super::{configurable, is_switch, keys};
use crate::cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stdout;

/// Whose schema to print.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command that the file is for.
    #[arg(value_name = "COMMAND")]
    command: String,
}

/// Prints the schema.
///
/// # Errors
/// A command that takes no config file.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let root = cli::command();
    let command = configurable(&root, &args.command)?;
    let properties: Map<String, Value> =
        keys(command).map(|(arg, long)| (long.replace('-', "_"), property(arg))).collect();
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("xexp {}", args.command),
        "description": command.get_about().map(ToString::to_string),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    stdout::write(stdout::json(&schema)?.as_bytes())?;
    Ok(Exit::Done)
}

/// What a flag's key may hold. Numbers may be written as texts, as on the command line.
fn property(arg: &Arg) -> Value {
    let names: Vec<String> =
        arg.get_possible_values().iter().map(|value| value.get_name().to_string()).collect();
    let one = match (is_switch(arg), names.is_empty()) {
        (true, _) => json!({ "type": "boolean" }),
        (false, true) => json!({ "type": ["string", "number"] }),
        (false, false) => json!({ "enum": names }),
    };
    let mut property = match arg.get_value_delimiter() {
        Some(_) => json!({ "anyOf": [one, { "type": "array", "items": one }] }),
        None => one,
    };
    property["description"] = json!(arg.get_help().map(ToString::to_string));
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy().into_owned()).collect();
    if let [default] = &defaults[..] {
        property["default"] = if is_switch(arg) { json!(default == "true") } else { json!(default) };
    }
    property
}
