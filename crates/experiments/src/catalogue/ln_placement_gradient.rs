//! What norms do to gradients over depth, at initialization.

use serde::{Deserialize, Serialize};
use xexp_backbones::Grads;
use xexp_report::lab::{Figure, Looks, Row, Statistic};

use super::ln_placement_forward::{check_sizes, tolerance, two_looks};
use super::mean_field::Shape;
use super::stack::{Kind, Sizes, Stack};
use crate::{About, Draw, Error, Experiment, Result, Setup};

/// Stacks of transformer blocks with new Xavier weights, and unit gradients on top of them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LnPlacementGradient {
    /// Which stacks: `none`, `none-scaled`, `pre`, `post`, `post-scaled`, `peri`.
    pub stacks: Vec<Kind>,
    /// Blocks of a stack.
    pub depth: usize,
    /// Blocks of a stack without norms, which explodes.
    pub depth_without_norm: usize,
    /// Width of the stream.
    pub width: usize,
    /// Width of the feed-forward layer.
    pub hidden: usize,
    /// Heads; divides both widths.
    pub heads: usize,
    /// Tokens.
    pub tokens: usize,
    /// Blocks that are reported, where a stack has them.
    pub blocks: Vec<usize>,
    /// Depths over which the slope of the last layer's gradient is fitted.
    pub depths: Vec<usize>,
    /// Width of the stacks of these depths; four times that in the feed-forward layer.
    pub slope_width: usize,
    /// Draws of a stack; looked at in the middle as well, and in Post-LN, which spreads more, also at twice as many.
    pub draws: usize,
}

impl Default for LnPlacementGradient {
    fn default() -> Self {
        LnPlacementGradient {
            stacks: vec![Kind::None, Kind::Pre, Kind::Post, Kind::Peri],
            depth: 12,
            depth_without_norm: 4,
            width: 256,
            hidden: 1024,
            heads: 4,
            tokens: 64,
            blocks: vec![0, 1, 2, 3, 5, 7, 9, 11],
            depths: vec![3, 6, 12, 24],
            slope_width: 128,
            draws: 24,
        }
    }
}

/// What a set-up measures.
pub enum Gradients {
    /// Token gradients block by block.
    Depth {
        /// Which stack.
        kind: Kind,
        /// Its sizes.
        shape: Shape,
        /// The blocks that are reported.
        blocks: Vec<usize>,
    },
    /// The gradient of the last feed-forward matrix in stacks of several depths.
    Slope {
        /// Which stacks.
        kind: Kind,
        /// Their sizes.
        shapes: Vec<Shape>,
    },
}

/// Slope of the straight line through points, by least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let (top, bottom) = points
        .iter()
        .fold((0.0, 0.0), |(top, bottom), p| (top + (p.0 - x) * (p.1 - y), bottom + (p.0 - x).powi(2)));
    top / bottom
}

impl LnPlacementGradient {
    fn sizes(&self) -> Sizes {
        Sizes { width: self.width, hidden: self.hidden, heads: self.heads, tokens: self.tokens }
    }

    fn slope_sizes(&self) -> Sizes {
        Sizes { width: self.slope_width, hidden: 4 * self.slope_width, ..self.sizes() }
    }
}

/// The statistic of a stack's gradients: in Post-LN a draw's gradient is a product of factors as uncertain as what rank
/// collapse has left of the tokens' differences, so its mean lies above what is typical, which the recursion follows.
fn typical(kind: Kind, of: &str) -> Statistic {
    let of = of.to_owned();
    if kind == Kind::Post { Statistic::Median { of } } else { Statistic::Mean { of } }
}

/// Independent unit gradients on the output, back to the inputs of the blocks.
fn measure(shape: &Shape, draw: &Draw<'_>, name: &str) -> Result<(Vec<f64>, f64)> {
    let mut stack = Stack::draw(shape, 1, draw.seed(&format!("{name}weights")), |_| ())?;
    let last = stack.params.weight(stack.last_down).name.clone();
    stack.params.train_only(|name| name == last);
    let normal = |purpose: &str| -> Vec<f32> {
        let mut stream = draw.stream(&format!("{name}{purpose}"));
        (0..shape.tokens * shape.width).map(|_| stream.normal() as f32).collect()
    };
    let (_, _, tape) = stack.forward(normal("tokens"), false)?;
    let mut grads = Grads::new(&stack.params);
    let (_, moments) = stack.backward(normal("gradient"), tape, &mut grads)?;
    let down = grads.get(stack.last_down).map_or(0.0, xexp_kernels::sum_of_squares);
    Ok((moments, down))
}

impl Experiment for LnPlacementGradient {
    type Setup = Gradients;

    const ABOUT: About = About {
        id: "ln-placement-gradient",
        title: "Norm placement: gradients over depth",
        question: "How large are gradients in each block of a new transformer, and does the last layer's shrink with depth?",
        source: "Document, \"Recurrence and attention\"; Xiong et al. 2020, theorem 1; recursion as in mean_field",
        method: "Stacks as in ln-placement-forward, independent N(0, 1) tokens, independent N(0, 1) gradients on the output \
                 (above the closing norm, where there is one), back through the block's own backward pass. Measured: the \
                 second moment of the token gradient at each block's input; and, in stacks of several depths, the norm of \
                 the gradient of the last feed-forward matrix, with the slope of its logarithm over that of the depth. A \
                 draw is new weights, tokens and gradients. Controls: the recursion without the path through queries and \
                 keys, and each placement's slope for the other.",
        cost: "30 s",
    };

    fn full() -> Self {
        let blocks = vec![0, 1, 2, 3, 5, 7, 9, 11, 15, 23];
        let depths = vec![3, 6, 12, 24, 48];
        LnPlacementGradient {
            depth: 24,
            width: 512,
            hidden: 2048,
            heads: 8,
            blocks,
            depths,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        let depths: Vec<usize> =
            self.depths.iter().copied().chain([self.depth, self.depth_without_norm]).collect();
        check_sizes(Self::ABOUT.id, self.sizes(), &depths, self.draws)?;
        check_sizes(Self::ABOUT.id, self.slope_sizes(), &[], self.draws)?;
        let refuse = |parameter, found: String, expected| {
            Err(Error::Parameter { experiment: Self::ABOUT.id, parameter, found, expected })
        };
        if self.stacks.is_empty() || self.stacks.contains(&Kind::PostRaw) {
            return refuse("stacks", format!("{:?}", self.stacks), "one or more, without `post-raw`");
        }
        if self.blocks.windows(2).any(|pair| pair[0] >= pair[1]) || self.blocks.first() != Some(&0) {
            return refuse(
                "blocks",
                format!("{:?}", self.blocks),
                "rising numbers of blocks that begin with 0",
            );
        }
        if self.depth_without_norm > 8 {
            let expected = "at most 8: beyond, the gradient without norms is another number in every draw";
            return refuse("depth_without_norm", self.depth_without_norm.to_string(), expected);
        }
        let rising = self.depths.windows(2).all(|pair| pair[0] < pair[1]);
        if self.depths.len() < 2 || !rising {
            return refuse("depths", format!("{:?}", self.depths), "two or more rising depths");
        }
        Ok(())
    }

    fn setups(&self) -> Result<Vec<Setup<Gradients>>> {
        let looks = two_looks(self.draws)?;
        let mut setups = vec![];
        for &kind in &self.stacks {
            let depth = if kind == Kind::None { self.depth_without_norm } else { self.depth };
            let blocks = self.blocks.iter().copied().filter(|block| *block < depth).collect();
            let shape = kind.shape(self.sizes(), depth, 1.0)?;
            let of = Gradients::Depth { kind, shape, blocks };
            // Post-LN spreads more than the rest.
            let more = kind == Kind::Post && self.draws >= 8;
            let looks =
                if more { Looks::at(&[self.draws / 2, self.draws, 2 * self.draws])? } else { looks.clone() };
            setups.push(Setup { name: kind.name().to_owned(), looks, of });
        }
        for kind in self.stacks.iter().copied().filter(|kind| matches!(kind, Kind::Pre | Kind::Post)) {
            let shape = |depth: &usize| kind.shape(self.slope_sizes(), *depth, 1.0);
            let shapes = self.depths.iter().map(shape).collect::<Result<_>>()?;
            let name = format!("{} depths", kind.name());
            setups.push(Setup { name, looks: looks.clone(), of: Gradients::Slope { kind, shapes } });
        }
        Ok(setups)
    }

    fn predict(&self, setup: &Setup<Gradients>) -> Result<Vec<Row>> {
        match &setup.of {
            Gradients::Depth { kind, shape, blocks } => self.depth_rows(*kind, shape, blocks),
            Gradients::Slope { kind, shapes } => self.slope_rows(*kind, shapes),
        }
    }

    fn draw(&self, setup: &Setup<Gradients>, draw: &mut Draw<'_>) -> Result<()> {
        match &setup.of {
            Gradients::Depth { shape, blocks, .. } => {
                let (moments, _) = measure(shape, draw, "")?;
                let (first, last) = (blocks[0], blocks[blocks.len() - 1]);
                draw.record("first over last", moments[first] / moments[last])?;
                blocks.iter().try_for_each(|&block| draw.record(&format!("{block}"), moments[block]))
            }
            Gradients::Slope { shapes, .. } => {
                let mut points = vec![];
                for shape in shapes {
                    let (_, down) = measure(shape, draw, &format!("{}/", shape.depth))?;
                    draw.record(&format!("{}", shape.depth), down.sqrt())?;
                    points.push(((shape.depth as f64).ln(), 0.5 * down.ln()));
                }
                draw.record("slope", slope(&points))
            }
        }
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure::new("gradient", "Token gradient by block", "block", "Γ").log_y(),
            Figure::new("last", "Gradient of the last feed-forward matrix", "depth", "‖∂L/∂W₂‖")
                .log_x()
                .log_y(),
        ]
    }
}

impl LnPlacementGradient {
    fn depth_rows(&self, kind: Kind, shape: &Shape, blocks: &[usize]) -> Result<Vec<Row>> {
        let laws = shape.follow()?.blocks;
        let values_alone = shape.follow_through_values_alone()?.blocks;
        let stack = kind.name();
        let mut rows = vec![];
        for &block in blocks {
            let row = |part: &str, quantity: &str| {
                Row::new(format!("{stack}/block {block}/{part}"), quantity, &format!("{block}"))
            };
            let row = |part: &str, quantity: &str| row(part, quantity).by(typical(kind, &format!("{block}")));
            let law = laws[block].gradient;
            let (tolerance, reason) = tolerance(shape, 2 * (shape.depth - block), self.draws);
            let quantity = "second moment of the token gradient at the block's input";
            rows.push(row("gradient", quantity).about(law, tolerance, &reason).at(
                "gradient",
                stack,
                block as f64,
            ));
            let without = values_alone[block].gradient;
            let first = blocks.first() == Some(&block);
            if kind == Kind::None && first && without < law / 2.0 {
                let control = row("control", "the same, if nothing went back through queries and keys");
                let series = "none, through values alone";
                rows.push(control.about(without, tolerance, &reason).control().at(
                    "gradient",
                    series,
                    block as f64,
                ));
            }
        }
        let (first, last) = (blocks[0], blocks[blocks.len() - 1]);
        if kind == Kind::Post || kind == Kind::PostScaled {
            let (tolerance, reason) = tolerance(shape, 2 * shape.depth, self.draws);
            let quantity = "token gradient at the first block over that at the last one reported";
            let row = Row::new(format!("{stack}/first over last"), quantity, "")
                .by(typical(kind, "first over last"));
            rows.push(row.about(laws[first].gradient / laws[last].gradient, tolerance, &reason));
        }
        Ok(rows)
    }

    fn slope_rows(&self, kind: Kind, shapes: &[Shape]) -> Result<Vec<Row>> {
        let stack = kind.name();
        let mut points = vec![];
        let mut rows = vec![];
        for shape in shapes {
            let norm = shape.follow()?.last_down.sqrt();
            points.push(((shape.depth as f64).ln(), norm.ln()));
            // Half of a second moment's tolerance, for its root; in Post-LN nothing below the last block has a part in it.
            let sublayers = if kind == Kind::Pre { 2 * shape.depth } else { 2 };
            let (tolerance, reason) = tolerance(shape, sublayers, self.draws);
            let (tolerance, reason) = (tolerance / 2.0, format!("half of {reason}, for a root"));
            let name = format!("{stack} depths/{} blocks", shape.depth);
            let row = Row::new(
                name,
                "norm of the gradient of the last feed-forward matrix",
                &format!("{}", shape.depth),
            );
            rows.push(row.about(norm, tolerance, &reason).at("last", stack, shape.depth as f64));
        }
        let row = |part: &str, quantity: &str| Row::new(format!("{stack} depths/{part}"), quantity, "slope");
        let (of_pre, of_post) = (-0.5, 0.0);
        let (own, other) = if kind == Kind::Pre { (of_pre, of_post) } else { (of_post, of_pre) };
        let fitted = "slope of ln ‖∂L/∂W₂‖ over ln depth";
        // A norm spreads by √(2/d)/2 about its law; the slope's share of that follows from the places of the depths.
        let mean = points.iter().map(|p| p.0).sum::<f64>() / points.len() as f64;
        let lever = points.iter().map(|p| (p.0 - mean).powi(2)).sum::<f64>().sqrt();
        let spread = 0.5 * (2.0 / self.slope_width as f64).sqrt() / lever / (self.draws as f64).sqrt();
        let reason = "0.01 and five standard errors: the same fit to the recursion's values, about which one norm spreads by \
                      √(2/d)/2";
        rows.push(row("slope", fitted).near(slope(&points), 0.01 + 5.0 * spread, reason));
        let (first, last) = (self.depths[0], self.depths[self.depths.len() - 1]);
        if first >= 3 && last >= 8 * first {
            let reason = "0.12: a stream that begins at 1 and grows at a rate which rises with the tokens' cosine is not yet \
                          proportional to depth";
            rows.push(row("limit", "the same slope, in the limit of great depth").near(own, 0.12, reason));
        }
        if (slope(&points) - other).abs() > 0.25 {
            let control = row("control", "the same slope, by the other placement's law");
            rows.push(control.near(other, 0.12, "0.12, the tolerance of the limit").control());
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        assert!((slope(&[(0.0, 1.0), (1.0, 0.5), (4.0, -1.0)]) + 0.5).abs() < 1e-12);
    }
}
