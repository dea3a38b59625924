//! The weights of a model.

use crate::adapter::Adapter;
use crate::{Error, Result};
use candle_core::{Tensor, Var};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_init::{Init, Layer, Seed};
use xexp_kernels::{Precision, Values, values};

/// The place of a weight in [`Params`] and [`crate::Grads`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightId(pub(crate) usize);

/// One weight: its declaration and its values.
pub struct Weight {
    /// Key on the Hub, with the family's prefix.
    pub name: String,
    /// Layer kind: gives shape and fans.
    pub layer: Layer,
    /// How it is drawn when new.
    pub init: Init,
    /// The values, `f32`.
    pub var: Var,
    /// Whether it can be trained: running statistics and tensors that are only carried along cannot.
    pub learns: bool,
    /// Whether training changes it by a gradient.
    pub trainable: bool,
    /// Whether it waits for its turn: for now it is as if it were not trainable. Its optimiser's memory is there.
    pub rests: AtomicBool,
    /// Whether it is a part of an adapter, and none of the model's own.
    pub adapts: bool,
    /// How a dense layer rounds it, and what it multiplies it with; the values themselves stay `f32`.
    pub precision: Precision,
}

impl Weight {
    /// Whether training changes it now.
    pub fn learning(&self) -> bool {
        self.trainable && !self.rests.load(Ordering::Relaxed)
    }

    /// Whether weight decay applies: to matrices, not to biases and norms.
    pub fn decays(&self) -> bool {
        self.learns && !matches!(self.layer, Layer::Vector { .. } | Layer::Channels { .. })
    }
}

/// All weights of a model, in the order of their declaration.
pub struct Params {
    weights: Vec<Weight>,
    by_name: BTreeMap<String, usize>,
    /// By the place of the weight that each adapts.
    adapters: BTreeMap<usize, Adapter>,
}

impl Params {
    pub(crate) fn new(weights: Vec<Weight>) -> Self {
        let by_name = weights.iter().enumerate().map(|(i, w)| (w.name.clone(), i)).collect();
        Params { weights, by_name, adapters: BTreeMap::new() }
    }

    /// Adds a weight that is part of an adapter.
    pub(crate) fn push(&mut self, weight: Weight) -> WeightId {
        let id = WeightId(self.weights.len());
        self.by_name.insert(weight.name.clone(), id.0);
        self.weights.push(weight);
        id
    }

    /// Has an adapter add to the products with a weight.
    pub(crate) fn attach(&mut self, id: WeightId, adapter: Adapter) {
        self.adapters.insert(id.0, adapter);
    }

    /// Takes all adapters away, with their weights; those that they adapted, and the adapters.
    pub(crate) fn detach(&mut self) -> Vec<(WeightId, Adapter)> {
        // They were added behind everything else.
        self.weights.retain(|weight| !weight.adapts);
        let left = self.weights.len();
        self.by_name.retain(|_, index| *index < left);
        std::mem::take(&mut self.adapters).into_iter().map(|(id, adapter)| (WeightId(id), adapter)).collect()
    }

    /// The adapter of a weight, if it has one.
    pub(crate) fn adapter(&self, id: WeightId) -> Option<&Adapter> {
        self.adapters.get(&id.0)
    }

    /// The weights that have an adapter, and these.
    pub(crate) fn adapters(&self) -> impl Iterator<Item = (WeightId, &Adapter)> {
        self.adapters.iter().map(|(&id, adapter)| (WeightId(id), adapter))
    }

    /// The values of a weight, as a slice.
    ///
    /// # Errors
    /// When the tensor is not a contiguous `f32` one; ours are.
    pub fn values(&self, id: WeightId) -> Result<Values<'_>> {
        Ok(values(&self.weights[id.0].var)?)
    }

    /// The weight itself.
    pub fn weight(&self, id: WeightId) -> &Weight {
        &self.weights[id.0]
    }

    /// The weight of this name.
    pub fn find(&self, name: &str) -> Option<(WeightId, &Weight)> {
        self.by_name.get(name).map(|&i| (WeightId(i), &self.weights[i]))
    }

    /// All weights with their ids, in order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = (WeightId, &Weight)> {
        self.weights.iter().enumerate().map(|(i, w)| (WeightId(i), w))
    }

    /// All weights by name, as a checkpoint lists them.
    pub fn by_name(&self) -> impl Iterator<Item = (&str, &Weight)> {
        self.by_name.iter().map(|(name, &i)| (name.as_str(), &self.weights[i]))
    }

    /// Says for each weight, by name, whether training changes it. Running statistics are no part of this: they follow the
    /// norm that they belong to; nor is what is only carried along.
    pub fn train_only(&mut self, wanted: impl Fn(&str) -> bool) {
        for weight in &mut self.weights {
            weight.trainable = weight.learns && wanted(&weight.name);
        }
    }

    /// Says for each weight, by name, whether it rests for now, or goes on learning.
    pub fn rest(&self, resting: impl Fn(&str) -> bool) {
        self.weights.iter().for_each(|weight| weight.rests.store(resting(&weight.name), Ordering::Relaxed));
    }

    /// Has the dense layers of these weights, by name, round their operands so; the others not at all. Gives their number.
    /// An adapter rounds as the layer that it adapts.
    pub fn multiply_in(&mut self, precision: Precision, wanted: impl Fn(&str) -> bool) -> usize {
        let mut count = 0;
        for weight in &mut self.weights {
            let own = matches!(weight.layer, Layer::Linear { .. }) && !weight.adapts;
            let dense = own && wanted(&weight.name);
            weight.precision = if dense { precision } else { Precision::F32 };
            count += usize::from(dense);
        }
        count
    }

    /// Whether training changes any of these, or an adapter of theirs.
    pub fn any_trainable(&self, ids: impl IntoIterator<Item = WeightId>) -> bool {
        let trainable = |id: WeightId| self.weights[id.0].learning();
        ids.into_iter().any(|id| {
            trainable(id) || self.adapter(id).is_some_and(|adapter| adapter.ids().into_iter().any(trainable))
        })
    }

    /// Number of values, in all and trainable.
    pub fn count(&self) -> (usize, usize) {
        let size = |w: &Weight| w.var.elem_count();
        let all = self.weights.iter().map(size).sum();
        (all, self.weights.iter().filter(|w| w.trainable).map(size).sum())
    }

    /// Draws a weight anew by another initializer, from the stream `(seed, name)`.
    ///
    /// # Errors
    /// When the initializer cannot draw this kind of layer.
    pub fn draw(&mut self, id: WeightId, init: Init, seed: Seed) -> Result<()> {
        let weight = &mut self.weights[id.0];
        let values = init.fill(&weight.layer, &mut seed.stream(&weight.name))?;
        weight.init = init;
        self.set(id, &values)
    }

    /// Replaces a weight's values.
    ///
    /// # Errors
    /// [`Error::Input`] when the number of values is another.
    pub fn set(&self, id: WeightId, new: &[f32]) -> Result<()> {
        let var = &self.weights[id.0].var;
        if var.elem_count() != new.len() {
            let reason =
                format!("{} has {} values, not {}", self.weights[id.0].name, var.elem_count(), new.len());
            return Err(Error::Input { reason });
        }
        Ok(xexp_kernels::update(var, |values| values.copy_from_slice(new))?)
    }

    /// The tensor of a weight, sharing its storage.
    pub fn tensor(&self, id: WeightId) -> &Tensor {
        self.weights[id.0].var.as_tensor()
    }

    /// Number of weights.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }
}
