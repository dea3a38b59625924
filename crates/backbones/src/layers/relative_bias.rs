//! A learned term of the attention logits for each displacement of two patches.

use crate::checkpoint::{PositionTable, Resampling};
use crate::graph::{AttentionBias, Graph};
use crate::{Declarations, Origin, Result, WeightId};
use xexp_init::{Init, Layer};

/// Which row of a table each pair of a query and a key in a square of `side · side` patches takes: that of their
/// displacement. With a class token in front, the three last rows are for the pairs of which it is one.
/// Source: Liu et al. 2021, §3.2; the three rows as in BEiT's code, Bao et al. 2022.
#[derive(Clone, Copy, Debug)]
pub struct Displacements {
    /// Patches along an edge, at least one.
    pub side: usize,
    /// Whether there is a class token.
    pub class: bool,
}

impl Displacements {
    /// Displacements along an edge.
    fn span(self) -> usize {
        2 * self.side - 1
    }

    /// Rows of the table.
    pub fn count(self) -> usize {
        self.span().pow(2) + if self.class { 3 } else { 0 }
    }

    /// Tokens.
    pub fn tokens(self) -> usize {
        self.side * self.side + usize::from(self.class)
    }

    /// The row of the pair of two tokens.
    pub fn row(self, query: usize, key: usize) -> usize {
        let Displacements { side, class } = self;
        match (query, key) {
            (0, 0) if class => self.count() - 1,
            (_, 0) if class => self.count() - 2,
            (0, _) if class => self.count() - 3,
            _ => {
                let (i, j) = (query - usize::from(class), key - usize::from(class));
                let (down, right) = (side - 1 + i / side - j / side, side - 1 + i % side - j % side);
                down * self.span() + right
            }
        }
    }
}

/// `bias[head, query, key] = table[displacement, head]`. Source: Liu et al. 2021, eq. 4.
pub struct RelativeBias {
    table: WeightId,
    heads: usize,
    at: Displacements,
}

impl RelativeBias {
    /// Declares the table `(displacements, heads)`, zero when new.
    pub fn declare(declared: &mut Declarations, name: String, heads: usize, at: Displacements) -> Self {
        let layer = Layer::Embedding { count: at.count(), width: heads };
        let table = declared.weight(name, layer, Init::Constant(0.0), Origin::Checkpoint);
        if at.class {
            // The square is the whole image, and of another size with it; one of a window stays.
            let resampling = Resampling::Bilinear;
            declared.positions(table, PositionTable { front: 0, behind: 3, resampling });
        }
        RelativeBias { table, heads, at }
    }

    /// The terms, `(heads · n, n)`.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn forward(&self, graph: &mut Graph<'_, '_>) -> Result<AttentionBias> {
        let (heads, n, table, at) = (self.heads, self.at.tokens(), self.table, self.at);
        let mut terms = graph.pass.buffer(heads * n * n);
        let values = graph.params.values(table)?;
        for pair in 0..n * n {
            let row = at.row(pair / n, pair % n) * heads;
            for (h, value) in values[row..row + heads].iter().enumerate() {
                terms[h * n * n + pair] = *value;
            }
        }
        drop(values);
        let wanted = graph.wants(&[], [table]);
        let terms = graph.record(terms, n, wanted, move |descent, dterms| {
            if let Some(slot) = descent.grads.slot(table) {
                for pair in 0..n * n {
                    let row = at.row(pair / n, pair % n) * heads;
                    for (h, sum) in slot[row..row + heads].iter_mut().enumerate() {
                        *sum += dterms[h * n * n + pair];
                    }
                }
            }
            Ok(())
        });
        Ok(AttentionBias { n, heads: Some(terms), sequences: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// transformers' `generate_relative_position_index((2, 2))` of BEiT, and the same without its class token.
    #[test]
    fn rows_are_those_of_transformers() {
        let rows = |side, class| {
            let at = Displacements { side, class };
            let n = at.tokens();
            ((0..n * n).map(|pair| at.row(pair / n, pair % n)).collect::<Vec<_>>(), at.count())
        };
        let with_class = [11, 9, 9, 9, 9, 10, 4, 3, 1, 0, 10, 5, 4, 2, 1, 10, 7, 6, 4, 3, 10, 8, 7, 5, 4];
        assert_eq!(rows(2, true), (with_class.to_vec(), 12));
        let without = [4, 3, 1, 0, 5, 4, 2, 1, 7, 6, 4, 3, 8, 7, 5, 4];
        assert_eq!(rows(2, false), (without.to_vec(), 9));
    }
}
