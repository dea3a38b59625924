//! The families of backbones, by the `model_type` of their `config.json`.

mod bert;

use crate::config::Config;
use crate::{Declarations, Error, Result, TextEncoder};

/// A family: what its checkpoints are called and how its backbone and its head are built.
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// What it is, for `xexp list --models` and messages.
    pub summary: &'static str,
    /// transformers' class of the bare backbone.
    pub base_architecture: &'static str,
    /// transformers' class of backbone and head.
    pub classifier_architecture: &'static str,
    /// Where the backbone lies in a classifier's checkpoint.
    pub prefix: &'static str,
    /// Path of the head's last layer.
    pub head_path: &'static str,
    /// Dropout in front of the head.
    pub head_dropout: fn(&Config) -> Result<f64>,
    /// How transformers draws a new head: the standard deviation of a normal law.
    pub head_std: fn(&Config) -> Result<f64>,
    declare: fn(&Config, &mut Declarations) -> Result<TextEncoder>,
}

impl Family {
    /// Declares the backbone's weights.
    ///
    /// # Errors
    /// A field of the configuration that is missing or that we cannot build.
    pub fn declare(&self, config: &Config, declared: &mut Declarations) -> Result<TextEncoder> {
        (self.declare)(config, declared)
    }
}

/// All families.
pub const BACKBONES: &[Family] = &[bert::FAMILY];

/// The family of a configuration.
///
/// # Errors
/// [`Error::UnknownFamily`], naming those that we have.
pub fn find(config: &Config) -> Result<&'static Family> {
    let found = config.text("model_type", "")?;
    BACKBONES.iter().find(|f| f.model_type == found).ok_or_else(|| Error::UnknownFamily {
        path: config.path.clone(),
        found: found.to_string(),
        known: BACKBONES.iter().map(|f| f.model_type).collect::<Vec<_>>().join(", "),
    })
}
