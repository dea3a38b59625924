//! `xexp list`: the experiments, or the backbone families.

use std::fmt::Write;

use serde_json::{Value, json};
use xexp_experiments::EXPERIMENTS;

use super::models;
use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::stdout;

/// The arguments of `xexp list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Lists the backbone families, with what was proved of each, in place of the experiments.
    #[arg(long, env = "XEXP_MODELS")]
    models: bool,
    /// The form of the list on stdout; as json, an array.
    #[arg(long, env = "XEXP_FORMAT", value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Prints the list.
///
/// # Errors
/// Stdout cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let text = match (args.models, args.format) {
        (false, Format::Text) => experiments(),
        (true, Format::Text) => models::text(),
        (false, Format::Json) => stdout::json(&experiments_json()?)?,
        (true, Format::Json) => stdout::json(&models::json())?,
    };
    stdout::write(text.as_bytes())?;
    Ok(Exit::Done)
}

fn experiments() -> String {
    let mut text = String::new();
    for entry in EXPERIMENTS {
        let about = entry.about;
        let only = if entry.document { "" } else { ", not part of `all`" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} ({}{only})", about.id, about.cost);
        let _ = writeln!(text, "  {}", about.question);
        let _ = writeln!(text, "  Source: {}", about.source);
    }
    text
}

fn experiments_json() -> Result<Value, Failure> {
    let one = |entry: &xexp_experiments::Entry| -> Result<Value, Failure> {
        let about = entry.about;
        Ok(json!({
            "id": about.id,
            "title": about.title,
            "question": about.question,
            "source": about.source,
            "method": about.method,
            "cost": about.cost,
            "document": entry.document,
            "parameters": (entry.usual)()?,
        }))
    };
    Ok(Value::Array(EXPERIMENTS.iter().map(one).collect::<Result<_, _>>()?))
}
