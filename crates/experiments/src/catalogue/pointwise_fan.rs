//! The second half of a separable convolution: a 1×1 convolution is a dense layer at each pixel.

use serde::{Deserialize, Serialize};
use xexp_init::{Init, Layer};
use xexp_report::lab::{Figure, Row, Rule};

use super::demand::{demand, fits};
use super::planes::resolution;
use crate::moments::second_moment;
use crate::{About, Draw, Experiment, Result, Setup};

/// Separable blocks: a depthwise convolution, then a pointwise one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointwiseFan {
    /// `[c_in, c_out, k]` of each block, `k` the side of the depthwise kernel.
    pub blocks: Vec<[usize; 3]>,
    /// Side of the square input, in pixels.
    pub side: usize,
    /// Images a draw.
    pub batch: usize,
}

impl Default for PointwiseFan {
    fn default() -> Self {
        PointwiseFan { blocks: vec![[64, 128, 3], [64, 64, 5], [128, 32, 3]], side: 12, batch: 2 }
    }
}

/// One block.
pub struct Block {
    input: usize,
    output: usize,
    kernel: usize,
}

impl Block {
    fn depthwise(&self) -> Layer {
        let (channels, kernel) = (self.input, vec![self.kernel; 2]);
        Layer::Conv { input: channels, output: channels, kernel, stride: vec![1; 2], groups: channels }
    }

    fn pointwise(&self) -> Layer {
        let Block { input, output, .. } = *self;
        Layer::Conv { input, output, kernel: vec![1; 2], stride: vec![1; 2], groups: 1 }
    }
}

impl Experiment for PointwiseFan {
    type Setup = Block;

    const ABOUT: About = About {
        id: "pointwise-fan",
        title: "Fans of a pointwise convolution",
        question: "Are the fans of a 1×1 convolution its numbers of channels, so that a separable block has the gain of a \
                   dense layer?",
        source: "Document, \"Various network layers\", depthwise separable convolutions; fans counted product by product",
        method: "A depthwise convolution without padding, then a 1×1 convolution, both with Xavier weights by their own fans, \
                 on N(0, 1) inputs. A draw is a new block and a new input; it measures the second moment behind each layer, \
                 and that of the gradient before the 1×1 convolution. The control gives the 1×1 convolution the kernel area \
                 of the depthwise one.",
        cost: "1 s",
    };

    fn full() -> Self {
        PointwiseFan { blocks: vec![[64, 128, 3], [256, 256, 5], [512, 128, 3]], side: 28, batch: 4 }
    }

    fn check(&self) -> Result<()> {
        let good = |&[input, output, kernel]: &[usize; 3]| {
            fits(&[input, output])
                && fits(&[input, kernel, kernel])
                && fits(&[self.batch, input.max(output), self.side, self.side])
                && kernel <= self.side
        };
        let expected =
            "one or more [c_in, c_out, k] above 0, with k at most `side`, and sizes that fit memory";
        demand(
            Self::ABOUT.id,
            "blocks",
            &self.blocks,
            !self.blocks.is_empty() && self.blocks.iter().all(good),
            expected,
        )
    }

    fn setups(&self) -> Result<Vec<Setup<Block>>> {
        let setup = |&[input, output, kernel]: &[usize; 3]| {
            Setup::new(format!("c{input}-c{output}-k{kernel}"), Block { input, output, kernel })
        };
        Ok(self.blocks.iter().map(setup).collect())
    }

    fn predict(&self, setup: &Setup<Block>) -> Result<Vec<Row>> {
        let Block { input, output, kernel } = setup.of;
        let (a, b) = (input as f64, output as f64);
        let (forward, backward) = (2.0 * a / (a + b), 2.0 * b / (a + b));
        let name = |part: &str| format!("{}/{part}", setup.name);
        let area = (kernel * kernel) as f64;
        let (depthwise, pointwise) = (2.0 / (area * a), 2.0 / (a * b));
        let tolerance = resolution(0.04, depthwise + pointwise, &setup.looks);
        let narrow = resolution(0.03, pointwise, &setup.looks);
        let reason = "4 %, or three standard errors of the last look if that is more, at a spread of √(2/(k²·c_in)) a draw \
                      from the depthwise layer: the mean over weights is exact at every size";
        let claim = "The fans of a 1×1 convolution are its channels in and out.";
        let why = "it holds: it is a dense layer at each pixel";
        let mut rows = vec![
            Row::new(name("depthwise"), "gain of the depthwise layer", "depthwise")
                .about(1.0, tolerance, reason),
            Row::new(name("block"), "gain of the block, forward", "block")
                .about(forward, tolerance, reason)
                .claim(claim, Rule::about(forward, tolerance), why)
                .at("gain", "block, forward", a / b),
            Row::new(name("backward"), "gain of the 1×1 convolution, backward", "backward")
                .about(backward, narrow, "as above, from 3 %, at a spread of √(2/(c_in·c_out)) a draw")
                .claim(claim, Rule::about(backward, narrow), why)
                .at("gain", "1×1, backward", a / b),
        ];
        // With a depthwise kernel of one pixel there is no area to take over.
        if kernel > 1 {
            let quantity =
                "the block's gain, if the 1×1 convolution summed as many pixels as the depthwise one";
            rows.push(
                Row::new(name("control"), quantity, "block")
                    .about(forward * area, tolerance, reason)
                    .control(),
            );
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Block>, draw: &mut Draw<'_>) -> Result<()> {
        let Block { input, output, .. } = setup.of;
        let depthwise = draw.weight("depthwise", &setup.of.depthwise(), Init::xavier_normal())?;
        let pointwise = draw.weight("pointwise", &setup.of.pointwise(), Init::xavier_normal())?;
        let x = draw.normal("input", &[self.batch, input, self.side, self.side], 1.0)?;
        let x = x.conv2d(&depthwise, 0, 1, 1, input)?;
        draw.record("depthwise", second_moment(&x)?)?;
        draw.record("block", second_moment(&x.conv2d(&pointwise, 0, 1, 1, 1)?)?)?;
        let dy = draw.normal("gradient", &[self.batch, output, self.side, self.side], 1.0)?;
        draw.record("backward", second_moment(&dy.conv_transpose2d(&pointwise, 0, 0, 1, 1)?)?)
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("gain", "Gain of a separable block", "channels in over channels out", "gain").log_x(),
        ]
    }
}
