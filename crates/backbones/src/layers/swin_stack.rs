//! Stages of vision blocks in windows, each of fewer and wider rows than the one before it.

use crate::encoder::{Network, Outputs};
use crate::graph::{Graph, Var};
use crate::layers::windows::{Places, Windows};
use crate::layers::{ImageShape, LayerNorm, Linear, Patches, RelativeBias, Sequences, VisionBlock};
use crate::{Result, WeightId};
use std::sync::Arc;

/// Blocks over a square of rows, and the merging of neighbours behind them.
pub struct SwinStage {
    /// Rows along an edge of the square.
    pub side: usize,
    /// Rows along an edge of a window.
    pub window: usize,
    /// By how much the windows of every other block are shifted.
    pub shift: usize,
    /// Blocks, each with its terms of the attention logits.
    pub blocks: Vec<(VisionBlock, RelativeBias)>,
    /// The norm of four rows side by side and their projection.
    pub merge: Option<(LayerNorm, Linear)>,
}

impl SwinStage {
    fn forward(&self, graph: &mut Graph<'_, '_>, x: &Var) -> Result<Var> {
        let images = graph.input.batch();
        let windows = [0, self.shift].map(|shift| Windows::new(self.side, self.window, shift));
        let laid = windows.each_ref().map(|w| (w.places.over(images), w.offsets(images)));
        let mut x = x.clone();
        for (i, (block, bias)) in self.blocks.iter().enumerate() {
            let mut bias = bias.forward(graph)?;
            bias.sequences = windows[i % 2].masks.clone();
            let (places, offsets) = laid[i % 2].clone();
            let over = Sequences { images, offsets, bias: Some(&bias), windows: Some(places) };
            x = block.forward(graph, &x, &over)?;
        }
        let Some((norm, reduction)) = &self.merge else { return Ok(x) };
        let (places, count) = Places::merging(self.side).over(images);
        let four = graph.scatter(&x, places, count);
        let four = graph.reshape(&four, 4 * x.width());
        let four = graph.layer_norm(norm, &four)?;
        let merged = graph.linear(reduction, &four)?;
        graph.enter("merged", &merged);
        Ok(merged)
    }
}

/// Patches, their norm, stages, and the closing norm, whose mean is the image's features.
pub struct SwinStack {
    patches: Arc<Patches>,
    norm: LayerNorm,
    positions: Option<WeightId>,
    dropout: f64,
    stages: Vec<SwinStage>,
    top: Option<LayerNorm>,
    rows: usize,
    width: usize,
}

impl SwinStack {
    /// From declared parts; `side` and `width` are those of the last stage.
    pub fn new(
        patches: Patches,
        norm: LayerNorm,
        positions: Option<WeightId>,
        dropout: f64,
        stages: Vec<SwinStage>,
        top: Option<LayerNorm>,
        (side, width): (usize, usize),
    ) -> Self {
        let (patches, rows) = (Arc::new(patches), side * side);
        SwinStack { patches, norm, positions, dropout, stages, top, rows, width }
    }
}

impl Network for SwinStack {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        let x = graph.patches(&self.patches)?;
        let mut x = graph.layer_norm(&self.norm, &x)?;
        if let Some(positions) = self.positions {
            let patches = self.patches.image().tokens as u32;
            let places: Vec<u32> = (0..graph.input.batch()).flat_map(|_| 0..patches).collect();
            let positions = graph.lookup(positions, x.width(), &places, "positions")?;
            x = graph.add(&x, &positions);
        }
        let mut hidden = graph.dropout("swin.embeddings", self.dropout, &x);
        graph.enter("swin.embeddings", &hidden);
        for stage in &self.stages {
            hidden = stage.forward(graph, &hidden)?;
        }
        let groups: Vec<usize> = (0..=graph.input.batch()).map(|image| image * self.rows).collect();
        let features = match &self.top {
            Some(norm) => {
                let normed = graph.layer_norm(norm, &hidden)?;
                let features = graph.mean_rows(&normed, &groups);
                graph.show("features", "", &features);
                Some(features)
            }
            None => None,
        };
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        self.width
    }

    /// Its tokens are the rows of the last stage.
    fn image(&self) -> Option<ImageShape> {
        Some(ImageShape { tokens: self.rows, ..self.patches.image() })
    }
}
