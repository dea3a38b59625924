//! ResNet. Source: He et al. 2016, §3.3 and §4.1; names and defaults from transformers' `ResNetConfig`.

use super::{Family, HeadLaw, HeadSpec, Modality, Reading};
use crate::config::Config;
use crate::graph::{Graph, Map};
use crate::layers::{ConvNorm, ConvNormSpec, ConvolutionSpec, ImageShape};
use crate::{Declarations, Encoder, Network, Outputs, Result};
use xexp_init::Init;
use xexp_kernels::Activation;

pub(super) const FAMILY: Family = Family {
    model_type: "resnet",
    modality: Modality::Image,
    frozen: false,
    summary: "Residual networks of 3 × 3 convolutions with batch norms",
    base_architecture: "ResNetModel",
    classifier_architecture: "ResNetForImageClassification",
    prefix: "resnet.",
    head: HeadSpec {
        path: "classifier.1",
        bias: true,
        hidden: &[],
        dropout: |_| Ok(0.0),
        law: |_, width| Ok(HeadLaw::torch(width)),
    },
    masked_lm: None,
    network,
};

/// PyTorch's defaults of a batch norm, and `√(2 / fan_out)` by the shape of a kernel. Source: He et al. 2015, eq. 14.
fn layer(
    declared: &mut Declarations,
    path: &str,
    sizes: ConvolutionSpec,
    activation: Option<Activation>,
) -> ConvNorm {
    let std = (2.0 / (sizes.output * sizes.kernel * sizes.kernel) as f64).sqrt();
    let spec = ConvNormSpec { eps: 1e-5, momentum: 0.1, init: Init::Normal { std } };
    ConvNorm::declare(declared, path, sizes, activation, &spec)
}

/// A stem, stages of residual layers, and the mean over all places.
struct ResNet {
    stem: ConvNorm,
    layers: Vec<Layer>,
    width: usize,
    image: ImageShape,
}

/// `φ(F(x) + shortcut(x))`.
struct Layer {
    path: String,
    branch: Vec<ConvNorm>,
    shortcut: Option<ConvNorm>,
    activation: Activation,
}

/// What the layers of a network have in common.
struct Style {
    bottleneck: bool,
    stride_first: bool,
    activation: Activation,
}

fn network(config: &Config, declared: &mut Declarations, _: Reading) -> Result<Encoder> {
    let widths = config.sizes("hidden_sizes", &[256, 512, 1024, 2048])?;
    let depths = config.depths("depths", &[3, 4, 6, 3])?;
    if widths.len() != depths.len() {
        let expected = format!("one for each of the {} hidden_sizes", widths.len());
        return Err(config.unexpected("depths", &expected, config.fields.get("depths")));
    }
    let style = Style {
        bottleneck: match config.text("layer_type", "bottleneck")? {
            "bottleneck" => true,
            "basic" => false,
            _ => {
                let found = config.fields.get("layer_type");
                return Err(config.unexpected("layer_type", "basic or bottleneck", found));
            }
        },
        stride_first: config.flag("downsample_in_bottleneck", false)?,
        activation: config.activation("hidden_act", "relu")?,
    };
    if style.bottleneck && widths.iter().any(|width| *width < 4) {
        let found = config.fields.get("hidden_sizes");
        return Err(config.unexpected("hidden_sizes", "at least 4 channels in a bottleneck", found));
    }
    // Bare checkpoints have no prefix.
    declared.alias(|name| name.strip_prefix("resnet.").map(str::to_string));
    let channels = config.size_or("num_channels", 3)?;
    let mut from = config.size_or("embedding_size", 64)?;
    let sizes = ConvolutionSpec { stride: 2, ..ConvolutionSpec::new(channels, from, 7) };
    let stem = layer(declared, "resnet.embedder.embedder", sizes, Some(style.activation));
    let mut layers = vec![];
    let mut reduced = 4;
    for (stage, (&width, &depth)) in widths.iter().zip(&depths).enumerate() {
        let halves = stage > 0 || config.flag("downsample_in_first_stage", false)?;
        for index in 0..depth {
            let path = format!("resnet.encoder.stages.{stage}.layers.{index}");
            let stride = if halves && index == 0 { 2 } else { 1 };
            reduced *= stride;
            layers.push(Layer::declare(declared, path, (from, width), stride, &style));
            from = width;
        }
    }
    // The configuration does not say the images' size, and the network takes any.
    let size = config.size_or("image_size", 224)?;
    let image = ImageShape { channels, size, tokens: size.div_ceil(reduced).pow(2) };
    Ok(Encoder::new(ResNet { stem, layers, width: from, image }))
}

impl Layer {
    fn declare(
        declared: &mut Declarations,
        path: String,
        (input, output): (usize, usize),
        stride: usize,
        style: &Style,
    ) -> Self {
        let mut layer = |name: &str, sizes: ConvolutionSpec, stride, activation| {
            layer(declared, &format!("{path}.{name}"), ConvolutionSpec { stride, ..sizes }, activation)
        };
        let shortcut = (input != output || stride != 1)
            .then(|| layer("shortcut", ConvolutionSpec::new(input, output, 1), stride, None));
        // transformers takes the configured nonlinearity in the stem and after the sum; here it has ReLU always.
        let relu = Some(Activation::Relu);
        let branch = if style.bottleneck {
            let narrow = output / 4;
            let (first, second) = if style.stride_first { (stride, 1) } else { (1, stride) };
            vec![
                layer("layer.0", ConvolutionSpec::new(input, narrow, 1), first, relu),
                layer("layer.1", ConvolutionSpec::new(narrow, narrow, 3), second, relu),
                layer("layer.2", ConvolutionSpec::new(narrow, output, 1), 1, None),
            ]
        } else {
            vec![
                layer("layer.0", ConvolutionSpec::new(input, output, 3), stride, relu),
                layer("layer.1", ConvolutionSpec::new(output, output, 3), 1, None),
            ]
        };
        Layer { path, branch, shortcut, activation: style.activation }
    }

    fn forward(&self, graph: &mut Graph<'_, '_>, x: &Map) -> Result<Map> {
        let shortcut = match &self.shortcut {
            Some(shortcut) => shortcut.forward(graph, x)?,
            None => x.clone(),
        };
        let mut y = x.clone();
        for layer in &self.branch {
            y = layer.forward(graph, &y)?;
        }
        let sum = graph.add(&y.values, &shortcut.values);
        let y = y.with(graph.activation(self.activation, &sum));
        graph.stream(&self.path, &y.values);
        Ok(y)
    }
}

impl Network for ResNet {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let images = graph.images(self.image.channels)?;
        let mut x = self.stem.forward(graph, &images)?;
        x = graph.max_pool(&x, 3, 2, 1)?;
        graph.enter("resnet.embedder", &x.values);
        for layer in &self.layers {
            x = layer.forward(graph, &x)?;
        }
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

    #[test]
    fn a_field_that_cannot_be_built_is_named() {
        for (field, value) in [
            ("layer_type", json!("wide")),
            ("depths", json!([1, 2])),
            ("hidden_sizes", json!([])),
            ("hidden_sizes", json!([3])),
            ("hidden_act", json!("mish")),
            ("downsample_in_bottleneck", json!(1)),
            ("image_size", json!([8, 8])),
        ] {
            let fields = json!({ "model_type": "resnet", "hidden_sizes": [8], "depths": [1] });
            let mut config =
                Config { path: "config.json".into(), fields: fields.as_object().unwrap().clone() };
            config.fields.insert(field.to_string(), value.clone());
            let error = FAMILY.declare(&config, &mut Declarations::default(), Reading::Features).err();
            let error = error.unwrap().to_string();
            assert!(error.contains(field) && error.contains("expected"), "{field} {value}: {error}");
        }
    }
}
