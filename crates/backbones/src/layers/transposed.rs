//! A dense layer whose weight is stored the other way round.

use crate::{Declarations, Grads, Origin, Params, Pass, Product, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::linear::{Columns, GradColumns};
use xexp_kernels::{Precision, column_sums, linear_transposed as kernel};

/// `y = x W + b`, `x (rows, input)`, `W (input, output)`: transformers' `Conv1D`; and what an adapter of `W` adds.
#[derive(Clone, Copy, Debug)]
pub struct Transposed {
    weight: WeightId,
    bias: WeightId,
    /// Width of `y`.
    pub output: usize,
}

impl Transposed {
    /// Declares `path.weight`, drawn by `init` when new, and `path.bias`, zero when new.
    pub fn declare(
        declared: &mut Declarations,
        path: &str,
        (input, output): (usize, usize),
        init: Init,
        origin: Origin,
    ) -> Self {
        let layer = Layer::Transposed { input, output };
        let weight = declared.weight(format!("{path}.weight"), layer, init, origin);
        let layer = Layer::Vector { len: output };
        let bias = declared.weight(format!("{path}.bias"), layer, Init::Constant(0.0), origin);
        Transposed { weight, bias, output }
    }

    /// Writes `y (rows, output)`.
    pub fn forward(&self, params: &Params, x: &[f32], y: &mut [f32], pass: &Pass<'_>) -> Result<()> {
        kernel::forward(x, &params.values(self.weight)?, &params.values(self.bias)?, y);
        let Some(adapter) = params.adapter(self.weight) else { return Ok(()) };
        let mut columns = Columns { data: y, stride: self.output, start: 0, width: self.output };
        adapter.forward(params, x, &mut columns, Precision::F32, pass)
    }

    /// Shows `y (rows, output)` of `x` to the pass's tap, if there is one.
    pub fn show(&self, x: &[f32], y: &[f32], pass: &Pass<'_>) {
        let (weight, output) = (self.weight, self.output);
        let input = x.len() * output / y.len().max(1);
        pass.tell(|tap| tap.product(Product { weight, x, input, y, output, terms: input as f64 }));
    }

    /// Adds the weights' gradients, and writes (or adds, with `accumulate`) `dx` where it is wanted.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        x: &[f32],
        dy: &[f32],
        mut dx: Option<(&mut [f32], bool)>,
        pass: &Pass<'_>,
    ) -> Result<()> {
        if let Some(dw) = grads.slot(self.weight) {
            kernel::backward_weight(dy, self.output, x, dw);
        }
        if let Some(db) = grads.slot(self.bias) {
            column_sums(dy, db);
        }
        if let Some((dx, accumulate)) = &mut dx {
            kernel::backward_input(dy, self.output, &params.values(self.weight)?, dx, *accumulate);
        }
        let Some(adapter) = params.adapter(self.weight) else { return Ok(()) };
        let dy = GradColumns::all(dy, self.output);
        adapter.backward((params, grads), x, dy, dx.map(|(dx, _)| dx), pass)
    }

    /// Its weights.
    pub fn ids(&self) -> [WeightId; 2] {
        [self.weight, self.bias]
    }
}
