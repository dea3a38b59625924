//! A sub-layer's surroundings: where norms stand, how skip and branch are weighted, dropout.

use crate::layers::{LayerNorm, first_rows};
use crate::{Declarations, Grads, Input, Origin, Params, Pass, Result, WeightId};
use std::sync::Arc;
use xexp_kernels::{Buffer, combine};

/// Where a block's norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// `x + f(x)`: nowhere.
    None,
    /// `x + f(LN(x))`. Source: Xiong et al. 2020, "Pre-LN".
    Pre,
    /// `LN(x + f(x))`. Source: Vaswani et al. 2017.
    Post,
    /// `x + LN(f(LN(x)))`. Source: Kim et al. 2025, "Peri-LN".
    Peri,
}

/// What surrounds a sub-layer.
#[derive(Clone, Debug)]
pub struct ResidualSpec {
    /// Width of the stream.
    pub width: usize,
    /// Where the norms stand.
    pub placement: Placement,
    /// Their ε.
    pub eps: f64,
    /// Factors on skip and branch.
    pub scale: (f64, f64),
    /// Probability of dropping a value of the branch.
    pub dropout: f64,
}

/// `after(skip·x + branch·dropout(inner(f(before(x)))))`, each of the three a norm or nothing.
#[derive(Clone)]
pub struct Residual {
    before: Option<LayerNorm>,
    inner: Option<LayerNorm>,
    after: Option<LayerNorm>,
    width: usize,
    skip: f32,
    branch: f32,
    /// Probability of dropping a value of the branch.
    pub dropout: f64,
    /// Names the dropout stream.
    pub place: String,
}

/// What a norm's backward pass needs: its input and that input's statistics.
struct NormTape {
    x: Arc<Buffer>,
    stats: Buffer,
}

/// What the backward pass needs, for each norm that is there.
pub struct ResidualTape {
    before: Option<NormTape>,
    inner: Option<NormTape>,
    after: Option<NormTape>,
}

/// `x` through a norm, or as it is where there is none.
fn through(
    norm: Option<&LayerNorm>,
    params: &Params,
    x: Buffer,
    pass: &Pass<'_>,
) -> Result<(Buffer, Option<NormTape>)> {
    let Some(norm) = norm else { return Ok((x, None)) };
    let (y, stats) = norm.forward(params, &x, pass.pool)?;
    norm.show(pass);
    Ok((y, Some(NormTape { x: Arc::new(x), stats })))
}

/// The gradient of a norm's input from that of its output; the same where there is no norm.
fn back(
    norm: Option<&LayerNorm>,
    (params, grads): (&Params, &mut Grads),
    dy: Buffer,
    tape: Option<&NormTape>,
    pass: &Pass<'_>,
) -> Result<Buffer> {
    match (norm, tape) {
        (Some(norm), Some(tape)) => norm.backward(params, grads, &dy, (&tape.x, &tape.stats), pass.pool),
        _ => Ok(dy),
    }
}

impl Residual {
    /// Declares the norms: the one norm of Pre and Post under the path `norm`, as Hub checkpoints have it, and the two of
    /// Peri under `norm` and `norm.inner`. `place` names the dropout stream.
    pub fn declare(declared: &mut Declarations, norm: &str, place: String, spec: &ResidualSpec) -> Self {
        let mut layer = |wanted: bool, path: &str| {
            wanted.then(|| LayerNorm::declare(declared, path, spec.width, spec.eps, Origin::Checkpoint))
        };
        Residual {
            before: layer(matches!(spec.placement, Placement::Pre | Placement::Peri), norm),
            inner: layer(spec.placement == Placement::Peri, &format!("{norm}.inner")),
            after: layer(spec.placement == Placement::Post, norm),
            width: spec.width,
            skip: spec.scale.0 as f32,
            branch: spec.scale.1 as f32,
            dropout: spec.dropout,
            place,
        }
    }

    /// What `f` is given, and the beginning of the tape.
    pub fn before(
        &self,
        params: &Params,
        x: &Arc<Buffer>,
        pass: &Pass<'_>,
    ) -> Result<(Arc<Buffer>, ResidualTape)> {
        let mut tape = ResidualTape { before: None, inner: None, after: None };
        let Some(norm) = &self.before else { return Ok((x.clone(), tape)) };
        let (y, stats) = norm.forward(params, x, pass.pool)?;
        norm.show(pass);
        tape.before = Some(NormTape { x: x.clone(), stats });
        Ok((Arc::new(y), tape))
    }

    /// The sub-layer's output from its input `x` and `f`'s output; of some tokens alone, with those rows of `x` and `f`,
    /// where their places are given.
    pub fn after(
        &self,
        params: &Params,
        (x, places): (&[f32], Option<&[usize]>),
        f: Buffer,
        tape: &mut ResidualTape,
        pass: &mut Pass<'_>,
    ) -> Result<Buffer> {
        let (mut f, inner) = through(self.inner.as_ref(), params, f, pass)?;
        self.drop(&mut f, places, pass);
        combine(x, self.skip, &mut f, self.branch);
        let (y, after) = through(self.after.as_ref(), params, f, pass)?;
        (tape.inner, tape.after) = (inner, after);
        Ok(y)
    }

    /// Drops values of a branch's rows, each by the mask of its place.
    fn drop(&self, rows: &mut [f32], places: Option<&[usize]>, pass: &Pass<'_>) {
        match (pass.dropout(&self.place, self.dropout), places) {
            (None, _) => {}
            (Some(dropout), None) => dropout.apply(rows, self.width),
            (Some(dropout), Some(places)) => dropout.apply_at(rows, self.width, places),
        }
    }

    /// The gradient of `x` from that of the output, around `f`'s own backward: `branch` is given the gradient of `f`'s
    /// output, and writes (or adds, where told) the gradient of `f`'s input. `places` as for [`Residual::after`].
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        (dy, places): (Buffer, Option<&[usize]>),
        tape: &ResidualTape,
        branch: impl FnOnce(&mut Grads, &[f32], (&mut [f32], bool)) -> Result<()>,
        pass: &Pass<'_>,
    ) -> Result<Buffer> {
        let (mut dx, df) = self.above((params, grads), (dy, places), tape, pass)?;
        match (&self.before, &tape.before) {
            // The norm stands between the stream and the branch: the branch's gradient goes through it first.
            (Some(norm), Some(tape)) => {
                let mut dinput = pass.buffer(dx.len());
                branch(grads, &df, (&mut dinput, false))?;
                let dbranch = norm.backward(params, grads, &dinput, (&tape.x, &tape.stats), pass.pool)?;
                xexp_kernels::add(&mut dx, &dbranch);
            }
            _ => branch(grads, &df, (&mut dx, true))?,
        }
        Ok(dx)
    }

    /// [`Residual::backward`] of a sub-layer whose output has the first token of each sequence alone, and whose branch reads
    /// all tokens.
    pub fn backward_of_first(
        &self,
        (params, grads): (&Params, &mut Grads),
        dy: Buffer,
        tape: &ResidualTape,
        branch: impl FnOnce(&mut Grads, &[f32], (&mut [f32], bool)) -> Result<()>,
        (input, pass): (&Input, &Pass<'_>),
    ) -> Result<Buffer> {
        let (dfirst, df) = self.above((params, grads), (dy, Some(input.starts())), tape, pass)?;
        let mut dx = pass.buffer(input.tokens() * self.width);
        branch(grads, &df, (&mut dx, false))?;
        if let (Some(norm), Some(tape)) = (&self.before, &tape.before) {
            dx = norm.backward(params, grads, &dx, (&tape.x, &tape.stats), pass.pool)?;
        }
        first_rows::add_back(&dfirst, self.width, input, &mut dx);
        Ok(dx)
    }

    /// The gradients of the skip and of `f`'s output, from that of the sum after its norm.
    fn above(
        &self,
        (params, grads): (&Params, &mut Grads),
        (dy, places): (Buffer, Option<&[usize]>),
        tape: &ResidualTape,
        pass: &Pass<'_>,
    ) -> Result<(Buffer, Buffer)> {
        let mut dx = back(self.after.as_ref(), (params, grads), dy, tape.after.as_ref(), pass)?;
        let mut df = pass.buffer(dx.len());
        df.copy_from_slice(&dx);
        if self.branch != 1.0 {
            xexp_kernels::scale(&mut df, self.branch);
        }
        self.drop(&mut df, places, pass);
        let df = back(self.inner.as_ref(), (params, grads), df, tape.inner.as_ref(), pass)?;
        if self.skip != 1.0 {
            xexp_kernels::scale(&mut dx, self.skip);
        }
        Ok((dx, df))
    }

    /// The norms' weights.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> + '_ {
        [&self.before, &self.inner, &self.after].into_iter().flatten().flat_map(|norm| norm.ids())
    }
}
