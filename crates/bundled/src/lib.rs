//! What the program carries, so that it does its job on a machine without a network: data sets that the project wrote
//! and drew itself, and backbones that it pretrained itself.
//!
//! Everything is known by a name, which the command line takes as `bundled:NAME`. Texts and models are part of the
//! binary; images are drawn by code, each a function of its own name, the same bytes on every machine.

pub mod images;
mod models;
mod texts;

pub use models::{MODELS, Model, Recipe};
pub use texts::{TEXTS, TextSet};

/// The splits that every set has.
pub const SPLITS: [&str; 3] = ["train", "valid", "test"];

/// The model of this name.
pub fn model(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name == name)
}

/// The text set of this name.
pub fn texts(name: &str) -> Option<&'static TextSet> {
    TEXTS.iter().find(|set| set.name == name)
}
