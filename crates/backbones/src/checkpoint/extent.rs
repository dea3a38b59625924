//! Which weights a file holds, and what they are called there.

use crate::Weight;

/// What a file of weights is a file of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Extent {
    /// A model: all weights, by their own names.
    #[default]
    Model,
    /// An adapter: the weights that were trained, by PEFT's names. The others are those of the model that it belongs to.
    Adapter,
}

/// What PEFT puts in front of a weight's name.
pub const ADAPTER_PREFIX: &str = "base_model.model.";

impl Extent {
    /// The name of the file.
    pub fn file(self) -> &'static str {
        match self {
            Extent::Model => "model.safetensors",
            Extent::Adapter => "adapter_model.safetensors",
        }
    }

    /// What the file calls a weight; `None` for one that it does not hold.
    pub fn key(self, weight: &Weight) -> Option<String> {
        match self {
            Extent::Model => Some(weight.name.clone()),
            Extent::Adapter => weight.trainable.then(|| format!("{ADAPTER_PREFIX}{}", weight.name)),
        }
    }
}
