//! Which dense layers are adapted, and what they are called.

use std::collections::BTreeSet;
use xexp_backbones::Weight;
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

/// What version 5 of transformers calls a layer of an image model, whose checkpoints keep the older names; PEFT saves by the
/// new names, and reads by both. `None` where the name is the same.
///
/// Source: transformers 5.23, `conversion_mapping.py`.
pub(super) fn newer(module: &str, model_type: &str) -> Option<String> {
    let stacked = match model_type {
        "vit" | "deit" | "beit" => true,
        "dinov2" | "dinov2_with_registers" | "swin" => false,
        _ => return None,
    };
    let mut name = module.to_string();
    if stacked {
        name = name.replacen(".encoder.layer.", ".layers.", 1);
    }
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
    ] {
        if let Some(front) = name.strip_suffix(old) {
            name = format!("{front}{new}");
            break;
        }
    }
    (name != module).then_some(name)
}

/// `target_modules` for the adapted modules among all: an ending where every module that has it is adapted, and else the whole
/// name; in both spellings where there are two.
pub(super) fn written([adapted, all]: [&[&str]; 2], model_type: &str) -> Vec<String> {
    let spellings: [fn(&str, &str) -> String; 2] =
        [|name, _| name.to_string(), |name, model| newer(name, model).unwrap_or_else(|| name.to_string())];
    let mut targets = BTreeSet::new();
    for spelled in spellings {
        let names = |of: &[&str]| of.iter().map(|name| spelled(name, model_type)).collect::<BTreeSet<_>>();
        let (adapted, all) = (names(adapted), names(all));
        for name in &adapted {
            let end = ending(name);
            let alone = all.iter().filter(|other| matches(other, end)).all(|other| adapted.contains(other));
            targets.insert(if alone { end.to_string() } else { name.clone() });
        }
    }
    targets.into_iter().collect()
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
        let written = |adapted: &[&str]| written([adapted, &all], "roberta");
        assert_eq!(written(&["a.0.query", "a.1.query"]), ["query"]);
        // The head's layer of the same ending is no target.
        assert_eq!(written(&["a.0.attn.dense", "a.1.attn.dense"]), ["a.0.attn.dense", "a.1.attn.dense"]);
        assert_eq!(written(&["a.0.query"]), ["a.0.query"]);
    }

    #[test]
    fn image_models_are_written_in_both_spellings() {
        let all = ["vit.encoder.layer.0.attention.attention.query", "vit.encoder.layer.0.output.dense"];
        assert_eq!(written([&all[..1], &all], "vit"), ["q_proj", "query"]);
        assert_eq!(newer(all[1], "vit").unwrap(), "vit.layers.0.mlp.fc2");
        assert_eq!(newer(all[1], "bert"), None);
    }
}
