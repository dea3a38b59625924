//! EVA-02, base and large, on images of 448 in patches of 14. Source: Fang et al. 2023; names from timm's `Eva`, whose
//! folders name an `architecture` in place of a `model_type`.

use super::super::{Family, HeadLaw, HeadSpec, Modality, Reading};
use super::lent::{Lender, Lent};
use super::network::{Foreign, Frozen, Pooling, Reads, Sequence};
use crate::config::Config;
use crate::layers::{ImageShape, LayerNorm};
use crate::{Declarations, Encoder, Origin, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::eva2::EVA2VisionTransformer;
use serde_json::json;
use xexp_init::{Init, Layer};

pub(in super::super) const FAMILY: Family = Family {
    model_type: "eva02",
    modality: Modality::Image,
    frozen: true,
    summary: "EVA-02 of timm (eva02_base_patch14_448, eva02_large_patch14_448), read by the mean of its patches",
    base_architecture: "Eva",
    classifier_architecture: "Eva",
    prefix: "",
    head: HeadSpec {
        path: "head",
        bias: true,
        hidden: &[],
        dropout: |_| Ok(0.0),
        // timm's law, cut at two standard deviations there.
        law: |_, _| Ok(HeadLaw::normal(0.02)),
    },
    masked_lm: None,
    network,
};

/// What candle-transformers has fixed: the edges of an image and of a patch, and the width of a head.
const IMAGE: usize = 448;
const PATCH: usize = 14;
const HEAD: usize = 64;
/// Classes of the head that it insists on, and that nobody reads.
const CLASSES: usize = 1000;
/// timm's epsilon of all norms.
const EPS: f64 = 1e-6;

struct Eva {
    depth: usize,
    width: usize,
}

impl Foreign for Eva {
    type Model = EVA2VisionTransformer;

    fn build(&self, weights: VarBuilder<'_>, _: usize) -> candle_core::Result<Self::Model> {
        EVA2VisionTransformer::new(weights, self.depth, self.width, self.width / HEAD)
    }

    fn hidden(&self, model: &Self::Model, image: &Sequence) -> candle_core::Result<Tensor> {
        // The patches behind the last block, without the class token and before any norm.
        model.get_intermediate_layers(&image.values, &[self.depth - 1], false, false, false)
    }
}

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    let (width, depth) = sizes(config)?;
    let hidden = width * 4 * 2 / 3;
    let side = IMAGE / PATCH;
    let init = Init::Normal { std: 0.02 };
    let mut lender = Lender { declared, path: "", init, lent: Lent::default() };
    lender.weight("cls_token", Layer::Tokens { count: 1, width }, init);
    lender.weight("pos_embed", Layer::Tokens { count: side * side + 1, width }, init);
    lender.patches("patch_embed.proj", (3, width), PATCH);
    lender.bias("patch_embed.proj", width);
    for block in 0..depth {
        let path = format!("blocks.{block}");
        lender.norm(&format!("{path}.norm1"), width);
        for projection in ["q_proj", "v_proj", "proj"] {
            lender.linear(&format!("{path}.attn.{projection}"), (width, width));
        }
        lender.matrix(&format!("{path}.attn.k_proj"), (width, width));
        lender.norm(&format!("{path}.norm2"), width);
        lender.linear(&format!("{path}.mlp.fc1_g"), (width, hidden));
        lender.linear(&format!("{path}.mlp.fc1_x"), (width, hidden));
        lender.norm(&format!("{path}.mlp.norm"), hidden);
        lender.linear(&format!("{path}.mlp.fc2"), (hidden, width));
    }
    let mut lent = lender.lent;
    // Its own norm and head, which it asks for and which come after what is read.
    let cpu = &Device::Cpu;
    for (name, shape) in [
        ("norm.weight", vec![width]),
        ("norm.bias", vec![width]),
        ("head.weight", vec![CLASSES, width]),
        ("head.bias", vec![CLASSES]),
    ] {
        lent.constants.insert(name.to_string(), Tensor::zeros(shape, DType::F32, cpu)?);
    }
    lent.constants
        .insert("rot_pos_embed".to_string(), Tensor::from_vec(angles(), (side * side, 2 * HEAD), cpu)?);
    let pooling = (reading == Reading::Features).then(|| {
        Pooling::NormOfMean(LayerNorm::declare(declared, "fc_norm", width, EPS, Origin::Checkpoint))
    });
    Ok(Encoder::new(Frozen {
        family: FAMILY.model_type,
        foreign: Eva { depth, width },
        lent,
        reads: Reads::Images(ImageShape { channels: 3, size: IMAGE, tokens: side * side }),
        width,
        pooling,
    }))
}

/// Width and depth, by the name of the architecture and what `model_args` change of it.
fn sizes(config: &Config) -> Result<(usize, usize)> {
    let (width, depth, heads) = match config.text("architecture", "")? {
        "eva02_base_patch14_448" => (768, 12, 12),
        "eva02_large_patch14_448" => (1024, 24, 16),
        _ => {
            let known = "eva02_base_patch14_448 or eva02_large_patch14_448";
            return Err(config.unexpected("architecture", known, config.fields.get("architecture")));
        }
    };
    config.only("global_pool", &json!("avg"))?;
    let args = config.section("model_args")?;
    if let Some((field, value)) =
        args.fields.iter().find(|(field, _)| !["embed_dim", "depth", "num_heads"].contains(&field.as_str()))
    {
        return Err(args.unexpected(field, "no such field", Some(value)));
    }
    let width = args.size_or("embed_dim", width)?;
    let heads = args.size_or("num_heads", heads)?;
    if width != heads * HEAD {
        let expected = format!("embed_dim = {width} in heads of {HEAD}");
        return Err(args.unexpected("num_heads", &expected, args.fields.get("num_heads")));
    }
    Ok((width, args.layers_or("depth", depth)?))
}

/// Sines and cosines of the patches' places, `(patches, sines then cosines of 64)`: 16 frequencies of each axis, each
/// twice, on a grid that is as long as that of the images of 224 that the model was pretrained on.
///
/// Source: timm, `layers/pos_embed_sincos.py`, `build_rotary_pos_embed` with a reference shape.
fn angles() -> Vec<f32> {
    let side = IMAGE / PATCH;
    let place = |index: usize| index as f32 / side as f32 * 16.0;
    let band = |band: usize| 1.0 / 10_000f32.powf(band as f32 / 16.0);
    let mut table = Vec::with_capacity(side * side * 2 * HEAD);
    for patch in 0..side * side {
        let axes = [patch / side, patch % side];
        let angles = axes.into_iter().flat_map(|index| (0..HEAD / 4).map(move |b| place(index) * band(b)));
        let angles: Vec<f32> = angles.flat_map(|angle| [angle, angle]).collect();
        table.extend(angles.iter().map(|angle| angle.sin()));
        table.extend(angles.iter().map(|angle| angle.cos()));
    }
    table
}
