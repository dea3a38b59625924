//! ConvNeXt V2. Source: Woo et al. 2023, §3.2; names and defaults from transformers' `ConvNextV2Config`.

use super::{Family, Modality, convnext};

pub(super) const FAMILY: Family = Family {
    model_type: "convnextv2",
    modality: Modality::Image,
    frozen: false,
    summary: "ConvNeXt with global response normalization",
    base_architecture: "ConvNextV2Model",
    classifier_architecture: "ConvNextV2ForImageClassification",
    prefix: "convnextv2.",
    head: convnext::HEAD,
    masked_lm: None,
    network: |config, declared, reading| {
        declared.alias(|name| name.strip_prefix("convnextv2.").map(str::to_string));
        convnext::network(config, declared, reading, "convnextv2", true)
    },
};
