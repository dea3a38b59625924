//! Rotary position embeddings.

use super::{Graph, Var};
use crate::layers::Turn;

impl Graph<'_, '_> {
    /// `x (tokens, heads · head)` with every head turned by the angles of its token.
    pub fn turn(&mut self, turn: &Turn, x: &Var) -> Var {
        let mut y = self.pass.buffer(x.values().len());
        y.copy_from_slice(x.values());
        turn.angles.turn(&mut y, turn.head, &turn.positions, false);
        self.pass.tell(|tap| tap.turn());
        let (turn, place) = (turn.clone(), x.place());
        self.record(y, x.width(), self.wants(&[x], []), move |descent, mut dy| {
            turn.angles.turn(&mut dy, turn.head, &turn.positions, true);
            descent.give(place, dy);
            Ok(())
        })
    }
}
