//! ConvNeXt. Source: Liu et al. 2022, §2 and figure 4; names and defaults from transformers' `ConvNextConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range};
use crate::config::Config;
use crate::graph::{Graph, Map};
use crate::layers::{Convolution, ConvolutionSpec, ImageShape, LayerNorm, Linear, Padding};
use crate::{Declarations, Encoder, Network, Origin, Outputs, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::Activation;

pub(super) const FAMILY: Family = Family {
    model_type: "convnext",
    modality: Modality::Image,
    frozen: false,
    summary: "Convolutional networks in the manner of transformers",
    base_architecture: "ConvNextModel",
    classifier_architecture: "ConvNextForImageClassification",
    prefix: "convnext.",
    head: HEAD,
    masked_lm: None,
    network: |config, declared, reading| {
        declared.alias(|name| name.strip_prefix("convnext.").map(str::to_string));
        network(config, declared, reading, "convnext", false)
    },
};

pub(super) const HEAD: HeadSpec = HeadSpec {
    path: "classifier",
    bias: true,
    hidden: &[],
    dropout: |_| Ok(0.0),
    law: |config, _| HeadLaw::of(config),
};

/// `ε` of all norms but the last.
const EPS: f64 = 1e-6;

/// Patches, stages of blocks, and the norm of the mean over all places.
struct ConvNext {
    patches: Convolution,
    patch_norm: LayerNorm,
    stages: Vec<Stage>,
    norm: Option<LayerNorm>,
    activation: Activation,
    width: usize,
    image: ImageShape,
}

/// Blocks of one width, behind a step that halves height and width.
struct Stage {
    halving: Option<(LayerNorm, Convolution)>,
    blocks: Vec<Block>,
}

/// `x + scale · down(grn(φ(up(norm(depthwise(x))))))`, with the response norm in the second version and the scale in the
/// first.
struct Block {
    path: String,
    depthwise: Convolution,
    norm: LayerNorm,
    up: Linear,
    response: Option<(WeightId, WeightId)>,
    down: Linear,
    scale: Option<WeightId>,
    drop: f64,
}

/// What all blocks have in common.
struct Style {
    init: Init,
    second: bool,
    layer_scale: f64,
}

/// The encoder of the first version or the `second`, whose weights lie under `prefix`.
pub(super) fn network(
    config: &Config,
    declared: &mut Declarations,
    reading: Reading,
    prefix: &str,
    second: bool,
) -> Result<Encoder> {
    let widths = config.sizes("hidden_sizes", &[96, 192, 384, 768])?;
    let depths = config.depths("depths", &[3, 3, 9, 3])?;
    let stages = config.size_or("num_stages", widths.len())?;
    for (field, found) in [("hidden_sizes", widths.len()), ("depths", depths.len())] {
        if found != stages {
            let expected = format!("one for each of the num_stages = {stages}");
            return Err(config.unexpected(field, &expected, config.fields.get(field)));
        }
    }
    let style = Style {
        init: Init::Normal { std: initializer_range(config)? },
        second,
        layer_scale: if second { 0.0 } else { config.number("layer_scale_init_value", 1e-6)? },
    };
    let activation = config.activation("hidden_act", "gelu")?;
    let rate = config.dropout("drop_path_rate", 0.0)?;
    let channels = config.size_or("num_channels", 3)?;
    let (patch, size) = (config.size_or("patch_size", 4)?, config.size_or("image_size", 224)?);
    let path = format!("{prefix}.embeddings");
    let patches =
        tiles(declared, &format!("{path}.patch_embeddings"), (channels, widths[0]), patch, style.init);
    let patch_norm = norm(declared, &format!("{path}.layernorm"), widths[0], EPS);
    let blocks: usize = depths.iter().sum();
    // Branches are dropped the more often, the deeper they lie.
    let mut drops = (0..blocks).map(|block| rate * block as f64 / (blocks - 1).max(1) as f64);
    let mut stages = vec![];
    for (index, (&width, &depth)) in widths.iter().zip(&depths).enumerate() {
        let path = format!("{prefix}.encoder.stages.{index}");
        let halving = (index > 0).then(|| {
            let path = format!("{path}.downsampling_layer");
            let from = widths[index - 1];
            (
                norm(declared, &format!("{path}.0"), from, EPS),
                tiles(declared, &format!("{path}.1"), (from, width), 2, style.init),
            )
        });
        let blocks = drops.by_ref().take(depth).enumerate();
        let blocks = blocks.map(|(i, drop)| style.block(declared, format!("{path}.layers.{i}"), width, drop));
        stages.push(Stage { halving, blocks: blocks.collect() });
    }
    let width = widths[widths.len() - 1];
    let eps = config.number("layer_norm_eps", 1e-12)?;
    let norm =
        (reading == Reading::Features).then(|| norm(declared, &format!("{prefix}.layernorm"), width, eps));
    let side = (1..widths.len()).fold(size / patch, |side, _| side / 2);
    let image = ImageShape { channels, size, tokens: side * side };
    Ok(Encoder::new(ConvNext { patches, patch_norm, stages, norm, activation, width, image }))
}

fn norm(declared: &mut Declarations, path: &str, width: usize, eps: f64) -> LayerNorm {
    LayerNorm::declare(declared, path, width, eps, Origin::Checkpoint)
}

/// A convolution whose windows lie side by side.
fn tiles(
    declared: &mut Declarations,
    path: &str,
    (input, output): (usize, usize),
    side: usize,
    init: Init,
) -> Convolution {
    let spec = ConvolutionSpec {
        stride: side,
        padding: Padding::Around(0),
        ..ConvolutionSpec::new(input, output, side)
    };
    Convolution::declare(declared, path, spec, true, init)
}

impl Style {
    fn block(&self, declared: &mut Declarations, path: String, width: usize, drop: f64) -> Block {
        let spec = ConvolutionSpec { groups: width, ..ConvolutionSpec::new(width, width, 7) };
        let depthwise = Convolution::declare(declared, &format!("{path}.dwconv"), spec, true, self.init);
        let norm = norm(declared, &format!("{path}.layernorm"), width, EPS);
        let linear = |declared: &mut Declarations, name: &str, sizes| {
            Linear::declare(declared, &format!("{path}.{name}"), sizes, self.init, Origin::Checkpoint)
        };
        let up = linear(declared, "pwconv1", (width, 4 * width));
        let response = self.second.then(|| {
            let mut weight = |name: &str| {
                let layer = Layer::Channels { width: 4 * width };
                let name = format!("{path}.grn.{name}");
                declared.weight(name, layer, Init::Constant(0.0), Origin::Checkpoint)
            };
            (weight("weight"), weight("bias"))
        });
        let down = linear(declared, "pwconv2", (4 * width, width));
        let scale = (self.layer_scale > 0.0).then(|| {
            let init = Init::Constant(self.layer_scale);
            let name = format!("{path}.layer_scale_parameter");
            declared.weight(name, Layer::Vector { len: width }, init, Origin::Checkpoint)
        });
        Block { path, depthwise, norm, up, response, down, scale, drop }
    }
}

impl Block {
    fn forward(&self, graph: &mut Graph<'_, '_>, x: &Map, activation: Activation) -> Result<Map> {
        let y = graph.convolution(&self.depthwise, x)?;
        let normed = graph.layer_norm(&self.norm, &y.values)?;
        let up = graph.linear(&self.up, &normed)?;
        let mut wide = y.with(graph.activation(activation, &up));
        if let Some(weights) = self.response {
            wide = graph.response_norm(weights, EPS as f32, &wide)?;
        }
        let mut branch = graph.linear(&self.down, &wide.values)?;
        if let Some(scale) = self.scale {
            branch = graph.scale_columns(&branch, scale)?;
        }
        let branch = graph.drop_path(&self.path, self.drop, &branch, graph.input.batch());
        let sum = graph.add(&branch, &x.values);
        graph.stream(&self.path, &sum);
        Ok(x.with(sum))
    }
}

impl Network for ConvNext {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let images = graph.images(self.image.channels)?;
        let mut x = graph.convolution(&self.patches, &images)?;
        x = x.with(graph.layer_norm(&self.patch_norm, &x.values)?);
        graph.enter("patches", &x.values);
        for stage in &self.stages {
            if let Some((norm, halves)) = &stage.halving {
                x = x.with(graph.layer_norm(norm, &x.values)?);
                x = graph.convolution(halves, &x)?;
                graph.enter("halved", &x.values);
            }
            for block in &stage.blocks {
                x = block.forward(graph, &x, self.activation)?;
            }
        }
        let mean = graph.mean_of_places(&x);
        let features = self.norm.map(|norm| graph.layer_norm(&norm, &mean)).transpose()?;
        Ok(Outputs { features, hidden: x.values })
    }

    fn width(&self) -> usize {
        self.width
    }

    fn image(&self) -> Option<ImageShape> {
        Some(self.image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for (field, value) in [
            ("depths", json!([1, 2])),
            ("hidden_sizes", json!([8, 0])),
            ("patch_size", json!([4, 4])),
            ("hidden_act", json!("mish")),
            ("drop_path_rate", json!(1.0)),
            ("layer_scale_init_value", json!("small")),
        ] {
            let fields =
                json!({ "model_type": "convnext", "hidden_sizes": [8], "depths": [1], "num_stages": 1 });
            let mut config =
                Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
            config.fields.insert(field.to_string(), value.clone());
            let error = FAMILY.declare(&config, &mut Declarations::default(), Reading::Features).err();
            let error = error.unwrap().to_string();
            assert!(error.contains(field) && error.contains("expected"), "{field} {value}: {error}");
        }
    }
}
