//! Rows looked up, averaged, and put side by side.

use super::{Graph, Var};
use crate::{Error, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::{add, embedding};

impl Graph<'_, '_> {
    /// The rows of a table `(count, width)` at some indices; `what` names the table in errors.
    ///
    /// # Errors
    /// [`Error::TokenId`] for an index beyond the table.
    pub fn lookup(
        &mut self,
        table: WeightId,
        width: usize,
        indices: &[u32],
        what: &'static str,
    ) -> Result<Var> {
        let values = self.params.values(table)?;
        let count = values.len() / width;
        if let Some(&wrong) = indices.iter().find(|&&index| index as usize >= count) {
            return Err(Error::TokenId { id: wrong, what, count });
        }
        let mut y = self.pass.buffer(indices.len() * width);
        embedding::forward(indices, &values, width, &mut y, false);
        drop(values);
        let indices = indices.to_vec();
        Ok(self.record(y, width, self.wants(&[], [table]), move |descent, dy| {
            if let Some(slot) = descent.grads.rows(table, &indices) {
                embedding::backward(&indices, &dy, width, slot);
            }
            Ok(())
        }))
    }

    /// The rows of `x` at `rows`, in that order; a row may be taken several times.
    pub fn gather(&mut self, x: &Var, rows: Arc<Vec<u32>>) -> Var {
        let width = x.width();
        let mut y = self.pass.buffer(rows.len() * width);
        embedding::forward(&rows, x.values(), width, &mut y, false);
        let place = x.place();
        self.record(y, width, self.wants(&[x], []), move |descent, dy| {
            let mut dx = descent.open_zeroed(place);
            if let Some(dx) = &mut dx {
                embedding::backward(&rows, &dy, width, dx);
            }
            descent.close(place, dx);
            Ok(())
        })
    }

    /// The rows of `x` at the places `rows` of `count`, no place twice, and zeros at the others: a [`Graph::gather`] read
    /// backwards. `(count, width)`.
    pub fn scatter(&mut self, x: &Var, rows: Arc<Vec<u32>>, count: usize) -> Var {
        let width = x.width();
        let mut y = self.pass.pool.zeros(count * width);
        embedding::backward(&rows, x.values(), width, &mut y);
        let place = x.place();
        self.record(y, width, self.wants(&[x], []), move |descent, dy| {
            let mut dx = descent.open(place);
            if let Some((dx, holds)) = &mut dx {
                embedding::forward(&rows, &dy, width, dx, *holds);
            }
            descent.close(place, dx.map(|(dx, _)| dx));
            Ok(())
        })
    }

    /// The values of `x` in rows of another width, which divides their number.
    pub fn reshape(&mut self, x: &Var, width: usize) -> Var {
        let place = x.place();
        self.record(x.values().clone(), width, self.wants(&[x], []), move |descent, dy| {
            descent.give(place, dy);
            Ok(())
        })
    }

    /// The mean of each group of consecutive rows: group `g` is the rows `offsets[g]..offsets[g + 1]`, none of them
    /// empty. `(groups, width)`.
    pub fn mean_rows(&mut self, x: &Var, offsets: &[usize]) -> Var {
        let width = x.width();
        let groups = offsets.len() - 1;
        let mut y = self.pass.pool.zeros(groups * width);
        for (y, range) in y.chunks_exact_mut(width).zip(offsets.windows(2)) {
            for row in x.values()[range[0] * width..range[1] * width].chunks_exact(width) {
                add(y, row);
            }
            xexp_kernels::scale(y, 1.0 / (range[1] - range[0]) as f32);
        }
        let (place, offsets) = (x.place(), offsets.to_vec());
        self.record(y, width, self.wants(&[x], []), move |descent, mut dy| {
            let mut dx = descent.open_zeroed(place);
            if let Some(dx) = &mut dx {
                for (dy, range) in dy.chunks_exact_mut(width).zip(offsets.windows(2)) {
                    xexp_kernels::scale(dy, 1.0 / (range[1] - range[0]) as f32);
                    for row in dx[range[0] * width..range[1] * width].chunks_exact_mut(width) {
                        add(row, dy);
                    }
                }
            }
            descent.close(place, dx);
            Ok(())
        })
    }

    /// `[x, y]`, side by side: `(rows, width of x + width of y)`.
    pub fn concat(&mut self, x: &Var, y: &Var) -> Var {
        let (a, b) = (x.width(), y.width());
        let mut both = self.pass.buffer(x.values().len() + y.values().len());
        let rows = x.values().chunks_exact(a).zip(y.values().chunks_exact(b));
        for (row, (x, y)) in both.chunks_exact_mut(a + b).zip(rows) {
            row[..a].copy_from_slice(x);
            row[a..].copy_from_slice(y);
        }
        let (to_x, to_y) = (x.place(), y.place());
        self.record(both, a + b, self.wants(&[x, y], []), move |descent, dy| {
            for (to, start, width) in [(to_x, 0, a), (to_y, a, b)] {
                let mut slot = descent.open_zeroed(to);
                if let Some(slot) = &mut slot {
                    for (slot, dy) in slot.chunks_exact_mut(width).zip(dy.chunks_exact(a + b)) {
                        add(slot, &dy[start..start + width]);
                    }
                }
                descent.close(to, slot);
            }
            Ok(())
        })
    }

    /// The columns `start..start + width` of `x`.
    pub fn columns(&mut self, x: &Var, start: usize, width: usize) -> Var {
        let all = x.width();
        let mut y = self.pass.buffer(x.rows() * width);
        for (y, x) in y.chunks_exact_mut(width).zip(x.values().chunks_exact(all)) {
            y.copy_from_slice(&x[start..start + width]);
        }
        let place = x.place();
        self.record(y, width, self.wants(&[x], []), move |descent, dy| {
            let mut dx = descent.open_zeroed(place);
            if let Some(dx) = &mut dx {
                for (dx, dy) in dx.chunks_exact_mut(all).zip(dy.chunks_exact(width)) {
                    add(&mut dx[start..start + width], dy);
                }
            }
            descent.close(place, dx);
            Ok(())
        })
    }
}
