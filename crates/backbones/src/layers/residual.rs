//! A sub-layer's surroundings: where the norm stands, how skip and branch are weighted, dropout.

use crate::layers::LayerNorm;
use crate::{Grads, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::{Buffer, Pool, combine};

/// Where a block's norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `x + f(LN(x))`. Source: Xiong et al. 2020, "Pre-LN".
    Pre,
    /// `LN(x + f(x))`. Source: Vaswani et al. 2017.
    Post,
}

/// `skip·x + branch·dropout(f(·))` with a norm before `f` or after the sum.
pub struct Residual {
    /// The norm.
    pub norm: LayerNorm,
    /// Where it stands.
    pub placement: Placement,
    /// Factor on `x`.
    pub skip: f32,
    /// Factor on `f`'s output.
    pub branch: f32,
    /// Probability of dropping a value of `f`'s output.
    pub dropout: f64,
    /// Names the dropout stream and the tap.
    pub place: String,
}

/// What the backward pass needs: the norm's input and statistics.
pub struct ResidualTape {
    normed: Arc<Buffer>,
    stats: Buffer,
}

impl Residual {
    /// What `f` is given, and for Pre-LN the tape.
    pub fn before(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        pass: &Pass<'_>,
    ) -> Result<(Arc<Buffer>, Option<ResidualTape>)> {
        match self.placement {
            Placement::Post => Ok((x.clone(), None)),
            Placement::Pre => {
                let (y, stats) = self.norm.forward(params, x, pass.pool)?;
                Ok((Arc::new(y), Some(ResidualTape { normed: x.clone(), stats })))
            }
        }
    }

    /// The sub-layer's output from its input `x` and `f`'s output, and for Post-LN the tape.
    pub fn after(
        &self,
        params: &Params,
        x: &[f32],
        mut f: Buffer,
        width: usize,
        pass: &mut Pass<'_>,
    ) -> Result<(Buffer, Option<ResidualTape>)> {
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut f, width);
        }
        combine(x, self.skip, &mut f, self.branch);
        match self.placement {
            Placement::Pre => Ok((f, None)),
            Placement::Post => {
                let (y, stats) = self.norm.forward(params, &f, pass.pool)?;
                Ok((y, Some(ResidualTape { normed: Arc::new(f), stats })))
            }
        }
    }

    /// `(dx, df)` from the gradient of the output: the skip's part of `dx`, and the gradient of `f`'s output.
    pub fn backward_after(
        &self,
        params: &Params,
        grads: &mut Grads,
        dy: Buffer,
        tape: Option<&ResidualTape>,
        width: usize,
        pass: &Pass<'_>,
    ) -> Result<(Buffer, Buffer)> {
        let mut dx = match tape {
            Some(tape) => self.norm.backward(params, grads, &dy, (&tape.normed, &tape.stats), pass.pool)?,
            None => dy,
        };
        let mut df = pass.buffer(dx.len());
        df.copy_from_slice(&dx);
        if self.branch != 1.0 {
            xexp_kernels::scale(&mut df, self.branch);
        }
        if let Some(dropout) = pass.dropout(&self.place, self.dropout) {
            dropout.apply(&mut df, width);
        }
        if self.skip != 1.0 {
            xexp_kernels::scale(&mut dx, self.skip);
        }
        Ok((dx, df))
    }

    /// Adds to `dx` what comes through the norm in front of `f`, given the gradient of `f`'s input.
    pub fn backward_before(
        &self,
        params: &Params,
        grads: &mut Grads,
        dinput: &[f32],
        dx: &mut [f32],
        tape: &ResidualTape,
        pool: &Pool,
    ) -> Result<()> {
        let through = self.norm.backward(params, grads, dinput, (&tape.normed, &tape.stats), pool)?;
        xexp_kernels::add(dx, &through);
        Ok(())
    }

    /// The norm's weights.
    pub fn ids(&self) -> [WeightId; 2] {
        self.norm.ids()
    }
}
