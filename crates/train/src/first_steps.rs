//! `--lr auto`: how far the first steps of a run may go, measured along the update that it would really make.

use crate::line::{self, Descent, Line};
use crate::{Objective, Optimizer, OptimizerSettings, Result, Settings, StepSettings, order};
use xexp_backbones::{Grads, Seed, WeightId};
use xexp_init::{Init, Layer};
use xexp_kernels::{Pool, sum_of_squares};

/// Steps that are tried, and the most examples of each.
const STEPS: usize = 2;
const EXAMPLES: usize = 32;
/// The rate of the steps tried: far below any that a run takes, far above what rounds away in weights of f32.
const TINY: f64 = 1e-6;
/// The smallest rate that is looked at.
const SMALLEST: f64 = 2e-5;

/// The share of the best first step that a run's peak rate is.
///
/// Source: with MiniLM the best rates of a grid are 0.3 (emotion) and 0.7 (SST-2, CLINC150) of the best first step
/// (`experiments/auto`); a half lies between. A step that is best for a few examples is too far for a direction that the next
/// batch changes.
pub const SHARE: f64 = 0.5;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FirstSteps {
    /// Examples that the losses are of.
    pub examples: usize,
    /// Their loss at the start.
    pub loss: f64,
    /// The rates along the update.
    pub along: Descent,
    /// Root of the mean square of the trained matrices that are neither tables, nor the head's, nor an adapter's; `None` where there
    /// are none.
    pub rms: Option<f64>,
}

/// The largest share of a pretrained matrix, by its root mean square, that a step of a run may move it by: 1 %.
///
/// Every value moves by about the rate (Kingma & Ba 2015, §2.1). The best step for a few examples knows nothing of what a hundred
/// such steps forget: with the bundled text backbone it is five times this, and costs 15 points (`experiments/auto`).
pub const MOST: f64 = 0.01;

/// Tries the first steps of a run on its first examples, and leaves weights, running statistics and streams of random numbers
/// as they were. Dropout is that of the run. `None` where the loss does not fall.
///
/// The update is the mean of the first steps of AdamW at a rate near zero, in which an adapter's zeros have already let a
/// gradient through; shares by depth are in it. It counts by the rate: a weight moves by `η·d`, with `|d|` about 1. A head of
/// zeros passes nothing on, and for the time of the search Xavier's law stands in for what it will become: logits of the
/// features' own size.
///
/// Source: Kalra & Barkeshli 2024, arXiv:2406.09405, §6, for the search along the update itself.
///
/// # Errors
/// As [`Objective::gradients`].
pub fn measure(objective: &dyn Objective, settings: &Settings) -> Result<Option<FirstSteps>> {
    let params = objective.params();
    let kept: Vec<(WeightId, Vec<f32>)> = params
        .iter()
        .filter(|(_, weight)| weight.trainable || !weight.learns)
        .map(|(id, _)| Ok((id, params.values(id)?.to_vec())))
        .collect::<Result<_>>()?;
    let found = begin(objective, settings.seed).and_then(|()| search(objective, settings));
    params.rest(|_| false);
    for (id, values) in &kept {
        params.set(*id, values)?;
    }
    found
}

/// Lends a head of zeros weights for the search.
fn begin(objective: &dyn Objective, seed: Seed) -> Result<()> {
    let params = objective.params();
    for (id, weight) in params.iter().filter(|(_, weight)| weight.trainable && weight.decays()) {
        if objective.in_head(&weight.name) && params.values(id)?.iter().all(|w| *w == 0.0) {
            let mut stream = seed.stream(&format!("first-steps/{}", weight.name));
            let drawn = Init::xavier_normal().fill(&weight.layer, &mut stream);
            params.set(id, &drawn.map_err(xexp_backbones::Error::from)?)?;
        }
    }
    Ok(())
}

fn search(objective: &dyn Objective, settings: &Settings) -> Result<Option<FirstSteps>> {
    let (params, pool) = (objective.params(), Pool::default());
    let chosen: Vec<usize> =
        order(settings.seed, 0, objective.examples()).into_iter().take(STEPS * EXAMPLES).collect();
    let parts = || chosen.chunks(EXAMPLES).enumerate();
    let mut grads = Grads::new(params);
    let line = Line::new(params, update(objective, settings, &chosen, &mut grads)?)?;
    let mut loss = |eta: f64| {
        line.at(
            eta,
            |_| true,
            || -> Result<f64> {
                // Nothing is recorded where every weight rests: a forward pass.
                params.rest(|_| true);
                parts().try_fold(0.0, |sum, (step, part)| {
                    let mean = objective.gradients(
                        part,
                        &StepSettings::still(settings, step as u64),
                        &mut grads,
                        &pool,
                    );
                    match mean {
                        Ok(mean) => Ok(sum + mean * part.len() as f64 / chosen.len() as f64),
                        // Far along the line a loss may well overflow.
                        Err(crate::Error::NonFiniteLoss { .. }) => Ok(f64::NAN),
                        Err(error) => Err(error),
                    }
                })
            },
        )
    };
    let start = loss(0.0)?;
    let along = line::descend(SMALLEST, start, loss)?;
    let rms = rms(objective)?;
    Ok(along.map(|along| FirstSteps { examples: chosen.len(), loss: start, along, rms }))
}

fn rms(objective: &dyn Objective) -> Result<Option<f64>> {
    let (params, mut squares, mut count) = (objective.params(), 0.0, 0);
    for (id, weight) in params.iter().filter(|(_, weight)| weight.trainable && weight.decays()) {
        let table = matches!(weight.layer, Layer::Embedding { .. });
        if !table && !weight.adapts && !objective.in_head(&weight.name) {
            squares += sum_of_squares(&params.values(id)?);
            count += weight.var.elem_count();
        }
    }
    Ok((count > 0).then(|| (squares / count as f64).sqrt()))
}

/// The mean update of the first steps, by weight, over the rate; the weights are put back.
fn update(
    objective: &dyn Objective,
    settings: &Settings,
    chosen: &[usize],
    grads: &mut Grads,
) -> Result<Vec<(WeightId, Vec<f32>)>> {
    let (params, pool) = (objective.params(), Pool::default());
    let trained = || params.iter().filter(|(_, weight)| weight.trainable).map(|(id, _)| id);
    let before: Vec<(WeightId, Vec<f32>)> =
        trained().map(|id| Ok((id, params.values(id)?.to_vec()))).collect::<Result<_>>()?;
    // What has just passed an adapter's zeros is far smaller than the usual ε.
    let constants = OptimizerSettings { weight_decay: 0.0, eps: 1e-30, ..Default::default() };
    let mut optimizer = Optimizer::new(params, constants);
    let by_depth = objective.by_depth();
    let pace = |name: &str| (TINY * by_depth.map_or(1.0, |by_depth| by_depth.share(name)), 0);
    // All that will learn at some time is moved, whatever waits for a later epoch.
    params.rest(|_| false);
    let mut steps = 0;
    for part in chosen.chunks(EXAMPLES) {
        grads.clear();
        objective.gradients(part, &StepSettings::still(settings, steps as u64), grads, &pool)?;
        steps += 1;
        optimizer.step(params, grads, steps as u64, pace, 1.0)?;
    }
    let over = (TINY * steps as f64) as f32;
    before
        .into_iter()
        .map(|(id, before)| {
            let after = params.values(id)?;
            let moved =
                before.iter().zip(after.iter()).map(|(before, after)| (before - after) / over).collect();
            drop(after);
            params.set(id, &before)?;
            Ok((id, moved))
        })
        .collect()
}
