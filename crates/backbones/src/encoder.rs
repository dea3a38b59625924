//! An encoder: a stem that makes tokens, blocks, and a top that makes a sequence's features.

use crate::layers::{
    Block, BlockNames, BlockSpec, BlockTape, ImageShape, Stem, StemSpec, StemTape, Top, TopSpec, TopTape,
};
use crate::{Declarations, Grads, Input, Params, Pass, Result};
use std::sync::Arc;
use xexp_kernels::{Buffer, Pool, add};

/// Sizes and names of an encoder.
pub struct EncoderSpec<'a> {
    /// What turns the input into tokens.
    pub stem: StemSpec<'a>,
    /// Number of blocks.
    pub blocks: usize,
    /// What a block is.
    pub block: BlockSpec,
    /// A block's path follows by appending its number.
    pub block_path: &'a str,
    /// Names inside a block.
    pub block_names: BlockNames,
    /// What turns a sequence's first token into its features; `None` for a model that is read by its hidden
    /// states alone.
    pub top: Option<TopSpec<'a>>,
}

/// Stem, blocks and top.
pub struct Encoder {
    stem: Stem,
    blocks: Vec<Block>,
    top: Option<Top>,
    width: usize,
}

/// What a forward pass gives.
pub struct Encoded {
    /// Hidden states after the last block, `(tokens, width)`.
    pub hidden: Arc<Buffer>,
    /// Features of the sequences, `(batch, width)`; empty without a top.
    pub features: Buffer,
    /// What the backward pass needs; `None` after a pass that does not train.
    pub tape: Option<EncoderTape>,
}

/// What the backward pass needs: nothing below the lowest trainable layer.
pub struct EncoderTape {
    stem: Option<StemTape>,
    /// Tapes of the topmost blocks, lowest first.
    blocks: Vec<BlockTape>,
    top: Option<TopTape>,
}

/// The gradients that come from above.
#[derive(Default)]
pub struct EncoderGradient {
    /// Of the features, `(batch, width)`.
    pub features: Option<Buffer>,
    /// Of the hidden states, `(tokens, width)`.
    pub hidden: Option<Buffer>,
}

impl Encoder {
    /// Declares all weights.
    pub fn declare(declared: &mut Declarations, spec: &EncoderSpec<'_>) -> Self {
        let width = spec.block.width;
        let stem = Stem::declare(declared, &spec.stem);
        let block = |i: usize| format!("{}.{i}", spec.block_path);
        let blocks = (0..spec.blocks)
            .map(|i| Block::declare(declared, &block(i), &spec.block_names, &spec.block))
            .collect();
        let top = spec.top.as_ref().map(|top| Top::declare(declared, top, width, spec.block.init));
        Encoder { stem, blocks, top, width }
    }

    /// Width of hidden states and features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The images that it takes; `None` for a text encoder.
    pub fn image(&self) -> Option<ImageShape> {
        match &self.stem {
            Stem::Words(_) => None,
            Stem::Patches(stem) => Some(stem.image()),
        }
    }

    /// Hidden states and features of a batch.
    ///
    /// # Errors
    /// An input of another kind than the stem takes, or beyond its tables.
    pub fn forward(&self, params: &Params, input: &Input, pass: &mut Pass<'_>) -> Result<Encoded> {
        let lowest = if pass.trains() { self.lowest_trainable(params) } else { usize::MAX };
        let (x, stem) = self.stem.forward(params, input, pass)?;
        let stem = (lowest == 0).then_some(stem);
        let mut hidden = Arc::new(x);
        let mut blocks = vec![];
        for (i, block) in self.blocks.iter().enumerate() {
            let (y, tape) = block.forward(params, &hidden, input, pass)?;
            if i + 1 >= lowest {
                blocks.push(tape);
            }
            hidden = y;
        }
        let (features, top) = match &self.top {
            Some(top) => {
                let (features, tape) = top.forward(params, &hidden, input, pass)?;
                (features, Some(tape))
            }
            None => (pass.buffer(0), None),
        };
        let tape = pass.trains().then_some(EncoderTape { stem, blocks, top });
        Ok(Encoded { hidden, features, tape })
    }

    /// Adds the gradients of all trainable weights, from those of the features, the hidden states, or both.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        above: EncoderGradient,
        tape: EncoderTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let descend = self.lowest_trainable(params) <= self.blocks.len();
        let mut below = above.hidden;
        if let (Some(top), Some(saved), Some(dfeatures)) = (&self.top, tape.top, above.features) {
            let dfirst = top.backward((params, grads), dfeatures, &saved, descend, pass)?;
            if let Some(dfirst) = dfirst {
                below = Some(spread(&dfirst, input, self.width, below, pass.pool));
            }
        }
        let (true, Some(mut dx)) = (descend, below) else { return Ok(()) };
        let skipped = self.blocks.len() - tape.blocks.len();
        for (block, saved) in self.blocks[skipped..].iter().zip(tape.blocks).rev() {
            dx = block.backward((params, grads), dx, saved, input, pass)?;
        }
        if let Some(saved) = &tape.stem {
            self.stem.backward((params, grads), dx, saved, input, pass)?;
        }
        Ok(())
    }

    /// 0 for the stem, `i + 1` for block `i`, one more than the last for the top, and beyond that when the whole
    /// encoder is frozen.
    fn lowest_trainable(&self, params: &Params) -> usize {
        if params.any_trainable(self.stem.ids()) {
            return 0;
        }
        let block = self.blocks.iter().position(|b| params.any_trainable(b.ids()));
        block.map_or(self.blocks.len() + 1, |i| i + 1)
    }
}

/// The gradient of the first tokens as one of all tokens, zero elsewhere, added to what is there.
fn spread(dfirst: &[f32], input: &Input, width: usize, below: Option<Buffer>, pool: &Pool) -> Buffer {
    let mut dx = below.unwrap_or_else(|| pool.zeros(input.tokens() * width));
    for (row, &start) in dfirst.chunks_exact(width).zip(&input.offsets) {
        add(&mut dx[start * width..(start + 1) * width], row);
    }
    dx
}
