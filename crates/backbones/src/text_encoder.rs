//! A text encoder: embeddings, blocks, pooler.

use crate::layers::{
    Block, BlockNames, BlockSpec, BlockTape, Embeddings, EmbeddingsSpec, EmbeddingsTape, Linear,
};
use crate::{Declarations, Grads, Input, Origin, Params, Pass, Result};
use std::sync::Arc;
use xexp_kernels::linear::GradColumns;
use xexp_kernels::{Activation, Buffer, Pool};

/// Sizes and names of an encoder.
pub struct EncoderSpec<'a> {
    /// The tables at the bottom.
    pub embeddings: EmbeddingsSpec<'a>,
    /// Number of blocks.
    pub blocks: usize,
    /// What a block is.
    pub block: BlockSpec,
    /// A block's path follows by appending its number.
    pub block_path: &'a str,
    /// Names inside a block.
    pub block_names: BlockNames,
    /// Path of the pooler's dense layer.
    pub pooler_path: &'a str,
    /// Longest sequence.
    pub max_length: usize,
}

/// Embeddings, blocks, and `tanh(dense(first token))`, the features of a sequence.
pub struct TextEncoder {
    embeddings: Embeddings,
    blocks: Vec<Block>,
    pooler: Linear,
    width: usize,
    max_length: usize,
}

/// What a forward pass gives.
pub struct Encoded {
    /// Last hidden states, `(tokens, width)`.
    pub hidden: Arc<Buffer>,
    /// Features of the sequences, `(batch, width)`.
    pub features: Buffer,
    /// What the backward pass needs; `None` after a pass that does not train.
    pub tape: Option<EncoderTape>,
}

/// What the backward pass needs: nothing below the lowest trainable layer.
pub struct EncoderTape {
    embeddings: Option<EmbeddingsTape>,
    /// Tapes of the topmost blocks, lowest first.
    blocks: Vec<BlockTape>,
    first: Buffer,
    pooled: Buffer,
    tokens: usize,
}

impl TextEncoder {
    /// Declares all weights.
    pub fn declare(declared: &mut Declarations, spec: &EncoderSpec<'_>) -> Self {
        let width = spec.embeddings.width;
        let embeddings = Embeddings::declare(declared, &spec.embeddings);
        let block = |i: usize| format!("{}.{i}", spec.block_path);
        let blocks = (0..spec.blocks)
            .map(|i| Block::declare(declared, &block(i), &spec.block_names, &spec.block))
            .collect();
        // Ports that were pretrained without a sentence task leave the pooler out.
        let (init, origin) = (spec.block.init, Origin::CheckpointOrNew);
        let pooler = Linear::declare(declared, spec.pooler_path, (width, width), init, origin);
        TextEncoder { embeddings, blocks, pooler, width, max_length: spec.max_length }
    }

    /// Width of the features.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Longest sequence that the position table holds.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Hidden states and features of a batch.
    ///
    /// # Errors
    /// An id, a position or a segment beyond its table.
    pub fn forward(&self, params: &Params, input: &Input, pass: &mut Pass<'_>) -> Result<Encoded> {
        let lowest = if pass.trains() { self.lowest_trainable(params) } else { usize::MAX };
        let (x, embeddings) = self.embeddings.forward(params, input, pass)?;
        let embeddings = (lowest == 0).then_some(embeddings);
        let mut hidden = Arc::new(x);
        let mut blocks = vec![];
        for (i, block) in self.blocks.iter().enumerate() {
            let (y, tape) = block.forward(params, &hidden, input, pass)?;
            if i + 1 >= lowest {
                blocks.push(tape);
            }
            hidden = y;
        }
        let width = self.width;
        let mut first = pass.buffer(input.batch() * width);
        for (row, &start) in first.chunks_exact_mut(width).zip(&input.offsets) {
            row.copy_from_slice(&hidden[start * width..(start + 1) * width]);
        }
        let mut pooled = pass.buffer(first.len());
        self.pooler.forward(params, &first, &mut pooled)?;
        let mut features = pass.buffer(first.len());
        Activation::Tanh.forward(&pooled, &mut features);
        pass.show("pooler", "", &features, width);
        let tape =
            pass.trains().then(|| EncoderTape { embeddings, blocks, first, pooled, tokens: input.tokens() });
        Ok(Encoded { hidden, features, tape })
    }

    /// Adds the gradients of all trainable weights, from the gradient of the features.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        mut dfeatures: Buffer,
        tape: EncoderTape,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        Activation::Tanh.backward(&tape.pooled, &mut dfeatures);
        let width = self.width;
        let descend = self.lowest_trainable(params) <= self.blocks.len();
        let mut dfirst = pass.buffer(dfeatures.len());
        let dpooled = GradColumns::all(&dfeatures, width);
        let wanted = descend.then_some((&mut dfirst[..], false));
        self.pooler.backward(params, grads, &tape.first, dpooled, wanted)?;
        if !descend {
            return Ok(());
        }
        let mut dx = spread(&dfirst, &input.offsets, tape.tokens, width, pass.pool);
        drop(dfirst);
        let skipped = self.blocks.len() - tape.blocks.len();
        for (block, saved) in self.blocks[skipped..].iter().zip(tape.blocks).rev() {
            dx = block.backward((params, grads), dx, saved, input, pass)?;
        }
        if let Some(saved) = &tape.embeddings {
            self.embeddings.backward(params, grads, dx, saved, input, pass)?;
        }
        Ok(())
    }

    /// 0 for the embeddings, `i + 1` for block `i`, one more than the last for the pooler, and beyond that when
    /// the whole encoder is frozen.
    fn lowest_trainable(&self, params: &Params) -> usize {
        if params.any_trainable(self.embeddings.ids()) {
            return 0;
        }
        let block = self.blocks.iter().position(|b| params.any_trainable(b.ids()));
        block.map_or(self.blocks.len() + 1, |i| i + 1)
    }
}

/// The gradient of the first tokens as one of all tokens, zero elsewhere.
fn spread(dfirst: &[f32], offsets: &[usize], tokens: usize, width: usize, pool: &Pool) -> Buffer {
    let mut dx = pool.zeros(tokens * width);
    for (row, &start) in dfirst.chunks_exact(width).zip(offsets) {
        dx[start * width..(start + 1) * width].copy_from_slice(row);
    }
    dx
}
