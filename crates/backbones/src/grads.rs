//! Gradients of the trainable weights, accumulated over micro-batches.

use crate::{Params, WeightId};

/// One gradient a trainable weight; frozen weights have none and cost nothing.
pub struct Grads {
    values: Vec<Option<Vec<f32>>>,
    reached: Vec<bool>,
}

impl Grads {
    /// Zero gradients for the trainable weights.
    pub fn new(params: &Params) -> Self {
        let zeros = |w: &crate::Weight| w.trainable.then(|| vec![0.0; w.var.elem_count()]);
        Grads { values: params.iter().map(|(_, w)| zeros(w)).collect(), reached: vec![false; params.len()] }
    }

    /// Forgets the last step.
    pub fn clear(&mut self) {
        self.values.iter_mut().flatten().for_each(|v| v.fill(0.0));
        self.reached.fill(false);
    }

    /// Where to add a weight's gradient; `None` when it is frozen. Asking counts as reaching the weight.
    pub fn slot(&mut self, id: WeightId) -> Option<&mut [f32]> {
        self.reached[id.0] = true;
        self.values[id.0].as_deref_mut()
    }

    /// [`Grads::slot`] of two weights at once; `None` unless both are trainable.
    pub fn pair(&mut self, a: WeightId, b: WeightId) -> Option<(&mut [f32], &mut [f32])> {
        self.reached[a.0] = true;
        self.reached[b.0] = true;
        let [a, b] = self.values.get_disjoint_mut([a.0, b.0]).ok()?;
        Some((a.as_deref_mut()?, b.as_deref_mut()?))
    }

    /// A weight's gradient as accumulated so far.
    pub fn get(&self, id: WeightId) -> Option<&[f32]> {
        self.values[id.0].as_deref()
    }

    /// Whether a backward pass has come to this weight since [`Grads::clear`].
    pub fn reached(&self, id: WeightId) -> bool {
        self.reached[id.0]
    }
}
