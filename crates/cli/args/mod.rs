//! The flags that commands share, and the types that their values parse into.
//!
//! - [`Shared`]: model, output, device, batches and reply of finetune, predict and evaluate
//! - [`Reading`]: how a data file is read
//! - [`number`]: parsers for numbers with a range

pub mod number;
mod reading;
mod shared;

pub use reading::{DataFormat, OnBadRow, Reading};
pub use shared::{Format, Shared};
