//! One optimiser step: micro-batches forward and backward, the guard, clipping, the update.

use crate::objective::Objective;
use crate::{Error, Optimizer, Result, Settings};
use xexp_backbones::{Grads, Params, Seed};
use xexp_kernels::{Pool, sum_of_squares, sum_of_squares_where};

/// What a step is given beside the examples.
#[derive(Clone, Copy, Debug)]
pub struct StepSettings {
    /// Number of the step, from 0.
    pub step: u64,
    /// Number of the epoch, from 0.
    pub epoch: u64,
    /// Seed of the dropout streams.
    pub seed: Seed,
    /// Examples a micro-batch.
    pub micro_batch: usize,
    /// Micro-batches a full step has, which numbers the forward passes.
    pub accumulate: usize,
    /// Learning rate of the backbone.
    pub lr: f64,
    /// Learning rate of the head.
    pub head_lr: f64,
    /// Largest norm of the whole gradient; 0 for no limit.
    pub clip: f64,
}

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepOutcome {
    /// Mean loss over the step's examples.
    pub loss: f64,
    /// Norm of the whole gradient before clipping.
    pub grad_norm: f64,
}

impl StepSettings {
    /// Those of a run's step `step` in its first epoch, with rates that leave the weights where they are: for measuring.
    pub fn still(settings: &Settings, step: u64) -> Self {
        StepSettings {
            step,
            epoch: 0,
            seed: settings.seed,
            micro_batch: settings.batch_size,
            accumulate: settings.accumulate,
            lr: 0.0,
            head_lr: 0.0,
            clip: settings.clip,
        }
    }

    /// Number within the run of this step's forward pass `turn`, which names its dropout.
    pub fn pass(&self, turn: usize) -> u32 {
        (self.step * self.accumulate as u64 + turn as u64) as u32
    }
}

/// One whole step on the `chosen` examples.
///
/// # Errors
/// A loss or a gradient that is not finite, a trainable tensor without gradient.
pub fn step(
    objective: &dyn Objective,
    chosen: &[usize],
    settings: &StepSettings,
    (grads, optimizer): (&mut Grads, &mut Optimizer),
    pool: &Pool,
) -> Result<StepOutcome> {
    let params = objective.params();
    grads.clear();
    let by_depth = objective.by_depth();
    if let Some(by_depth) = by_depth.filter(|by_depth| by_depth.gradual) {
        params.rest(|name| by_depth.wakes(name) > settings.epoch);
    }
    let loss = objective.gradients(chosen, settings, grads, pool)?;
    let unreached = params.iter().find(|(id, weight)| weight.learning() && !grads.reached(*id));
    if let Some((_, weight)) = unreached {
        return Err(Error::NoGradient { step: settings.step, name: weight.name.clone() });
    }
    let grad_norm = norm(params, grads, settings.step)?;
    // PyTorch's rule, with its 1e-6, so that trajectories can be compared.
    let shrink = if settings.clip > 0.0 { (settings.clip / (grad_norm + 1e-6)).min(1.0) } else { 1.0 };
    optimizer.step(params, grads, settings.step + 1, pace(objective, settings), shrink as f32)?;
    Ok(StepOutcome { loss, grad_norm })
}

/// A weight's learning rate by its name, and the steps before it began to learn.
pub(crate) fn pace(objective: &dyn Objective, settings: &StepSettings) -> impl Fn(&str) -> (f64, u64) {
    let by_depth = objective.by_depth();
    move |name: &str| {
        let lr = if objective.in_head(name) { settings.head_lr } else { settings.lr };
        by_depth.map_or((lr, 0), |by_depth| (lr * by_depth.share(name), by_depth.slept(name)))
    }
}

/// Norm of all gradients, summed in the weights' order and in double precision: the same in every run.
fn norm(params: &Params, grads: &Grads, step: u64) -> Result<f64> {
    let mut total = 0.0;
    for (id, weight) in params.iter() {
        let Some(grad) = grads.get(id).filter(|_| weight.learning()) else { continue };
        let square = match grads.touched(id) {
            Some(touched) => sum_of_squares_where(grad, |values| touched.any(values)),
            None => sum_of_squares(grad),
        };
        if !square.is_finite() {
            return Err(Error::NonFiniteGradient { step, name: weight.name.clone() });
        }
        total += square;
    }
    Ok(total.sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_backbones::checkpoint::Checkpoint;
    use xexp_backbones::{Declarations, Origin};
    use xexp_init::{Init, Layer};

    #[test]
    fn the_norm_is_that_of_all_gradients_and_names_the_one_that_is_no_number() {
        let mut declared = Declarations::default();
        let vector = |len| (Layer::Vector { len }, Init::Constant(0.0));
        // Larger than the parts that a table's norm is summed in.
        let table = (Layer::Embedding { count: 4096, width: 8 }, Init::Constant(0.0));
        for (name, (layer, init)) in
            [("a", vector(2)), ("b", vector(1)), ("frozen", vector(3)), ("table", table)]
        {
            declared.weight(name, layer, init, Origin::New);
        }
        // A safetensors file without tensors.
        let nothing = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        let nothing = Checkpoint::from_bytes("none".as_ref(), nothing).unwrap();
        let (mut params, _) = declared.load(&nothing, Seed(0)).unwrap();
        params.train_only(|name| name != "frozen");
        let mut grads = Grads::new(&params);
        let id = |name: &str| params.find(name).unwrap().0;
        grads.slot(id("a")).unwrap().copy_from_slice(&[2.0, -3.0]);
        grads.slot(id("b")).unwrap().copy_from_slice(&[6.0]);
        // 4 + 9 + 36 = 49.
        assert_eq!(norm(&params, &grads, 7).unwrap(), 7.0);
        // 16 + 16 more, of the table's rows that were looked up: the last, and one in the middle.
        for row in [4095u32, 2000] {
            grads.rows(id("table"), &[row]).unwrap()[row as usize * 8 + 3] = 4.0;
        }
        assert_eq!(norm(&params, &grads, 7).unwrap(), 9.0);
        grads.clear();
        grads.slot(id("a")).unwrap()[0] = 2.0;
        grads.slot(id("b")).unwrap()[0] = 0.0;
        assert_eq!(norm(&params, &grads, 7).unwrap(), 2.0, "rows of an earlier step");
        for wrong in [f32::NAN, f32::INFINITY] {
            grads.slot(id("b")).unwrap()[0] = wrong;
            let found = norm(&params, &grads, 7);
            assert!(matches!(found, Err(Error::NonFiniteGradient { step: 7, name }) if name == "b"));
        }
    }
}
