//! The model card: `README.md` beside a checkpoint, in the form that the Hugging Face Hub reads.

mod body;
mod front_matter;

pub use body::{Card, Evaluation, HeadNumbers, Metric, Task};
