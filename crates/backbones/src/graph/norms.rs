//! Norms over the columns of a row.

use super::{Graph, Var};
use crate::Result;
use crate::layers::{LayerNorm, RmsNorm};

impl Graph<'_, '_> {
    /// Layer normalization of each row.
    pub fn layer_norm(&mut self, norm: &LayerNorm, x: &Var) -> Result<Var> {
        let (y, stats) = norm.forward(self.params, x.values(), self.pass.pool)?;
        norm.show(self.pass);
        let wanted = self.wants(&[x], norm.ids());
        let (norm, values, place) = (*norm, x.values().clone(), x.place());
        Ok(self.record(y, x.width(), wanted, move |descent, dy| {
            let tape = (&values[..], &stats[..]);
            let dx = norm.backward(descent.params, descent.grads, &dy, tape, descent.pass.pool)?;
            descent.give(place, dx);
            Ok(())
        }))
    }

    /// Root-mean-square normalization of each row, or of each of its heads where the norm is narrower than the row.
    pub fn rms_norm(&mut self, norm: &RmsNorm, x: &Var) -> Result<Var> {
        let (y, stats) = norm.forward(self.params, x.values(), self.pass.pool)?;
        self.pass.tell(|tap| norm.ids().into_iter().take(1).for_each(|gain| tap.norm(gain)));
        let wanted = self.wants(&[x], norm.ids());
        let (norm, values, place) = (*norm, x.values().clone(), x.place());
        Ok(self.record(y, x.width(), wanted, move |descent, dy| {
            let tape = (&values[..], &stats[..]);
            let dx = norm.backward(descent.params, descent.grads, &dy, tape, descent.pass.pool)?;
            descent.give(place, dx);
            Ok(())
        }))
    }
}
