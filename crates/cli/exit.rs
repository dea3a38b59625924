//! The exit codes that scripts may rely on.

use std::process::ExitCode;

/// How a command ended, as the shell sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the list is a promise, whichever commands make use of a code")]
pub enum Exit {
    /// The command did what it was asked to do.
    Done = 0,
    /// The command is done, but a check failed: a metric, a prediction or a control.
    CheckFailed = 1,
    /// The user's input is wrong: arguments, config, data or checkpoint.
    Input = 2,
    /// The environment is not up to it: device, memory, disk, or an output that cannot be written.
    Environment = 3,
    /// The network or the Hub failed.
    Network = 4,
    /// A signal stopped the command; its state is saved and it can be resumed.
    Interrupted = 75,
    /// A bug of ours; Rust's panics exit with this code by themselves.
    Bug = 101,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}
