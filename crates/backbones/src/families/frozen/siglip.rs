//! SigLIP's image tower. Source: Zhai et al. 2023; names and defaults from transformers' `SiglipVisionConfig`.

use super::super::{Family, Modality, Reading};
use super::CLASSIFIER;
use super::lent::{Lender, Lent};
use super::network::{Foreign, Frozen, Pooling, Reads, Sequence};
use super::vision::Tower;
use crate::config::Config;
use crate::layers::ImageShape;
use crate::{Declarations, Encoder, Result};
use candle_core::{Module, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::siglip::{VisionConfig, VisionModel};
use xexp_init::{Init, Layer};

pub(in super::super) const FAMILY: Family = Family {
    model_type: "siglip",
    modality: Modality::Image,
    frozen: true,
    summary: "SigLIP's image tower, read by the mean of its patches; the text tower is left out",
    base_architecture: "SiglipModel",
    classifier_architecture: "SiglipForImageClassification",
    prefix: PATH,
    head: CLASSIFIER,
    masked_lm: None,
    network,
};

const PATH: &str = "vision_model.";

struct Siglip(VisionConfig);

impl Foreign for Siglip {
    type Model = VisionModel;

    fn build(&self, weights: VarBuilder<'_>, _: usize) -> candle_core::Result<Self::Model> {
        VisionModel::new(&self.0, false, weights)
    }

    fn hidden(&self, model: &Self::Model, image: &Sequence) -> candle_core::Result<Tensor> {
        model.forward(&image.values)
    }
}

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    // A tower alone has no prefix.
    declared.alias(|name| name.strip_prefix(PATH).map(str::to_string));
    let tower = Tower::read(config, 16)?;
    let hidden_act = activation(&tower.config)?;
    // One law for all matrices, where transformers has several.
    let init = Init::Normal { std: 1.0 / (tower.width as f64).sqrt() };
    let mut lender = Lender { declared, path: PATH, init, lent: Lent::default() };
    let (width, hidden, ImageShape { channels, size, tokens }) = (tower.width, tower.hidden, tower.image);
    lender.patches("embeddings.patch_embedding", (channels, width), tower.patch);
    lender.bias("embeddings.patch_embedding", width);
    lender.table("embeddings.position_embedding", tokens, width);
    tower.blocks(&mut lender);
    lender.norm("post_layernorm", width);
    let lent = lender.lent;
    if tower.config.flag("vision_use_head", true)? {
        pooling_head(declared, width, hidden);
    }
    Ok(Encoder::new(Frozen {
        family: FAMILY.model_type,
        foreign: Siglip(VisionConfig {
            hidden_size: width,
            intermediate_size: hidden,
            num_hidden_layers: tower.blocks,
            num_attention_heads: tower.heads,
            num_channels: channels,
            image_size: size,
            patch_size: tower.patch,
            hidden_act,
            layer_norm_eps: tower.config.number("layer_norm_eps", 1e-6)?,
        }),
        lent,
        reads: Reads::Images(tower.image),
        width,
        pooling: (reading == Reading::Features).then_some(Pooling::MeanFrom(0)),
    }))
}

/// The pooling by attention, which transformers' classifier has and does not read.
fn pooling_head(declared: &mut Declarations, width: usize, hidden: usize) {
    let vector = |len| Layer::Vector { len };
    let matrix = |input, output| Layer::Linear { input, output };
    for (name, layer) in [
        ("probe", Layer::Tokens { count: 1, width }),
        ("attention.in_proj_weight", matrix(width, 3 * width)),
        ("attention.in_proj_bias", vector(3 * width)),
        ("attention.out_proj.weight", matrix(width, width)),
        ("attention.out_proj.bias", vector(width)),
        ("layernorm.weight", vector(width)),
        ("layernorm.bias", vector(width)),
        ("mlp.fc1.weight", matrix(width, hidden)),
        ("mlp.fc1.bias", vector(hidden)),
        ("mlp.fc2.weight", matrix(hidden, width)),
        ("mlp.fc2.bias", vector(width)),
    ] {
        declared.carried(format!("{PATH}head.{name}"), layer);
    }
}

/// transformers' name as candle's nonlinearity.
fn activation(config: &Config) -> Result<candle_nn::Activation> {
    match config.text("hidden_act", "gelu_pytorch_tanh")? {
        "gelu_pytorch_tanh" | "gelu_new" => Ok(candle_nn::Activation::GeluPytorchTanh),
        "gelu" => Ok(candle_nn::Activation::Gelu),
        "relu" => Ok(candle_nn::Activation::Relu),
        "silu" => Ok(candle_nn::Activation::Silu),
        _ => Err(config.unexpected(
            "hidden_act",
            "one of gelu_pytorch_tanh, gelu_new, gelu, relu, silu",
            config.fields.get("hidden_act"),
        )),
    }
}
