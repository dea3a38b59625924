//! Weights lent to a model of candle-transformers, under the names that it asks for.

use crate::{Declarations, Origin, Params, WeightId};
use candle_core::{DType, Device, Error, Result, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use std::collections::BTreeMap;
use xexp_init::{Init, Layer};

/// Declares weights and remembers under which name they are asked for: a name in the file is the `path` in front of it.
pub(super) struct Lender<'a> {
    /// What the model's file declares.
    pub declared: &'a mut Declarations,
    /// What stands in front of the names in the file.
    pub path: &'a str,
    /// How matrices are drawn when new.
    pub init: Init,
    /// What is lent.
    pub lent: Lent,
}

/// Weights by the names that candle-transformers asks for. Nothing is copied: its tensors are views of ours.
#[derive(Default)]
pub(super) struct Lent {
    /// Weights of ours.
    pub ids: BTreeMap<String, WeightId>,
    /// What it asks for beside them and no checkpoint holds.
    pub constants: BTreeMap<String, Tensor>,
}

impl Lender<'_> {
    /// One weight.
    pub fn weight(&mut self, name: &str, layer: Layer, init: Init) {
        let id = self.declared.weight(format!("{}{name}", self.path), layer, init, Origin::Checkpoint);
        self.lent.ids.insert(name.to_string(), id);
    }

    /// `name.weight (output, input)` without a bias.
    pub fn matrix(&mut self, name: &str, (input, output): (usize, usize)) {
        self.weight(&format!("{name}.weight"), Layer::Linear { input, output }, self.init);
    }

    /// `name.weight (output, input)` and `name.bias (output)`.
    pub fn linear(&mut self, name: &str, (input, output): (usize, usize)) {
        self.matrix(name, (input, output));
        self.bias(name, output);
    }

    /// `name.bias (len)`.
    pub fn bias(&mut self, name: &str, len: usize) {
        self.weight(&format!("{name}.bias"), Layer::Vector { len }, Init::Constant(0.0));
    }

    /// `name.weight (len)`: the gains of a norm.
    pub fn gains(&mut self, name: &str, len: usize) {
        self.weight(&format!("{name}.weight"), Layer::Vector { len }, Init::Constant(1.0));
    }

    /// Gains and biases of a norm.
    pub fn norm(&mut self, name: &str, len: usize) {
        self.gains(name, len);
        self.bias(name, len);
    }

    /// `name.weight (count, width)`: a table.
    pub fn table(&mut self, name: &str, count: usize, width: usize) {
        self.weight(&format!("{name}.weight"), Layer::Embedding { count, width }, self.init);
    }

    /// `name.weight (width, channels, patch, patch)`: a projection of patches.
    pub fn patches(&mut self, name: &str, (channels, width): (usize, usize), patch: usize) {
        let side = vec![patch, patch];
        let layer =
            Layer::Conv { input: channels, output: width, kernel: side.clone(), stride: side, groups: 1 };
        self.weight(&format!("{name}.weight"), layer, self.init);
    }
}

impl Lent {
    /// The weights that are lent.
    pub fn ids(&self) -> impl Iterator<Item = WeightId> {
        self.ids.values().copied()
    }

    /// What candle-transformers builds its models from.
    pub fn builder<'a>(&'a self, params: &'a Params) -> VarBuilder<'a> {
        VarBuilder::from_backend(Box::new(Views { params, lent: self }), DType::F32, Device::Cpu)
    }
}

struct Views<'a> {
    params: &'a Params,
    lent: &'a Lent,
}

impl SimpleBackend for Views<'_> {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        let tensor = self.get_unchecked(name, dtype, device)?;
        if *tensor.shape() != shape {
            let msg = format!("shape of {name}");
            return Err(Error::UnexpectedShape { msg, expected: shape, got: tensor.shape().clone() });
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        if let Some(constant) = self.lent.constants.get(name) {
            return Ok(constant.clone());
        }
        let id = self.lent.ids.get(name);
        let id = id.ok_or_else(|| Error::CannotFindTensor { path: name.to_string() })?;
        // Cut off from the variable, since candle would else record a graph that nobody reads.
        Ok(self.params.tensor(*id).detach())
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.lent.ids.contains_key(name) || self.lent.constants.contains_key(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn what_is_lent_is_a_view_of_the_weight_and_not_a_copy() {
        let mut declared = Declarations::default();
        let init = Init::Normal { std: 1.0 };
        let mut lender = Lender { declared: &mut declared, path: "tower.", init, lent: Lent::default() };
        lender.linear("up", (3, 2));
        let lent = lender.lent;
        let params = declared.draw(Seed(1)).unwrap();
        let view = lent.builder(&params).pp("up").get((2, 3), "weight").unwrap();
        let (id, _) = params.find("tower.up.weight").unwrap();
        params.set(id, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(view.to_vec2::<f32>().unwrap(), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]);
        assert!(!view.is_variable() && !view.track_op());
        let builder = lent.builder(&params);
        assert!(builder.get((3, 2), "up.weight").is_err() && builder.get(2, "down.bias").is_err());
        assert!(builder.contains_tensor("up.bias") && !builder.contains_tensor("tower.up.bias"));
    }
}
