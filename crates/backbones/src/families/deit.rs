//! DeiT: a ViT with a distillation token beside the class token. Source: Touvron et al. 2021, "Training data-efficient image
//! transformers"; names and defaults from transformers' `DeiTConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, vit};
use crate::config::Config;
use crate::{Declarations, Encoder, Result};

pub(super) const FAMILY: Family = Family {
    model_type: "deit",
    modality: Modality::Image,
    frozen: false,
    summary: "DeiT: vision transformers with a class and a distillation token",
    base_architecture: "DeiTModel",
    // The class with a head on either token is for inference alone; this one reads the class token.
    classifier_architecture: "DeiTForImageClassification",
    prefix: "deit.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        dropout: |_| Ok(0.0),
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix("deit.").map(str::to_string));
    vit::stack(config, declared, reading, ("deit", &["cls_token", "distillation_token"]))
}
