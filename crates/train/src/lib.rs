//! Loss, optimiser, schedule, loop, metrics, checkpoints and resume.

pub mod metrics;
pub mod schedule;
