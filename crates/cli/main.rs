//! The `xexp` command: parse, log, dispatch, and turn the outcome into an exit code.
//!
//! Data goes to stdout; progress, messages and errors go to stderr. Each command is one file or
//! folder with a `run`; the flags that commands share are in `args`.

mod args;
mod backbone;
mod cli;
mod compare;
mod completions;
mod config;
mod device;
mod distill;
mod doctor;
mod evaluate;
mod exit;
mod failure;
mod finetune;
mod hub;
mod image_size;
mod inputs;
mod inspect;
mod judged;
mod lab;
mod man;
mod merge;
mod output;
mod photo;
mod places;
mod predict;
mod predictions;
mod pretrain;
mod progress;
mod provenance;
mod reading;
mod running;
mod saved;
mod scoring;
mod serve;
mod signals;
mod stdout;
mod thresholds;

use std::io::IsTerminal;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

use cli::Action;
use exit::Exit;
use failure::Failure;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(failure::report_bug));
    let outcome = cli::parse(std::env::args_os().collect()).and_then(|action| {
        log_to_stderr();
        // On a thread of the pool: parallel loops begin there at once, instead of waking a thread each.
        rayon::scope(|_| dispatch(action))
    });
    let exit = outcome.unwrap_or_else(|failure| {
        eprint!("{failure}");
        failure.exit
    });
    ExitCode::from(exit)
}

/// Runs the command that was asked for.
fn dispatch(action: Action) -> Result<Exit, Failure> {
    match action {
        Action::Finetune(args) => finetune::run(&args),
        Action::Predict(args) => predict::run(&args),
        Action::Evaluate(args) => evaluate::run(&args),
        Action::Serve(args) => serve::run(&args),
        Action::Compare(args) => compare::run(&args),
        Action::Config(args) => config::run(&args),
        Action::Inspect(args) => inspect::run(&args),
        Action::Merge(args) => merge::run(&args),
        Action::Pretrain(args) => pretrain::run(&args),
        Action::Distill(args) => distill::run(&args),
        Action::List(args) => lab::list::run(&args),
        Action::Run(args) => lab::run::run(&args),
        Action::Check(args) => lab::check::run(&args),
        Action::Report(args) => lab::report::run(&args),
        Action::Doctor(args) => doctor::run(&args),
        Action::Completions(args) => completions::run(&args),
        Action::Man(args) => man::run(&args),
    }
}

/// Sends the log to stderr: what `RUST_LOG` asks for, warnings without it; in colour on a terminal
/// unless `NO_COLOR` is set.
fn log_to_stderr() {
    let colour =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .with_ansi(colour)
        .without_time()
        .init();
}
