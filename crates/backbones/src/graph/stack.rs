//! Whole layers with a backward pass of their own, as operations.

use super::{Graph, Var};
use crate::Result;
use crate::layers::{Block, Patches, Stem, Top, first_rows};
use std::sync::Arc;
use xexp_kernels::attention::Queries;

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

    /// A transformer block; see [`Block::forward`].
    pub fn block(&mut self, block: &Arc<Block>, x: &Var, queries: Queries) -> Result<Var> {
        let (y, tape) = block.forward(self.params, x.values(), self.input, queries, self.pass)?;
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

    /// The hidden states `(batch, width)` of the sequences' first tokens.
    pub fn first_tokens(&mut self, x: &Var) -> Var {
        let first = first_rows::take(x.values(), x.width(), self.input, self.pass.pool);
        let (wanted, width, place) = (self.wants(&[x], []), x.width(), x.place());
        self.record(first, width, wanted, move |descent, dy| {
            let mut dx = descent.open_zeroed(place);
            if let Some(dx) = &mut dx {
                first_rows::add_back(&dy, width, descent.input, dx);
            }
            descent.close(place, dx);
            Ok(())
        })
    }

    /// Features `(batch, width)` of the sequences, from the hidden states of their first tokens.
    pub fn top(&mut self, top: &Arc<Top>, first: &Var) -> Result<Var> {
        let (y, tape) = top.forward(self.params, first.values(), self.pass)?;
        let wanted = self.wants(&[first], top.ids());
        let (top, place) = (top.clone(), first.place());
        Ok(self.record(y, first.width(), wanted, move |descent, dy| {
            let wanted = place.node.is_some();
            let pair = (descent.params, &mut *descent.grads);
            if let Some(dfirst) = top.backward(pair, dy, &tape, wanted, descent.pass)? {
                descent.give(place, dfirst);
            }
            Ok(())
        }))
    }
}
