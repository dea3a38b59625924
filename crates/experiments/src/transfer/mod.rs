//! New heads on real backbones: how they start, and how they learn by either strategy.
//!
//! Both experiments take their backbone and their texts by name, so that the same program measures the bundled backbone
//! on the bundled texts and any other on any data. What is predicted are ratios, which hold for every backbone: a
//! prediction needs neither model nor data.

mod against;
mod curve;
mod demands;
pub mod full;
mod linear_head;
mod optimiser;
pub mod probe;
pub(crate) mod shelf;
pub(crate) mod signals;
pub mod start;
mod subject;
#[cfg(test)]
mod tests;
mod tuning;
mod whole_model;

pub use optimiser::Optimiser;
