//! What turns an input into the tokens of the stream: words or the patches of an image.

use crate::layers::{Embeddings, EmbeddingsSpec, EmbeddingsTape, ImageTokens, ImageTokensSpec, PatchesTape};
use crate::{Declarations, Grads, Input, Params, Pass, Result, WeightId};
use xexp_kernels::Buffer;

/// Which stem, with its sizes and names.
pub enum StemSpec<'a> {
    /// Word, position and segment embeddings.
    Words(EmbeddingsSpec<'a>),
    /// Patches of an image behind learned tokens.
    Image(ImageTokensSpec<'a>),
}

/// The stem of an encoder.
pub enum Stem {
    /// Of a text encoder.
    Words(Embeddings),
    /// Of an image encoder.
    Image(ImageTokens),
}

/// What the backward pass needs.
pub enum StemTape {
    /// Of words.
    Words(EmbeddingsTape),
    /// Of an image.
    Image(PatchesTape),
}

impl Stem {
    /// Declares the weights.
    pub fn declare(declared: &mut Declarations, spec: &StemSpec<'_>) -> Self {
        match spec {
            StemSpec::Words(spec) => Stem::Words(Embeddings::declare(declared, spec)),
            StemSpec::Image(spec) => Stem::Image(ImageTokens::declare(declared, spec)),
        }
    }

    /// `(tokens, width)`, and the tape.
    ///
    /// # Errors
    /// An input of another kind, or beyond the tables.
    pub fn forward(&self, params: &Params, input: &Input, pass: &mut Pass<'_>) -> Result<(Buffer, StemTape)> {
        match self {
            Stem::Words(stem) => {
                let (y, tape) = stem.forward(params, input, pass)?;
                Ok((y, StemTape::Words(tape)))
            }
            Stem::Image(stem) => {
                let (y, tape) = stem.forward(params, input, pass)?;
                Ok((y, StemTape::Image(tape)))
            }
        }
    }

    /// Adds the weights' gradients.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        dy: Buffer,
        tape: &StemTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        match (self, tape) {
            (Stem::Words(stem), StemTape::Words(tape)) => stem.backward(params, grads, dy, tape, input, pass),
            (Stem::Image(stem), StemTape::Image(tape)) => {
                stem.backward(grads, dy, tape, pass);
                Ok(())
            }
            // A tape comes from the forward pass of the very same stem.
            _ => Ok(()),
        }
    }

    /// Names it.
    pub fn place(&self) -> &str {
        match self {
            Stem::Words(stem) => stem.place(),
            Stem::Image(stem) => stem.place(),
        }
    }

    /// Most tokens of a sequence; `None` where no table bounds them.
    pub fn longest(&self) -> Option<usize> {
        match self {
            Stem::Words(stem) => stem.longest(),
            Stem::Image(_) => None,
        }
    }

    /// Its weights.
    pub fn ids(&self) -> Vec<WeightId> {
        match self {
            Stem::Words(stem) => stem.ids().collect(),
            Stem::Image(stem) => stem.ids(),
        }
    }
}
