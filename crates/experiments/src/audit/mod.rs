//! What every tradition starts a new head from, on the same features.

mod backbones;
mod experiment;
mod traditions;

pub use experiment::HeadAudit;
