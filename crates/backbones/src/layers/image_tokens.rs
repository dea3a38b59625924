//! The tokens of an image: learned ones in front of its patches, and learned positions.

use crate::checkpoint::{PositionTable, Resampling};
use crate::layers::{ImageShape, Patches, PatchesSpec, PatchesTape};
use crate::{Declarations, Error, Grads, Input, Origin, Params, Pass, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::{Buffer, add};

/// Sizes and names.
pub struct ImageTokensSpec<'a> {
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
    /// Names of the tokens in front, each of which has a position: the class token, the distillation token.
    pub front: &'a [&'a str],
    /// Register tokens behind them, which have no position. Source: Darcet et al. 2024.
    pub registers: usize,
    /// The table of positions, if there is one, and how it becomes that of another image size.
    pub positions: Option<Resampling>,
    /// Path of the whole.
    pub path: &'a str,
}

/// `dropout([front + position; registers; patches + position])`. Source: Dosovitskiy et al. 2021, eq. 1.
pub struct ImageTokens {
    patches: Patches,
    front: Vec<WeightId>,
    registers: Option<(WeightId, usize)>,
    positions: Option<WeightId>,
    dropout: f64,
    place: String,
}

impl ImageTokens {
    /// Declares the weights by ViT's names.
    pub fn declare(declared: &mut Declarations, spec: &ImageTokensSpec<'_>) -> Self {
        let (width, path) = (spec.width, spec.path);
        let mut tokens = |name: &str, count| {
            let layer = Layer::Tokens { count, width };
            declared.weight(format!("{path}.{name}"), layer, spec.init, Origin::Checkpoint)
        };
        let count = (spec.image / spec.patch).pow(2);
        let front: Vec<WeightId> = spec.front.iter().map(|name| tokens(name, 1)).collect();
        let positions = spec.positions.map(|_| tokens("position_embeddings", front.len() + count));
        let registers =
            (spec.registers > 0).then(|| (tokens("register_tokens", spec.registers), spec.registers));
        if let (Some(weight), Some(resampling)) = (positions, spec.positions) {
            declared.positions(weight, PositionTable { front: front.len(), behind: 0, resampling });
        }
        let projection = PatchesSpec {
            image: spec.image,
            patch: spec.patch,
            channels: spec.channels,
            width,
            init: spec.init,
            path: &format!("{path}.patch_embeddings.projection"),
        };
        let patches = Patches::declare(declared, &projection);
        ImageTokens { patches, front, registers, positions, dropout: spec.dropout, place: path.to_string() }
    }

    /// Names it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The images that it takes.
    pub fn image(&self) -> ImageShape {
        let patches = self.patches.image();
        ImageShape { tokens: self.before() + patches.tokens, ..patches }
    }

    /// Patches along an edge.
    pub fn side(&self) -> usize {
        self.patches.side()
    }

    /// Tokens in front of the patches.
    pub fn before(&self) -> usize {
        self.front.len() + self.registers.map_or(0, |(_, count)| count)
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
        let (projected, tape) = self.patches.forward(params, input, pass)?;
        let (width, tokens) = (self.patches.width(), self.image().tokens);
        if input.tokens() != input.batch() * tokens {
            let reason =
                format!("{} images have {} tokens; expected {tokens} each", input.batch(), input.tokens());
            return Err(Error::Input { reason });
        }
        let (front, before) = (self.front.len() * width, self.before() * width);
        // What is the same for all images.
        let mut common = vec![0.0; tokens * width];
        for (row, &token) in common.chunks_exact_mut(width).zip(&self.front) {
            row.copy_from_slice(&params.values(token)?);
        }
        if let Some((registers, _)) = self.registers {
            common[front..before].copy_from_slice(&params.values(registers)?);
        }
        if let Some(positions) = self.positions {
            let positions = params.values(positions)?;
            add(&mut common[..front], &positions[..front]);
            add(&mut common[before..], &positions[front..]);
        }
        let mut y = pass.buffer(input.tokens() * width);
        let images = y.chunks_exact_mut(tokens * width).zip(projected.chunks_exact(tokens * width - before));
        for (y, projected) in images {
            y.copy_from_slice(&common);
            add(&mut y[before..], projected);
        }
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut y, width);
        }
        Ok((y, tape))
    }

    /// Adds the weights' gradients.
    pub fn backward(&self, grads: &mut Grads, mut dy: Buffer, tape: &PatchesTape, pass: &Pass<'_>) {
        let (width, tokens) = (self.patches.width(), self.image().tokens);
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut dy, width);
        }
        let (front, before) = (self.front.len() * width, self.before() * width);
        let patches = tokens * width - before;
        let mut dprojected = pass.buffer(dy.len() / (tokens * width) * patches);
        for (dy, dprojected) in dy.chunks_exact(tokens * width).zip(dprojected.chunks_exact_mut(patches)) {
            for (&token, dy) in self.front.iter().zip(dy.chunks_exact(width)) {
                if let Some(slot) = grads.slot(token) {
                    add(slot, dy);
                }
            }
            if let Some(slot) = self.registers.and_then(|(registers, _)| grads.slot(registers)) {
                add(slot, &dy[front..before]);
            }
            if let Some(slot) = self.positions.and_then(|positions| grads.slot(positions)) {
                add(&mut slot[..front], &dy[..front]);
                add(&mut slot[front..], &dy[before..]);
            }
            dprojected.copy_from_slice(&dy[before..]);
        }
        self.patches.backward(grads, &dprojected, tape);
    }

    /// Its weights.
    pub fn ids(&self) -> Vec<WeightId> {
        let registers = self.registers.map(|(registers, _)| registers);
        let more = registers.into_iter().chain(self.positions).chain(self.patches.ids());
        self.front.iter().copied().chain(more).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Seed};
    use xexp_kernels::Pool;

    fn stem(registers: usize) -> (ImageTokens, Params) {
        let mut declared = Declarations::default();
        let spec = ImageTokensSpec {
            image: 4,
            patch: 2,
            channels: 1,
            width: 3,
            dropout: 0.0,
            init: Init::Normal { std: 1.0 },
            front: &["cls_token", "distillation_token"],
            registers,
            positions: Some(Resampling::Bicubic),
            path: "e",
        };
        let stem = ImageTokens::declare(&mut declared, &spec);
        (stem, declared.draw(Seed(3)).unwrap())
    }

    #[test]
    fn registers_have_no_position_and_every_image_has_the_same_tokens_in_front() {
        let (stem, params) = stem(2);
        let of = |name: &str| params.values(params.find(&format!("e.{name}")).unwrap().0).unwrap().to_vec();
        let input = Input::pack_images([&[0.0; 16][..], &[0.0; 16][..]], 8).unwrap();
        let pool = Pool::default();
        let (y, _) = stem.forward(&params, &input, &mut Pass::new(&pool, Mode::Eval)).unwrap();
        let positions = of("position_embeddings");
        // Images of zeros, and a bias that is zero when new: a patch is its position.
        let sum = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a + b).collect::<Vec<f32>>();
        let front = sum(&[of("cls_token"), of("distillation_token")].concat(), &positions[..6]);
        let image = [front, of("register_tokens"), positions[6..].to_vec()].concat();
        assert_eq!(y[..], [image.clone(), image].concat());
    }

    #[test]
    fn text_and_images_of_another_size_are_refused() {
        let (stem, params) = stem(0);
        let pool = Pool::default();
        let refused = |input: &Input| {
            stem.forward(&params, input, &mut Pass::new(&pool, Mode::Eval)).err().unwrap().to_string()
        };
        let text = Input::pack([(&[1u32][..], &[0u32][..])]).unwrap();
        assert!(refused(&text).contains("images"));
        let large = Input::pack_images([&[0.0; 25][..]], 6).unwrap();
        assert!(refused(&large).contains("1 × 4 × 4"));
        let short = Input::pack_images([&[0.0; 16][..]], 5).unwrap();
        assert!(refused(&short).contains("expected 6 each"));
    }
}
