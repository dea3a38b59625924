//! Frozen families: backbones that candle-transformers computes, forward alone.
//!
//! One adapter serves them all. A family says which weights the model of candle-transformers asks for ([`lent`]) and how it
//! is called on one sequence ([`network`]); loading, saving, batches and features are then as for the families whose
//! gradients are written here. What candle-transformers computes otherwise than the reference is refused by the name of
//! the field.

pub(super) mod clip;
pub(super) mod eva02;
pub(super) mod jina_bert;
mod lent;
mod network;
pub(super) mod nomic_bert;
pub(super) mod siglip;
mod spelling;
pub(super) mod t5;
mod timm;
mod vision;

pub(crate) use spelling::spelled;
pub(crate) use timm::preprocessor;

use super::{HeadLaw, HeadSpec};

/// The classifier on the mean of an encoder's tokens.
const CLASSIFIER: HeadSpec = HeadSpec {
    path: "classifier",
    bias: true,
    hidden: &[],
    dropout: |_| Ok(0.0),
    law: |config, width| {
        let factor = config.number("initializer_factor", 1.0)?;
        Ok(HeadLaw::normal(factor / (width as f64).sqrt()))
    },
};
