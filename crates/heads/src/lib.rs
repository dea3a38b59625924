//! Classification heads on a pretrained backbone.
//!
//! A [`Classifier`] is a backbone and the head of its family's convention. A new head is drawn by a [`HeadInit`];
//! [`Features`] holds what the backbone really gives it, and the [`HeadPlan`] sets down what follows: the
//! variance of the logits and the initial loss, predicted before they are measured. A [`LoraSpec`] gives a classifier
//! adapters that are trained in the backbone's place; a [`SavedAdapter`] opens such, as PEFT saves them.
//!
//! ```no_run
//! use xexp_backbones::{Seed, folder::Folder};
//! use xexp_heads::{Classifier, HeadInit};
//! # fn main() -> xexp_heads::Result<()> {
//! let folder = Folder::open("minilm".as_ref())?;
//! let (mut classifier, report) = Classifier::with_new_head(&folder, 7, Seed(42))?;
//! let std = classifier.initialize("xavier".parse::<HeadInit>()?, 1.0, None, Seed(42))?;
//! assert!((std - (2.0f64 / (384.0 + 7.0)).sqrt()).abs() < 1e-12);
//! # Ok(()) }
//! ```

mod choice;
mod classifier;
mod depth;
mod distil;
mod error;
mod features;
mod head_init;
mod lending;
mod lora;
mod masked_lm;
mod plan;
mod prior;
mod truth;

pub use choice::{Choice, Company, choose};
pub use classifier::{Classifier, Logits, LogitsTape};
pub use depth::Depths;
pub use distil::{Imitation, ImitationTape, MAP, Pooling, Student, Teacher};
pub use error::{Error, Result};
pub use features::{Features, Moments};
pub use head_init::{CALIBRATED_VARIANCE, HeadInit};
pub use lending::Loan;
pub use lora::{AdapterConfig, LoraSpec, SavedAdapter, Targets};
pub use masked_lm::{MaskedLm, WordLogits, WordLogitsTape};
pub use plan::{HeadPlan, Prediction, Uninformed};
pub use prior::Prior;
pub use truth::Truth;
