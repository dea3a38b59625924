//! A tape of coarse operations: a family writes its forward pass once, and the backward pass follows.
//!
//! An operation is a layer or more, up to a whole transformer block: it computes its values by the kernels and leaves a
//! closure that turns the gradient of its output into those of its inputs and weights. The closures run in reverse
//! order; each takes the gradient of its output, which by then is complete, and what it kept is freed with it. Nothing is
//! recorded in a pass that does not train, nor where neither an input nor a weight wants a gradient.
//!
//! Values are matrices `(rows, width)`: tokens and features, or pixels and channels (images lie as `batch, height,
//! width, channels`, so that norms, products and pointwise convolutions work on rows).

mod attention;
mod combine;
mod dense;
mod disentangled;
mod drop_path;
mod images;
mod norms;
mod rotary;
mod rows;
mod stack;
mod unfold;

pub use attention::{AttentionBias, AttentionSpec};
pub use disentangled::DisentangledSpec;
pub use images::Map;

use crate::{Grads, Input, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::{Buffer, add};

/// A matrix `(rows, width)` that an operation has computed.
#[derive(Clone)]
pub struct Var {
    values: Arc<Buffer>,
    width: usize,
    node: Option<usize>,
}

impl Var {
    /// The values, `(rows, width)`.
    pub fn values(&self) -> &Arc<Buffer> {
        &self.values
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Where its gradient belongs.
    pub fn place(&self) -> Place {
        Place { node: self.node, len: self.values.len() }
    }
}

/// Where the gradient of a [`Var`] belongs, if one is wanted.
#[derive(Clone, Copy)]
pub struct Place {
    node: Option<usize>,
    len: usize,
}

type Backward = Box<dyn FnOnce(&mut Descent<'_, '_>, Buffer) -> Result<()> + Send>;

/// A forward pass under way.
pub struct Graph<'a, 'p> {
    /// The weights.
    pub params: &'a Params,
    /// The batch.
    pub input: &'a Input,
    /// Mode, buffers, tap.
    pub pass: &'a mut Pass<'p>,
    tape: Tape,
}

/// What the backward pass needs, and what a training pass has learned on the way.
#[derive(Default)]
pub struct Tape {
    ops: Vec<Backward>,
    /// New values of weights that follow the data and have no gradient: running means and variances.
    pub statistics: Vec<(WeightId, Vec<f32>)>,
    /// Nodes whose gradients the tap is shown, with the names of their places and their widths.
    watched: Vec<(usize, String, usize)>,
}

impl<'a, 'p> Graph<'a, 'p> {
    /// A graph without operations.
    pub fn new(params: &'a Params, input: &'a Input, pass: &'a mut Pass<'p>) -> Self {
        Graph { params, input, pass, tape: Tape::default() }
    }

    /// The tape; `None` after a pass that does not train.
    pub fn finish(self) -> Option<Tape> {
        self.pass.trains().then_some(self.tape)
    }

    /// Whether a backward pass is to come to an operation on these inputs with these weights.
    pub fn wants(&self, inputs: &[&Var], weights: impl IntoIterator<Item = WeightId>) -> bool {
        let below = inputs.iter().any(|input| input.node.is_some());
        self.pass.trains() && (below || self.params.any_trainable(weights))
    }

    /// The result of an operation, with the `backward` that it leaves if it is `wanted`. `backward` is given the gradient
    /// of the result.
    pub fn record(
        &mut self,
        values: impl Into<Arc<Buffer>>,
        width: usize,
        wanted: bool,
        backward: impl FnOnce(&mut Descent<'_, '_>, Buffer) -> Result<()> + Send + 'static,
    ) -> Var {
        let node = wanted.then(|| {
            self.tape.ops.push(Box::new(backward));
            self.tape.ops.len() - 1
        });
        Var { values: values.into(), width, node }
    }

    /// Keeps new values of a weight without a gradient, which the training step will set.
    pub fn learn(&mut self, weight: WeightId, values: Vec<f32>) {
        self.tape.statistics.push((weight, values));
    }

    /// Shows `var` to the tap, if there is one.
    pub fn show(&self, place: &str, part: &str, var: &Var) {
        self.pass.show(place, part, &var.values, var.width);
    }

    /// Shows the stream in front of the next block.
    pub fn enter(&mut self, place: &str, var: &Var) {
        self.pass.tell(|tap| tap.enter(place, &var.values, var.width));
        self.watch(place, var);
    }

    /// Shows the stream behind a block.
    pub fn stream(&mut self, place: &str, var: &Var) {
        self.pass.tell(|tap| tap.stream(place, &var.values, var.width));
        self.watch(place, var);
    }

    /// Has the tap shown the gradient of `var` as well.
    fn watch(&mut self, place: &str, var: &Var) {
        if let (Some(node), true) = (var.node, self.pass.tap.is_some()) {
            self.tape.watched.push((node, place.to_string(), var.width));
        }
    }
}

impl Tape {
    /// Adds the gradients of all trainable weights, from those of some results.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn backward(
        self,
        (params, grads): (&Params, &mut Grads),
        above: impl IntoIterator<Item = (Place, Buffer)>,
        input: &Input,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let slots = self.ops.iter().map(|_| None).collect();
        let mut descent = Descent { params, grads, input, pass, slots };
        for (place, gradient) in above {
            descent.give(place, gradient);
        }
        for (node, backward) in self.ops.into_iter().enumerate().rev() {
            if let Some(gradient) = descent.slots[node].take() {
                for (_, place, width) in self.watched.iter().filter(|(watched, ..)| *watched == node) {
                    pass.tell(|tap| tap.gradient(place, &gradient, *width));
                }
                backward(&mut descent, gradient)?;
            }
        }
        Ok(())
    }
}

/// A backward pass under way.
pub struct Descent<'a, 'p> {
    /// The weights.
    pub params: &'a Params,
    /// Their gradients.
    pub grads: &'a mut Grads,
    /// The batch.
    pub input: &'a Input,
    /// Mode and buffers.
    pub pass: &'a Pass<'p>,
    slots: Vec<Option<Buffer>>,
}

impl Descent<'_, '_> {
    /// Adds a gradient to what a place has; drops it where none is wanted.
    pub fn give(&mut self, to: Place, gradient: Buffer) {
        debug_assert_eq!(gradient.len(), to.len, "graph: gradient length");
        let Some(node) = to.node else { return };
        match &mut self.slots[node] {
            Some(sum) => add(sum, &gradient),
            empty => *empty = Some(gradient),
        }
    }

    /// The buffer in which a place's gradient is summed, and whether it holds something to add to; `None` where no
    /// gradient is wanted. It goes back by [`Descent::close`].
    pub fn open(&mut self, to: Place) -> Option<(Buffer, bool)> {
        let node = to.node?;
        Some(match self.slots[node].take() {
            Some(sum) => (sum, true),
            None => (self.pass.buffer(to.len), false),
        })
    }

    /// [`Descent::open`] with zeros where there is nothing to add to.
    pub fn open_zeroed(&mut self, to: Place) -> Option<Buffer> {
        self.open(to).map(|(mut sum, holds)| {
            if !holds {
                sum.fill(0.0);
            }
            sum
        })
    }

    /// Puts back what [`Descent::open`] gave.
    pub fn close(&mut self, to: Place, sum: Option<Buffer>) {
        if let (Some(node), Some(sum)) = (to.node, sum) {
            self.slots[node] = Some(sum);
        }
    }
}
