//! DeBERTa's network: blocks with disentangled attention over a table of distances that they share.

use super::distances::Scale;
use crate::graph::{DisentangledSpec, Graph, Var};
use crate::layers::{LayerNorm, Linear, PostBlock, Stem, Top};
use crate::{Network, Outputs, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::Activation;
use xexp_kernels::disentangled::Disentangled;

/// Vectors of distances.
pub struct DistanceTable {
    /// `(2 · span, width)`.
    pub table: WeightId,
    /// The norm that they go through, if any.
    pub norm: Option<LayerNorm>,
    /// Which row a distance has.
    pub scale: Scale,
}

/// A block, and what makes keys and queries of the distances: one for each term that the model has.
pub struct DebertaBlock {
    /// The block.
    pub block: PostBlock,
    /// For content against distance.
    pub keys: Option<Linear>,
    /// For distance against content.
    pub queries: Option<Linear>,
}

/// `LN(y + φ(dropout(conv(x))))`, `x` the input of the first block and `y` its output.
pub struct Convolution {
    /// Weight `(width, width, taps)` as a dense layer of unfolded rows.
    pub dense: Linear,
    /// Its taps, an odd number.
    pub taps: usize,
    /// `φ`.
    pub activation: Activation,
    /// The norm.
    pub norm: LayerNorm,
}

/// The whole network.
pub struct Deberta {
    /// Words, and places where the input has them.
    pub stem: Arc<Stem>,
    /// The blocks.
    pub blocks: Vec<DebertaBlock>,
    /// Vectors of distances, where attention is relative.
    pub distances: Option<DistanceTable>,
    /// Beside the first block, where the model has it.
    pub convolution: Option<Convolution>,
    /// Heads and scale.
    pub law: Disentangled,
    /// Probability of dropping an attention weight.
    pub attention_dropout: f64,
    /// Probability of dropping a value elsewhere.
    pub dropout: f64,
    /// The head's first layer.
    pub top: Option<Arc<Top>>,
    /// Width of the hidden states.
    pub width: usize,
}

impl Deberta {
    /// The vectors of distances, `(2 · span, width)`.
    fn vectors(&self, graph: &mut Graph<'_, '_>, distances: &DistanceTable) -> Result<Var> {
        let rows: Vec<u32> = (0..2 * distances.scale.span as u32).collect();
        let vectors = graph.lookup(distances.table, self.width, &rows, "distances")?;
        match &distances.norm {
            Some(norm) => graph.layer_norm(norm, &vectors),
            None => Ok(vectors),
        }
    }

    /// A block's output.
    fn block(
        &self,
        graph: &mut Graph<'_, '_>,
        block: &DebertaBlock,
        x: &Var,
        vectors: Option<&Var>,
        spec: &DisentangledSpec<'_>,
        offsets: &Arc<Vec<usize>>,
    ) -> Result<Var> {
        let [q, k, v] = block.block.projections(graph, x)?;
        let dropped =
            vectors.map(|vectors| graph.dropout(&format!("{}.distances", spec.place), self.dropout, vectors));
        let mut projected = |layer: &Option<Linear>| match (layer, &dropped) {
            (Some(layer), Some(vectors)) => graph.linear(layer, vectors).map(Some),
            _ => Ok(None),
        };
        let (keys, queries) = (projected(&block.keys)?, projected(&block.queries)?);
        let tables = (keys.as_ref(), queries.as_ref());
        let context = graph.disentangled_attention(spec, [&q, &k, &v], tables, offsets);
        block.block.after(graph, x, &context)
    }

    fn convolve(
        &self,
        graph: &mut Graph<'_, '_>,
        convolution: &Convolution,
        (x, y): (&Var, &Var),
        offsets: &Arc<Vec<usize>>,
    ) -> Result<Var> {
        let unfolded = graph.unfold(x, convolution.taps, offsets);
        let branch = graph.linear(&convolution.dense, &unfolded)?;
        let branch = graph.dropout("deberta.encoder.conv", self.dropout, &branch);
        let branch = graph.activation(convolution.activation, &branch);
        let sum = graph.add(y, &branch);
        graph.layer_norm(&convolution.norm, &sum)
    }
}

impl Network for Deberta {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let mut hidden = graph.stem(&self.stem, self.width)?;
        graph.enter(self.stem.place(), &hidden);
        let offsets = Arc::new(graph.input.offsets.clone());
        let longest = offsets.windows(2).map(|range| range[1] - range[0]).max().unwrap_or(0);
        let vectors = self.distances.as_ref().map(|table| self.vectors(graph, table)).transpose()?;
        let alone = Scale { span: longest, farthest: longest, logarithmic: false };
        let scale = self.distances.as_ref().map_or(alone, |table| table.scale);
        let distances = Arc::new(scale.distances(longest));
        for (i, block) in self.blocks.iter().enumerate() {
            let place = block.block.attention_place();
            let spec = DisentangledSpec {
                law: self.law,
                distances: distances.clone(),
                dropout: self.attention_dropout,
                place: &place,
            };
            let mut y = self.block(graph, block, &hidden, vectors.as_ref(), &spec, &offsets)?;
            if let (0, Some(convolution)) = (i, &self.convolution) {
                y = self.convolve(graph, convolution, (&hidden, &y), &offsets)?;
            }
            graph.stream(block.block.place(), &y);
            hidden = y;
        }
        let first = graph.first_tokens(&hidden);
        let features = self.top.as_ref().map(|top| graph.top(top, &first)).transpose()?;
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        self.width
    }

    fn longest(&self) -> Option<usize> {
        self.stem.longest()
    }
}
