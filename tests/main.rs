//! The suite: one binary, a module a subject.
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

/// The manifests and files, held against the design: who may use whom, how long, how safe.
mod architecture;
/// The command line: help, exit codes, and what is refused before any work begins.
mod arguments;
/// `--config`: what wins over what, and mistakes with their line.
mod config_file;
/// `xexp doctor`, for people and for programs.
mod doctor;
/// Completions and manual pages.
mod pages;
/// How the tests drive the binary.
mod program;
