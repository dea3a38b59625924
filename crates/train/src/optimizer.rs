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

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_backbones::checkpoint::Checkpoint;
    use xexp_backbones::{Declarations, Origin, Seed};
    use xexp_init::{Init, Layer};

    /// Ones: a matrix, a table, a bias and a norm's weight.
    fn params() -> Params {
        let mut declared = Declarations::default();
        for (name, layer) in [
            ("dense.weight", Layer::Linear { input: 3, output: 2 }),
            ("dense.bias", Layer::Vector { len: 2 }),
            ("embeddings.weight", Layer::Embedding { count: 4, width: 3 }),
            ("LayerNorm.weight", Layer::Vector { len: 3 }),
        ] {
            declared.weight(name, layer, Init::Constant(1.0), Origin::New);
        }
        // A safetensors file without tensors.
        let nothing = b"\x02\0\0\0\0\0\0\0{}".to_vec();
        let nothing = Checkpoint::from_bytes("none".as_ref(), nothing).unwrap();
        declared.load(&nothing, Seed(0)).unwrap().0
    }

    fn first(params: &Params, name: &str) -> f32 {
        params.values(params.find(name).unwrap().0).unwrap()[0]
    }

    #[test]
    fn without_a_gradient_matrices_decay_and_biases_norms_and_frozen_weights_stay() {
        let mut params = params();
        params.train_only(|name| name != "embeddings.weight");
        let settings = OptimizerSettings { weight_decay: 0.1, ..Default::default() };
        let mut optimizer = Optimizer::new(&params, settings);
        let grads = Grads::new(&params);
        for step in 1..=2 {
            optimizer.step(&params, &grads, step, |_| 0.5, 1.0).unwrap();
        }
        // (1 − 0.5·0.1)², rounded twice.
        assert!((first(&params, "dense.weight") - 0.9025).abs() < 2e-7);
        for name in ["dense.bias", "LayerNorm.weight", "embeddings.weight"] {
            assert_eq!(first(&params, name), 1.0, "{name}");
        }
        let with: Vec<&str> = optimizer.moments(&params).map(|(name, _)| name).collect();
        assert_eq!(with, ["dense.weight", "dense.bias", "LayerNorm.weight"]);
    }

    #[test]
    fn each_weight_moves_by_the_rate_of_its_name() {
        let params = params();
        let mut optimizer =
            Optimizer::new(&params, OptimizerSettings { weight_decay: 0.0, ..Default::default() });
        let mut grads = Grads::new(&params);
        for (id, _) in params.iter() {
            grads.slot(id).unwrap().fill(3.0);
        }
        let rate = |name: &str| if name.starts_with("dense") { 0.25 } else { 0.0 };
        optimizer.step(&params, &grads, 1, rate, 1.0).unwrap();
        // The first step of Adam is the rate, whatever the gradient, to ε/3 and rounding.
        assert!((first(&params, "dense.bias") - 0.75).abs() < 1e-6);
        assert_eq!(first(&params, "LayerNorm.weight"), 1.0);
    }

    #[test]
    fn moments_that_do_not_fit_are_refused() {
        let params = params();
        let mut optimizer = Optimizer::new(&params, OptimizerSettings::default());
        let (id, _) = params.find("dense.bias").unwrap();
        assert!(optimizer.restore(&params, id, vec![0.0; 3], vec![0.0; 2]).is_err());
        optimizer.restore(&params, id, vec![1.0, 2.0], vec![3.0, 4.0]).unwrap();
        let (_, moments) = optimizer.moments(&params).find(|(name, _)| *name == "dense.bias").unwrap();
        assert_eq!((&moments.m[..], &moments.v[..]), (&[1.0, 2.0][..], &[3.0, 4.0][..]));
    }
}
