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
            Extent::Adapter => {
                weight.trainable.then(|| format!("{ADAPTER_PREFIX}{}", module_name(&weight.name)))
            }
        }
    }
}

/// What a module, or a weight in it, is called in transformers' memory, which PEFT goes by. Version 5 has renamed the layers of
/// image models, and keeps the older names in checkpoints alone.
///
/// Source: transformers 5.23, `conversion_mapping.py`.
pub fn module_name(name: &str) -> String {
    let mut name = match name.split('.').next() {
        Some("vit" | "deit" | "beit") => name.replacen(".encoder.layer.", ".layers.", 1),
        Some("dinov2" | "dinov2_with_registers" | "swin") => name.to_string(),
        _ => return name.to_string(),
    };
    for (old, new) in [
        (".attention.attention.query", ".attention.q_proj"),
        (".attention.attention.key", ".attention.k_proj"),
        (".attention.attention.value", ".attention.v_proj"),
        (".attention.self.query", ".attention.q_proj"),
        (".attention.self.key", ".attention.k_proj"),
        (".attention.self.value", ".attention.v_proj"),
        (".attention.output.dense", ".attention.o_proj"),
        (".intermediate.dense", ".mlp.fc1"),
        (".output.dense", ".mlp.fc2"),
        (".mlp.weights_out", ".mlp.down_proj"),
    ] {
        let end = name.find(old).map(|at| at + old.len());
        if end.is_some_and(|end| end == name.len() || name[end..].starts_with('.')) {
            name = name.replacen(old, new, 1);
            break;
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_of_image_models_have_the_names_of_version_5_and_others_their_own() {
        for (name, expected) in [
            ("vit.encoder.layer.0.output.dense.lora_A.weight", "vit.layers.0.mlp.fc2.lora_A.weight"),
            ("beit.encoder.layer.11.attention.output.dense", "beit.layers.11.attention.o_proj"),
            ("dinov2.encoder.layer.0.attention.attention.query", "dinov2.encoder.layer.0.attention.q_proj"),
            (
                "swin.encoder.layers.0.blocks.1.attention.self.key",
                "swin.encoder.layers.0.blocks.1.attention.k_proj",
            ),
            ("bert.encoder.layer.0.attention.self.query", "bert.encoder.layer.0.attention.self.query"),
            ("classifier.weight", "classifier.weight"),
        ] {
            assert_eq!(module_name(name), expected);
        }
    }
}
