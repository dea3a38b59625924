//! Which dense layers are adapted, and what they are called.

use std::collections::BTreeSet;
use xexp_backbones::Weight;
use xexp_backbones::checkpoint::module_name;
use xexp_init::Layer;

/// The dense layers that are adapted.
#[derive(Clone, Debug, PartialEq)]
pub enum Targets {
    /// Those of the family's row in PEFT's table, or of its like.
    Usual,
    /// All of the backbone.
    AllLinear,
    /// Those whose name is one of these, or ends in a dot and one of these.
    Endings(Vec<String>),
}

/// The layers that a family's adapters usually stand at: queries and values, or the projection that holds them.
///
/// Source: PEFT 0.21, `TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING`, for bert, roberta, xlm-roberta, electra,
/// deberta-v2, gpt2, llama, qwen2 and qwen3; the like of them for families that it leaves out, and for ConvNeXt, which has no
/// attention, the two pointwise layers of a block.
pub(super) fn usual(model_type: &str) -> Option<&'static [&'static str]> {
    Some(match model_type {
        "bert" | "roberta" | "camembert" | "xlm-roberta" | "electra" | "albert" => &["query", "value"],
        "vit" | "deit" | "dinov2" | "dinov2_with_registers" | "beit" | "swin" => &["query", "value"],
        "distilbert" => &["q_lin", "v_lin"],
        "mpnet" => &["attn.q", "attn.v"],
        "deberta-v2" => &["query_proj", "value_proj"],
        "modernbert" => &["Wqkv"],
        "gpt2" => &["c_attn"],
        "llama" | "qwen2" | "qwen3" => &["q_proj", "v_proj"],
        "convnext" | "convnextv2" => &["pwconv1", "pwconv2"],
        _ => return None,
    })
}

/// PEFT's rule: the name itself, or its end after a dot. Source: PEFT 0.21, `check_target_module_exists`.
pub(super) fn matches(module: &str, target: &str) -> bool {
    module.strip_suffix(target).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

/// The last part of a name.
pub(super) fn ending(module: &str) -> &str {
    module.rsplit('.').next().unwrap_or(module)
}

/// Whether the weight is stored the other way round, which PEFT calls `fan_in_fan_out`.
pub(super) fn is_transposed(weight: &Weight) -> bool {
    matches!(weight.layer, Layer::Transposed { .. })
}

/// Whether a layer is one in transformers too. That of a gated DINOv2 which its checkpoints call `weights_in` is two there.
pub(super) fn is_one(module: &str) -> bool {
    !module.ends_with(".weights_in")
}

/// `target_modules` for the adapted modules among all, by the names that PEFT knows: an ending where every module that has it is
/// adapted, and else the whole name.
pub(super) fn written([adapted, all]: [&[&str]; 2]) -> Vec<String> {
    let names = |of: &[&str]| of.iter().map(|name| module_name(name)).collect::<BTreeSet<_>>();
    let (adapted, all) = (names(adapted), names(all));
    let target = |name: &String| {
        let end = ending(name);
        let alone = all.iter().filter(|other| matches(other, end)).all(|other| adapted.contains(other));
        if alone { end.to_string() } else { name.clone() }
    };
    adapted.iter().map(target).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_or_its_end_after_a_dot() {
        let module = "bert.encoder.layer.0.attention.self.query";
        for (target, expected) in
            [("query", true), ("self.query", true), ("ery", false), ("key", false), (module, true)]
        {
            assert_eq!(matches(module, target), expected, "{target}");
        }
        assert!(!matches("mpnet.layer.0.attention.attn.q", "attn.v"));
    }

    #[test]
    fn endings_are_written_where_they_mean_no_other_module() {
        let all = ["a.0.attn.dense", "a.1.attn.dense", "a.0.query", "a.1.query", "classifier.dense"];
        let written = |adapted: &[&str]| written([adapted, &all]);
        assert_eq!(written(&["a.0.query", "a.1.query"]), ["query"]);
        // The head's layer of the same ending is no target.
        assert_eq!(written(&["a.0.attn.dense", "a.1.attn.dense"]), ["a.0.attn.dense", "a.1.attn.dense"]);
        assert_eq!(written(&["a.0.query"]), ["a.0.query"]);
    }

    #[test]
    fn image_models_are_written_as_transformers_has_them_in_memory() {
        let all = ["vit.encoder.layer.0.attention.attention.query", "vit.encoder.layer.0.output.dense"];
        assert_eq!(written([&all[..1], &all]), ["q_proj"]);
    }
}
