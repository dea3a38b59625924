//! Dense layers and nonlinearities.

use super::{Graph, Var};
use crate::Result;
use crate::layers::{Linear, Transposed};
use xexp_kernels::Activation;
use xexp_kernels::linear::GradColumns;

impl Graph<'_, '_> {
    /// `x Wᵀ + b`.
    pub fn linear(&mut self, layer: &Linear, x: &Var) -> Result<Var> {
        let mut y = self.pass.buffer(x.rows() * layer.output);
        layer.forward(self.params, x.values(), &mut y, self.pass)?;
        layer.show(x.values(), &y, self.pass);
        let wanted = self.wants(&[x], layer.ids());
        let (layer, input, place) = (*layer, x.values().clone(), x.place());
        Ok(self.record(y, layer.output, wanted, move |descent, dy| {
            let mut dx = descent.open(place);
            let slot = dx.as_mut().map(|(dx, accumulate)| (&mut dx[..], *accumulate));
            let dy = GradColumns::all(&dy, layer.output);
            layer.backward(descent.params, descent.grads, &input, dy, slot, descent.pass)?;
            descent.close(place, dx.map(|(dx, _)| dx));
            Ok(())
        }))
    }

    /// `x W + b`, of a weight that is stored the other way round.
    pub fn transposed(&mut self, layer: &Transposed, x: &Var) -> Result<Var> {
        let mut y = self.pass.buffer(x.rows() * layer.output);
        layer.forward(self.params, x.values(), &mut y, self.pass)?;
        layer.show(x.values(), &y, self.pass);
        let wanted = self.wants(&[x], layer.ids());
        let (layer, input, place) = (*layer, x.values().clone(), x.place());
        Ok(self.record(y, layer.output, wanted, move |descent, dy| {
            let mut dx = descent.open(place);
            let slot = dx.as_mut().map(|(dx, accumulate)| (&mut dx[..], *accumulate));
            layer.backward(descent.params, descent.grads, &input, &dy, slot, descent.pass)?;
            descent.close(place, dx.map(|(dx, _)| dx));
            Ok(())
        }))
    }

    /// `φ(x)`, element by element.
    pub fn activation(&mut self, activation: Activation, x: &Var) -> Var {
        let mut y = self.pass.buffer(x.values().len());
        activation.forward(x.values(), &mut y);
        self.pass.tell(|tap| tap.activation(activation));
        let (input, place) = (x.values().clone(), x.place());
        self.record(y, x.width(), self.wants(&[x], []), move |descent, mut dy| {
            activation.backward(&input, &mut dy);
            descent.give(place, dy);
            Ok(())
        })
    }

    /// `x` with values dropped by the stream of `place` with probability `p`, the others scaled by `1/(1 − p)`; `x` itself
    /// in a pass without dropout.
    pub fn dropout(&mut self, place: &str, p: f64, x: &Var) -> Var {
        let Some(dropout) = self.pass.dropout(place, p) else { return x.clone() };
        let width = x.width();
        let mut y = self.pass.buffer(x.values().len());
        y.copy_from_slice(x.values());
        dropout.apply(&mut y, width);
        let to = x.place();
        self.record(y, width, self.wants(&[x], []), move |descent, mut dy| {
            dropout.apply(&mut dy, width);
            descent.give(to, dy);
            Ok(())
        })
    }
}
