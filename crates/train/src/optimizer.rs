//! AdamW over the trainable weights, in two groups.

use crate::{Error, Result};
use xexp_backbones::{Grads, Params, Touched, Weight, WeightId};
use xexp_init::Layer;
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
    /// Of a table: the rows whose moments are not all zero, or may be.
    live: Option<Vec<bool>>,
}

impl Moments {
    /// Zeros. Memory that nobody writes to takes none.
    fn zeros(weight: &Weight) -> Self {
        let len = weight.var.elem_count();
        let live = match weight.layer {
            Layer::Embedding { count, .. } => Some(vec![false; count]),
            _ => None,
        };
        Moments { m: vec![0.0; len], v: vec![0.0; len], live }
    }

    /// Saved ones in place of these.
    fn restore(&mut self, m: Vec<f32>, v: Vec<f32>) {
        if let Some(live) = &mut self.live {
            let width = (m.len() / live.len().max(1)).max(1);
            let rows = m.chunks_exact(width).zip(v.chunks_exact(width));
            for (live, (m, v)) in live.iter_mut().zip(rows) {
                *live = m.iter().chain(v).any(|&value| value != 0.0);
            }
        }
        (self.m, self.v) = (m, v);
    }

    /// Updates the weight's values.
    fn update(
        &mut self,
        law: &AdamW,
        w: &mut [f32],
        grad: &[f32],
        touched: Option<&Touched>,
        grad_scale: f32,
    ) {
        match (&mut self.live, touched) {
            (Some(live), Some(touched)) => {
                live.iter_mut().zip(touched.rows()).for_each(|(live, touched)| *live |= touched);
                law.update_rows(w, (&mut self.m, &mut self.v), grad, live, grad_scale);
            }
            (live, _) => {
                if let Some(live) = live {
                    live.fill(true);
                }
                law.update(w, &mut self.m, &mut self.v, grad, grad_scale);
            }
        }
    }
}

/// The optimiser's memory.
pub struct Optimizer {
    settings: OptimizerSettings,
    moments: Vec<Option<Moments>>,
}

impl Optimizer {
    /// Zero moments for the trainable weights.
    pub fn new(params: &Params, settings: OptimizerSettings) -> Self {
        let moments = params.iter().map(|(_, w)| w.trainable.then(|| Moments::zeros(w))).collect();
        Optimizer { settings, moments }
    }

    /// One update, number `step` counted from 1. `pace` gives a weight's learning rate by name, and the steps that went by
    /// before it began to learn; `grad_scale` multiplies all gradients. Weights that rest stay as they are.
    ///
    /// # Errors
    /// None in practice: our weights are what kernels take.
    pub fn step(
        &mut self,
        params: &Params,
        grads: &Grads,
        step: u64,
        pace: impl Fn(&str) -> (f64, u64),
        grad_scale: f32,
    ) -> Result<()> {
        let OptimizerSettings { beta1, beta2, eps, weight_decay } = self.settings;
        for ((id, weight), moments) in params.iter().zip(&mut self.moments) {
            let (Some(moments), Some(grad), true) = (moments, grads.get(id), weight.learning()) else {
                continue;
            };
            let weight_decay = if weight.decays() { weight_decay } else { 0.0 };
            let (lr, slept) = pace(&weight.name);
            let adamw = AdamW { lr, beta1, beta2, eps, weight_decay, step: step - slept };
            let touched = grads.touched(id);
            update(&weight.var, |w| moments.update(&adamw, w, grad, touched, grad_scale))
                .map_err(xexp_backbones::Error::from)?;
        }
        Ok(())
    }

    /// Sum of the squares of what the update number `step`, which has just been made at the rate `lr`, changed a weight by; 0 for
    /// one that is not trained. Decay is taken of the values as they are now.
    pub fn moved(&self, params: &Params, id: WeightId, step: u64, lr: f64) -> f64 {
        let place = params.iter().position(|(i, _)| i == id);
        let (Some(moments), Ok(values)) = (place.and_then(|i| self.moments[i].as_ref()), params.values(id))
        else {
            return 0.0;
        };
        let OptimizerSettings { beta1, beta2, eps, weight_decay } = self.settings;
        let decay = if params.weight(id).decays() { weight_decay } else { 0.0 };
        let corrected = |beta: f64| 1.0 / (1.0 - beta.powf(step as f64));
        let (first, second) = (corrected(beta1) as f32, corrected(beta2) as f32);
        let of = moments.m.iter().zip(&moments.v).zip(values.iter());
        let change = of.map(|((m, v), w)| first * m / ((second * v).sqrt() + eps as f32) + decay as f32 * w);
        lr * lr * change.map(|change| f64::from(change * change)).sum::<f64>()
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
                slot.restore(m, v);
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
    use xexp_init::Init;

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
            optimizer.step(&params, &grads, step, |_| (0.5, 0), 1.0).unwrap();
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
        let rate = |name: &str| (if name.starts_with("dense") { 0.25 } else { 0.0 }, 0);
        optimizer.step(&params, &grads, 1, rate, 1.0).unwrap();
        // The first step of Adam is the rate, whatever the gradient, to ε/3 and rounding.
        assert!((first(&params, "dense.bias") - 0.75).abs() < 1e-6);
        assert_eq!(first(&params, "LayerNorm.weight"), 1.0);
    }

    #[test]
    fn what_a_step_moved_is_the_difference_that_it_made() {
        let params = params();
        let (id, _) = params.find("dense.weight").unwrap();
        let settings = OptimizerSettings { weight_decay: 0.1, ..Default::default() };
        let (mut optimizer, mut grads) = (Optimizer::new(&params, settings), Grads::new(&params));
        for step in 1..=3 {
            grads.slot(id).unwrap().copy_from_slice(&[1.0, -2.0, 0.5, step as f32, 0.0, -1.0]);
            let before = params.values(id).unwrap().to_vec();
            optimizer.step(&params, &grads, step, |_| (0.01, 0), 1.0).unwrap();
            let after = params.values(id).unwrap().to_vec();
            let made: f64 = before.iter().zip(&after).map(|(b, a)| f64::from(b - a).powi(2)).sum();
            let found = optimizer.moved(&params, id, step, 0.01);
            // Decay is a tenth of the change, here of weights that it has made a hundredth smaller: 1e-3 of the change, and twice
            // that of its square.
            assert!((found / made - 1.0).abs() < 4e-3, "{found}, {made}");
        }
    }

    /// By a table whose gradient says which rows it has, by one that says nothing, and by a run that was interrupted.
    #[test]
    fn tables_move_as_if_all_rows_had_a_gradient() {
        let runs: Vec<Vec<f32>> = [(false, false), (true, false), (true, true)]
            .map(|(by_rows, interrupted)| {
                let params = params();
                let (id, _) = params.find("embeddings.weight").unwrap();
                let settings = OptimizerSettings { weight_decay: 0.1, ..Default::default() };
                let (mut optimizer, mut grads) = (Optimizer::new(&params, settings), Grads::new(&params));
                for (step, row) in [(1, 1u32), (2, 3), (3, 3), (4, 1)] {
                    grads.clear();
                    let table = if by_rows { grads.rows(id, &[row]) } else { grads.slot(id) };
                    table.unwrap()[row as usize * 3] += 0.5;
                    optimizer.step(&params, &grads, step, |_| (0.1, 0), 1.0).unwrap();
                    if interrupted {
                        let (_, moments) =
                            optimizer.moments(&params).find(|(name, _)| name.starts_with("emb")).unwrap();
                        let (m, v) = (moments.m.clone(), moments.v.clone());
                        optimizer = Optimizer::new(&params, settings);
                        optimizer.restore(&params, id, m, v).unwrap();
                    }
                }
                params.values(id).unwrap().to_vec()
            })
            .into();
        assert!(runs[0] == runs[1] && runs[0] == runs[2], "{runs:?}");
        // Untouched rows decayed four times, (1 − 0.1·0.1)⁴ = 0.9606; touched ones moved besides.
        assert!((runs[0][0] - 0.9606).abs() < 1e-5 && runs[0][3] < 0.8 && runs[0][9] < 0.8);
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
