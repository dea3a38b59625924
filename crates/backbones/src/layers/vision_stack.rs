//! A stack of vision blocks over the tokens of an image, and what is read of it.

use crate::Result;
use crate::encoder::{Network, Outputs};
use crate::graph::{AttentionBias, Graph, Var};
use crate::layers::{ImageShape, ImageTokens, LayerNorm, RelativeBias, Sequences, Stem, VisionBlock};
use std::ops::Range;
use std::sync::Arc;

/// The features of an image.
pub enum VisionTop {
    /// `LN(class token)`.
    Class(LayerNorm),
    /// `LN(mean of patches)`.
    Mean(LayerNorm),
    /// `[LN(class token); mean of LN(patches)]`, twice as wide. Source: Oquab et al. 2024, §7.1.
    ClassAndMean(LayerNorm),
}

/// Stem, blocks and top.
pub struct VisionStack {
    stem: Arc<Stem>,
    image: ImageShape,
    /// Tokens in front of an image's patches.
    before: usize,
    blocks: Vec<(VisionBlock, Option<RelativeBias>)>,
    /// Terms of the attention logits of all blocks, besides their own.
    shared: Option<RelativeBias>,
    top: Option<VisionTop>,
    width: usize,
}

impl VisionStack {
    /// From declared parts; `width` is that of the stream.
    pub fn new(
        stem: ImageTokens,
        blocks: Vec<(VisionBlock, Option<RelativeBias>)>,
        shared: Option<RelativeBias>,
        top: Option<VisionTop>,
        width: usize,
    ) -> Self {
        let (image, before) = (stem.image(), stem.before());
        VisionStack { stem: Arc::new(Stem::Image(stem)), image, before, blocks, shared, top, width }
    }

    fn features(&self, graph: &mut Graph<'_, '_>, hidden: &Var, top: &VisionTop) -> Result<Var> {
        let (tokens, images) = (self.image.tokens, graph.input.batch());
        let rows = |of: Range<usize>| {
            let row = move |image: usize| of.clone().map(move |token| (image * tokens + token) as u32);
            Arc::new((0..images).flat_map(row).collect::<Vec<u32>>())
        };
        let patches = tokens - self.before;
        let groups: Vec<usize> = (0..=images).map(|image| image * patches).collect();
        let features = match top {
            VisionTop::Class(norm) => {
                let class = graph.gather(hidden, rows(0..1));
                graph.layer_norm(norm, &class)?
            }
            VisionTop::Mean(norm) => {
                let patches = graph.gather(hidden, rows(self.before..tokens));
                let mean = graph.mean_rows(&patches, &groups);
                graph.layer_norm(norm, &mean)?
            }
            VisionTop::ClassAndMean(norm) => {
                let hidden = graph.layer_norm(norm, hidden)?;
                let class = graph.gather(&hidden, rows(0..1));
                let patches = graph.gather(&hidden, rows(self.before..tokens));
                let mean = graph.mean_rows(&patches, &groups);
                graph.concat(&class, &mean)
            }
        };
        graph.show("features", "", &features);
        Ok(features)
    }
}

impl Network for VisionStack {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let mut hidden = graph.stem(&self.stem, self.width)?;
        graph.enter(self.stem.place(), &hidden);
        let shared = self.shared.as_ref().map(|bias| bias.forward(graph)).transpose()?;
        let offsets = Arc::new(graph.input.offsets.clone());
        for (block, own) in &self.blocks {
            let own = own.as_ref().map(|bias| bias.forward(graph)).transpose()?;
            let bias = both(graph, shared.as_ref(), own);
            let over = Sequences {
                images: graph.input.batch(),
                offsets: offsets.clone(),
                bias: bias.as_ref(),
                windows: None,
            };
            hidden = block.forward(graph, &hidden, &over)?;
        }
        let features = self.top.as_ref().map(|top| self.features(graph, &hidden, top)).transpose()?;
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        match self.top {
            Some(VisionTop::ClassAndMean(_)) => 2 * self.width,
            _ => self.width,
        }
    }

    fn image(&self) -> Option<ImageShape> {
        Some(self.image)
    }
}

/// The sum of two terms of the attention logits over the same tokens.
fn both(
    graph: &mut Graph<'_, '_>,
    a: Option<&AttentionBias>,
    b: Option<AttentionBias>,
) -> Option<AttentionBias> {
    let (Some(a), Some(b)) = (a, &b) else { return a.cloned().or(b) };
    let heads = match (&a.heads, &b.heads) {
        (Some(a), Some(b)) => Some(graph.add(a, b)),
        (a, b) => a.clone().or_else(|| b.clone()),
    };
    Some(AttentionBias { n: a.n, heads, sequences: None })
}
