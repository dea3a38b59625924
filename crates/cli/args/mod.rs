//! The flags that commands share, and the types that their values parse into.
//!
//! - [`Shared`]: model, output, device, batches and reply of finetune, predict and evaluate
//! - [`Reading`]: how a data file is read
//! - [`HeadInit`]: how the new head begins
//! - [`number`]: parsers for numbers with a range

mod head_init;
pub mod number;
mod reading;
mod shared;

pub use head_init::HeadInit;
pub use reading::Reading;
pub use shared::{Format, Shared};
