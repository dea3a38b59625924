//! Loss, optimiser, schedule, loop, metrics, checkpoints and resume.
//!
//! [`Run`] minimises an [`Objective`], a classifier's loss ([`Supervised`]) or another; [`probe`] trains its head alone on features kept from one pass. A run is a
//! function of its settings: order and dropout come from streams named by epoch, layer and step, so a run that
//! was killed and resumed ends with the very weights of one that was not.

pub mod average;
mod by_depth;
mod checkpoint;
mod counting;
mod error;
pub mod first_steps;
mod fit;
pub mod forecast;
mod imitation;
pub mod line;
mod loader;
mod masked_words;
pub mod metrics;
mod mixing;
mod monitor;
mod objective;
mod optimizer;
pub mod predict;
pub mod probe;
mod sample;
mod sampling;
pub mod schedule;
mod score;
mod settings;
mod step;
mod validate;

pub use by_depth::ByDepth;
pub use checkpoint::{Checkpoints, Progress};
pub use counting::Counting;
pub use error::{Error, Result};
pub use fit::{Event, Outcome, Run, order};
pub use forecast::Forecast;
pub use imitation::{Imitate, Lessons};
pub use masked_words::{Masked, MaskedWords, Masking};
pub use mixing::{Mixed, Mixing};
pub use monitor::{Monitor, Outputs};
pub use objective::{Evaluation, Objective, Supervised, gradients};
pub use optimizer::{Optimizer, OptimizerSettings};
pub use sample::{Content, Pixels, Sample, Target, Visit, pack, pack_with, truth};
pub use sampling::Sampling;
pub use score::Score;
pub use settings::Settings;
pub use step::{StepOutcome, StepSettings, step};
