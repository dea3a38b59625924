//! Sums and products of matrices, element by element and by columns.

use super::{Graph, Var};
use crate::{Result, WeightId};
use xexp_kernels::{add, column_sums};

impl Graph<'_, '_> {
    /// `x + y`.
    pub fn add(&mut self, x: &Var, y: &Var) -> Var {
        let mut sum = self.pass.buffer(x.values().len());
        sum.copy_from_slice(x.values());
        add(&mut sum, y.values());
        let (to_x, to_y) = (x.place(), y.place());
        self.record(sum, x.width(), self.wants(&[x, y], []), move |descent, dy| {
            if let Some((mut slot, holds)) = descent.open(to_x) {
                if holds {
                    add(&mut slot, &dy);
                } else {
                    slot.copy_from_slice(&dy);
                }
                descent.close(to_x, Some(slot));
            }
            descent.give(to_y, dy);
            Ok(())
        })
    }

    /// `x · y`, element by element.
    pub fn multiply(&mut self, x: &Var, y: &Var) -> Var {
        let mut product = self.pass.buffer(x.values().len());
        let factors = x.values().iter().zip(y.values().iter());
        product.iter_mut().zip(factors).for_each(|(p, (x, y))| *p = x * y);
        self.pass.tell(|tap| tap.gate());
        let (to_x, to_y) = (x.place(), y.place());
        let (x_values, y_values) = (x.values().clone(), y.values().clone());
        self.record(product, x.width(), self.wants(&[x, y], []), move |descent, mut dy| {
            if to_x.node.is_some() {
                let mut dx = descent.pass.buffer(dy.len());
                dx.iter_mut().zip(dy.iter().zip(y_values.iter())).for_each(|(dx, (g, y))| *dx = g * y);
                descent.give(to_x, dx);
            }
            dy.iter_mut().zip(x_values.iter()).for_each(|(g, x)| *g *= x);
            descent.give(to_y, dy);
            Ok(())
        })
    }

    /// `factor · x`.
    pub fn scale(&mut self, x: &Var, factor: f32) -> Var {
        let mut y = self.pass.buffer(x.values().len());
        y.copy_from_slice(x.values());
        xexp_kernels::scale(&mut y, factor);
        let to = x.place();
        self.record(y, x.width(), self.wants(&[x], []), move |descent, mut dy| {
            xexp_kernels::scale(&mut dy, factor);
            descent.give(to, dy);
            Ok(())
        })
    }

    /// `x · diag(w)`: each column times a learned factor, as in LayerScale. Source: Touvron et al. 2021, eq. 4.
    pub fn scale_columns(&mut self, x: &Var, weight: WeightId) -> Result<Var> {
        let width = x.width();
        let mut y = self.pass.buffer(x.values().len());
        self.pass.tell(|tap| tap.scale(weight));
        let w = self.params.values(weight)?;
        for (y, x) in y.chunks_exact_mut(width).zip(x.values().chunks_exact(width)) {
            y.iter_mut().zip(x.iter().zip(w.iter())).for_each(|(y, (x, w))| *y = x * w);
        }
        drop(w);
        let (to, values) = (x.place(), x.values().clone());
        let wanted = self.wants(&[x], [weight]);
        Ok(self.record(y, width, wanted, move |descent, mut dy| {
            if let Some(slot) = descent.grads.slot(weight) {
                let mut products = descent.pass.buffer(dy.len());
                let factors = dy.iter().zip(values.iter());
                products.iter_mut().zip(factors).for_each(|(p, (g, x))| *p = g * x);
                column_sums(&products, slot);
            }
            let w = descent.params.values(weight)?;
            for dy in dy.chunks_exact_mut(width) {
                dy.iter_mut().zip(w.iter()).for_each(|(g, w)| *g *= w);
            }
            drop(w);
            descent.give(to, dy);
            Ok(())
        }))
    }
}
