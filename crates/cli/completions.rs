//! `xexp completions SHELL`: shell completions from the same definitions as `--help`.

use clap_complete::Shell;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::{cli, stdout};

/// The arguments of `xexp completions`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to complete for.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Prints the completion script to stdout.
///
/// # Errors
/// Stdout cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "xexp", &mut script);
    stdout::write(&script)?;
    Ok(Exit::Done)
}
