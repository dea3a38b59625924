//! Fetching from a Hub on loopback.
#![allow(clippy::unwrap_used, reason = "all of this crate is tests")]

/// Splits of data sets.
mod datasets;
/// Every fault ends in success after a repetition or in the right error, never in a half file.
mod faults;
/// Layout of the cache, revisions, tokens, shards.
mod fetching;
/// The cache without a network.
mod offline;
/// Faults of pushes: outlived by a repetition, or the right error; never a half commit or two.
mod push_faults;
/// Models to the Hub: what the server has afterwards, and what is refused before.
mod pushing;
/// The Hub on loopback.
mod server;
/// A model on a server, a cache of one's own.
mod support;
