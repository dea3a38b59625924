//! CLIP's image tower. Source: Radford et al. 2021; names and defaults from transformers' `CLIPVisionConfig`.

use super::super::{Family, Modality, Reading};
use super::CLASSIFIER;
use super::lent::{Lender, Lent};
use super::network::{Foreign, Frozen, Pooling, Reads, Sequence};
use super::vision::Tower;
use crate::config::Config;
use crate::layers::ImageShape;
use crate::{Declarations, Encoder, Result};
use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_transformers::models::clip::text_model::Activation;
use candle_transformers::models::clip::vision_model::{ClipVisionConfig, ClipVisionTransformer};
use serde_json::json;
use xexp_init::{Init, Layer};

pub(in super::super) const FAMILY: Family = Family {
    model_type: "clip",
    modality: Modality::Image,
    frozen: true,
    summary: "CLIP's image tower, read by the mean of its patches; the text tower is left out",
    base_architecture: "CLIPModel",
    classifier_architecture: "CLIPForImageClassification",
    prefix: PATH,
    head: CLASSIFIER,
    masked_lm: None,
    network,
};

const PATH: &str = "vision_model.";

struct Clip(ClipVisionConfig);

impl Foreign for Clip {
    type Model = ClipVisionTransformer;

    fn build(&self, weights: VarBuilder<'_>, _: usize) -> candle_core::Result<Self::Model> {
        ClipVisionTransformer::new(weights, &self.0)
    }

    fn hidden(&self, model: &Self::Model, image: &Sequence) -> candle_core::Result<Tensor> {
        // The outputs of the blocks, and last the pooled one, which the classifier does not read.
        let mut states = model.output_hidden_states(&image.values)?;
        states.pop();
        states.pop().ok_or_else(|| candle_core::Error::Msg("CLIP without blocks".to_string()))
    }
}

fn network(config: &Config, declared: &mut Declarations, reading: Reading) -> Result<Encoder> {
    // A tower alone has no prefix.
    declared.alias(|name| name.strip_prefix(PATH).map(str::to_string));
    let tower = Tower::read(config, 32)?;
    // What candle-transformers computes with, whatever the configuration says.
    tower.only("hidden_act", json!("quick_gelu"))?;
    tower.only("layer_norm_eps", json!(1e-5))?;
    let std = tower.config.number("initializer_range", 0.02)?;
    let init = Init::Normal { std };
    let mut lender = Lender { declared, path: PATH, init, lent: Lent::default() };
    let (width, ImageShape { channels, size, tokens }) = (tower.width, tower.image);
    lender.weight("embeddings.class_embedding", Layer::Vector { len: width }, init);
    lender.patches("embeddings.patch_embedding", (channels, width), tower.patch);
    lender.table("embeddings.position_embedding", tokens + 1, width);
    lender.norm("pre_layrnorm", width);
    tower.blocks(&mut lender);
    lender.norm("post_layernorm", width);
    let lent = lender.lent;
    Ok(Encoder::new(Frozen {
        family: FAMILY.model_type,
        foreign: Clip(ClipVisionConfig {
            embed_dim: width,
            activation: Activation::QuickGelu,
            intermediate_size: tower.hidden,
            num_hidden_layers: tower.blocks,
            num_attention_heads: tower.heads,
            projection_dim: 0,
            num_channels: channels,
            image_size: size,
            patch_size: tower.patch,
        }),
        lent,
        reads: Reads::Images(ImageShape { tokens: tokens + 1, ..tower.image }),
        width,
        // Behind the class token.
        pooling: (reading == Reading::Features).then_some(Pooling::MeanFrom(1)),
    }))
}
