//! The feed-forward sub-layer: up, nonlinearity, down.

use crate::layers::Linear;
use crate::{Grads, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::linear::GradColumns;
use xexp_kernels::{Activation, Buffer};

/// `down(φ(up(x)))`.
#[derive(Clone)]
pub struct Mlp {
    /// `(width → hidden)`.
    pub up: Linear,
    /// `(hidden → width)`.
    pub down: Linear,
    /// `φ`.
    pub activation: Activation,
}

/// What the backward pass needs.
pub struct MlpTape {
    x: Arc<Buffer>,
    before: Buffer,
    after: Buffer,
}

impl Mlp {
    /// `(tokens, width)` from `(tokens, width)`.
    pub fn forward(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, MlpTape)> {
        let rows = x.len() / self.up.input;
        let mut before = pass.buffer(rows * self.up.output);
        self.up.forward(params, x, &mut before, pass)?;
        self.up.show(x, &before, pass);
        let mut after = pass.buffer(before.len());
        self.activation.forward(&before, &mut after);
        pass.tell(|tap| tap.activation(self.activation));
        let mut y = pass.buffer(rows * self.down.output);
        self.down.forward(params, &after, &mut y, pass)?;
        self.down.show(&after, &y, pass);
        Ok((y, MlpTape { x: x.clone(), before, after }))
    }

    /// Writes (or adds, with `accumulate`) the gradient of `x` to `dx`.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        dy: &[f32],
        tape: MlpTape,
        dx: (&mut [f32], bool),
        pass: &Pass<'_>,
    ) -> Result<()> {
        let mut dhidden = pass.buffer(tape.before.len());
        let dy = GradColumns::all(dy, self.down.output);
        self.down.backward(params, grads, &tape.after, dy, Some((&mut dhidden, false)), pass)?;
        self.activation.backward(&tape.before, &mut dhidden);
        let dhidden = GradColumns::all(&dhidden, self.up.output);
        self.up.backward(params, grads, &tape.x, dhidden, Some(dx), pass)
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        self.up.ids().chain(self.down.ids())
    }
}
