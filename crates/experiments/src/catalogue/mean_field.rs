//! How second moments and token correlation travel through a transformer with new weights, forward and backward.
//!
//! A stack is followed by two numbers forward, the stream's second moment `v` and the tokens' mean product `c = ρv`, and by
//! two backward, the token gradient's second moment `Γ` and its correlation `r` between tokens. Softmax means come from
//! [`RowLaw`], exact for every number of tokens. What is left out are fluctuations between draws and corrections of order
//! one over the head's width.

use core::f64::consts::PI;

use xexp_backbones::layers::Placement;
use xexp_init::correction::xavier_gain;
use xexp_init::{Activation, Layer};

use super::entropy_law::RowLaw;
use crate::Result;

/// Sizes of a stack of blocks with Xavier weights in each matrix, no biases and a ReLU feed-forward layer.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Where the norms stand.
    pub placement: Placement,
    /// Blocks.
    pub depth: usize,
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Heads.
    pub heads: usize,
    /// Tokens.
    pub tokens: usize,
    /// Factor on each branch.
    pub branch: f64,
    /// Second moment of the independent tokens that are put in.
    pub input: f64,
}

/// What one block is predicted to show.
#[derive(Clone, Copy, Debug)]
pub struct BlockLaw {
    /// Second moment of what enters `W_Q`.
    pub input: f64,
    /// `E s²` over all logits.
    pub total: f64,
    /// Mean over rows of the variance within a row of logits.
    pub row: f64,
    /// Mean entropy of the attention rows, in nats.
    pub entropy: f64,
    /// Cosine of two tokens of the stream in front of the block.
    pub cosine: f64,
    /// Second moment of the stream behind the block.
    pub stream: f64,
    /// Second moment of the token gradient at the block's input, for independent unit gradients on top.
    pub gradient: f64,
    /// Correlation of that gradient between tokens.
    pub gradient_cosine: f64,
}

/// The predictions for a stack, and how strong its last feed-forward gradient is.
pub struct StackLaw {
    /// Block by block.
    pub blocks: Vec<BlockLaw>,
    /// `‖∂L/∂W₂‖²` of the last block, for independent unit gradients on top.
    pub last_down: f64,
}

/// What the attention branch does on average to unit token vectors of cosine `ρ`.
struct AttentionLaw {
    row: RowLaw,
    /// `Σ_j p_ij p_i'j` of two rows.
    overlap: f64,
    /// [`RowLaw::response`], for the path through queries and for that through keys.
    response: (f64, f64),
}

/// One sub-layer as the backward recursion needs it.
struct Sublayer {
    attention: Option<AttentionLaw>,
    /// Second moment of the branch's input.
    u: f64,
    rho: f64,
    /// Second moments of the stream in front and of the branch's raw output.
    v: f64,
    raw: f64,
    /// Second moment of the sum, before a norm behind it.
    sum: f64,
}

/// `E[φ(a)φ(b)]/E[φ²]` of ReLU for Gaussian `a`, `b` of correlation `ρ`. Source: Cho & Saul 2009, eq. 6.
fn relu_cosine(rho: f64) -> f64 {
    let rho = rho.clamp(-1.0, 1.0);
    ((1.0 - rho * rho).sqrt() + (PI - rho.acos()) * rho) / PI
}

/// `E[φ'(a)φ'(b)]/E[φ'²]` of ReLU.
fn relu_slope_cosine(rho: f64) -> f64 {
    1.0 - rho.clamp(-1.0, 1.0).acos() / PI
}

/// Gain of the second moment through the feed-forward layer, the same backward: `½ · 2d/(d+f) · 2f/(d+f)`, which is
/// `2df/(d+f)²`.
///
/// # Errors
/// Sizes without meaning.
pub fn feed_forward_gain(width: usize, hidden: usize) -> Result<f64> {
    Ok(gain(width, hidden) * Activation::Relu.second_moment(1.0)? * gain(hidden, width))
}

/// Gain of a Xavier matrix; sizes that have no fan pass nothing on.
fn gain(input: usize, output: usize) -> f64 {
    let layer = Layer::Linear { input, output };
    layer.fan().map_or(0.0, xavier_gain)
}

/// How many of a gradient's directions a norm behind a sum takes out: both of an independent gradient. One that came
/// through the norm above has no mean and no part along that norm's output `x + f`, save what the branch there added with
/// its own factor: with the branch's gain backward and forward, `above`, that leaves `b/(1 + b)` of the mean and
/// `(a/(1 + a) + b)/(1 + b)` of the part along `x`.
fn lost(above: Option<(f64, f64)>) -> f64 {
    match above {
        None => 2.0,
        Some((b, a)) => (b + a / (1.0 + a) + b) / (1.0 + b),
    }
}

impl Shape {
    /// Whether the branch reads a normalized stream.
    fn normed_input(&self) -> bool {
        matches!(self.placement, Placement::Pre | Placement::Peri)
    }

    /// Degrees of freedom of a row's variance: a logit is `q·k/√d_k` with `|q|² ~ χ²_{d_k}`, and `k = W x` with `|x|²` over
    /// `d` components adds its share.
    fn freedom(&self) -> f64 {
        1.0 / (self.heads as f64 / self.width as f64 + 1.0 / self.width as f64)
    }

    fn attention(&self, u: f64, rho: f64) -> AttentionLaw {
        let (n, k) = (self.tokens, self.freedom());
        let variance = u * u * (1.0 - rho);
        let row = RowLaw::mixed(n, variance, k);
        // The path through keys is weighted by |q|², and E[g f(g)] for g ~ χ²_k/k is E f of χ²_{k+2}/k.
        let weighted = RowLaw::mixed(n, variance * (k + 2.0) / k, k + 2.0);
        // Two rows' logits have the correlation ρ of their queries: between 1/n at 0 and Σp² at 1, as e^{ρσ²}/n does.
        let overlap = (n as f64 * row.participation).powf(rho.max(0.0)) / n as f64;
        // A key's component along the query is one of d_k, and large keys are the attended ones: 1 + σ² there.
        let along = 1.0 + variance.min(2.0 * (n as f64).ln()) * self.heads as f64 / self.width as f64;
        AttentionLaw { row, overlap, response: (row.response() * along, weighted.response()) }
    }

    /// Follows the stack.
    ///
    /// # Errors
    /// Sizes without meaning.
    pub fn follow(&self) -> Result<StackLaw> {
        self.follow_with(true)
    }

    /// Follows the stack as if no gradient went back through queries and keys: a control.
    ///
    /// # Errors
    /// Sizes without meaning.
    pub fn follow_through_values_alone(&self) -> Result<StackLaw> {
        self.follow_with(false)
    }

    fn follow_with(&self, logits: bool) -> Result<StackLaw> {
        let ffn = feed_forward_gain(self.width, self.hidden)?;
        let n = self.tokens as f64;
        let (mut v, mut c) = (self.input, 0.0);
        let mut blocks = vec![];
        let mut sublayers: Vec<Sublayer> = vec![];
        for _ in 0..self.depth {
            let rho: f64 = c / v;
            let u = if self.normed_input() { 1.0 } else { v };
            let attention = self.attention(u, rho);
            let seen = attention.row;
            let variance = u * u * (1.0 - rho);
            let (mean, off) =
                (u * (rho + (1.0 - rho) * seen.participation), u * (rho + (1.0 - rho) * attention.overlap));
            sublayers.push(self.add(&mut v, &mut c, (u, rho), (mean, off), Some(attention)));
            let rho2 = c / v;
            let u2 = if self.normed_input() { 1.0 } else { v };
            let moments = (ffn * u2, ffn * u2 * relu_cosine(rho2));
            sublayers.push(self.add(&mut v, &mut c, (u2, rho2), moments, None));
            blocks.push(BlockLaw {
                input: u,
                total: u * u,
                row: variance * (1.0 - 1.0 / n),
                entropy: seen.entropy,
                cosine: rho,
                stream: v,
                gradient: 0.0,
                gradient_cosine: 0.0,
            });
        }
        let last_down = self.backward((v, ffn), logits, &sublayers, &mut blocks)?;
        Ok(StackLaw { blocks, last_down })
    }

    /// Adds a branch to the stream.
    fn add(
        &self,
        v: &mut f64,
        c: &mut f64,
        (u, rho): (f64, f64),
        (raw, off): (f64, f64),
        attention: Option<AttentionLaw>,
    ) -> Sublayer {
        let before = *v;
        let share = self.branch * self.branch;
        let (add, add_off) = if self.placement == Placement::Peri { (1.0, off / raw) } else { (raw, off) };
        let sum = before + share * add;
        *c += share * add_off;
        *v = sum;
        if self.placement == Placement::Post {
            *c /= sum;
            *v = 1.0;
        }
        Sublayer { attention, u, rho, v: before, raw, sum }
    }

    /// Goes back through the sub-layers, writes the gradients to `blocks`, and returns the last feed-forward gradient.
    ///
    /// A norm of second moment `v` divides the gradient by `v` and takes out two of its `d` directions, the mean and its own
    /// output; see [`lost`] for what the norm above has already taken out.
    fn backward(
        &self,
        (top, ffn): (f64, f64),
        logits: bool,
        sublayers: &[Sublayer],
        blocks: &mut [BlockLaw],
    ) -> Result<f64> {
        let through_logits = f64::from(u8::from(logits));
        let n = self.tokens as f64;
        let kept = 1.0 - 2.0 / self.width as f64;
        // Where the stream is not normed itself, a closing norm stands on top of it, as in every such model.
        let mut gamma = if self.normed_input() { kept / top } else { 1.0 };
        let mut r = 0.0;
        let mut last_down = 0.0;
        let mut above = None;
        for (index, sublayer) in sublayers.iter().enumerate().rev() {
            let Sublayer { attention, u, rho, v, raw, sum } = sublayer;
            if self.placement == Placement::Post {
                gamma *= (1.0 - lost(above) / self.width as f64) / sum;
            }
            let inner = if self.placement == Placement::Peri { kept / raw } else { 1.0 };
            let share = self.branch * self.branch * inner;
            if index + 1 == sublayers.len() {
                last_down = self.last_down(gamma * share, *u)?;
            }
            let (mean, off) = match attention {
                None => (ffn, ffn * r * relu_slope_cosine(*rho)),
                Some(law) => {
                    let (i, o) = (law.row.participation, law.overlap);
                    let apart = 1.0 - rho;
                    // Through values; through queries; through keys, where the queries' common part adds up as far as
                    // gradients agree.
                    let values = i + r * (n - 1.0) * o;
                    let slope = through_logits * u * u * apart;
                    let queries = slope * apart * law.response.0;
                    let keys = slope * (law.response.1 + (n - 1.0) * r * rho * o * (1.0 - o));
                    let off = if self.tokens < 2 {
                        0.0
                    } else {
                        // The keys' gradients of a row sum to 0.
                        (1.0 - i - keys) / (n - 1.0) + r * (1.0 - o) + r * slope * apart * o * (1.0 - o)
                    };
                    (values + queries + keys, off)
                }
            };
            let factor = share * if self.normed_input() { kept / v } else { 1.0 };
            let (mean, off) = (mean * factor, off * factor);
            above = Some((mean, sum / v - 1.0));
            gamma *= 1.0 + mean;
            r = (r + off) / (1.0 + mean);
            if index % 2 == 0 {
                blocks[index / 2].gradient = gamma;
                blocks[index / 2].gradient_cosine = r;
            }
        }
        Ok(last_down)
    }

    /// `‖Σ_t dy_t h_tᵀ‖²` for independent gradients `dy` of second moment `gamma` and hidden vectors after the ReLU.
    fn last_down(&self, gamma: f64, u: f64) -> Result<f64> {
        let hidden = Activation::Relu.second_moment(u * gain(self.width, self.hidden))?;
        Ok(gamma * hidden * (self.tokens * self.width * self.hidden) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(placement: Placement, depth: usize) -> Shape {
        Shape { placement, depth, width: 256, hidden: 1024, heads: 4, tokens: 64, branch: 1.0, input: 1.0 }
    }

    #[test]
    fn the_feed_forward_gain_is_the_closed_form() {
        assert!((feed_forward_gain(256, 1024).unwrap() - 0.32).abs() < 1e-12);
        assert!((feed_forward_gain(64, 64).unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn relu_cosines_have_their_known_values() {
        for (rho, value, slope) in [(1.0, 1.0, 1.0), (0.0, 1.0 / PI, 0.5), (-1.0, 0.0, 0.0)] {
            assert!((relu_cosine(rho) - value).abs() < 1e-12);
            assert!((relu_slope_cosine(rho) - slope).abs() < 1e-12);
        }
    }

    #[test]
    fn streams_follow_their_laws() {
        // Peri: each of the two branches adds a unit second moment.
        let peri = shape(Placement::Peri, 5).follow().unwrap();
        for (block, law) in peri.blocks.iter().enumerate() {
            assert!((law.stream - (3.0 + 2.0 * block as f64)).abs() < 1e-9);
        }
        // Post: a norm behind every sum; and tokens become one.
        let post = shape(Placement::Post, 24).follow().unwrap();
        assert!(post.blocks.iter().all(|law| law.input == 1.0 && law.total == 1.0));
        assert!(post.blocks[23].cosine > 0.99);
        // One block, by hand: v = 1 + Σp² + F.
        let pre = shape(Placement::Pre, 1).follow().unwrap();
        let expected = 1.32 + RowLaw::mixed(64, 1.0, 256.0 / 5.0).participation;
        assert!((pre.blocks[0].stream - expected).abs() < 1e-9);
    }

    #[test]
    fn equal_tokens_are_passed_on_as_they_are() {
        // At ρ = 1 attention copies: Γ doubles in the sum once gradients agree as well.
        let mut equal = shape(Placement::None, 2);
        equal.tokens = 1;
        let law = equal.follow().unwrap();
        // One token: the softmax is 1, the branch is a plain linear map, no path through queries and keys.
        assert!((law.blocks[1].gradient - 2.0 * 1.32).abs() < 1e-9);
        assert!((law.blocks[1].input - 2.64).abs() < 1e-9);
        assert_eq!(law.blocks[0].entropy, 0.0);
    }
}
