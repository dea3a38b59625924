//! Swin. Source: Liu et al. 2021; names and defaults from transformers' `SwinConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range};
use crate::checkpoint::{PositionTable, Resampling};
use crate::config::Config;
use crate::layers::{
    BlockNames, Displacements, LayerNorm, Linear, Patches, PatchesSpec, RelativeBias, SwinStack, SwinStage,
    VisionBlock, VisionBlockSpec, merged,
};
use crate::{Declarations, Encoder, Origin, Result};
use xexp_init::{Init, Layer};

pub(super) const FAMILY: Family = Family {
    model_type: "swin",
    modality: Modality::Image,
    frozen: false,
    summary: "Swin: vision transformers in shifted windows, in stages of fewer and wider patches",
    base_architecture: "SwinModel",
    classifier_architecture: "SwinForImageClassification",
    prefix: "swin.",
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

const NAMES: BlockNames = BlockNames {
    query: "attention.self.query",
    key: "attention.self.key",
    value: "attention.self.value",
    attention_output: "attention.output.dense",
    attention_norm: "layernorm_before",
    up: "intermediate.dense",
    down: "output.dense",
    mlp_norm: "layernorm_after",
};

/// ε of the norms that transformers leaves at PyTorch's own, whatever `layer_norm_eps`.
const PLAIN_EPS: f64 = 1e-5;

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let embed = config.size("embed_dim")?;
    let depths = config.depths("depths", &[2, 2, 6, 2])?;
    let heads = config.sizes("num_heads", &[3, 6, 12, 24])?;
    if depths.len() != heads.len() {
        let expected = format!("{} numbers, as in depths", depths.len());
        return Err(config.unexpected("num_heads", &expected, config.fields.get("num_heads")));
    }
    let image = config.size("image_size")?;
    let patch = config.divisor("patch_size", "image_size")?;
    let dropout = config.dropout("hidden_dropout_prob", 0.0)?;
    let norm_eps = config.number("layer_norm_eps", 1e-5)?;
    let init = Init::Normal { std: initializer_range(config)? };
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix("swin.").map(str::to_string));

    let path = "swin.embeddings.patch_embeddings.projection";
    let spec = PatchesSpec { image, patch, channels: config.size("num_channels")?, width: embed, init, path };
    let patches = Patches::declare(declared, &spec);
    let positions = config.flag("use_absolute_embeddings", false)?.then(|| {
        let layer = Layer::Tokens { count: patches.side().pow(2), width: embed };
        let name = "swin.embeddings.position_embeddings";
        let table = declared.weight(name, layer, Init::Constant(0.0), Origin::Checkpoint);
        declared.positions(table, PositionTable { front: 0, behind: 0, resampling: Resampling::Bicubic });
        table
    });
    let norm = LayerNorm::declare(declared, "swin.embeddings.norm", embed, PLAIN_EPS, Origin::Checkpoint);

    let window = config.size("window_size")?;
    let displacements = Displacements { side: window, class: false };
    let ratio = config.number("mlp_ratio", 4.0)?;
    let drop_path = config.dropout("drop_path_rate", 0.1)?;
    let mut spec = VisionBlockSpec {
        width: embed,
        hidden: 0,
        heads: 1,
        biases: [config.flag("qkv_bias", true)?; 3],
        activation: config.activation("hidden_act", "gelu")?,
        gated: false,
        norm_eps,
        layer_scale: None,
        dropout,
        attention_dropout: config.dropout("attention_probs_dropout_prob", 0.0)?,
        drop_path: [0.0; 2],
        init,
    };
    let (mut stages, mut side, mut before) = (vec![], patches.side(), 0);
    let all: usize = depths.iter().sum();
    for (number, (&depth, &heads)) in depths.iter().zip(&heads).enumerate() {
        if !spec.width.is_multiple_of(heads) {
            let expected = format!("divisors of the stages' widths, {} in stage {number}", spec.width);
            return Err(config.unexpected("num_heads", &expected, config.fields.get("num_heads")));
        }
        if side < window {
            let expected = format!("at most {side}, the patches along an edge in stage {number}");
            return Err(config.unexpected("window_size", &expected, config.fields.get("window_size")));
        }
        (spec.heads, spec.hidden) = (heads, (spec.width as f64 * ratio) as usize);
        if spec.hidden == 0 {
            let found = config.fields.get("mlp_ratio");
            return Err(config.unexpected("mlp_ratio", "a positive number", found));
        }
        let mut blocks = vec![];
        for i in 0..depth {
            let path = format!("swin.encoder.layers.{number}.blocks.{i}");
            // The deeper, the more often, and the attention branch alone.
            spec.drop_path[0] = drop_path * (before + i) as f64 / (all - 1).max(1) as f64;
            let block = VisionBlock::declare(declared, &path, &NAMES, &spec);
            let table = format!("{path}.attention.self.relative_position_bias_table");
            let bias = RelativeBias::declare(declared, table, heads, displacements);
            blocks.push((block, bias));
        }
        let merge = (number + 1 < depths.len()).then(|| {
            let (path, wide) = (format!("swin.encoder.layers.{number}.downsample"), 4 * spec.width);
            let norm = format!("{path}.norm");
            let norm = LayerNorm::declare(declared, &norm, wide, PLAIN_EPS, Origin::Checkpoint);
            let sizes = (wide, 2 * spec.width);
            let path = format!("{path}.reduction");
            (norm, Linear::declare_without_bias(declared, &path, sizes, init, Origin::Checkpoint))
        });
        // A window that is the whole square has nothing to be shifted to.
        let shift = if side == window { 0 } else { window / 2 };
        let merges = merge.is_some();
        stages.push(SwinStage { side, window, shift, blocks, merge });
        before += depth;
        if merges {
            (side, spec.width) = (merged(side), 2 * spec.width);
        }
    }
    let width = spec.width;
    let top = (reading == Reading::Features)
        .then(|| LayerNorm::declare(declared, "swin.layernorm", width, norm_eps, Origin::Checkpoint));
    Ok(Encoder::new(SwinStack::new(patches, norm, positions, dropout, stages, top, (side, width))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn error(field: &str, value: Value) -> Option<String> {
        let mut fields = json!({
            "model_type": "swin", "image_size": 12, "patch_size": 2, "num_channels": 3, "embed_dim": 6, "depths": [1, 2],
            "num_heads": [2, 3], "window_size": 3,
        });
        fields[field] = value;
        let config = Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
        let declared = &mut Declarations::default();
        FAMILY.declare(&config, declared, Reading::Features).err().map(|error| error.to_string())
    }

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        assert_eq!(error("window_size", json!(3)), None);
        for (field, value) in [
            ("patch_size", json!(5)),
            ("depths", json!([1, 0])),
            ("depths", json!([])),
            ("depths", json!([1, 1 << 20])),
            ("num_heads", json!([2])),
            ("num_heads", json!([2, 5])),
            // The second stage has 3 · 3 patches.
            ("window_size", json!(4)),
            ("mlp_ratio", json!(0.1)),
            ("qkv_bias", json!("no")),
            ("drop_path_rate", json!(1.0)),
        ] {
            let error = error(field, value.clone()).unwrap();
            assert!(error.contains(field) && error.contains("expected"), "{field} {value}: {error}");
        }
    }
}
