//! Patches of an image, projected.

use crate::{Declarations, Error, Grads, Input, Origin, Params, Pass, Product, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::Buffer;
use xexp_kernels::linear::{self, GradColumns};

/// Sizes and names.
pub struct PatchesSpec<'a> {
    /// Height and width of an image, in pixels.
    pub image: usize,
    /// Height and width of a patch; divides `image`.
    pub patch: usize,
    /// Colours of a pixel.
    pub channels: usize,
    /// Width of a token.
    pub width: usize,
    /// How new weights are drawn.
    pub init: Init,
    /// Path of the projection.
    pub path: &'a str,
}

/// `patches · Wᵀ + b`. Source: Dosovitskiy et al. 2021, eq. 1.
///
/// The projection is a convolution whose stride is its kernel: a product over the pixels of a patch.
pub struct Patches {
    weight: WeightId,
    bias: WeightId,
    image: usize,
    patch: usize,
    channels: usize,
    width: usize,
}

/// The images that an encoder takes, and what it makes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Colours of a pixel.
    pub channels: usize,
    /// Height and width, in pixels.
    pub size: usize,
    /// Tokens of one image: its patches, and those that stand in front of them.
    pub tokens: usize,
}

/// What the backward pass needs: the pixels by patch, `(batch · patches, channels · patch²)`.
pub struct PatchesTape {
    pixels: Buffer,
}

impl Patches {
    /// Declares the weights.
    pub fn declare(declared: &mut Declarations, spec: &PatchesSpec<'_>) -> Self {
        let (width, patch) = (spec.width, spec.patch);
        let mut weight = |name: &str, layer, init| {
            declared.weight(format!("{}.{name}", spec.path), layer, init, Origin::Checkpoint)
        };
        let projection = Layer::Conv {
            input: spec.channels,
            output: width,
            kernel: vec![patch, patch],
            stride: vec![patch, patch],
            groups: 1,
        };
        Patches {
            weight: weight("weight", projection, spec.init),
            bias: weight("bias", Layer::Vector { len: width }, Init::Constant(0.0)),
            image: spec.image,
            patch,
            channels: spec.channels,
            width,
        }
    }

    /// The images that it takes; tokens are patches.
    pub fn image(&self) -> ImageShape {
        ImageShape { channels: self.channels, size: self.image, tokens: self.side().pow(2) }
    }

    /// Patches along an edge.
    pub fn side(&self) -> usize {
        self.image / self.patch
    }

    /// Width of a token.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The pixels `(batch, channels, image, image)` by patch, `(batch · patches, channels · patch²)`: patches in
    /// rows, and within one the order of the convolution's weight.
    fn gather(&self, images: &[f32], by_patch: &mut [f32]) {
        let (size, p) = (self.image, self.patch);
        let (side, area) = (size / p, size * size);
        let patch_values = self.channels * p * p;
        let image_values = self.channels * area;
        for (image, out) in images.chunks_exact(image_values).zip(by_patch.chunks_exact_mut(image_values)) {
            for (index, out) in out.chunks_exact_mut(patch_values).enumerate() {
                let (top, left) = (index / side * p, index % side * p);
                for (row, out) in out.chunks_exact_mut(p).enumerate() {
                    let start = row / p * area + (top + row % p) * size + left;
                    out.copy_from_slice(&image[start..start + p]);
                }
            }
        }
    }

    /// `(batch · patches, width)`, and the tape.
    ///
    /// # Errors
    /// [`Error::Input`] for text, or images of another size.
    pub fn forward(
        &self,
        params: &Params,
        input: &Input,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, PatchesTape)> {
        let (images, batch) = (input.images()?, input.batch());
        let expected = batch * self.channels * self.image * self.image;
        if images.len() != expected {
            let reason = format!(
                "{batch} images have {} values; expected {expected} ({} × {} × {} each)",
                images.len(),
                self.channels,
                self.image,
                self.image
            );
            return Err(Error::Input { reason });
        }
        let mut pixels = pass.buffer(images.len());
        self.gather(images, &mut pixels);
        let mut y = pass.buffer(batch * self.side().pow(2) * self.width);
        let (w, b) = (params.values(self.weight)?, params.values(self.bias)?);
        linear::forward(&pixels, &w, Some(&b), &mut y);
        let (weight, input, output) = (self.weight, self.channels * self.patch * self.patch, self.width);
        pass.tell(|tap| {
            tap.product(Product { weight, x: &pixels, input, y: &y, output, terms: input as f64 });
        });
        Ok((y, PatchesTape { pixels }))
    }

    /// Adds the weights' gradients.
    pub fn backward(&self, grads: &mut Grads, dy: &[f32], tape: &PatchesTape) {
        let dy = GradColumns::all(dy, self.width);
        if let Some(slot) = grads.slot(self.weight) {
            linear::backward_weight(dy, &tape.pixels, slot);
        }
        if let Some(slot) = grads.slot(self.bias) {
            linear::backward_bias(dy, slot);
        }
    }

    /// Its weights.
    pub fn ids(&self) -> [WeightId; 2] {
        [self.weight, self.bias]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Seed};
    use candle_core::{Device, Tensor};
    use xexp_kernels::Pool;

    /// candle's convolution, of the same weights, is the referee of order and layout.
    #[test]
    fn projected_patches_are_those_of_a_strided_convolution() {
        let (image, patch, channels, width, batch) = (12, 4, 3, 5, 2);
        let mut declared = Declarations::default();
        let init = Init::Normal { std: 1.0 };
        let spec = PatchesSpec { image, patch, channels, width, init, path: "projection" };
        let patches = Patches::declare(&mut declared, &spec);
        let params = declared.draw(Seed(3)).unwrap();
        let pixels: Vec<f32> =
            (0..batch * channels * image * image).map(|i| (i as f32 * 0.7).sin()).collect();
        let rows: Vec<&[f32]> = pixels.chunks_exact(channels * image * image).collect();
        let input = Input::pack_images(rows, 9).unwrap();
        let pool = Pool::default();
        let (y, _) = patches.forward(&params, &input, &mut Pass::new(&pool, Mode::Eval)).unwrap();

        let x = Tensor::from_vec(pixels, (batch, channels, image, image), &Device::Cpu).unwrap();
        let z = x.conv2d(params.tensor(patches.weight), 0, patch, 1, 1).unwrap();
        // (batch, width, 3, 3) → (batch, 9, width)
        let z = z.flatten_from(2).unwrap().transpose(1, 2).unwrap();
        let z = z.broadcast_add(params.tensor(patches.bias)).unwrap();
        let expected = z.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Sums of 48 products of size one, in another order.
        assert!(y.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
