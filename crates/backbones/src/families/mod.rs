//! The families of backbones, by the `model_type` of their `config.json`.

mod bert;
mod vit;

use crate::config::Config;
use crate::{Declarations, Encoder, EncoderSpec, Error, Result};

/// A family: what its checkpoints are called and how its backbone and its head are built.
pub struct Family {
    /// `model_type` in `config.json`.
    pub model_type: &'static str,
    /// What it reads.
    pub modality: Modality,
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
    /// Names of the masked-language-modelling head, for families that have one.
    pub masked_lm: Option<MaskedLmNames>,
    /// Sizes and names, from the configuration; adds the keys' other spellings.
    spec: fn(&Config, &mut Declarations) -> Result<EncoderSpec<'static>>,
}

/// What a family reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// Texts, through a `tokenizer.json`.
    Text,
    /// Images, through a `preprocessor_config.json`.
    Image,
}

impl Modality {
    /// The file of a model folder that says how input becomes numbers.
    pub fn companion(self) -> &'static str {
        match self {
            Modality::Text => "tokenizer.json",
            Modality::Image => "preprocessor_config.json",
        }
    }
}

/// Names of a masked-language-modelling head: dense, activation, norm, and the word table as decoder.
pub struct MaskedLmNames {
    /// transformers' class.
    pub architecture: &'static str,
    /// Path of the dense layer.
    pub dense: &'static str,
    /// Path of the norm.
    pub norm: &'static str,
    /// Name of the decoder's bias.
    pub bias: &'static str,
    /// Name of the word table, which the decoder shares.
    pub table: &'static str,
}

impl Family {
    /// Declares the backbone's weights.
    ///
    /// # Errors
    /// A field of the configuration that is missing or that we cannot build.
    pub fn declare(&self, config: &Config, declared: &mut Declarations) -> Result<Encoder> {
        let spec = (self.spec)(config, declared)?;
        Ok(Encoder::declare(declared, &spec))
    }

    /// Declares the backbone's weights without those above the last block, for a model that is read by its hidden
    /// states.
    ///
    /// # Errors
    /// As [`Family::declare`].
    pub fn declare_without_top(&self, config: &Config, declared: &mut Declarations) -> Result<Encoder> {
        let spec = (self.spec)(config, declared)?;
        Ok(Encoder::declare(declared, &EncoderSpec { top: None, ..spec }))
    }
}

/// All families.
pub const BACKBONES: &[Family] = &[bert::FAMILY, vit::FAMILY];

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
