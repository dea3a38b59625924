//! Checkpoints in safetensors.

mod file;
mod read;
mod report;
mod write;

pub use read::Checkpoint;
pub use report::LoadReport;
pub use write::{Stored, serialize, serialize_as};
