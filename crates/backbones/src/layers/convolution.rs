//! A convolution over images.

use crate::{Declarations, Error, Origin, Params, Pass, Product, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::convolution::{self, Shape};
use xexp_kernels::linear::{self, GradColumns};
use xexp_kernels::{Axis, Pool, Windows, depthwise};

/// What stands around an image: places of zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// As many on every side.
    Around(usize),
    /// TensorFlow's `SAME`, which depends on the image's size and may be uneven.
    Same,
}

/// Sizes of a convolution with a square kernel.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionSpec {
    /// Input channels.
    pub input: usize,
    /// Output channels.
    pub output: usize,
    /// Taps along each side.
    pub kernel: usize,
    /// Places from one window to the next.
    pub stride: usize,
    /// Places from one tap to the next.
    pub dilation: usize,
    /// Blocks of channels that do not see each other; divides `input` and `output`.
    pub groups: usize,
    /// What stands around the image.
    pub padding: Padding,
}

impl ConvolutionSpec {
    /// A kernel on all channels, every place once, and padding that keeps an image's size for an odd kernel.
    pub fn new(input: usize, output: usize, kernel: usize) -> Self {
        let padding = Padding::Around(kernel / 2);
        ConvolutionSpec { input, output, kernel, stride: 1, dilation: 1, groups: 1, padding }
    }
}

/// `y = x ∗ w + b`; see [`xexp_kernels::convolution`].
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    weight: WeightId,
    bias: Option<WeightId>,
    spec: ConvolutionSpec,
}

impl Convolution {
    /// Declares `path.weight`, drawn by `init` when new, and with a `bias` also `path.bias`, zero when new.
    pub fn declare(
        declared: &mut Declarations,
        path: &str,
        spec: ConvolutionSpec,
        bias: bool,
        init: Init,
    ) -> Self {
        let ConvolutionSpec { input, output, kernel, stride, groups, .. } = spec;
        let layer = Layer::Conv { input, output, kernel: vec![kernel; 2], stride: vec![stride; 2], groups };
        let weight = declared.weight(format!("{path}.weight"), layer, init, Origin::Checkpoint);
        let bias = bias.then(|| {
            let layer = Layer::Vector { len: output };
            declared.weight(format!("{path}.bias"), layer, Init::Constant(0.0), Origin::Checkpoint)
        });
        Convolution { weight, bias, spec }
    }

    /// Output channels.
    pub fn output(&self) -> usize {
        self.spec.output
    }

    /// Where its windows lie on images of a height and a width.
    ///
    /// # Errors
    /// [`Error::Input`] for images that are smaller than a window.
    pub fn windows(&self, images: usize, (height, width): (usize, usize)) -> Result<Windows> {
        let ConvolutionSpec { kernel, stride, dilation, padding, .. } = self.spec;
        let axis = |size: usize| match padding {
            Padding::Around(places) => Axis::padded(size, kernel, stride, dilation, (places, places)),
            Padding::Same => Axis::same(size, kernel, stride, dilation),
        };
        match (axis(height), axis(width)) {
            (Some(vertical), Some(horizontal)) => Ok(Windows { images, vertical, horizontal }),
            _ => {
                let reason = format!(
                    "an image of {height} × {width} places is smaller than a convolution's window of {kernel}"
                );
                Err(Error::Input { reason })
            }
        }
    }

    fn shape(&self, windows: &Windows) -> Shape {
        let ConvolutionSpec { input, output, groups, .. } = self.spec;
        Shape { windows: *windows, input, output, groups }
    }

    fn is_depthwise(&self) -> bool {
        self.spec.groups == self.spec.input && self.spec.input == self.spec.output
    }

    /// Writes `y`.
    pub(crate) fn forward(
        &self,
        params: &Params,
        x: &[f32],
        y: &mut [f32],
        windows: &Windows,
        pool: &Pool,
    ) -> Result<()> {
        let w = params.values(self.weight)?;
        let b = self.bias.map(|bias| params.values(bias)).transpose()?;
        if self.is_depthwise() {
            depthwise::forward(x, &w, b.as_deref(), y, windows);
        } else {
            convolution::forward(x, &w, b.as_deref(), y, &self.shape(windows), pool);
        }
        Ok(())
    }

    /// Shows `y` of `x` to the pass's tap, if there is one.
    pub(crate) fn show(&self, x: &[f32], y: &[f32], windows: &Windows, pass: &Pass<'_>) {
        let ConvolutionSpec { input, output, groups, .. } = self.spec;
        let terms = windows.mean_taps() * (input / groups) as f64;
        pass.tell(|tap| tap.product(Product { weight: self.weight, x, input, y, output, terms }));
    }

    /// Adds the weights' gradients, and writes (or adds, with `true`) `dx` where it is wanted.
    pub(crate) fn backward(
        &self,
        (params, grads): (&Params, &mut crate::Grads),
        dy: &[f32],
        x: &[f32],
        dx: Option<(&mut [f32], bool)>,
        windows: &Windows,
        pool: &Pool,
    ) -> Result<()> {
        if let Some(db) = self.bias.and_then(|bias| grads.slot(bias)) {
            linear::backward_bias(GradColumns::all(dy, self.spec.output), db);
        }
        let (w, dw) = (params.values(self.weight)?, grads.slot(self.weight));
        if self.is_depthwise() {
            depthwise::backward(dy, x, &w, dw, dx, windows);
        } else {
            convolution::backward(dy, x, &w, dw, dx, &self.shape(windows), pool);
        }
        Ok(())
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + use<> {
        [Some(self.weight), self.bias].into_iter().flatten()
    }
}
