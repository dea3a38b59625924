//! `--seeds N`: one recipe with several seeds, each a run in a folder of its own, and what they come to together.

mod summary;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use xexp_report::atomic;

use super::{Args, Ended};
use crate::args::Format;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::{self, Existing};
use crate::{provenance, stdout};
use summary::{Finished, Summary};

/// What the seeds have in common, written before the first begins.
const SETTINGS: &str = "settings.json";
/// What each run has for itself, and what changes nothing.
const OWN: [&str; 8] = ["seed", "seeds", "output", "overwrite", "resume", "quiet", "format", "config"];

/// Trains with so many seeds, from `--seed` on, and writes the summary.
///
/// # Errors
/// As a single run; settings other than those of the runs that it is to go on with.
pub fn run(args: &Args, count: u32) -> Result<Exit, Failure> {
    if args.push.is_some() {
        return Err(Failure::input(
            "--seeds and --push: which of the models is to be uploaded is not known yet",
        )
        .hint("upload the best when all are there: --output DIR/seed-N --resume --push ORG/NAME"));
    }
    let existing = output::existing(args.shared.overwrite, args.resume, args.shared.output.is_some())?;
    let output = args.shared.output.as_deref().map_or_else(|| output::fresh("finetune"), PathBuf::from);
    output::check(&output, existing)?;
    let last = args.shared.seed.checked_add(u64::from(count) - 1);
    let last = last.ok_or_else(|| Failure::input(format!("--seeds {count}: seeds end at {}", u64::MAX)))?;
    let settings = settings(args)?;
    if existing == Existing::Resume {
        same(&output, &settings)?;
    }
    output::prepare(&output, existing)?;
    provenance::remove(&output.join("results.json"))?;
    atomic::write(output.join(SETTINGS), stdout::json(&settings)?)?;

    let mut runs = vec![];
    for seed in args.shared.seed..=last {
        let folder = output.join(format!("seed-{seed}"));
        let done = existing == Existing::Resume && folder.join("results.json").is_file();
        if !done && !one(args, seed, &folder)? {
            return Ok(Exit::Interrupted);
        }
        runs.push(Finished::read(seed, &folder)?);
    }
    let summary = Summary::new(runs)?;
    for (name, text) in summary.files(&output)? {
        atomic::write(output.join(name), text)?;
    }
    // Written last: a folder with results.json has all its seeds.
    let text = stdout::json(&summary)?;
    atomic::write(output.join("results.json"), &text)?;
    match args.shared.format {
        Format::Json => stdout::write(text.as_bytes())?,
        Format::Text => stdout::write(summary.text(&output)?.as_bytes())?,
    }
    Ok(Exit::Done)
}

/// The run of a seed, from its checkpoint where `--resume` finds one; false when a signal came first.
fn one(args: &Args, seed: u64, folder: &Path) -> Result<bool, Failure> {
    let mut own = args.clone();
    own.shared.seed = seed;
    own.shared.output = Some(folder.to_string_lossy().into_owned());
    own.resume = args.resume && folder.join("head.json").is_file();
    // What a killed process has left before there was anything to go on from.
    own.shared.overwrite = !own.resume;
    if !args.shared.quiet {
        eprintln!("seed {seed}: {}", folder.display());
    }
    Ok(match super::one(&own)? {
        Ended::Finished(_) => true,
        Ended::Interrupted | Ended::Planned => false,
    })
}

/// The flags that all seeds share.
fn settings(args: &Args) -> Result<Map<String, Value>, Failure> {
    let Value::Object(mut fields) = json!(args) else { return Ok(Map::new()) };
    fields.retain(|name, _| !OWN.contains(&name.as_str()));
    Ok(fields)
}

/// Refuses to mix seeds of different settings.
fn same(output: &Path, now: &Map<String, Value>) -> Result<(), Failure> {
    let path = output.join(SETTINGS);
    let refuse = |message: String| {
        Failure::input(format!("--resume: {message}"))
            .hint("give the flags and the --output of the runs that were interrupted, or begin anew with --overwrite")
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        refuse(format!("{} is not the folder of several seeds", output.display())).because(&error)
    })?;
    let then: Map<String, Value> = serde_json::from_str(&text)
        .map_err(|error| refuse(format!("{} cannot be read", path.display())).because(&error))?;
    let differs = then.keys().chain(now.keys()).find(|name| then.get(*name) != now.get(*name));
    match differs {
        None => Ok(()),
        Some(name) => {
            let show = |of: &Map<String, Value>| of.get(name).map_or("nothing".to_string(), Value::to_string);
            Err(refuse(format!("{name} was {} and is {}", show(&then), show(now))))
        }
    }
}
