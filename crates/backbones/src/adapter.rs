//! Low-rank adapters: what a dense layer learns while its own weight stays.
//!
//! `y = x Wᵀ + b + s · drop(x) Aᵀ Bᵀ`, `A (rank, input)`, `B (output, rank)`, `s` a factor. Source: Hu et al. 2022,
//! "LoRA: Low-Rank Adaptation of Large Language Models", §4.1; where the dropout stands: PEFT's `lora.Linear.forward`.
//!
//! The gradients go through the rank: `dB += s · dyᵀ h` with `h = drop(x) Aᵀ`, `dh = s · dy B`, `dA += dhᵀ drop(x)`,
//! `dx += drop'(dh A)`. The product of the size of `W` is never made, and `h` is computed again rather than kept.

use crate::params::{Params, Weight, WeightId};
use crate::{Error, Grads, Pass, Result};
use candle_core::{Device, Tensor, Var};
use xexp_init::{Init, Layer, Seed};
use xexp_kernels::linear::{self, Columns, GradColumns};
use xexp_kernels::{Buffer, Precision, add, scale};

/// What an adapter is, but for its weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdapterLaw {
    /// Rows of `A`, columns of `B`.
    pub rank: usize,
    /// `s`.
    pub scale: f64,
    /// Probability of dropping a value of the input.
    pub dropout: f64,
}

/// An adapter of one weight.
pub(crate) struct Adapter {
    a: WeightId,
    b: WeightId,
    law: AdapterLaw,
    input: usize,
    /// Names the dropout stream.
    place: String,
}

impl Adapter {
    /// `A` and `B`.
    pub fn ids(&self) -> [WeightId; 2] {
        [self.a, self.b]
    }

    /// `s · x Aᵀ` of the input as it is after dropout, and that input where dropout acts.
    fn inner(
        &self,
        params: &Params,
        x: &[f32],
        precision: Precision,
        pass: &Pass<'_>,
    ) -> Result<(Buffer, Option<Buffer>)> {
        let dropped = pass.dropout(&self.place, self.law.dropout).map(|dropout| {
            let mut dropped = pass.buffer(x.len());
            dropped.copy_from_slice(x);
            dropout.apply(&mut dropped, self.input);
            dropped
        });
        let rank = self.law.rank;
        let mut h = pass.buffer(x.len() / self.input * rank);
        let mut columns = Columns { data: &mut h, stride: rank, start: 0, width: rank };
        let x = dropped.as_deref().unwrap_or(x);
        linear::forward_into(x, &params.values(self.a)?, None, &mut columns, self.input, precision);
        scale(&mut h, self.law.scale as f32);
        Ok((h, dropped))
    }

    /// Adds to `y`, which holds what the weight itself makes of `x (rows, input)`.
    pub fn forward(
        &self,
        params: &Params,
        x: &[f32],
        y: &mut Columns<'_>,
        precision: Precision,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let (h, _) = self.inner(params, x, precision, pass)?;
        linear::add_into(&h, &params.values(self.b)?, y, self.law.rank, precision);
        Ok(())
    }

    /// Adds the gradients of `A` and `B`, and to `dx` where it is wanted.
    pub fn backward(
        &self,
        (params, grads): (&Params, &mut Grads),
        x: &[f32],
        dy: GradColumns<'_>,
        dx: Option<&mut [f32]>,
        pass: &Pass<'_>,
    ) -> Result<()> {
        let (h, dropped) = self.inner(params, x, dy.precision, pass)?;
        if let Some(db) = grads.slot(self.b) {
            linear::backward_weight(dy, &h, db);
        }
        let mut dh = h;
        linear::backward_input(dy, &params.values(self.b)?, &mut dh, false);
        scale(&mut dh, self.law.scale as f32);
        let dh = GradColumns::all(&dh, self.law.rank).at(dy.precision);
        if let Some(da) = grads.slot(self.a) {
            linear::backward_weight(dh, dropped.as_deref().unwrap_or(x), da);
        }
        let Some(dx) = dx else { return Ok(()) };
        let a = params.values(self.a)?;
        match (pass.dropout(&self.place, self.law.dropout), dropped) {
            (Some(dropout), Some(mut part)) => {
                linear::backward_input(dh, &a, &mut part, false);
                dropout.apply(&mut part, self.input);
                add(dx, &part);
            }
            _ => linear::backward_input(dh, &a, dx, true),
        }
        Ok(())
    }

    /// `W + s·B·A` in the layout of `W`, summed in `f64` and rounded once.
    fn merged(&self, params: &Params, id: WeightId) -> Result<Vec<f32>> {
        let (a, b, rank) = (params.values(self.a)?, params.values(self.b)?, self.law.rank);
        let (input, output) = (self.input, b.len() / rank);
        let turned = matches!(params.weight(id).layer, Layer::Transposed { .. });
        let mut values = params.values(id)?.to_vec();
        let mut sums = vec![0f64; input];
        for (o, b) in b.chunks_exact(rank).enumerate() {
            sums.fill(0.0);
            for (b, a) in b.iter().zip(a.chunks_exact(input)) {
                sums.iter_mut().zip(a).for_each(|(sum, a)| *sum += f64::from(*b) * f64::from(*a));
            }
            for (i, sum) in sums.iter().enumerate() {
                let value = &mut values[if turned { i * output + o } else { o * input + i }];
                *value = (f64::from(*value) + self.law.scale * sum) as f32;
            }
        }
        Ok(values)
    }
}

/// What the names of an adapter's weights add to that of the layer: PEFT's.
const PARTS: [&str; 2] = ["lora_A.weight", "lora_B.weight"];

impl Params {
    /// Whether a weight is one that an adapter can be given: that of a dense layer.
    pub fn adaptable(weight: &Weight) -> bool {
        let dense = matches!(weight.layer, Layer::Linear { .. } | Layer::Transposed { .. });
        dense && weight.learns && !weight.adapts && weight.name.ends_with(".weight")
    }

    /// Gives the dense layer of a weight an adapter: `A` from the stream `(seed, name)`, uniform within `±1/√input`, and
    /// `B` zero, so that nothing changes before training does. Whether the weight itself goes on learning is not touched.
    ///
    /// Source: PEFT's `reset_lora_parameters`, whose `kaiming_uniform_(a=√5)` is this law.
    ///
    /// # Errors
    /// [`Error::Input`] for what is no dense layer, has an adapter already, or a rank of 0.
    pub fn adapt(&mut self, id: WeightId, law: AdapterLaw, seed: Seed) -> Result<[WeightId; 2]> {
        let weight = self.weight(id);
        let refused = |why: &str| Error::Input { reason: format!("adapter of {}: {why}", weight.name) };
        let (input, output) = match weight.layer {
            Layer::Linear { input, output } | Layer::Transposed { input, output } => (input, output),
            _ => return Err(refused("not a dense layer")),
        };
        if !Self::adaptable(weight) || law.rank == 0 || self.adapter(id).is_some() {
            return Err(refused("expected a dense layer without one, and a positive rank"));
        }
        let place = weight.name.trim_end_matches("weight").to_string();
        let shapes = [(input, law.rank), (law.rank, output)];
        let laws = [Init::Uniform { bound: 1.0 / (input as f64).sqrt() }, Init::Constant(0.0)];
        let mut ids = [id; 2];
        for (part, ((input, output), init)) in shapes.into_iter().zip(laws).enumerate() {
            let (name, layer) = (format!("{place}{}", PARTS[part]), Layer::Linear { input, output });
            let values = init.fill(&layer, &mut seed.stream(&name))?;
            let var = Var::from_tensor(&Tensor::from_vec(values, layer.shape(), &Device::Cpu)?)?;
            let precision = Precision::F32;
            let (learns, trainable, adapts, rests) = (true, true, true, false.into());
            let weight = Weight { name, layer, init, var, learns, trainable, rests, adapts, precision };
            ids[part] = self.push(weight);
        }
        let [a, b] = ids;
        self.attach(id, Adapter { a, b, law, input, place: format!("{place}lora") });
        Ok(ids)
    }

    /// The weights that have an adapter, with the adapter's `A` and `B`.
    pub fn adapted(&self) -> impl Iterator<Item = (WeightId, [WeightId; 2])> {
        self.adapters().map(|(id, adapter)| (id, adapter.ids()))
    }

    /// Puts what the adapters add into the weights themselves, and takes the adapters away; gives their number.
    ///
    /// # Errors
    /// When a weight is not a contiguous `f32` tensor; ours are.
    pub fn merge(&mut self) -> Result<usize> {
        for (id, adapter) in self.adapters() {
            self.set(id, &adapter.merged(self, id)?)?;
        }
        Ok(self.detach().len())
    }
}
