//! What the commands that make backbones, `pretrain` and `distill`, have in common.

mod corpus;
mod job;
mod journey;

pub use corpus::{Corpus, Text, examples};
pub use job::Job;
pub use journey::Journey;
