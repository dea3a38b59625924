//! A dense layer.

use crate::{Declarations, Grads, Origin, Params, Pass, Product, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::linear::{self, Columns, GradColumns};

/// `y = x Wᵀ + b`, `x (rows, input)`, `W (output, input)`; and what an adapter of `W` adds, where [`Params`] have one.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// `W`.
    pub weight: WeightId,
    /// `b`, if there is one.
    pub bias: Option<WeightId>,
    /// Width of `x`.
    pub input: usize,
    /// Width of `y`.
    pub output: usize,
}

impl Linear {
    /// Declares `path.weight`, drawn by `init` when new, and `path.bias`, zero when new.
    pub fn declare(
        declared: &mut Declarations,
        path: &str,
        (input, output): (usize, usize),
        init: Init,
        origin: Origin,
    ) -> Self {
        let mut layer = Self::declare_without_bias(declared, path, (input, output), init, origin);
        let bias = Layer::Vector { len: output };
        layer.bias = Some(declared.weight(format!("{path}.bias"), bias, Init::Constant(0.0), origin));
        layer
    }

    /// [`Linear::declare`] of a layer without a bias.
    pub fn declare_without_bias(
        declared: &mut Declarations,
        path: &str,
        (input, output): (usize, usize),
        init: Init,
        origin: Origin,
    ) -> Self {
        let weight = declared.weight(format!("{path}.weight"), Layer::Linear { input, output }, init, origin);
        Linear { weight, bias: None, input, output }
    }

    /// Writes `y (rows, output)`.
    pub fn forward(&self, params: &Params, x: &[f32], y: &mut [f32], pass: &Pass<'_>) -> Result<()> {
        let mut columns = Columns { data: y, stride: self.output, start: 0, width: self.output };
        self.forward_into(params, x, &mut columns, pass)
    }

    /// Shows `y (rows, output)` of `x` to the pass's tap, if there is one.
    pub fn show(&self, x: &[f32], y: &[f32], pass: &Pass<'_>) {
        let (weight, input, output) = (self.weight, self.input, self.output);
        pass.tell(|tap| tap.product(Product { weight, x, input, y, output, terms: input as f64 }));
    }

    /// Writes `y` into some columns of a wider matrix.
    pub fn forward_into(
        &self,
        params: &Params,
        x: &[f32],
        y: &mut Columns<'_>,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let w = params.values(self.weight)?;
        let b = self.bias.map(|bias| params.values(bias)).transpose()?;
        let precision = params.weight(self.weight).precision;
        linear::forward_into(x, &w, b.as_deref(), y, self.input, precision);
        match params.adapter(self.weight) {
            Some(adapter) => adapter.forward(params, x, y, precision, pass),
            None => Ok(()),
        }
    }

    /// Adds the weights' gradients, and writes (or adds, with `accumulate`) `dx` where it is wanted.
    pub fn backward(
        &self,
        params: &Params,
        grads: &mut Grads,
        x: &[f32],
        dy: GradColumns<'_>,
        mut dx: Option<(&mut [f32], bool)>,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let dy = dy.at(params.weight(self.weight).precision);
        if let Some(dw) = grads.slot(self.weight) {
            linear::backward_weight(dy, x, dw);
        }
        if let Some(db) = self.bias.and_then(|bias| grads.slot(bias)) {
            linear::backward_bias(dy, db);
        }
        if let Some((dx, accumulate)) = &mut dx {
            linear::backward_input(dy, &params.values(self.weight)?, dx, *accumulate);
        }
        match params.adapter(self.weight) {
            Some(adapter) => adapter.backward((params, grads), x, dy, dx.map(|(dx, _)| dx), pass),
            None => Ok(()),
        }
    }

    /// Its weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + use<> {
        [Some(self.weight), self.bias].into_iter().flatten()
    }
}
