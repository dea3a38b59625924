//! AdamW over the trainable weights, in two groups.

use crate::{Error, Result};
use xexp_backbones::{Grads, Params, WeightId};
use xexp_kernels::{adamw::AdamW, update};

/// Constants that a run keeps. The decays and ε are those of Kingma and Ba 2015, which transformers uses too.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerSettings {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled decay of matrices; biases and norms have none.
    pub weight_decay: f64,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        OptimizerSettings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 }
    }
}

/// First and second moments of a weight's gradient.
pub struct Moments {
    /// First.
    pub m: Vec<f32>,
    /// Second.
    pub v: Vec<f32>,
}

/// The optimiser's memory.
pub struct Optimizer {
    settings: OptimizerSettings,
    moments: Vec<Option<Moments>>,
}

impl Optimizer {
    /// Zero moments for the trainable weights.
    pub fn new(params: &Params, settings: OptimizerSettings) -> Self {
        let zeros = |n: usize| Moments { m: vec![0.0; n], v: vec![0.0; n] };
        let moments = params.iter().map(|(_, w)| w.trainable.then(|| zeros(w.var.elem_count()))).collect();
        Optimizer { settings, moments }
    }

    /// One update, number `step` counted from 1. `lr` gives a weight's learning rate by name; `grad_scale`
    /// multiplies all gradients.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn step(
        &mut self,
        params: &Params,
        grads: &Grads,
        step: u64,
        lr: impl Fn(&str) -> f64,
        grad_scale: f32,
    ) -> Result<()> {
        let OptimizerSettings { beta1, beta2, eps, weight_decay } = self.settings;
        for ((id, weight), moments) in params.iter().zip(&mut self.moments) {
            let (Some(moments), Some(grad)) = (moments, grads.get(id)) else { continue };
            let weight_decay = if weight.decays() { weight_decay } else { 0.0 };
            let adamw = AdamW { lr: lr(&weight.name), beta1, beta2, eps, weight_decay, step };
            update(&weight.var, |w| adamw.update(w, &mut moments.m, &mut moments.v, grad, grad_scale))
                .map_err(xexp_backbones::Error::from)?;
        }
        Ok(())
    }

    /// The moments of the trainable weights, with their names, in the weights' order.
    pub fn moments<'a>(&'a self, params: &'a Params) -> impl Iterator<Item = (&'a str, &'a Moments)> {
        params.iter().zip(&self.moments).filter_map(|((_, w), m)| Some((w.name.as_str(), m.as_ref()?)))
    }

    /// Puts back a weight's moments as saved.
    ///
    /// # Errors
    /// Lengths that do not fit, or a weight that is not trained.
    pub fn restore(&mut self, params: &Params, id: WeightId, m: Vec<f32>, v: Vec<f32>) -> Result<()> {
        let index = params.iter().position(|(i, _)| i == id);
        match index.and_then(|i| self.moments[i].as_mut()) {
            Some(slot) if slot.m.len() == m.len() && slot.v.len() == v.len() => {
                *slot = Moments { m, v };
                Ok(())
            }
            _ => {
                let found = format!("{} and {} values for {}", m.len(), v.len(), params.weight(id).name);
                Err(Error::Setting { what: "saved moments", expected: "those of a trained weight", found })
            }
        }
    }
}
