//! Disentangled attention, as an operation.

use super::{Graph, Var};
use crate::Attended;
use std::sync::Arc;
use xexp_kernels::disentangled::{Disentangled, Distances, Given, TableGradients, Tables};

/// Shape and law of a disentangled attention, and what is dropped.
pub struct DisentangledSpec<'a> {
    /// Heads and scale.
    pub law: Disentangled,
    /// The tables' row of each distance.
    pub distances: Arc<Distances>,
    /// Probability of dropping an attention weight.
    pub dropout: f64,
    /// Names the dropout stream.
    pub place: &'a str,
}

impl Graph<'_, '_> {
    /// The contexts `(tokens, width)` of `q`, `k` and `v`, of the same shape, with `keys` and `queries (rows, width)` of the
    /// distances. See [`xexp_kernels::disentangled`].
    pub fn disentangled_attention(
        &mut self,
        spec: &DisentangledSpec<'_>,
        [q, k, v]: [&Var; 3],
        (keys, queries): (Option<&Var>, Option<&Var>),
        offsets: &Arc<Vec<usize>>,
    ) -> Var {
        let (law, distances) = (spec.law, spec.distances.clone());
        let qkv = self.side_by_side([q, k, v]);
        let dropout = self.pass.dropout(spec.place, spec.dropout);
        let mut context = self.pass.buffer(q.values().len());
        let values = |table: Option<&Var>| table.map(|table| table.values().clone());
        let tables = (values(keys), values(queries));
        let given = Given {
            qkv: &qkv,
            offsets,
            tables: Tables {
                keys: tables.0.as_ref().map(|t| &t[..]),
                queries: tables.1.as_ref().map(|t| &t[..]),
            },
            distances: &distances,
            dropout: dropout.as_ref(),
        };
        law.forward(&given, &mut context);
        self.pass.tell(|tap| {
            let rows: &crate::tap::Rows<'_> = &|of, visit| law.rows(&given, of, visit);
            tap.attention(Attended {
                plain: false,
                ..Attended::plain(spec.place, law.law(), &qkv, offsets, rows)
            });
        });
        let inputs: Vec<&Var> = [Some(q), Some(k), Some(v), keys, queries].into_iter().flatten().collect();
        let wanted = self.wants(&inputs, []);
        let parts = [q, k, v].map(|part| (part.place(), part.width()));
        let to_tables = (keys.map(Var::place), queries.map(Var::place));
        let offsets = offsets.clone();
        self.record(context, q.width(), wanted, move |descent, dcontext| {
            let mut dqkv = descent.pass.buffer(qkv.len());
            let mut dkeys = to_tables.0.and_then(|place| descent.open_zeroed(place));
            let mut dqueries = to_tables.1.and_then(|place| descent.open_zeroed(place));
            let given = Given {
                qkv: &qkv,
                offsets: &offsets,
                tables: Tables {
                    keys: tables.0.as_ref().map(|t| &t[..]),
                    queries: tables.1.as_ref().map(|t| &t[..]),
                },
                distances: &distances,
                dropout: dropout.as_ref(),
            };
            let slots = TableGradients { keys: dkeys.as_deref_mut(), queries: dqueries.as_deref_mut() };
            law.backward(&given, &dcontext, &mut dqkv, slots);
            for (place, slot) in [(to_tables.0, dkeys), (to_tables.1, dqueries)] {
                if let Some(place) = place {
                    descent.close(place, slot);
                }
            }
            descent.give_columns(parts, &dqkv);
            Ok(())
        })
    }
}
