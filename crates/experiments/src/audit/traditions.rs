//! The laws by which libraries draw a new head.

use serde::{Deserialize, Serialize};
use xexp_backbones::families::HeadLaw;
use xexp_heads::Features;
use xexp_init::{Activation, Init, Layer, Seed};
use xexp_kernels::linear;

use crate::Result;

/// Units of fastai's layer in front of the last.
const FASTAI_UNITS: usize = 512;
/// PyTorch's constant in the denominator of a batch norm.
const EPSILON: f64 = 1e-5;

/// A library whose new head is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tradition {
    /// `AutoModelFor…Classification.from_pretrained(…, num_labels=K)`.
    Transformers,
    /// `timm.create_model(…, pretrained=True, num_classes=K)`; images alone.
    Timm,
    /// `vision_learner` of fastai: batch norm, a layer of 512, ReLU, batch norm, the last layer; here on a family's features.
    Fastai,
    /// `xexp finetune`: Xavier's variance, a bias of zero.
    Xexp,
}

/// All of them.
pub const TRADITIONS: [Tradition; 4] =
    [Tradition::Transformers, Tradition::Timm, Tradition::Fastai, Tradition::Xexp];

impl Tradition {
    /// Its name in rows and parameters.
    pub fn name(self) -> &'static str {
        match self {
            Tradition::Transformers => "transformers",
            Tradition::Timm => "timm",
            Tradition::Fastai => "fastai",
            Tradition::Xexp => "xexp",
        }
    }

    /// How it draws the last layer of a family's head; `None` where it has no such family.
    ///
    /// Sources: each family's `_init_weights` in transformers; in timm, `_init_weights` of `vision_transformer.py`,
    /// `swin_transformer.py` and `convnext.py` (0.02, truncated beyond any value that occurs), `head_init_scale` of
    /// `beit.py`, `torch.nn.Linear` in `resnet.py`, `_init_weight_goog` of `_efficientnet_builder.py`; in fastai,
    /// `kaiming_normal_` by `vision_learner`.
    pub fn law(self, family: &str, hf: HeadLaw, layer: &Layer) -> Option<HeadLaw> {
        let classes = match layer {
            Layer::Linear { output, .. } => *output,
            _ => 1,
        };
        match self {
            Tradition::Transformers => Some(hf),
            Tradition::Timm => match family {
                "vit" | "deit" | "dinov2" | "dinov2_with_registers" | "swin" | "convnext" | "convnextv2" => {
                    Some(HeadLaw::normal(0.02))
                }
                "beit" => Some(HeadLaw::normal(0.02 * 0.001)),
                "resnet" => Some(HeadLaw::torch(input(layer))),
                // Its fan is the number of outputs, where inputs would set the logits' scale.
                "mobilenet_v2" => Some(HeadLaw {
                    weight: Init::Uniform { bound: 1.0 / (classes as f64).sqrt() },
                    bias: Init::Constant(0.0),
                }),
                _ => None,
            },
            Tradition::Fastai => {
                Some(HeadLaw { weight: Init::he(Activation::Relu), bias: Init::Constant(0.0) })
            }
            Tradition::Xexp => Some(HeadLaw { weight: Init::xavier_normal(), bias: Init::Constant(0.0) }),
        }
    }
}

fn input(layer: &Layer) -> usize {
    match layer {
        Layer::Linear { input, .. } => *input,
        _ => 1,
    }
}

/// What fastai's layers make of features in training, with batch norms that go by the batch and without dropout:
/// `(rows, 512)`, each unit of mean 0 and variance 1 unless it is off for all rows.
///
/// # Errors
/// None in practice: the layer has a fan.
pub fn fastai(features: &Features, seed: Seed) -> Result<Features> {
    let layer = Layer::Linear { input: features.width, output: FASTAI_UNITS };
    let weights = Init::he(Activation::Relu).fill(&layer, &mut seed.stream("fastai"))?;
    let standard = standardized(&features.values, features.width);
    let mut units = vec![0.0; standard.len() / features.width * FASTAI_UNITS];
    linear::forward(&standard, &weights, None, &mut units);
    units.iter_mut().for_each(|unit| *unit = unit.max(0.0));
    Ok(Features { values: standardized(&units, FASTAI_UNITS), width: FASTAI_UNITS })
}

/// A batch norm as drawn: every column less its mean, over its standard deviation.
fn standardized(values: &[f32], width: usize) -> Vec<f32> {
    let n = (values.len() / width) as f64;
    let mut scales = vec![(0.0f64, 0.0f64); width];
    for row in values.chunks_exact(width) {
        scales.iter_mut().zip(row).for_each(|(s, v)| s.0 += f64::from(*v) / n);
    }
    for row in values.chunks_exact(width) {
        scales.iter_mut().zip(row).for_each(|(s, v)| s.1 += (f64::from(*v) - s.0).powi(2) / n);
    }
    let standard = |(v, (mean, variance)): (&f32, &(f64, f64))| {
        ((f64::from(*v) - mean) / (variance + EPSILON).sqrt()) as f32
    };
    values
        .chunks_exact(width)
        .flat_map(|row| row.iter().zip(&scales).map(standard).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fastais_units_have_the_moments_of_a_batch_norm() {
        let mut stream = Seed(3).stream("x");
        let features = Features { values: (0..240).map(|_| stream.normal() as f32).collect(), width: 6 };
        let units = fastai(&features, Seed(4)).unwrap();
        assert_eq!((units.width, units.values.len()), (FASTAI_UNITS, 40 * FASTAI_UNITS));
        let column: Vec<f64> = units.values.iter().step_by(FASTAI_UNITS).map(|v| f64::from(*v)).collect();
        let mean = column.iter().sum::<f64>() / 40.0;
        let variance = column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 40.0;
        assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-3, "{mean} {variance}");
        // ReLU switches a unit off for about half of the rows, which then share its least value.
        let least = column.iter().copied().fold(f64::INFINITY, f64::min);
        let off = column.iter().filter(|value| **value == least).count();
        assert!((8..=32).contains(&off), "{off} of 40");
    }

    /// Measured on models that timm and fastai made: see `tests/parity/head_laws.py`.
    const LIBRARIES: &str = include_str!("../../../../experiments/head-audit/libraries.csv");

    #[test]
    fn laws_are_those_that_the_libraries_draw_by() {
        for line in LIBRARIES.lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |column: usize| cells[column].parse::<f64>().unwrap();
            let tradition = if cells[0] == "timm" { Tradition::Timm } else { Tradition::Fastai };
            let layer = Layer::Linear { input: number(4) as usize, output: number(5) as usize };
            let law = tradition.law(cells[2], HeadLaw::normal(0.5), &layer).unwrap();
            // At least 320,000 weights and 2,000 biases of each law were measured: their standard deviations are known to
            // 0.2 and 1.6 %.
            let std = law.weight.std(&layer).unwrap();
            assert!((std / number(6) - 1.0).abs() < 0.01, "{line}: {std}");
            let bias = law.bias.std(&layer).unwrap();
            assert!((bias - number(7)).abs() <= 0.05 * number(7), "{line}: {bias}");
        }
        let timm = xexp_backbones::families::BACKBONES.iter().filter(|family| {
            Tradition::Timm
                .law(family.model_type, HeadLaw::normal(0.5), &Layer::Linear { input: 4, output: 2 })
                .is_some()
        });
        let measured = LIBRARIES.lines().filter(|line| line.starts_with("timm,")).count();
        assert_eq!(timm.count(), measured, "a law that nobody measured");
    }
}
