//! `xexp config show`: the layers of a configuration, resolved.

use std::ffi::OsString;
use std::fmt::Write;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};
use toml::Value;

use super::{added, configurable, is_switch, keys, layered};
use crate::cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stdout;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Says of each value where it is from: a flag, the environment, the file, or the default.
    #[arg(long)]
    origin: bool,
    /// A command with its flags, as it would be run.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

/// Prints the resolved configuration as TOML.
///
/// # Errors
/// A command that takes no config file, or a file that is missing or wrong.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let root = cli::command();
    let name = args.words.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let command = configurable(&root, &name)?;
    let words: Vec<OsString> = std::iter::once("xexp".into()).chain(args.words.iter().cloned()).collect();
    let parse = |words: &[OsString]| root.clone().get_matches_from(words);
    let mut matches = parse(&words);
    let from_file: Vec<String> =
        added(&root, &matches)?.into_iter().flatten().map(|entry| entry.id).collect();
    if let Some(words) = layered(&root, &matches, &words)? {
        matches = parse(&words);
    }
    let Some((_, given)) = matches.subcommand() else { return Ok(Exit::Done) };
    let mut text = String::new();
    for (arg, long) in keys(command) {
        let key = long.replace('-', "_");
        let Some(value) = value(arg, given) else {
            let _ = writeln!(text, "# {key} is not set");
            continue;
        };
        let _ = write!(text, "{key} = {value}");
        if args.origin {
            let _ = write!(text, "  # {}", origin(arg, given, &from_file));
        }
        text.push('\n');
    }
    stdout::write(text.as_bytes())?;
    Ok(Exit::Done)
}

/// The value as TOML; `None` where none is given and there is no default.
fn value(arg: &Arg, given: &ArgMatches) -> Option<Value> {
    let raw = given.get_raw(arg.get_id().as_str())?;
    let mut words: Vec<Value> = raw.map(|word| scalar(arg, &word.to_string_lossy())).collect();
    match arg.get_value_delimiter() {
        Some(_) => Some(Value::Array(words)),
        None => words.pop(),
    }
}

/// A number where it is one in TOML too, true or false of a switch, else a text.
fn scalar(arg: &Arg, word: &str) -> Value {
    if is_switch(arg) {
        return Value::Boolean(matches!(word, "true" | "1" | "yes" | "y" | "on" | "t"));
    }
    let read =
        toml::from_str::<toml::Table>(&format!("x = {word}")).ok().and_then(|mut table| table.remove("x"));
    match read {
        Some(number @ (Value::Integer(_) | Value::Float(_))) if number.to_string() == word => number,
        _ => Value::String(word.to_string()),
    }
}

fn origin(arg: &Arg, given: &ArgMatches, from_file: &[String]) -> String {
    let id = arg.get_id().as_str();
    match given.value_source(id) {
        _ if from_file.iter().any(|known| known == id) => "file".to_string(),
        Some(ValueSource::CommandLine) => "flag".to_string(),
        Some(ValueSource::EnvVariable) => {
            format!("environment: {}", arg.get_env().unwrap_or_default().to_string_lossy())
        }
        _ => "default".to_string(),
    }
}
