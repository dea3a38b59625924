//! Word, position and segment embeddings, summed and normalized.

use crate::layers::LayerNorm;
use crate::{Declarations, Error, Grads, Input, Origin, Params, Pass, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::{Buffer, embedding};

/// Sizes and names.
pub struct EmbeddingsSpec<'a> {
    /// Rows of the word table.
    pub vocabulary: usize,
    /// Rows of the position table.
    pub positions: usize,
    /// Rows of the segment table.
    pub types: usize,
    /// Width of all tables.
    pub width: usize,
    /// ε of the norm.
    pub norm_eps: f64,
    /// Dropout after the norm.
    pub dropout: f64,
    /// How new tables are drawn.
    pub init: Init,
    /// Path of the whole.
    pub path: &'a str,
}

/// `dropout(LN(word[id] + position[p] + type[t]))`.
pub struct Embeddings {
    tables: [(WeightId, usize, &'static str); 3],
    norm: LayerNorm,
    width: usize,
    dropout: f64,
    place: String,
}

/// What the backward pass needs.
pub struct EmbeddingsTape {
    sum: Buffer,
    stats: Buffer,
}

impl Embeddings {
    /// Declares the three tables and the norm by BERT's names.
    pub fn declare(declared: &mut Declarations, spec: &EmbeddingsSpec<'_>) -> Self {
        let (path, width) = (spec.path, spec.width);
        let mut table = |name: &str, count: usize, what: &'static str| {
            let layer = Layer::Embedding { count, width };
            let name = format!("{path}.{name}.weight");
            (declared.weight(name, layer, spec.init, Origin::Checkpoint), count, what)
        };
        let tables = [
            table("word_embeddings", spec.vocabulary, "vocabulary"),
            table("position_embeddings", spec.positions, "position table"),
            table("token_type_embeddings", spec.types, "segment table"),
        ];
        Embeddings {
            tables,
            norm: LayerNorm::declare(
                declared,
                &format!("{path}.LayerNorm"),
                width,
                spec.norm_eps,
                Origin::Checkpoint,
            ),
            width,
            dropout: spec.dropout,
            place: path.to_string(),
        }
    }

    fn indices(input: &Input) -> Result<[&[u32]; 3]> {
        let tokens = input.words()?;
        Ok([&tokens.ids, &tokens.positions, &tokens.type_ids])
    }

    /// `(tokens, width)`, and the tape.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an id, a position or a segment beyond its table; [`Error::Input`] for images.
    pub fn forward(
        &self,
        params: &Params,
        input: &Input,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, EmbeddingsTape)> {
        let mut sum = pass.buffer(input.tokens() * self.width);
        for (turn, ((id, count, what), indices)) in self.tables.iter().zip(Self::indices(input)?).enumerate()
        {
            if let Some(&wrong) = indices.iter().find(|&&i| i as usize >= *count) {
                return Err(Error::TokenId { id: wrong, what, count: *count });
            }
            embedding::forward(indices, &params.values(*id)?, self.width, &mut sum, turn > 0);
        }
        let (mut y, stats) = self.norm.forward(params, &sum, pass.pool)?;
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut y, self.width);
        }
        pass.show(&self.place, "", &y, self.width);
        Ok((y, EmbeddingsTape { sum, stats }))
    }

    /// Adds the tables' gradients.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        mut dy: Buffer,
        tape: &EmbeddingsTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut dy, self.width);
        }
        let dsum = self.norm.backward(params, grads, &dy, (&tape.sum, &tape.stats), pass.pool)?;
        for ((id, _, _), indices) in self.tables.iter().zip(Self::indices(input)?) {
            if let Some(slot) = grads.slot(*id) {
                embedding::backward(indices, &dsum, self.width, slot);
            }
        }
        Ok(())
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        self.tables.iter().map(|t| t.0).chain(self.norm.ids())
    }
}
