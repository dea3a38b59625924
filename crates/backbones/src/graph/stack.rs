//! Whole layers with a backward pass of their own, as operations.

use super::{Graph, Var};
use crate::Result;
use crate::layers::{Block, Patches, Stem, Top};
use std::sync::Arc;
use xexp_kernels::add;

impl Graph<'_, '_> {
    /// The tokens `(tokens, width)` that a stem makes of the input.
    ///
    /// # Errors
    /// An input of another kind, or beyond the tables.
    pub fn stem(&mut self, stem: &Arc<Stem>, width: usize) -> Result<Var> {
        let (y, tape) = stem.forward(self.params, self.input, self.pass)?;
        let wanted = self.wants(&[], stem.ids());
        let stem = stem.clone();
        Ok(self.record(y, width, wanted, move |descent, dy| {
            stem.backward((descent.params, descent.grads), dy, &tape, descent.input, descent.pass)
        }))
    }

    /// The projected patches `(batch · patches, width)` of the input's images.
    ///
    /// # Errors
    /// Texts, or images of another size.
    pub fn patches(&mut self, patches: &Arc<Patches>) -> Result<Var> {
        let (y, tape) = patches.forward(self.params, self.input, self.pass)?;
        let wanted = self.wants(&[], patches.ids());
        let patches = patches.clone();
        Ok(self.record(y, patches.width(), wanted, move |descent, dy| {
            patches.backward(descent.grads, &dy, &tape);
            Ok(())
        }))
    }

    /// A transformer block.
    pub fn block(&mut self, block: &Arc<Block>, x: &Var) -> Result<Var> {
        let (y, tape) = block.forward(self.params, x.values(), self.input, self.pass)?;
        let wanted = self.wants(&[x], block.ids());
        let (of, place) = (block.clone(), x.place());
        let y = self.record(y, x.width(), wanted, move |descent, dy| {
            let dx = of.backward((descent.params, descent.grads), dy, tape, descent.input, descent.pass)?;
            descent.give(place, dx);
            Ok(())
        });
        self.stream(block.place(), &y);
        Ok(y)
    }

    /// Features `(batch, width)` of the sequences, from their first tokens.
    pub fn top(&mut self, top: &Arc<Top>, x: &Var) -> Result<Var> {
        let (y, tape) = top.forward(self.params, x.values(), self.input, self.pass)?;
        let (wanted, width) = (self.wants(&[x], top.ids()), x.width());
        let (top, place) = (top.clone(), x.place());
        Ok(self.record(y, width, wanted, move |descent, dy| {
            let wanted = place.node.is_some();
            let pair = (descent.params, &mut *descent.grads);
            let dfirst = top.backward(pair, dy, &tape, wanted, descent.pass)?;
            let mut dx = descent.open_zeroed(place);
            if let (Some(dx), Some(dfirst)) = (&mut dx, dfirst) {
                for (row, &start) in dfirst.chunks_exact(width).zip(&descent.input.offsets) {
                    add(&mut dx[start * width..(start + 1) * width], row);
                }
            }
            descent.close(place, dx);
            Ok(())
        }))
    }
}
