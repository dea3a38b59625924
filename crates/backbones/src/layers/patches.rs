//! Patches of an image, projected, behind a class token, with learned positions.

use crate::{Declarations, Error, Grads, Input, Origin, Params, Pass, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::linear::{self, GradColumns};
use xexp_kernels::{Buffer, add};

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
    /// Dropout on the tokens.
    pub dropout: f64,
    /// How new weights are drawn.
    pub init: Init,
    /// Path of the whole.
    pub path: &'a str,
}

/// `dropout([class; patches · Wᵀ + b] + position)`. Source: Dosovitskiy et al. 2021, eq. 1.
///
/// The projection is a convolution whose stride is its kernel: a product over the pixels of a patch.
pub struct Patches {
    class: WeightId,
    positions: WeightId,
    weight: WeightId,
    bias: WeightId,
    image: usize,
    patch: usize,
    channels: usize,
    width: usize,
    dropout: f64,
    place: String,
}

/// The images that an encoder takes, and what it makes of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageShape {
    /// Colours of a pixel.
    pub channels: usize,
    /// Height and width, in pixels.
    pub size: usize,
    /// Tokens of one image: its patches and the class token.
    pub tokens: usize,
}

/// What the backward pass needs: the pixels by patch, `(batch · patches, channels · patch²)`.
pub struct PatchesTape {
    pixels: Buffer,
}

impl Patches {
    /// Declares the weights by ViT's names.
    pub fn declare(declared: &mut Declarations, spec: &PatchesSpec<'_>) -> Self {
        let (width, patch, path) = (spec.width, spec.patch, spec.path);
        let count = (spec.image / patch) * (spec.image / patch);
        let mut weight = |name: &str, layer, init| {
            declared.weight(format!("{path}.{name}"), layer, init, Origin::Checkpoint)
        };
        let projection = Layer::Conv {
            input: spec.channels,
            output: width,
            kernel: vec![patch, patch],
            stride: vec![patch, patch],
            groups: 1,
        };
        Patches {
            class: weight("cls_token", Layer::Tokens { count: 1, width }, spec.init),
            positions: weight("position_embeddings", Layer::Tokens { count: count + 1, width }, spec.init),
            weight: weight("patch_embeddings.projection.weight", projection, spec.init),
            bias: weight(
                "patch_embeddings.projection.bias",
                Layer::Vector { len: width },
                Init::Constant(0.0),
            ),
            image: spec.image,
            patch,
            channels: spec.channels,
            width,
            dropout: spec.dropout,
            place: path.to_string(),
        }
    }

    /// The images that it takes.
    pub fn image(&self) -> ImageShape {
        ImageShape { channels: self.channels, size: self.image, tokens: self.tokens() }
    }

    fn tokens(&self) -> usize {
        (self.image / self.patch).pow(2) + 1
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

    /// `(tokens, width)`, and the tape.
    ///
    /// # Errors
    /// [`Error::Input`] for text, or images of another size.
    pub fn forward(
        &self,
        params: &Params,
        input: &Input,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, PatchesTape)> {
        let (images, width, tokens) = (input.images()?, self.width, self.tokens());
        let expected = input.batch() * self.channels * self.image * self.image;
        if images.len() != expected || input.tokens() != input.batch() * tokens {
            let reason = format!(
                "{} images have {} values and {} tokens; expected {expected} values ({} × {} × {}) and {} tokens",
                input.batch(),
                images.len(),
                input.tokens(),
                self.channels,
                self.image,
                self.image,
                input.batch() * tokens
            );
            return Err(Error::Input { reason });
        }
        let mut pixels = pass.buffer(images.len());
        self.gather(images, &mut pixels);
        let patches = input.batch() * (tokens - 1);
        let mut projected = pass.buffer(patches * width);
        let (w, b) = (params.values(self.weight)?, params.values(self.bias)?);
        linear::forward(&pixels, &w, Some(&b), &mut projected);
        let (class, positions) = (params.values(self.class)?, params.values(self.positions)?);
        let mut y = pass.buffer(input.tokens() * width);
        let images = y.chunks_exact_mut(tokens * width).zip(projected.chunks_exact((tokens - 1) * width));
        for (y, projected) in images {
            y.copy_from_slice(&positions);
            add(&mut y[..width], &class);
            add(&mut y[width..], projected);
        }
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut y, width);
        }
        pass.show(&self.place, "", &y, width);
        Ok((y, PatchesTape { pixels }))
    }

    /// Adds the weights' gradients.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        (_, grads): (&Params, &mut Grads),
        mut dy: Buffer,
        tape: &PatchesTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut dy, self.width);
        }
        let (width, tokens) = (self.width, self.tokens());
        let mut dprojected = pass.buffer(input.batch() * (tokens - 1) * width);
        for (dy, dprojected) in
            dy.chunks_exact(tokens * width).zip(dprojected.chunks_exact_mut((tokens - 1) * width))
        {
            if let Some(slot) = grads.slot(self.positions) {
                add(slot, dy);
            }
            if let Some(slot) = grads.slot(self.class) {
                add(slot, &dy[..width]);
            }
            dprojected.copy_from_slice(&dy[width..]);
        }
        let dprojected = GradColumns::all(&dprojected, width);
        if let Some(slot) = grads.slot(self.weight) {
            linear::backward_weight(dprojected, &tape.pixels, slot);
        }
        if let Some(slot) = grads.slot(self.bias) {
            linear::backward_bias(dprojected, slot);
        }
        Ok(())
    }

    /// Its weights.
    pub fn ids(&self) -> [WeightId; 4] {
        [self.class, self.positions, self.weight, self.bias]
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
        let spec = PatchesSpec { image, patch, channels, width, dropout: 0.0, init, path: "embeddings" };
        let stem = Patches::declare(&mut declared, &spec);
        let params = declared.draw(Seed(3)).unwrap();
        let pixels: Vec<f32> =
            (0..batch * channels * image * image).map(|i| (i as f32 * 0.7).sin()).collect();
        let rows: Vec<&[f32]> = pixels.chunks_exact(channels * image * image).collect();
        let input = Input::pack_images(rows, 10).unwrap();
        let pool = Pool::default();
        let (y, _) = stem.forward(&params, &input, &mut Pass::new(&pool, Mode::Eval)).unwrap();

        let x = Tensor::from_vec(pixels, (batch, channels, image, image), &Device::Cpu).unwrap();
        let z = x.conv2d(params.tensor(stem.weight), 0, patch, 1, 1).unwrap();
        // (batch, width, 3, 3) → (batch, 9, width)
        let z = z.flatten_from(2).unwrap().transpose(1, 2).unwrap();
        let z = z.broadcast_add(params.tensor(stem.bias)).unwrap();
        let class = params.tensor(stem.class).broadcast_as((batch, 1, width)).unwrap();
        let expected = Tensor::cat(&[class, z], 1).unwrap();
        let expected = expected.broadcast_add(params.tensor(stem.positions)).unwrap();
        let expected = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        // Sums of 48 products of size one, in another order.
        assert!(y.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5));
    }

    #[test]
    fn text_and_images_of_another_size_are_refused() {
        let mut declared = Declarations::default();
        let init = Init::Normal { std: 1.0 };
        let spec = PatchesSpec { image: 4, patch: 2, channels: 1, width: 3, dropout: 0.0, init, path: "e" };
        let stem = Patches::declare(&mut declared, &spec);
        let params = declared.draw(Seed(3)).unwrap();
        let pool = Pool::default();
        let refused = |input: &Input| {
            stem.forward(&params, input, &mut Pass::new(&pool, Mode::Eval)).err().unwrap().to_string()
        };
        let text = Input::pack([(&[1u32][..], &[0u32][..])]).unwrap();
        assert!(refused(&text).contains("images"));
        let large = Input::pack_images([&[0.0; 25][..]], 5).unwrap();
        assert!(refused(&large).contains("1 × 4 × 4"));
    }
}
