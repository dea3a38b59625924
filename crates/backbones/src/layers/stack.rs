//! A stack of transformer blocks between a stem and a top.

use crate::encoder::{Network, Outputs};
use crate::graph::{Graph, Var};
use crate::layers::{Block, BlockNames, BlockSpec, ImageShape, Linear, Stem, StemSpec, Top, TopSpec};
use crate::{Declarations, Result};
use std::sync::Arc;
use xexp_kernels::attention::Queries;

/// Sizes and names of a stack.
pub struct StackSpec<'a> {
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
pub struct Stack {
    /// What turns the input into tokens.
    pub stem: Arc<Stem>,
    /// From the stem's width to that of the blocks, where they differ.
    pub projection: Option<Linear>,
    /// The blocks, each applied once.
    pub blocks: Vec<Arc<Block>>,
    /// What turns a sequence's first token into its features.
    pub top: Option<Arc<Top>>,
    /// Width of the blocks.
    pub width: usize,
}

impl Stack {
    /// Declares all weights.
    pub fn declare(declared: &mut Declarations, spec: &StackSpec<'_>) -> Self {
        let width = spec.block.width;
        let stem = Arc::new(Stem::declare(declared, &spec.stem));
        let block = |i: usize| format!("{}.{i}", spec.block_path);
        let blocks = (0..spec.blocks)
            .map(|i| Arc::new(Block::declare(declared, &block(i), &spec.block_names, &spec.block)))
            .collect();
        let top = spec.top.as_ref().map(|top| Arc::new(Top::declare(declared, top, width, spec.block.init)));
        Stack { stem, projection: None, blocks, top, width }
    }
}

impl Stack {
    /// What the first block is given, `(tokens, width)`.
    fn tokens(&self, graph: &mut Graph<'_, '_>) -> Result<Var> {
        let width = self.projection.map_or(self.width, |projection| projection.input);
        let tokens = graph.stem(&self.stem, width)?;
        self.projection.as_ref().map_or(Ok(tokens.clone()), |projection| graph.linear(projection, &tokens))
    }
}

impl Network for Stack {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let mut hidden = self.tokens(graph)?;
        graph.enter(self.stem.place(), &hidden);
        for block in &self.blocks {
            hidden = graph.block(block, &hidden, Queries::All)?;
        }
        let Some(top) = &self.top else { return Ok(Outputs { hidden, features: None }) };
        let first = graph.first_tokens(&hidden);
        let features = Some(graph.top(top, &first)?);
        Ok(Outputs { hidden, features })
    }

    fn features(&self, graph: &mut Graph<'_, '_>) -> Result<Option<Var>> {
        let (Some(top), Some((last, blocks)), false) =
            (&self.top, self.blocks.split_last(), graph.pass.tap.is_some())
        else {
            return Ok(self.forward(graph)?.features);
        };
        let mut hidden = self.tokens(graph)?;
        for block in blocks {
            hidden = graph.block(block, &hidden, Queries::All)?;
        }
        // Nobody reads the other tokens after the last block: it is spared their queries and their feed-forward layer.
        let first = graph.block(last, &hidden, Queries::First)?;
        graph.top(top, &first).map(Some)
    }

    fn width(&self) -> usize {
        self.width
    }

    fn longest(&self) -> Option<usize> {
        self.stem.longest()
    }

    fn image(&self) -> Option<ImageShape> {
        match &*self.stem {
            Stem::Words(_) => None,
            Stem::Image(stem) => Some(stem.image()),
        }
    }
}
