//! Checkpoints in safetensors.

mod extent;
mod file;
mod read;
mod report;
mod resample;
mod write;

pub use extent::{ADAPTER_PREFIX, Extent, module_name};
pub use read::Checkpoint;
pub use report::LoadReport;
pub use resample::{PositionTable, Resampling};
pub use write::{Stored, serialize, serialize_as, serialize_extent};
