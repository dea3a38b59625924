//! Checkpoints in safetensors.

mod extent;
mod file;
mod read;
mod report;
mod resample;
mod stream;
mod write;

pub use extent::{ADAPTER_PREFIX, Extent, module_name};
pub use read::Checkpoint;
pub use report::LoadReport;
pub use resample::{PositionTable, Resampling};
pub use stream::{Format, Tensors};
pub use write::{Stored, extent_tensors, serialize, serialize_as, serialize_extent};
