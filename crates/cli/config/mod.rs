//! `--config FILE.toml`: flags from a file, below the environment and the command line.
//!
//! A key is a flag's long name, with `_` or `-`. The file becomes flags that are put before the
//! user's own, unless the environment or the command line sets them already: so every flag can be
//! given in a file, its value is read by the very parser that reads the command line, and a new
//! flag needs no second place.

mod schema;
mod show;

use std::any::TypeId;
use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use toml::de::{DeTable, DeValue};

use crate::exit::Exit;
use crate::failure::Failure;
use xexp_data::nearest;

/// The flag that names the file; the one flag that the file cannot hold.
const FLAG: &str = "config";

/// The arguments of `xexp config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Prints what a command line comes to: every flag with its value, as a file that --config reads.
    Show(show::Args),
    /// Prints the JSON schema of a command's config file, for editors.
    Schema(schema::Args),
}

/// Shows a configuration, or what one may hold.
///
/// # Errors
/// A command that has no flags, or a config file that is missing or wrong.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    match &args.action {
        Action::Show(args) => show::run(args),
        Action::Schema(args) => schema::run(args),
    }
}

/// The command line with what the config file adds to it; `None` when no file is asked for.
///
/// # Errors
/// The file cannot be read, is not TOML, has an unknown key, or a value that its flag refuses; each
/// with its line.
pub fn layered(
    command: &Command,
    matches: &ArgMatches,
    arguments: &[OsString],
) -> Result<Option<Vec<OsString>>, Failure> {
    let Some(entries) = added(command, matches)? else { return Ok(None) };
    // The command's name comes first: there are no flags before it.
    let (head, tail) = arguments.split_at(arguments.len().min(2));
    let added = entries.into_iter().map(|entry| OsString::from(entry.flag));
    Ok(Some(head.iter().cloned().chain(added).chain(tail.iter().cloned()).collect()))
}

/// What the config file adds to a command line: the keys that neither this nor the environment sets.
fn added(command: &Command, matches: &ArgMatches) -> Result<Option<Vec<Entry>>, Failure> {
    let Some((name, given)) = matches.subcommand() else { return Ok(None) };
    let Ok(Some(path)) = given.try_get_one::<String>(FLAG) else { return Ok(None) };
    let Some(subcommand) = command.find_subcommand(name) else { return Ok(None) };
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::input(format!("--config {path}: cannot read the file")).because(&error))?;
    let entries = File { path: Path::new(path), text: &text, command: subcommand }.entries()?;
    let unset = entries.into_iter().filter(|entry| {
        !matches!(given.value_source(&entry.id), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    });
    Ok(Some(unset.collect()))
}

/// The flags of a command that a file can hold.
fn keys(command: &Command) -> impl Iterator<Item = (&Arg, &str)> {
    let flags = command.get_arguments().filter(|arg| arg.get_env().is_some());
    flags.filter_map(|arg| Some((arg, arg.get_long()?))).filter(|(_, long)| *long != FLAG)
}

/// The command of this name, if a config file can be for it.
///
/// # Errors
/// There is none.
fn configurable<'a>(root: &'a Command, name: &str) -> Result<&'a Command, Failure> {
    let known = |command: &&Command| command.get_arguments().any(|arg| arg.get_long() == Some(FLAG));
    let names: Vec<&str> = root.get_subcommands().filter(known).map(Command::get_name).collect();
    root.get_subcommands().filter(known).find(|command| command.get_name() == name).ok_or_else(|| {
        Failure::input(format!("no command `{name}` that takes --config"))
            .hint(format!("the commands that do: {}", names.join(", ")))
    })
}

/// One key of the file, as the flag that it stands for.
struct Entry {
    /// The argument's id in its command.
    id: String,
    /// The flag with its value: `--epochs=3`.
    flag: String,
}

/// A config file and the command that it is for.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    command: &'a Command,
}

impl File<'_> {
    /// The keys of the file, each checked by itself so that a mistake has a line.
    fn entries(&self) -> Result<Vec<Entry>, Failure> {
        let table = DeTable::parse(self.text).map_err(|error| {
            let place =
                error.span().map_or_else(|| self.path.display().to_string(), |span| self.place(&span));
            Failure::input(format!("{place}: not valid TOML: {}", error.message()))
        })?;
        let mut entries: Vec<(usize, Entry)> = Vec::new();
        for (key, value) in table.get_ref() {
            let place = self.place(&key.span());
            let arg = self.arg(key.get_ref(), &place)?;
            let flag = flag(arg, value.get_ref())
                .map_err(|reason| Failure::input(format!("{place}: {}: {reason}", key.get_ref())))?;
            self.check(&flag)
                .map_err(|reason| Failure::input(format!("{place}: {}: {reason}", key.get_ref())))?;
            let id = arg.get_id().to_string();
            if entries.iter().any(|(_, known)| known.id == id) {
                return Err(Failure::input(format!("{place}: {}: the key stands here twice", key.get_ref()))
                    .hint("`-` and `_` mean the same; keep one of the two"));
            }
            entries.push((key.span().start, Entry { id, flag }));
        }
        entries.sort_by_key(|(start, _)| *start);
        Ok(entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The argument that a key stands for.
    fn arg(&self, key: &str, place: &str) -> Result<&Arg, Failure> {
        let long = key.replace('_', "-");
        if let Some((arg, _)) = keys(self.command).find(|(_, known)| *known == long) {
            return Ok(arg);
        }
        let failure = Failure::input(format!("{place}: unknown key `{key}` for {}", self.command.get_name()));
        Err(match nearest(&long, keys(self.command).map(|(_, known)| known)) {
            Some(near) => failure.hint(format!("did you mean `{}`?", near.replace('-', "_"))),
            None => failure.hint(format!(
                "keys are the flags of `xexp {} --help`, without the dashes in front",
                self.command.get_name()
            )),
        })
    }

    /// Lets the command's own parser judge one flag.
    fn check(&self, flag: &str) -> Result<(), String> {
        match self.command.clone().try_get_matches_from([self.command.get_name(), flag]) {
            Ok(_) => Ok(()),
            Err(error) => {
                // The first paragraph is the reason; usage and tips follow.
                let text = error.to_string();
                let reason = text.split("\n\n").next().unwrap_or(&text);
                Err(reason.trim_start_matches("error: ").replace("\n  ", " "))
            }
        }
    }

    /// `path:line:column` of a span, both counted from 1.
    fn place(&self, span: &Range<usize>) -> String {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("{}:{line}:{column}", self.path.display())
    }
}

fn is_switch(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<bool>()
}

/// A value as its flag on the command line; the reason when the types do not fit.
fn flag(arg: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    let long = arg.get_long().unwrap_or_default();
    let switch = is_switch(arg);
    if switch != value.is_bool() {
        let expected = if switch { "true or false" } else { "the value of a flag" };
        return Err(format!("expected {expected}, found {}", described(value)));
    }
    let text = match (value, arg.get_value_delimiter()) {
        (DeValue::Array(items), Some(delimiter)) => {
            let items: Result<Vec<String>, String> =
                items.iter().map(|item| scalar(item.get_ref())).collect();
            let items = items?;
            if let Some(item) = items.iter().find(|item| item.contains(delimiter)) {
                return Err(format!("`{item}` holds a `{delimiter}`, which separates the items"));
            }
            items.join(&delimiter.to_string())
        }
        (value, _) => scalar(value)?,
    };
    Ok(format!("--{long}={text}"))
}

/// A single value as text; the reason when it is not a single value.
fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(value) => Ok(value.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => i128::from_str_radix(number.as_str(), number.radix())
            .map(|number| number.to_string())
            .map_err(|error| error.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            Err(format!("expected a string or a number, found {}", described(value)))
        }
    }
}

/// A value's type, with its article.
fn described(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli;

    /// The flags of a file for `finetune`, or the failure as printed.
    fn flags(text: &str) -> Result<Vec<String>, String> {
        let root = cli::command();
        let command = root.find_subcommand("finetune").unwrap();
        let file = File { path: Path::new("run.toml"), text, command };
        file.entries()
            .map(|entries| entries.into_iter().map(|entry| entry.flag).collect())
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn keys_become_flags_in_the_order_of_the_file() {
        let text = "model = 'm'\nepochs = 5\nlr = 5e-5\nseed = 0x10\noverwrite = true\nhead-init = \"normal:0.02\"\n\
                    batch_size = 1_000\ncolumns = ['text', 'label']\n";
        let expected = [
            "--model=m",
            "--epochs=5",
            "--lr=5e-5",
            "--seed=16",
            "--overwrite=true",
            "--head-init=normal:0.02",
            "--batch-size=1000",
            "--columns=text,label",
        ];
        assert_eq!(flags(text).unwrap(), expected);
    }

    #[test]
    fn an_unknown_key_has_its_line_and_the_nearest_name() {
        let failure = flags("epochs = 5\n\n  batchsize = 3\n").unwrap_err();
        assert_eq!(
            failure,
            "error: run.toml:3:3: unknown key `batchsize` for finetune\nhint: did you mean `batch_size`?\n"
        );
    }

    #[test]
    fn a_wrong_type_names_key_and_line() {
        for (text, expected) in [
            ("epochs = true", "run.toml:1:1: epochs: expected the value of a flag, found true"),
            ("\nquiet = 1", "run.toml:2:1: quiet: expected true or false, found a number"),
            ("epochs = [1]", "run.toml:1:1: epochs: expected a string or a number, found a list"),
            ("[finetune]\nepochs = 1", "run.toml:1:2: unknown key `finetune`"),
            ("columns = ['a,b']", "run.toml:1:1: columns: `a,b` holds a `,`"),
            ("epochs = 0", "run.toml:1:1: epochs: invalid value '0' for '--epochs <N>'"),
            ("lr = 'fast'", "run.toml:1:1: lr: invalid value 'fast'"),
            ("lr = nan", "expected a number above 0"),
            ("epochs = ", "run.toml:1:"),
        ] {
            let failure = flags(text).unwrap_err();
            assert!(failure.contains(expected), "{text}: {failure}");
        }
    }

    #[test]
    fn a_file_names_neither_itself_nor_a_key_twice() {
        assert!(flags("config = 'other.toml'").unwrap_err().contains("unknown key `config`"));
        assert!(flags("batch-size = 1\nbatch_size = 2").unwrap_err().contains("twice"));
    }
}
