//! Stacks of the transformer block that everything else in `xexp` trains, drawn with Xavier weights, watched and
//! differentiated.

use std::cell::Cell;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use xexp_backbones::layers::{Block, BlockNames, BlockSpec, BlockTape, LayerNorm, Placement};
use xexp_backbones::{Declarations, Grads, Input, Mode, Origin, Params, Pass, WeightId};
use xexp_init::{Init, Seed, correction};
use xexp_kernels::attention::{Mask, Queries};
use xexp_kernels::{Activation, Buffer, Pool};

use super::entropy_law::of_row;
use super::mean_field::Shape;
use crate::{Error, Result};

/// Norms divide by `√(var + ε)`: small enough to leave three digits of a stream of size 1 alone.
const EPS: f64 = 1e-5;

/// Which stack: where its norms stand, how its branches are scaled, how large its input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// No norm.
    None,
    /// No norm, branches times one over the root of the number of sub-layers.
    NoneScaled,
    /// A norm in front of each branch, and one on top.
    Pre,
    /// A norm behind each sum.
    Post,
    /// A norm behind each sum, branches times one over the root of the number of blocks.
    PostScaled,
    /// A norm behind each sum, and an input that nobody normalized.
    PostRaw,
    /// A norm in front of and behind each branch, and one on top.
    Peri,
}

/// Sizes that stacks of all kinds share.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Heads.
    pub heads: usize,
    /// Tokens.
    pub tokens: usize,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Kind::None => "none",
            Kind::NoneScaled => "none-scaled",
            Kind::Pre => "pre",
            Kind::Post => "post",
            Kind::PostScaled => "post-scaled",
            Kind::PostRaw => "post-raw",
            Kind::Peri => "peri",
        }
    }

    /// A stack of this kind; `raw` is the standard deviation of an input that is not normalized.
    ///
    /// # Errors
    /// A depth of 0.
    pub fn shape(self, sizes: Sizes, depth: usize, raw: f64) -> Result<Shape> {
        let placement = match self {
            Kind::None | Kind::NoneScaled => Placement::None,
            Kind::Pre => Placement::Pre,
            Kind::Post | Kind::PostScaled | Kind::PostRaw => Placement::Post,
            Kind::Peri => Placement::Peri,
        };
        let branch = match self {
            Kind::NoneScaled => correction::residual_scale(2 * depth)?,
            Kind::PostScaled => correction::residual_scale(depth)?,
            _ => 1.0,
        };
        let Sizes { width, hidden, heads, tokens } = sizes;
        let input = if self == Kind::PostRaw { raw * raw } else { 1.0 };
        Ok(Shape { placement, depth, width, hidden, heads, tokens, branch, input })
    }
}

const NAMES: BlockNames = BlockNames {
    query: "query",
    key: "key",
    value: "value",
    attention_output: "output",
    attention_norm: "attention_norm",
    up: "up",
    down: "down",
    mlp_norm: "mlp_norm",
};

/// What one block showed.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Second moment of what enters `W_Q`.
    pub input: f64,
    /// Its attention logits.
    pub logits: Logits,
    /// Mean cosine of two tokens of the stream in front of the block.
    pub cosine: f64,
    /// Second moment of the stream behind the block.
    pub stream: f64,
}

/// Means over rows of attention logits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logits {
    /// `E s²` over all logits.
    pub total: f64,
    /// Mean variance within a row.
    pub row: f64,
    /// Mean entropy of a row, in nats.
    pub entropy: f64,
}

impl Logits {
    /// Of rows of equal length.
    pub fn of(rows: &[f64], length: usize) -> Logits {
        let mut sum = Logits::default();
        for row in rows.chunks_exact(length) {
            let mean = row.iter().sum::<f64>() / length as f64;
            sum.total += row.iter().map(|s| s * s).sum::<f64>() / length as f64;
            sum.row += row.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / length as f64;
            sum.entropy += of_row(row.iter().copied()).0;
        }
        let rows = (rows.len() / length) as f64;
        Logits { total: sum.total / rows, row: sum.row / rows, entropy: sum.entropy / rows }
    }

    /// Of queries, keys and values `(tokens, 3·width)` of sequences of `length` tokens.
    fn of_projections(qkv: &[f32], length: usize, heads: usize, width: usize) -> Logits {
        let head = width / heads;
        let scale = 1.0 / (head as f64).sqrt();
        let mut rows = Vec::with_capacity(qkv.len() / (3 * width) * length * heads);
        for sequence in qkv.chunks_exact(3 * width * length) {
            for h in 0..heads {
                for query in sequence.chunks_exact(3 * width) {
                    let query = &query[h * head..(h + 1) * head];
                    rows.extend(sequence.chunks_exact(3 * width).map(|key| {
                        let key = &key[width + h * head..width + (h + 1) * head];
                        scale * query.iter().zip(key).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>()
                    }));
                }
            }
        }
        Logits::of(&rows, length)
    }
}

/// `E[x²]`.
pub fn second_moment(x: &[f32]) -> f64 {
    xexp_kernels::sum_of_squares(x) / x.len() as f64
}

/// Mean cosine of two different tokens of a sequence; 0 for sequences of one.
fn cosine(x: &[f32], width: usize, length: usize) -> f64 {
    if length < 2 {
        return 0.0;
    }
    let (mut sum, mut sequences) = (0.0, 0);
    for sequence in x.chunks_exact(width * length) {
        // The sum over pairs of unit vectors from the square of their sum.
        let mut total = vec![0.0; width];
        for token in sequence.chunks_exact(width) {
            let norm = token.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            total.iter_mut().zip(token).for_each(|(sum, v)| *sum += f64::from(*v) / norm);
        }
        let n = length as f64;
        sum += (total.iter().map(|v| v * v).sum::<f64>() - n) / (n * (n - 1.0));
        sequences += 1;
    }
    sum / f64::from(sequences)
}

/// A stack with its weights.
pub struct Stack {
    shape: Shape,
    blocks: Vec<Block>,
    top: Option<LayerNorm>,
    /// All weights.
    pub params: Params,
    input: Input,
    pool: Pool,
    /// `W₂` of the last block.
    pub last_down: WeightId,
}

/// What the way back needs.
pub struct StackTape {
    blocks: Vec<BlockTape>,
    top: Option<(Arc<Buffer>, Buffer)>,
}

impl Stack {
    /// Draws the weights for `sequences` sequences; `more` declares weights of the caller's own beside them.
    ///
    /// # Errors
    /// Sizes without meaning.
    pub fn draw(
        shape: &Shape,
        sequences: usize,
        seed: Seed,
        more: impl FnOnce(&mut Declarations),
    ) -> Result<Stack> {
        let spec = BlockSpec {
            width: shape.width,
            hidden: shape.hidden,
            heads: shape.heads,
            attention_scale: (shape.heads as f64 / shape.width as f64).sqrt(),
            mask: Mask::Full,
            activation: Activation::Relu,
            norm: shape.placement,
            norm_eps: EPS,
            residual_scale: (1.0, shape.branch),
            dropout: 0.0,
            attention_dropout: 0.0,
            init: Init::xavier_normal(),
        };
        let mut declared = Declarations::default();
        let declare = |block| Block::declare(&mut declared, &format!("block.{block}"), &NAMES, &spec);
        let blocks = (0..shape.depth).map(declare).collect();
        let on_top = matches!(shape.placement, Placement::Pre | Placement::Peri);
        let top = on_top.then(|| LayerNorm::declare(&mut declared, "top", shape.width, EPS, Origin::New));
        more(&mut declared);
        let last = format!("block.{}.down.weight", shape.depth.saturating_sub(1));
        let none = || Error::Parameters { experiment: "stack", found: "a stack without blocks".to_owned() };
        let last_down = declared.find(&last).ok_or_else(none)?;
        let params = declared.draw(seed)?;
        let ids = vec![0; shape.tokens];
        let input = Input::pack(std::iter::repeat_n((&ids[..], &ids[..]), sequences))?;
        Ok(Stack { shape: *shape, blocks, top, params, input, pool: Pool::default(), last_down })
    }

    /// The output of `x (tokens, width)`, what each block showed where `watch` is set, and the tape.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn forward(&self, x: Vec<f32>, watch: bool) -> Result<(Arc<Buffer>, Vec<Seen>, StackTape)> {
        let Shape { width, heads, tokens, .. } = self.shape;
        let mode = Mode::Train { seed: Seed(0), step: 0 };
        let mut x = Arc::new(Buffer::from(x));
        let (mut all, mut tapes) = (vec![], vec![]);
        for block in &self.blocks {
            let (logits, entering) = (Cell::new(Logits::default()), Cell::new(0.0));
            let tap = |place: &str, values: &[f32], columns: usize| {
                if place.ends_with("attention.input") {
                    entering.set(second_moment(values));
                } else if place.ends_with("attention.qkv") {
                    logits.set(Logits::of_projections(values, tokens, heads, columns / 3));
                }
            };
            let mut pass = Pass::new(&self.pool, mode);
            if watch {
                pass.tap = Some(&tap);
            }
            let (y, tape) = block.forward(&self.params, &x, &self.input, Queries::All, &mut pass)?;
            if watch {
                let cosine = cosine(&x, width, tokens);
                let (input, logits) = (entering.get(), logits.get());
                all.push(Seen { input, logits, cosine, stream: second_moment(&y) });
            }
            x = y;
            tapes.push(tape);
        }
        let mut top = None;
        if let Some(norm) = &self.top {
            let (y, stats) = norm.forward(&self.params, &x, &self.pool)?;
            top = Some((std::mem::replace(&mut x, Arc::new(y)), stats));
        }
        Ok((x, all, StackTape { blocks: tapes, top }))
    }

    /// From the gradient of the output to that of the input; adds the weights' gradients and returns also the second
    /// moment of the gradient at each block's input.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(&self, dy: Vec<f32>, tape: StackTape, grads: &mut Grads) -> Result<(Buffer, Vec<f64>)> {
        let pass = Pass::new(&self.pool, Mode::Train { seed: Seed(0), step: 0 });
        let mut d = Buffer::from(dy);
        if let (Some(norm), Some((x, stats))) = (&self.top, &tape.top) {
            d = norm.backward(&self.params, grads, &d, (x, stats), &self.pool)?;
        }
        let mut moments = vec![];
        for (block, tape) in self.blocks.iter().zip(tape.blocks).rev() {
            d = block.backward((&self.params, grads), d, tape, &self.input, &pass)?;
            moments.push(second_moment(&d));
        }
        moments.reverse();
        Ok((d, moments))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_means_over_pairs() {
        // Two sequences of two tokens in the plane: at right angles, and opposite.
        let x = [2.0, 0.0, 0.0, 3.0, 1.0, 1.0, -4.0, -4.0];
        assert!((cosine(&x, 2, 2) - (0.0 - 1.0) / 2.0).abs() < 1e-12);
        assert!((cosine(&x, 2, 4) - (-1.0f64 / 6.0)).abs() < 1e-12, "four tokens, six pairs");
    }

    #[test]
    fn logits_are_queries_on_keys_by_head() {
        // One sequence of two tokens, two heads of width 1: queries, keys, values.
        let qkv = [1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 5.0, 6.0, 7.0, 8.0, 0.0, 0.0];
        let seen = Logits::of_projections(&qkv, 2, 2, 2);
        let rows = [3.0, 7.0, 15.0, 35.0, 8.0, 16.0, 24.0, 48.0];
        assert_eq!(seen.total, rows.iter().map(|s| s * s).sum::<f64>() / 8.0);
        assert_eq!(seen.row, (4.0 + 100.0 + 16.0 + 144.0) / 4.0);
    }
}
