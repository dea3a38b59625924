//! One optimiser step: micro-batches forward and backward, the guard, clipping, the update.

use crate::sample::{Sample, pack};
use crate::{Error, Optimizer, Result};
use xexp_backbones::{Grads, Mode, Params, Pass, Seed};
use xexp_heads::Classifier;
use xexp_kernels::{Pool, cross_entropy, sum_of_squares};

/// What a step is given beside the examples.
#[derive(Clone, Copy, Debug)]
pub struct StepSettings {
    /// Number of the step, from 0.
    pub step: u64,
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

/// Adds up the gradients of all samples, each weighted by one over their true number, so that micro-batches of
/// any sizes give the gradient of the one large batch. Returns the mean loss.
///
/// # Errors
/// A loss that is not finite, a trainable tensor without gradient.
pub fn gradients(
    classifier: &Classifier,
    samples: &[&Sample],
    settings: &StepSettings,
    grads: &mut Grads,
    pool: &Pool,
) -> Result<f64> {
    let weight = 1.0 / samples.len() as f64;
    let mut loss = 0.0;
    grads.clear();
    for (turn, part) in samples.chunks(settings.micro_batch).enumerate() {
        let (input, labels) = pack(part.iter().copied())?;
        let count = settings.step * settings.accumulate as u64 + turn as u64;
        let mut pass = Pass::new(pool, Mode::Train { seed: settings.seed, step: count as u32 });
        let logits = classifier.forward(&input, &mut pass)?;
        let mut dlogits = pool.buffer(logits.values.len());
        loss += cross_entropy::forward_backward(&logits.values, &labels, weight, &mut dlogits);
        if !loss.is_finite() {
            return Err(Error::NonFiniteLoss { step: settings.step, loss });
        }
        if let Some(tape) = logits.tape {
            classifier.backward(grads, &dlogits, tape, &input, &pass)?;
        }
    }
    let unreached = classifier.params.iter().find(|(id, weight)| weight.trainable && !grads.reached(*id));
    match unreached {
        Some((_, weight)) => Err(Error::NoGradient { step: settings.step, name: weight.name.clone() }),
        None => Ok(loss),
    }
}

/// One whole step.
///
/// # Errors
/// As [`gradients`], and a gradient that is not finite.
pub fn step(
    classifier: &Classifier,
    samples: &[&Sample],
    settings: &StepSettings,
    (grads, optimizer): (&mut Grads, &mut Optimizer),
    pool: &Pool,
) -> Result<StepOutcome> {
    let loss = gradients(classifier, samples, settings, grads, pool)?;
    let grad_norm = norm(&classifier.params, grads, settings.step)?;
    // PyTorch's rule, with its 1e-6, so that trajectories can be compared.
    let shrink = if settings.clip > 0.0 { (settings.clip / (grad_norm + 1e-6)).min(1.0) } else { 1.0 };
    let lr = |name: &str| if classifier.in_head(name) { settings.head_lr } else { settings.lr };
    optimizer.step(&classifier.params, grads, settings.step + 1, lr, shrink as f32)?;
    Ok(StepOutcome { loss, grad_norm })
}

/// Norm of all gradients, summed in the weights' order and in double precision: the same in every run.
fn norm(params: &Params, grads: &Grads, step: u64) -> Result<f64> {
    let mut total = 0.0;
    for (id, weight) in params.iter() {
        let Some(grad) = grads.get(id) else { continue };
        let square = sum_of_squares(grad);
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
        for (name, (layer, init)) in [("a", vector(2)), ("b", vector(1)), ("frozen", vector(3))] {
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
        for wrong in [f32::NAN, f32::INFINITY] {
            grads.slot(id("b")).unwrap()[0] = wrong;
            let found = norm(&params, &grads, 7);
            assert!(matches!(found, Err(Error::NonFiniteGradient { step: 7, name }) if name == "b"));
        }
    }
}
