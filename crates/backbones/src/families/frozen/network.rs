//! A model of candle-transformers as a network of ours.

use super::lent::Lent;
use crate::graph::{Graph, Var};
use crate::layers::{ImageShape, LayerNorm, Linear};
use crate::{Error, Input, Network, Outputs, Result};
use candle_core::{Device, Tensor};
use candle_nn::VarBuilder;
use rayon::prelude::*;
use std::sync::Arc;
use xexp_kernels::Activation;

/// A model of candle-transformers: how it is built and called.
pub(super) trait Foreign: Send + Sync + 'static {
    /// The model, on weights that are lent.
    type Model: Send + Sync;

    /// Builds the model for sequences of at most `longest` tokens.
    fn build(&self, weights: VarBuilder<'_>, longest: usize) -> candle_core::Result<Self::Model>;

    /// Hidden states `(1, tokens, width)` of one sequence.
    fn hidden(&self, model: &Self::Model, sequence: &Sequence) -> candle_core::Result<Tensor>;
}

/// One sequence of a batch.
pub(super) struct Sequence {
    /// Ids `(1, tokens)`, or pixels `(1, channels, size, size)`.
    pub values: Tensor,
    /// Segments of the ids `(1, tokens)`; without values of an image.
    pub segments: Tensor,
}

/// What a family reads.
pub(super) enum Reads {
    /// Texts.
    Words {
        /// Rows of the word table.
        vocabulary: usize,
        /// What it makes of segments.
        segments: Segments,
        /// Most tokens of a sequence, if anything bounds them.
        longest: Option<usize>,
    },
    /// Images.
    Images(ImageShape),
}

/// What a model of texts makes of segments.
#[derive(Clone, Copy)]
pub(super) enum Segments {
    /// It knows none.
    None,
    /// candle-transformers reads every token as of the first segment.
    First,
    /// It tells this many apart.
    Table(usize),
}

/// What of the hidden states are the features.
pub(super) enum Pooling {
    /// The mean over the tokens from this one on.
    MeanFrom(usize),
    /// A dense layer and a `tanh` on the first token.
    First(Linear),
    /// A norm of the mean over all tokens.
    NormOfMean(LayerNorm),
}

/// The adapter.
///
/// A model is built for a pass, which costs a look at the names of its weights: it then never holds values that have changed
/// since. Each sequence is computed by itself, without padding, several at a time on several threads, so that nothing
/// depends on what else is in the batch.
pub(super) struct Frozen<F> {
    /// The family's name, for messages.
    pub family: &'static str,
    /// The model.
    pub foreign: F,
    /// Its weights.
    pub lent: Lent,
    /// What it reads.
    pub reads: Reads,
    /// Width of the hidden states.
    pub width: usize,
    /// The features; `None` where the hidden states alone are read.
    pub pooling: Option<Pooling>,
}

impl<F: Foreign> Frozen<F> {
    /// The sequences of a batch.
    fn sequences(&self, input: &Input) -> Result<Vec<Sequence>> {
        match &self.reads {
            Reads::Images(shape) => images(shape, input),
            Reads::Words { vocabulary, segments, .. } => words(*vocabulary, *segments, input),
        }
    }

    fn features(&self, graph: &mut Graph<'_, '_>, hidden: &Var, pooling: &Pooling) -> Result<Var> {
        let first = match pooling {
            Pooling::MeanFrom(first) => *first,
            Pooling::NormOfMean(norm) => {
                let mean = graph.mean_rows(hidden, &graph.input.offsets);
                return graph.layer_norm(norm, &mean);
            }
            Pooling::First(dense) => {
                let starts = &graph.input.offsets[..graph.input.batch()];
                let starts = starts.iter().map(|start| *start as u32).collect();
                let token = graph.gather(hidden, Arc::new(starts));
                let dense = graph.linear(dense, &token)?;
                return Ok(graph.activation(Activation::Tanh, &dense));
            }
        };
        let kept = |ends: &[usize]| (ends[0] + first) as u32..ends[1] as u32;
        let rows: Vec<u32> = graph.input.offsets.windows(2).flat_map(kept).collect();
        let groups = graph.input.offsets.iter().enumerate().map(|(index, end)| end - first * index);
        let groups: Vec<usize> = groups.collect();
        let rest = graph.gather(hidden, Arc::new(rows));
        Ok(graph.mean_rows(&rest, &groups))
    }
}

fn images(shape: &ImageShape, input: &Input) -> Result<Vec<Sequence>> {
    let ImageShape { channels, size, tokens } = *shape;
    let (pixels, values) = (input.images()?, channels * size * size);
    if pixels.len() != input.batch() * values || input.tokens() != input.batch() * tokens {
        let reason = format!(
            "{} images have {} values in {} tokens; expected {channels} × {size} × {size} in {tokens} each",
            input.batch(),
            pixels.len(),
            input.tokens()
        );
        return Err(Error::Input { reason });
    }
    let one = |pixels: &[f32]| {
        let values = Tensor::from_slice(pixels, (1, channels, size, size), &Device::Cpu)?;
        Ok(Sequence { values, segments: Tensor::zeros((1, 0), candle_core::DType::U32, &Device::Cpu)? })
    };
    pixels.chunks_exact(values).map(one).collect()
}

fn words(vocabulary: usize, segments: Segments, input: &Input) -> Result<Vec<Sequence>> {
    let words = input.words()?;
    let beyond = |ids: &[u32], count: usize, what| match ids.iter().find(|id| **id as usize >= count) {
        Some(&id) => Err(Error::TokenId { id, what, count }),
        None => Ok(()),
    };
    beyond(&words.ids, vocabulary, "vocabulary")?;
    match segments {
        Segments::None => (),
        Segments::Table(count) => beyond(&words.type_ids, count, "segments")?,
        Segments::First if words.type_ids.iter().all(|id| *id == 0) => (),
        Segments::First => {
            let reason =
                "expected single texts: this model is computed without a second segment, found a pair";
            return Err(Error::Input { reason: reason.to_string() });
        }
    }
    let one = |ends: &[usize]| {
        let range = ends[0]..ends[1];
        // Only distances between tokens count, and these models take them from the tokens' order.
        if let Some(gap) = words.positions[range.clone()].windows(2).find(|pair| pair[1] != pair[0] + 1) {
            let reason = format!("expected tokens side by side, found places {} and {}", gap[0], gap[1]);
            return Err(Error::Input { reason });
        }
        let row = |ids: &[u32]| Tensor::from_slice(ids, (1, range.len()), &Device::Cpu);
        Ok(Sequence {
            values: row(&words.ids[range.clone()])?,
            segments: row(&words.type_ids[range.clone()])?,
        })
    };
    input.offsets.windows(2).map(one).collect()
}

impl<F: Foreign> Network for Frozen<F> {
    fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<Outputs> {
        if graph.pass.trains()
            && let Some(id) = self.lent.ids().find(|id| graph.params.any_trainable([*id]))
        {
            let weight = graph.params.weight(id).name.clone();
            return Err(Error::Frozen { family: self.family, weight });
        }
        let sequences = self.sequences(graph.input)?;
        let lengths = graph.input.offsets.windows(2).map(|ends| ends[1] - ends[0]);
        let longest = lengths.max().unwrap_or(0);
        let model = self.foreign.build(self.lent.builder(graph.params), longest)?;
        let hidden =
            sequences.par_iter().map(|sequence| self.foreign.hidden(&model, sequence)?.flatten_all());
        let hidden: Vec<Tensor> = hidden.collect::<candle_core::Result<_>>()?;
        let mut values = graph.pass.buffer(graph.input.tokens() * self.width);
        for (ends, hidden) in graph.input.offsets.windows(2).zip(&hidden) {
            let hidden = xexp_kernels::values(hidden)?;
            let slot = &mut values[ends[0] * self.width..ends[1] * self.width];
            if slot.len() != hidden.len() {
                let reason = format!("{} gives {} values for {}", self.family, hidden.len(), slot.len());
                return Err(Error::Input { reason });
            }
            slot.copy_from_slice(&hidden);
        }
        let hidden = graph.record(values, self.width, false, |_, _| Ok(()));
        graph.show(self.family, "", &hidden);
        let pooling = self.pooling.as_ref();
        let features = pooling.map(|pooling| self.features(graph, &hidden, pooling)).transpose()?;
        if let Some(features) = &features {
            graph.show("features", "", features);
        }
        Ok(Outputs { hidden, features })
    }

    fn width(&self) -> usize {
        self.width
    }

    fn longest(&self) -> Option<usize> {
        match self.reads {
            Reads::Words { longest, .. } => longest,
            Reads::Images(_) => None,
        }
    }

    fn image(&self) -> Option<ImageShape> {
        match self.reads {
            Reads::Images(shape) => Some(shape),
            Reads::Words { .. } => None,
        }
    }
}
