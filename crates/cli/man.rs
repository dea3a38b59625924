//! `xexp man [COMMAND]`: manual pages from the same definitions as `--help`.

use clap_mangen::Man;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::{cli, stdout};
use xexp_data::nearest;

/// The arguments of `xexp man`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The command whose page to print; without it, the page of `xexp` itself.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints the manual page to stdout, as roff.
///
/// # Errors
/// There is no such command, or stdout cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut root = cli::command();
    // Building fills in what a page shows of a command under its parent: `xexp-finetune(1)`.
    root.build();
    let command = match &args.command {
        None => root,
        Some(name) => root.find_subcommand(name).cloned().ok_or_else(|| unknown(name, &root))?,
    };
    let mut page = Vec::new();
    Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::environment("cannot render the manual page").because(&error))?;
    stdout::write(&page)?;
    Ok(Exit::Done)
}

/// The failure for a command that is not there.
fn unknown(name: &str, root: &clap::Command) -> Failure {
    let names: Vec<&str> = root.get_subcommands().map(clap::Command::get_name).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `xexp man {near}`?"),
        None => format!("the commands are {}", names.join(", ")),
    };
    Failure::input(format!("no command `{name}`")).hint(hint)
}
