//! The commands, and how the command line becomes one of them.

use std::ffi::OsString;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::failure::Failure;
use crate::{
    compare, completions, config, distill, doctor, evaluate, finetune, inspect, lab, man, merge, predict,
    pretrain, serve,
};

/// Fine-tune pretrained backbones with heads of the right variance, and measure how signals travel through networks.
#[derive(Debug, Parser)]
#[command(name = "xexp", version, arg_required_else_help = true, subcommand_required = true)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

/// What `xexp` can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Puts a new head on a pretrained backbone and fine-tunes it on labelled texts or images; with no argument, on what
    /// the program carries.
    Finetune(Box<finetune::Args>),
    /// Labels new input with a saved model, one JSON object a line.
    Predict(Box<predict::Args>),
    /// Scores labelled input with a saved model.
    Evaluate(Box<evaluate::Args>),
    /// Labels what is sent to it over HTTP with a saved model, in JSON.
    Serve(Box<serve::Args>),
    /// Holds finished runs on the same examples against each other: paired differences, intervals, tests.
    Compare(compare::Args),
    /// Shows what a command line comes to, or what a config file may hold.
    Config(config::Args),
    /// Measures a checkpoint: each number beside what new weights would give, what is wrong and where, and what to set.
    Inspect(Box<inspect::Args>),
    /// Puts an adapter into its model, as one model that transformers opens.
    Merge(Box<merge::Args>),
    /// Makes a text encoder from raw text, by masked-language modelling.
    Pretrain(Box<pretrain::Args>),
    /// Makes a small text encoder that imitates a teacher, on texts without labels.
    Distill(Box<distill::Args>),
    /// Lists the experiments, or the backbone families.
    List(lab::list::Args),
    /// Runs experiments: predicts, measures, judges, and writes tables, plots and reports.
    Run(Box<lab::run::Args>),
    /// Judges recorded experiments again, without measuring anything.
    Check(lab::check::Args),
    /// Writes the reports of recorded experiments again, from their tables.
    Report(lab::report::Args),
    /// Shows device, threads, memory, caches and environment.
    Doctor(doctor::Args),
    /// Prints the completions for a shell.
    Completions(completions::Args),
    /// Prints the manual page, or a command's own.
    Man(man::Args),
}

/// What is asked for: built-in defaults, then `--config`, then the environment, then the flags.
///
/// Help, version and mistakes in the arguments are printed here and end the process, with 0 and 2.
///
/// # Errors
/// The config file is missing or wrong.
pub fn parse(arguments: Vec<OsString>) -> Result<Action, Failure> {
    let command = command();
    let mut matches = command.clone().get_matches_from(&arguments);
    if let Some(layered) = config::layered(&command, &matches, &arguments)? {
        matches = command.get_matches_from(layered);
    }
    Ok(Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).action)
}

/// The definition that parsing, help, completions and manual pages all come from.
pub fn command() -> Command {
    Cli::command().mut_subcommands(|command| {
        let has_flags = command.get_arguments().any(|arg| arg.get_env().is_some());
        let command = command.mut_args(|arg| {
            let arg = arg.hide_env(true);
            // A switch also takes a value, so that `--quiet=false` can win over the environment or
            // a config file.
            match arg.get_action() {
                ArgAction::SetTrue => arg
                    .action(ArgAction::Set)
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true")
                    .default_value("false")
                    .value_parser(BoolishValueParser::new())
                    .value_name("true|false")
                    .hide_default_value(true)
                    .hide_possible_values(true),
                _ => arg,
            }
        });
        if has_flags {
            command.after_help("Every flag is also an environment variable: --batch-size is XEXP_BATCH_SIZE.")
        } else {
            command
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_flag_has_the_environment_variable_of_its_name_and_a_help() {
        for subcommand in command().get_subcommands() {
            for arg in subcommand.get_arguments() {
                let Some(long) = arg.get_long() else { continue };
                let name = format!("{} --{long}", subcommand.get_name());
                let expected = format!("XEXP_{}", long.to_uppercase().replace('-', "_"));
                assert_eq!(arg.get_env().and_then(|env| env.to_str()), Some(expected.as_str()), "{name}");
                assert!(arg.get_help().is_some(), "{name} has no help");
            }
        }
    }

    #[test]
    fn a_switch_can_be_switched_off() {
        let parsed = |value: &str| {
            let matches = command().try_get_matches_from(["xexp", "finetune", value]).unwrap();
            matches.subcommand().unwrap().1.get_one::<bool>("quiet").copied()
        };
        assert_eq!(parsed("--quiet"), Some(true));
        assert_eq!(parsed("--quiet=false"), Some(false));
        assert_eq!(parsed("--resume"), Some(false));
    }
}
