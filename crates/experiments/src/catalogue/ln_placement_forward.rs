//! What norms do to attention logits over depth, at initialization.

use serde::{Deserialize, Serialize};
use xexp_backbones::layers::Placement;
use xexp_report::lab::{Figure, Looks, Row, Rule};

use super::mean_field::{BlockLaw, Shape};
use super::stack::{Kind, Sizes, Stack};
use crate::{About, Draw, Error, Experiment, Result, Setup};

/// Stacks of transformer blocks with new Xavier weights.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LnPlacementForward {
    /// Which stacks: `none`, `none-scaled`, `pre`, `post`, `post-scaled`, `post-raw`, `peri`.
    pub stacks: Vec<Kind>,
    /// Blocks of a stack.
    pub depth: usize,
    /// Blocks of a stack without norms, which explodes.
    pub depth_without_norm: usize,
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Heads; divides the width.
    pub heads: usize,
    /// Tokens.
    pub tokens: usize,
    /// Blocks that are reported, where a stack has them.
    pub blocks: Vec<usize>,
    /// Standard deviation of the tokens put into `post-raw`.
    pub raw_std: f64,
    /// Draws of a stack; looked at in the middle as well.
    pub draws: usize,
}

impl Default for LnPlacementForward {
    fn default() -> Self {
        LnPlacementForward {
            stacks: vec![Kind::None, Kind::NoneScaled, Kind::Pre, Kind::Post, Kind::PostRaw, Kind::Peri],
            depth: 12,
            depth_without_norm: 4,
            width: 256,
            hidden: 1024,
            heads: 4,
            tokens: 64,
            blocks: vec![0, 1, 2, 3, 5, 7, 11],
            raw_std: 5.0,
            draws: 24,
        }
    }
}

/// Refuses sizes that no stack can have: what the experiments on norm placement share.
///
/// # Errors
/// [`Error::Parameter`].
pub fn check_sizes(experiment: &'static str, sizes: Sizes, depths: &[usize], draws: usize) -> Result<()> {
    let refuse =
        |parameter, found: String, expected| Err(Error::Parameter { experiment, parameter, found, expected });
    let Sizes { width, hidden, heads, tokens } = sizes;
    if heads == 0 || width < 8 || !width.is_multiple_of(heads) || width > 1 << 14 {
        return refuse("heads", heads.to_string(), "a divisor of the width, which is 8 to 16384");
    }
    if hidden == 0 || hidden > 1 << 16 {
        return refuse("hidden", hidden.to_string(), "1 to 65536");
    }
    if !(2..=4096).contains(&tokens) {
        return refuse("tokens", tokens.to_string(), "2 to 4096");
    }
    if let Some(depth) = depths.iter().find(|depth| !(1..=1000).contains(*depth)) {
        return refuse("depth", depth.to_string(), "1 to 1000 blocks");
    }
    if draws < 2 {
        return refuse("draws", draws.to_string(), "2 or more");
    }
    Ok(())
}

/// Looks at half of the draws and at all of them.
///
/// # Errors
/// Fewer than two draws.
pub fn two_looks(draws: usize) -> Result<Looks> {
    Ok(if draws < 8 { Looks::at(&[draws])? } else { Looks::at(&[draws / 2, draws])? })
}

/// Relative tolerance of what the recursion says after this many sub-layers, and its reason.
///
/// One draw's cosines and streams spread by about `√(2/d)`; four standard errors of that leave room for the interval. In
/// Post-LN each block multiplies what is left of the tokens' differences by another such factor, and the spread grows as in
/// a random walk. The recursion leaves out terms of relative order `1/d_k` in each sub-layer: they add up in products, and
/// half as fast where a growing stream averages over them.
pub fn tolerance(shape: &Shape, sublayers: usize, draws: usize) -> (f64, String) {
    let width = shape.width as f64;
    let averaged = shape.branch < 1.0 || matches!(shape.placement, Placement::Pre | Placement::Peri);
    let walks = shape.placement == Placement::Post && !averaged;
    let factors = if walks { (sublayers as f64 / 2.0).max(1.0) } else { 1.0 };
    let spread = 4.0 * (2.0 * factors / (width * draws as f64)).sqrt();
    let left_out = sublayers as f64 * shape.heads as f64 / width / if averaged { 4.0 } else { 2.0 };
    let tolerance = 0.02 + spread + left_out;
    let spreads = if walks { "√(2/d) a block" } else { "√(2/d)" };
    let reason = format!(
        "{:.1} %: 2 %, four standard errors of {draws} draws that spread by {spreads}, and terms of order 1/d_k left out in \
         each of {sublayers} sub-layers",
        100.0 * tolerance
    );
    (tolerance, reason)
}

/// One stack.
pub struct Placed {
    kind: Kind,
    shape: Shape,
    blocks: Vec<usize>,
}

impl LnPlacementForward {
    fn sizes(&self) -> Sizes {
        Sizes { width: self.width, hidden: self.hidden, heads: self.heads, tokens: self.tokens }
    }
}

const CONSTANT: &str = "In Pre-LN the variance of the logits is the same O(1) constant at every depth.";
const UNCONTROLLED: &str =
    "In Post-LN the variance of what enters W_Q is uncontrolled and drifts with depth.";
const DRIFTS: &str = "In Post-LN the variance of the logits changes with depth.";
const UNIT: &str = "In Pre-LN what enters W_Q and W_K has unit variance.";

impl Experiment for LnPlacementForward {
    type Setup = Placed;

    const ABOUT: About = About {
        id: "ln-placement-forward",
        title: "Norm placement: logits over depth",
        question: "Does the norm in front of attention keep its logits as they are at any depth, and do they drift without it?",
        source: "Document, \"Recurrence and attention\"; Xiong et al. 2020; Noci et al. 2022; recursion as in mean_field",
        method: "Stacks of the transformer block of this program with new Xavier weights, no biases, ReLU, independent N(0, 1) \
                 tokens: without norms, without norms but branches times 1/√(2L), Pre, Post, Post with an input five times \
                 too large, Peri. A draw is new weights and new tokens. Measured in front of, inside and behind each block: \
                 the second moment that enters W_Q, E s² of the logits, their variance within a row, the rows' entropy, the \
                 cosine of tokens, the stream. The prediction is a recursion in two numbers whose softmax means are exact. \
                 Controls: a stream without norms that stays at 1, and rows whose variance stays as in block 0.",
        cost: "20 s",
    };

    fn full() -> Self {
        let blocks = vec![0, 1, 2, 3, 5, 7, 11, 15, 23];
        LnPlacementForward { depth: 24, width: 512, hidden: 2048, heads: 8, blocks, ..Self::default() }
    }

    fn check(&self) -> Result<()> {
        check_sizes(Self::ABOUT.id, self.sizes(), &[self.depth, self.depth_without_norm], self.draws)?;
        let refuse = |parameter, found: String, expected| {
            Err(Error::Parameter { experiment: Self::ABOUT.id, parameter, found, expected })
        };
        if self.stacks.is_empty() {
            return refuse("stacks", "[]".to_owned(), "one or more");
        }
        if self.blocks.is_empty()
            || self.blocks.windows(2).any(|pair| pair[0] >= pair[1])
            || self.blocks[0] != 0
        {
            return refuse(
                "blocks",
                format!("{:?}", self.blocks),
                "rising numbers of blocks that begin with 0",
            );
        }
        if self.depth_without_norm > 8 {
            let expected = "at most 8: beyond, the stream without norms is another number in every draw";
            return refuse("depth_without_norm", self.depth_without_norm.to_string(), expected);
        }
        if !(self.raw_std > 0.0 && self.raw_std <= 20.0) {
            return refuse("raw_std", self.raw_std.to_string(), "above 0 and at most 20");
        }
        Ok(())
    }

    fn setups(&self) -> Result<Vec<Setup<Placed>>> {
        let setup = |&kind: &Kind| {
            let depth = if kind == Kind::None { self.depth_without_norm } else { self.depth };
            // What a raw input does is over after its first norm.
            let depth = if kind == Kind::PostRaw { depth.min(3) } else { depth };
            let blocks = self.blocks.iter().copied().filter(|block| *block < depth).collect();
            let shape = kind.shape(self.sizes(), depth, self.raw_std)?;
            Ok(Setup {
                name: kind.name().to_owned(),
                looks: two_looks(self.draws)?,
                of: Placed { kind, shape, blocks },
            })
        };
        self.stacks.iter().map(setup).collect()
    }

    fn predict(&self, setup: &Setup<Placed>) -> Result<Vec<Row>> {
        let Placed { kind, shape, blocks } = &setup.of;
        let laws = shape.follow()?.blocks;
        let mut rows = vec![];
        for (place, &block) in blocks.iter().enumerate() {
            let place = Block { number: block, first: place == 0, last: place + 1 == blocks.len() };
            rows.extend(self.block_rows(*kind, shape, &laws, place));
        }
        Ok(rows)
    }

    fn draw(&self, setup: &Setup<Placed>, draw: &mut Draw<'_>) -> Result<()> {
        let Placed { shape, blocks, .. } = &setup.of;
        let stack = Stack::draw(shape, 1, draw.seed("weights"), |_| ())?;
        let mut stream = draw.stream("tokens");
        let std = shape.input.sqrt();
        let x = (0..shape.tokens * shape.width).map(|_| (std * stream.normal()) as f32).collect();
        let (_, seen, _) = stack.forward(x, true)?;
        for &block in blocks {
            let seen = &seen[block];
            for (part, value) in [
                ("input", seen.input),
                ("total", seen.logits.total),
                ("row", seen.logits.row),
                ("entropy", seen.logits.entropy),
                ("cosine", seen.cosine),
                ("stream", seen.stream),
            ] {
                draw.record(&format!("{block}/{part}"), value)?;
            }
        }
        Ok(())
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("input", "Second moment that enters W_Q", "block", "E x²").log_y(),
            Figure::new("row", "Variance of the logits within a row", "block", "variance").log_y(),
            Figure::new("entropy", "Entropy of attention", "block", "H, nats"),
            Figure::new("cosine", "Cosine of tokens", "block", "ρ"),
        ]
    }
}

/// A block that is reported.
struct Block {
    number: usize,
    first: bool,
    last: bool,
}

impl LnPlacementForward {
    fn block_rows(&self, kind: Kind, shape: &Shape, laws: &[BlockLaw], block: Block) -> Vec<Row> {
        let law = &laws[block.number];
        let stack = kind.name();
        let row = |part: &str, quantity: &str, measure: &str| {
            let name = format!("{stack}/block {}/{part}", block.number);
            Row::new(name, quantity, &format!("{}/{measure}", block.number))
        };
        let on = |row: Row, figure: &str| row.at(figure, stack, block.number as f64);
        let (tolerance, reason) = tolerance(shape, 2 * block.number, self.draws);
        // Second moments of n·d independent values, and of logits made of them by n·d independent weights each.
        let values = (shape.tokens * shape.width * self.draws) as f64;
        let (of_values, of_logits) = (5.0 * (2.0 / values).sqrt(), 5.0 * (16.0 / values).sqrt());
        let normed = "2 %: a norm sets it, but for ε; and in block 0 five standard errors √(2/(n·d·draws))";
        let set = law.input == 1.0;
        let raw = kind == Kind::PostRaw && block.first;

        let mut input = row("input", "second moment of what enters W_Q", "input");
        input = if set || block.first {
            input.about(law.input, 0.02 + if block.first { of_values } else { 0.0 }, normed)
        } else {
            input.about(law.input, tolerance, &reason)
        };
        // The part common to all tokens is one number a head, of relative variance 2 when squared.
        let common = law.cosine.powi(2) * (2.1 / (shape.heads * self.draws) as f64).sqrt();
        let of_total = "2 %, or without a norm twice the tolerance of a second moment; five standard errors √(16/(n·d·draws)) of \
                        logits; and five of the part common to all tokens, which is one number a head and draw";
        let mut total = row("total", "E s² of the attention logits", "total").about(
            law.total,
            if set { 0.02 } else { 2.0 * tolerance } + of_logits + 5.0 * common,
            of_total,
        );
        let mut within = row("row", "variance of the attention logits within a row", "row");
        within = within.about(law.row, if set { tolerance } else { 2.0 * tolerance }, &reason);
        // The entropy answers to ln σ² with σ²/2, and with about 1 where the row freezes.
        let slope = (law.row / 2.0).min(1.0);
        let of_entropy = "0.02 nats, and what the tolerance of the variance within a row makes of it";
        let entropy = row("entropy", "mean entropy of the attention rows", "entropy").unit("nats").near(
            law.entropy,
            0.02 + 2.0 * tolerance * slope,
            of_entropy,
        );
        let mut cosine =
            row("cosine", "mean cosine of two tokens of the stream in front of the block", "cosine");
        let few = 2.0 * (2.0 / shape.width as f64).sqrt() / shape.tokens as f64;
        let of_cosine = format!("2·√(2/d)/n, by which independent tokens spread; of ρ or 1 − ρ, {reason}");
        cosine = cosine.near(law.cosine, few + tolerance * law.cosine.min(1.0 - law.cosine), &of_cosine);
        let mut stream = row("stream", "second moment of the stream behind the block", "stream");
        stream = if shape.placement == Placement::Post {
            stream.about(law.stream, 0.02, normed)
        } else {
            let (tolerance, reason) = self::tolerance(shape, 2 * block.number + 2, self.draws);
            stream.about(law.stream, tolerance, &reason)
        };

        match kind {
            Kind::Pre => {
                let why = "it holds: the norm sets it, whatever the stream is";
                input = input.claim(UNIT, Rule::about(1.0, 0.02), why);
                let why = "the total does stay at 1, but the part of it that all keys share grows with depth and cancels in \
                           the softmax; what is left within a row falls as tokens become alike";
                total = total.claim(CONSTANT, Rule::about(1.0, 0.02 + of_logits + 5.0 * common), why);
                within = within.claim(CONSTANT, Rule::about(laws[0].row, 0.15), why);
            }
            Kind::Post if !block.first => {
                let why = "the norm behind the block below sets it to 1: what enters W_Q is as normalized as in Pre-LN, \
                           save in block 0, which takes the raw embeddings";
                input = input.claim(UNCONTROLLED, Rule::AtLeast { value: 1.1 }, why);
                if law.row < 0.6 * laws[0].row {
                    let why = "it does, and so it does in Pre-LN: downwards, to uniform attention, because tokens become \
                               alike, and not through the variance of the input";
                    within = within.claim(DRIFTS, Rule::AtMost { value: 0.7 * laws[0].row }, why);
                }
            }
            _ => (),
        }
        let mut rows = vec![on(input, "input"), total];
        if !raw {
            rows.extend([on(within, "row"), on(entropy, "entropy"), on(cosine, "cosine"), stream]);
        }
        if block.last && kind == Kind::None && block.number > 0 {
            let control = row("control", "what enters W_Q, if a sum kept second moments", "input");
            rows.push(control.about(1.0, 0.1, "10 %, more than any correction").control());
        }
        if block.last && kind == Kind::Pre && law.row < 0.7 * laws[0].row {
            let control = row("control", "variance within a row, if tokens stayed independent", "row");
            let control = control.about(laws[0].row, 0.1, "10 %, more than any correction").control();
            rows.push(control);
        }
        rows
    }
}
