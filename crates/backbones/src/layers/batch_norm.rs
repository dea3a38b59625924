//! Batch normalization with running statistics.

use crate::{Declarations, Error, Grads, Origin, Params, Result, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::batch_norm::{self, Moments, Norm, Range, Statistics};

/// `y = (x − mean)/√(var + ε) · w + b` of each channel; see [`xexp_kernels::batch_norm`].
///
/// A norm that trains goes by the batch's statistics, and moves its running ones. In evaluation, and in training where its
/// weights are frozen, it goes by the running ones and leaves them: a frozen layer is the same function as in evaluation.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    weight: WeightId,
    bias: WeightId,
    mean: WeightId,
    variance: WeightId,
    batches: WeightId,
    width: usize,
    eps: f32,
    momentum: f32,
}

impl BatchNorm {
    /// Declares `path.weight` (1 when new), `path.bias` (0 when new) and the running statistics of a norm over `width`
    /// channels. `momentum` is the share of a new batch in the running statistics.
    pub fn declare(declared: &mut Declarations, path: &str, width: usize, eps: f64, momentum: f64) -> Self {
        let mut weight = |name: &str, layer, value: f64, origin| {
            declared.weight(format!("{path}.{name}"), layer, Init::Constant(value), origin)
        };
        let (vector, statistic) = (Layer::Vector { len: width }, Layer::Statistic { len: width });
        BatchNorm {
            weight: weight("weight", vector.clone(), 1.0, Origin::Checkpoint),
            bias: weight("bias", vector, 0.0, Origin::Checkpoint),
            mean: weight("running_mean", statistic.clone(), 0.0, Origin::Checkpoint),
            variance: weight("running_var", statistic, 1.0, Origin::Checkpoint),
            // Checkpoints from before PyTorch 0.4 have none.
            batches: weight("num_batches_tracked", Layer::Count, 0.0, Origin::CheckpointOrNew),
            width,
            eps: eps as f32,
            momentum: momentum as f32,
        }
    }

    /// The running statistics.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn running(&self, params: &Params) -> Result<Moments> {
        let values = |id| params.values(id).map(|values| values.to_vec());
        Ok(Moments { mean: values(self.mean)?, variance: values(self.variance)? })
    }

    /// The statistics of a batch `x (rows, width)`.
    ///
    /// # Errors
    /// [`Error::Input`] for a single row, whose variance says nothing.
    pub fn batch(&self, x: &[f32]) -> Result<Moments> {
        if x.len() / self.width < 2 {
            let reason = "batch normalization in training needs more than one place a channel".to_string();
            return Err(Error::Input { reason });
        }
        Ok(Moments::of(x, self.width))
    }

    /// What the running statistics become with a batch of `rows`: a variance of divisor `rows − 1`, and one batch more.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn moved(&self, params: &Params, batch: &Moments, rows: usize) -> Result<[(WeightId, Vec<f32>); 3]> {
        let toward = |id, new: &[f32], factor: f32| -> Result<(WeightId, Vec<f32>)> {
            let share = self.momentum;
            let old = params.values(id)?;
            let mixed = old.iter().zip(new).map(|(old, new)| (1.0 - share) * old + share * factor * new);
            Ok((id, mixed.collect()))
        };
        let unbiased = rows as f32 / (rows as f32 - 1.0);
        let count = params.values(self.batches)?[0] + 1.0;
        Ok([
            toward(self.mean, &batch.mean, 1.0)?,
            toward(self.variance, &batch.variance, unbiased)?,
            (self.batches, vec![count]),
        ])
    }

    /// Writes `y`, cut off to a range.
    pub(crate) fn forward(
        &self,
        params: &Params,
        x: &[f32],
        (moments, range): (&Moments, Range),
        y: &mut [f32],
    ) -> Result<()> {
        let (w, b) = (params.values(self.weight)?, params.values(self.bias)?);
        batch_norm::forward(x, &Norm { moments, w: &w, b: &b, eps: self.eps, range }, y);
        Ok(())
    }

    /// Turns `d`, the gradient of `y`, into that of `x`, and adds the weights' gradients.
    pub(crate) fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        d: &mut [f32],
        x: &[f32],
        (moments, range, statistics): (&Moments, Range, Statistics),
    ) -> Result<()> {
        let (w, b) = (params.values(self.weight)?, params.values(self.bias)?);
        let norm = Norm { moments, w: &w, b: &b, eps: self.eps, range };
        batch_norm::backward(d, x, (&norm, statistics), grads.pair(self.weight, self.bias));
        Ok(())
    }

    /// Its weights, without the running statistics.
    pub fn ids(&self) -> [WeightId; 2] {
        [self.weight, self.bias]
    }
}
