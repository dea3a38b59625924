//! Word, position and segment embeddings, summed and normalized.

use crate::layers::LayerNorm;
use crate::{Declarations, Error, Grads, Input, Origin, Params, Pass, Result, WeightId};
use std::borrow::Cow;
use xexp_init::{Init, Layer};
use xexp_kernels::{Buffer, embedding};

/// Sizes and names.
pub struct EmbeddingsSpec<'a> {
    /// Rows of the word table.
    pub vocabulary: usize,
    /// The position table; `None` for a model that knows places by its attention alone.
    pub positions: Option<Positions>,
    /// Rows of the segment table, 0 where there is none.
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

/// A table of positions.
#[derive(Clone, Copy, Debug)]
pub struct Positions {
    /// Its rows.
    pub rows: usize,
    /// The row of a sequence's first token where places are counted over the tokens that are there, as fairseq has it:
    /// one beyond the padding's id. `None` where the row is the input's position.
    pub first: Option<usize>,
}

impl Positions {
    /// Rows from 0 on.
    pub fn absolute(rows: usize) -> Self {
        Positions { rows, first: None }
    }

    /// Most tokens of a sequence.
    fn longest(self) -> usize {
        self.rows.saturating_sub(self.first.unwrap_or(0))
    }
}

/// Which row of a table a token has.
#[derive(Clone, Copy)]
enum Row {
    Word,
    Position,
    /// This one at a sequence's first token, and one more at each that follows.
    PlaceFrom(usize),
    Segment,
}

struct Table {
    id: WeightId,
    count: usize,
    what: &'static str,
    row: Row,
}

/// `dropout(LN(word[id] + position[p] + type[t]))`.
pub struct Embeddings {
    tables: Vec<Table>,
    longest: Option<usize>,
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

impl Table {
    /// The row of each token.
    fn rows<'a>(&self, input: &'a Input) -> Result<Cow<'a, [u32]>> {
        let words = input.words()?;
        Ok(match self.row {
            Row::Word => Cow::Borrowed(&words.ids),
            Row::Position => Cow::Borrowed(&words.positions),
            Row::Segment => Cow::Borrowed(&words.type_ids),
            Row::PlaceFrom(first) => {
                let rows =
                    |range: &[usize]| (0..range[1] - range[0]).map(move |place| (first + place) as u32);
                Cow::Owned(input.offsets.windows(2).flat_map(rows).collect())
            }
        })
    }
}

impl Embeddings {
    /// Names it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Declares the tables and the norm by BERT's names.
    pub fn declare(declared: &mut Declarations, spec: &EmbeddingsSpec<'_>) -> Self {
        let (path, width) = (spec.path, spec.width);
        let mut table = |name: &str, count: usize, what: &'static str, row: Row| {
            let layer = Layer::Embedding { count, width };
            let name = format!("{path}.{name}.weight");
            Table { id: declared.weight(name, layer, spec.init, Origin::Checkpoint), count, what, row }
        };
        let mut tables = vec![table("word_embeddings", spec.vocabulary, "vocabulary", Row::Word)];
        if let Some(Positions { rows, first }) = spec.positions {
            let row = first.map_or(Row::Position, Row::PlaceFrom);
            tables.push(table("position_embeddings", rows, "position table", row));
        }
        if spec.types > 0 {
            tables.push(table("token_type_embeddings", spec.types, "segment table", Row::Segment));
        }
        Embeddings {
            tables,
            longest: spec.positions.map(Positions::longest),
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

    /// Most tokens of a sequence; `None` where no table bounds them.
    pub fn longest(&self) -> Option<usize> {
        self.longest
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
        for (turn, table) in self.tables.iter().enumerate() {
            let rows = table.rows(input)?;
            if let Some(&wrong) = rows.iter().find(|&&row| row as usize >= table.count) {
                return Err(Error::TokenId { id: wrong, what: table.what, count: table.count });
            }
            embedding::forward(&rows, &params.values(table.id)?, self.width, &mut sum, turn > 0);
        }
        let (mut y, stats) = self.norm.forward(params, &sum, pass.pool)?;
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut y, self.width);
        }
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
        for table in &self.tables {
            let rows = table.rows(input)?;
            if let Some(slot) = grads.rows(table.id, &rows) {
                embedding::backward(&rows, &dsum, self.width, slot);
            }
        }
        Ok(())
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        self.tables.iter().map(|table| table.id).chain(self.norm.ids())
    }
}
