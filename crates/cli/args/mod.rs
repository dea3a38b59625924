//! The flags that commands share, and the types that their values parse into.
//!
//! - [`Shared`]: model, output, device, batches and reply of finetune, predict and evaluate
//! - [`Augmentation`]: how images are changed at random in training
//! - [`Corpus`]: texts without labels, and how weights are saved
//! - [`Course`]: how the steps of a training run go
//! - [`Reading`]: how a data file is read
//! - [`Temperature`]: what logits are divided by
//! - [`number`]: parsers for numbers with a range

mod augmentation;
mod corpus;
pub mod course;
pub mod number;
mod reading;
mod save_dtype;
mod shared;
mod temperature;

pub use augmentation::Augmentation;
pub use corpus::Corpus;
pub use course::Course;
pub use reading::{DataFormat, OnBadRow, Reading};
pub use save_dtype::SaveDtype;
pub use shared::{Access, Format, Shared};
pub use temperature::Temperature;
