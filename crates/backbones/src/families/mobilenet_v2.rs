//! MobileNetV2. Source: Sandler et al. 2018, §3 and table 2; names, defaults and the rounding of channels from
//! transformers' `MobileNetV2Config` and `make_divisible`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading, initializer_range};
use crate::config::Config;
use crate::graph::{Graph, Map};
use crate::layers::{ConvNorm, ConvNormSpec, ConvolutionSpec, ImageShape, Padding};
use crate::{Declarations, Encoder, Network, Outputs, Result};
use xexp_init::Init;
use xexp_kernels::Activation;

pub(super) const FAMILY: Family = Family {
    model_type: "mobilenet_v2",
    modality: Modality::Image,
    frozen: false,
    summary: "Inverted residuals of depthwise convolutions, for small devices",
    base_architecture: "MobileNetV2Model",
    classifier_architecture: "MobileNetV2ForImageClassification",
    prefix: "mobilenet_v2.",
    head: HeadSpec {
        path: "classifier",
        bias: true,
        hidden: &[],
        dropout: |config| config.dropout("classifier_dropout_prob", 0.8),
        law: |config, _| HeadLaw::of(config),
    },
    masked_lm: None,
    network,
};

/// Channels between the blocks, and strides of the blocks but the first, which is the stem's.
const CHANNELS: [usize; 17] = [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320];
const STRIDES: [usize; 16] = [2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1];

/// A stem, inverted residuals, a wide pointwise convolution, and the mean over all places.
struct MobileNetV2 {
    stem: Vec<ConvNorm>,
    blocks: Vec<Block>,
    last: ConvNorm,
    width: usize,
    image: ImageShape,
}

/// `x + reduce(depthwise(expand(x)))`, without `x` where the sizes differ.
struct Block {
    path: String,
    layers: [ConvNorm; 3],
    residual: bool,
}

/// What all layers have in common, and how channels are counted.
struct Style {
    multiplier: f64,
    divisor: f64,
    least: f64,
    expansion: f64,
    same_padding: bool,
    activation: Activation,
    layers: ConvNormSpec,
}

impl Style {
    /// A number of channels that the divisor divides, near `value` and not below nine tenths of it.
    fn divisible(&self, value: f64) -> usize {
        let near =
            self.least.max(((value + self.divisor / 2.0).trunc() / self.divisor).floor() * self.divisor);
        (if near < 0.9 * value { near + self.divisor } else { near }) as usize
    }

    fn scaled(&self, channels: usize) -> usize {
        self.divisible((channels as f64 * self.multiplier).round_ties_even())
    }

    /// A layer with a square kernel, which sees its own channel alone if it is `depthwise`.
    fn layer(
        &self,
        declared: &mut Declarations,
        path: &str,
        (input, output, kernel): (usize, usize, usize),
        (stride, dilation, depthwise): (usize, usize, bool),
        activation: bool,
    ) -> ConvNorm {
        let padding =
            if self.same_padding { Padding::Same } else { Padding::Around((kernel - 1) / 2 * dilation) };
        let groups = if depthwise { input } else { 1 };
        let sizes = ConvolutionSpec { input, output, kernel, stride, dilation, groups, padding };
        ConvNorm::declare(declared, path, sizes, activation.then_some(self.activation), &self.layers)
    }

    fn stem(&self, declared: &mut Declarations, path: &str, channels: usize, fused: bool) -> Vec<ConvNorm> {
        let (wide, narrow) = (self.scaled(32), self.scaled(CHANNELS[0]));
        let mut layers = vec![];
        let mut add = |name: &str, sizes, place, activation| {
            layers.push(self.layer(declared, &format!("{path}.{name}"), sizes, place, activation));
        };
        add("first_conv", (channels, wide, 3), (2, 1, false), true);
        if !fused {
            add("expand_1x1", (wide, wide, 1), (1, 1, false), true);
        }
        add("conv_3x3", (wide, wide, 3), (1, 1, true), true);
        add("reduce_1x1", (wide, narrow, 1), (1, 1, false), false);
        layers
    }

    fn block(
        &self,
        declared: &mut Declarations,
        path: String,
        (input, output): (usize, usize),
        (stride, dilation): (usize, usize),
    ) -> Block {
        let wide = self.divisible((input as f64 * self.expansion).round_ties_even());
        let mut layer = |name: &str, sizes, place, activation| {
            self.layer(declared, &format!("{path}.{name}"), sizes, place, activation)
        };
        let layers = [
            layer("expand_1x1", (input, wide, 1), (1, 1, false), true),
            layer("conv_3x3", (wide, wide, 3), (stride, dilation, true), true),
            layer("reduce_1x1", (wide, output, 1), (1, 1, false), false),
        ];
        Block { path, layers, residual: stride == 1 && input == output }
    }
}

fn network(config: &Config, declared: &mut Declarations, _: Reading) -> Result<Encoder> {
    let positive = |field: &str, default: f64| {
        let value = config.number(field, default)?;
        let wrong = || config.unexpected(field, "a positive number", config.fields.get(field));
        if value > 0.0 && value <= 1000.0 { Ok(value) } else { Err(wrong()) }
    };
    let std = initializer_range(config)?;
    let style = Style {
        multiplier: positive("depth_multiplier", 1.0)?,
        divisor: config.size_or("depth_divisible_by", 8)? as f64,
        least: config.size_or("min_depth", 8)? as f64,
        expansion: positive("expand_ratio", 6.0)?,
        same_padding: config.flag("tf_padding", true)?,
        activation: config.activation("hidden_act", "relu6")?,
        layers: ConvNormSpec {
            eps: config.number("layer_norm_eps", 1e-3)?,
            // transformers gives PyTorch the share that TensorFlow calls decay: nearly all is the last batch's.
            momentum: 0.997,
            init: Init::Normal { std },
        },
    };
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix("mobilenet_v2.").map(str::to_string));
    let channels = config.size_or("num_channels", 3)?;
    let fused = config.flag("first_layer_is_expansion", true)?;
    let stem = style.stem(declared, "mobilenet_v2.conv_stem", channels, fused);
    let largest = config.size_or("output_stride", 32)?;
    // Images become smaller up to the output stride; from there on the windows become wider instead.
    let (mut reduced, mut dilation, mut blocks) = (2, 1, vec![]);
    for (index, &stride) in STRIDES.iter().enumerate() {
        let place = if reduced == largest {
            let place = (1, dilation);
            dilation *= stride;
            place
        } else {
            reduced *= stride;
            (stride, 1)
        };
        let sizes = (style.scaled(CHANNELS[index]), style.scaled(CHANNELS[index + 1]));
        blocks.push(style.block(declared, format!("mobilenet_v2.layer.{index}"), sizes, place));
    }
    let narrow = style.scaled(CHANNELS[16]);
    let fine = config.flag("finegrained_output", true)? && style.multiplier < 1.0;
    let width = if fine { 1280 } else { style.scaled(1280) };
    let last = style.layer(declared, "mobilenet_v2.conv_1x1", (narrow, width, 1), (1, 1, false), true);
    let size = config.size_or("image_size", 224)?;
    let image = ImageShape { channels, size, tokens: size.div_ceil(reduced).pow(2) };
    Ok(Encoder::new(MobileNetV2 { stem, blocks, last, width, image }))
}

impl Block {
    fn forward(&self, graph: &mut Graph<'_, '_>, x: &Map) -> Result<Map> {
        let mut y = x.clone();
        for layer in &self.layers {
            y = layer.forward(graph, &y)?;
        }
        if self.residual {
            y = y.with(graph.add(&y.values, &x.values));
        }
        graph.stream(&self.path, &y.values);
        Ok(y)
    }
}

impl Network for MobileNetV2 {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let mut x = graph.images(self.image.channels)?;
        for layer in &self.stem {
            x = layer.forward(graph, &x)?;
        }
        graph.enter("mobilenet_v2.conv_stem", &x.values);
        for block in &self.blocks {
            x = block.forward(graph, &x)?;
        }
        x = self.last.forward(graph, &x)?;
        Ok(Outputs { features: Some(graph.mean_of_places(&x)), hidden: x.values })
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

    fn declare(field: &str, value: serde_json::Value) -> Result<(Encoder, Declarations)> {
        let fields = json!({ "model_type": "mobilenet_v2" });
        let mut config = Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
        config.fields.insert(field.to_string(), value);
        let mut declared = Declarations::default();
        Ok((FAMILY.declare(&config, &mut declared, Reading::Features)?, declared))
    }

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for (field, value) in [
            ("depth_multiplier", json!(0)),
            ("depth_divisible_by", json!(0)),
            ("expand_ratio", json!("6")),
            ("hidden_act", json!("hardmish")),
            ("classifier_dropout_prob", json!(1.0)),
            ("image_size", json!([224, 224])),
        ] {
            let found = declare(field, value.clone()).map(|_| ());
            let dropout = |_| {
                (FAMILY.head.dropout)(&Config {
                    path: "config.json".into(),
                    fields: json!({ field: value }).as_object().unwrap().clone(),
                })
            };
            let error =
                found.map(dropout).map_or_else(Err, |dropout| dropout.map(|_| ())).unwrap_err().to_string();
            assert!(error.contains(field) && error.contains("expected"), "{field}: {error}");
        }
    }

    /// Output channels of `conv_1x1` and of `layer[1].expand_1x1` in transformers' `MobileNetV2Model` of each multiplier.
    #[test]
    fn channels_are_rounded_as_in_transformers() {
        for (multiplier, width, expanded) in
            [(1.0, 1280, 144), (0.75, 1280, 144), (0.35, 1280, 48), (1.4, 1792, 192)]
        {
            let (encoder, declared) = declare("depth_multiplier", json!(multiplier)).unwrap();
            assert_eq!(encoder.width(), width, "{multiplier}");
            let params = declared.draw(crate::Seed(1)).unwrap();
            let name = "mobilenet_v2.layer.1.expand_1x1.convolution.weight";
            assert_eq!(params.find(name).unwrap().1.layer.shape()[0], expanded, "{multiplier}");
        }
    }
}
