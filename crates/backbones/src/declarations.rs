//! The declaration of a model's weights, before they have values.

use crate::checkpoint::{Checkpoint, LoadReport, PositionTable};
use crate::params::{Params, Weight, WeightId};
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};
use xexp_init::{Init, Layer, Seed};
use xexp_kernels::Precision;

/// Where a weight's first values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The checkpoint; a missing one is an error.
    Checkpoint,
    /// The checkpoint if it has it, else drawn new: poolers that many ports of a family leave out.
    CheckpointOrNew,
    /// Drawn new even if the checkpoint has one: the head that replaces another.
    New,
}

struct Declared {
    name: String,
    layer: Layer,
    init: Init,
    origin: Origin,
    carried: bool,
}

impl Declared {
    fn weight(self, values: Vec<f32>) -> Result<Weight> {
        let tensor = Tensor::from_vec(values, self.layer.shape(), &Device::Cpu)?;
        let Declared { name, layer, init, carried, .. } = self;
        let learns = layer.is_parameter() && !carried;
        let (var, precision) = (Var::from_tensor(&tensor)?, Precision::F32);
        Ok(Weight {
            var,
            name,
            layer,
            init,
            learns,
            trainable: learns,
            rests: false.into(),
            adapts: false,
            precision,
        })
    }
}

/// Another name of a weight.
type Spelling = Box<dyn Fn(&str) -> Option<String>>;

/// The weights that a model's layers have declared.
#[derive(Default)]
pub struct Declarations {
    declared: Vec<Declared>,
    aliases: Vec<Spelling>,
    positions: Vec<(WeightId, PositionTable)>,
    resamples: bool,
}

impl Declarations {
    /// Declares one weight.
    pub fn weight(&mut self, name: impl Into<String>, layer: Layer, init: Init, origin: Origin) -> WeightId {
        self.declared.push(Declared { name: name.into(), layer, init, origin, carried: false });
        WeightId(self.declared.len() - 1)
    }

    /// Declares a tensor that the checkpoint holds and a saved model has to hold too, but that no forward pass here reads:
    /// a token that pretraining put in the place of hidden patches. It is never trained.
    pub fn carried(&mut self, name: impl Into<String>, layer: Layer) {
        let (init, origin) = (Init::Constant(0.0), Origin::Checkpoint);
        self.declared.push(Declared { name: name.into(), layer, init, origin, carried: true });
    }

    /// The weight of this name, if it has been declared.
    pub fn find(&self, name: &str) -> Option<WeightId> {
        self.declared.iter().position(|declared| declared.name == name).map(WeightId)
    }

    /// Adds another spelling under which a checkpoint may hold a weight, tried in the order added.
    pub fn alias(&mut self, spelling: impl Fn(&str) -> Option<String> + 'static) {
        self.aliases.push(Box::new(spelling));
    }

    /// Has the weights of these names drawn new, whatever the checkpoint holds: a head that replaces another.
    pub fn renew(&mut self, which: impl Fn(&str) -> bool) {
        for weight in self.declared.iter_mut().filter(|weight| which(&weight.name)) {
            weight.origin = Origin::New;
        }
    }

    /// Says that a weight is a table of positions.
    pub fn positions(&mut self, weight: WeightId, table: PositionTable) {
        self.positions.push((weight, table));
    }

    /// Has tables of positions read from those of images of another size, instead of refusing them.
    pub fn resample_positions(&mut self) {
        self.resamples = true;
    }

    /// The table of positions that a weight is, with the sides of its two squares, where it may and can be resampled from
    /// a tensor of this shape.
    fn resampled(&self, index: usize, found: &[usize]) -> Option<(PositionTable, usize, usize)> {
        let (_, table) = self.positions.iter().find(|(weight, _)| weight.0 == index && self.resamples)?;
        let (from, to) = table.sides(found, &self.declared[index].layer.shape())?;
        Some((*table, from, to))
    }

    /// Reads the weights from a checkpoint and draws the new ones from the streams `(seed, name)`.
    ///
    /// # Errors
    /// A tensor that is missing, has another shape or type, or is not finite; all wrong shapes are looked for
    /// before anything is read.
    pub fn load(self, checkpoint: &Checkpoint, seed: Seed) -> Result<(Params, LoadReport)> {
        let mut report = LoadReport::default();
        let mut sources = Vec::with_capacity(self.declared.len());
        let mut missing = vec![];
        let mut wrong = vec![];
        let mut squares = BTreeMap::new();
        for (index, weight) in self.declared.iter().enumerate() {
            let key = self.key(checkpoint, &weight.name);
            let found = key.as_ref().and_then(|key| checkpoint.shape(key));
            let expected = weight.layer.shape();
            let fits = found.as_ref().is_none_or(|found| *found == expected);
            if weight.origin == Origin::New {
                if let (Some(found), false) = (&found, fits) {
                    report.wrong_shape.push((weight.name.clone(), found.clone(), expected));
                }
                sources.push(None);
                continue;
            }
            if let (Some(found), false) = (&found, fits)
                && let Some(square) = self.resampled(index, found)
            {
                report.resampled.push((weight.name.clone(), found.clone(), expected));
                squares.insert(index, square);
                sources.push(key);
                continue;
            }
            match (&key, fits) {
                (None, _) if weight.origin == Origin::Checkpoint => missing.push(weight.name.clone()),
                (_, false) => wrong.push((weight.name.clone(), expected, found.unwrap_or_default())),
                _ => (),
            }
            sources.push(key);
        }
        let path = checkpoint.path().to_path_buf();
        if !missing.is_empty() {
            let names = missing.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let names = if missing.len() > 5 { format!("{names}, …") } else { names };
            return Err(Error::MissingTensors { path, count: missing.len(), names });
        }
        if !wrong.is_empty() {
            let others = wrong.len() - 1;
            let (name, expected, found) = wrong.swap_remove(0);
            return Err(Error::Shape { path, name, expected, found, others });
        }
        let used: BTreeSet<&String> = sources.iter().flatten().collect();
        report.ignored = checkpoint.names().into_iter().filter(|name| !used.contains(name)).collect();
        let mut weights = Vec::with_capacity(self.declared.len());
        for (index, (declared, source)) in self.declared.into_iter().zip(sources).enumerate() {
            let values = match source {
                Some(key) => {
                    report.loaded.push(declared.name.clone());
                    let values = checkpoint.values(&key)?;
                    match squares.get(&index) {
                        Some((table, from, to)) => table.resample(&values, *from, *to),
                        None => values,
                    }
                }
                None => {
                    report.new.push(declared.name.clone());
                    declared.init.fill(&declared.layer, &mut seed.stream(&declared.name))?
                }
            };
            weights.push(declared.weight(values)?);
        }
        Ok((Params::new(weights), report))
    }

    /// Draws all weights from the streams `(seed, name)`: a model that has learned nothing.
    ///
    /// # Errors
    /// An initializer that cannot draw its layer.
    pub fn draw(self, seed: Seed) -> Result<Params> {
        let draw = |declared: Declared| {
            let values = declared.init.fill(&declared.layer, &mut seed.stream(&declared.name))?;
            declared.weight(values)
        };
        Ok(Params::new(self.declared.into_iter().map(draw).collect::<Result<_>>()?))
    }

    /// All weights in the order of their declaration: name, layer kind, initializer, and the key under which the checkpoint
    /// holds it, if it does.
    pub fn found<'a>(
        &'a self,
        checkpoint: &'a Checkpoint,
    ) -> impl Iterator<Item = (&'a str, &'a Layer, Init, Option<String>)> {
        let one = |of: &'a Declared| (&of.name[..], &of.layer, of.init, self.key(checkpoint, &of.name));
        self.declared.iter().map(one)
    }

    /// Under which key the checkpoint holds a weight.
    fn key(&self, checkpoint: &Checkpoint, name: &str) -> Option<String> {
        let spellings = std::iter::once(name.to_string()).chain(self.aliases.iter().filter_map(|f| f(name)));
        spellings.into_iter().find(|key| checkpoint.shape(key).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype, TensorView};

    /// A checkpoint of zeros.
    fn checkpoint(tensors: &[(&'static str, &[usize])]) -> Checkpoint {
        let zeros = [0u8; 256];
        let view = |(name, shape): &(&'static str, &[usize])| {
            let raw = &zeros[..4 * shape.iter().product::<usize>()];
            (*name, TensorView::new(Dtype::F32, shape.to_vec(), raw).unwrap())
        };
        let bytes = safetensors::serialize(tensors.iter().map(view), None).unwrap();
        Checkpoint::from_bytes("model.safetensors".as_ref(), bytes).unwrap()
    }

    const INIT: Init = Init::Normal { std: 0.5 };

    fn declared() -> Declarations {
        let mut declared = Declarations::default();
        let mut weight = |name: &str, input, output, origin| {
            declared.weight(name, Layer::Linear { input, output }, INIT, origin);
        };
        weight("body.weight", 3, 2, Origin::Checkpoint);
        weight("pooler.weight", 2, 2, Origin::CheckpointOrNew);
        weight("head.weight", 2, 4, Origin::New);
        declared
    }

    #[test]
    fn the_report_accounts_for_every_tensor_on_both_sides() {
        let found = checkpoint(&[("body.weight", &[2, 3]), ("head.weight", &[7, 2]), ("other.weight", &[3])]);
        let (_, report) = declared().load(&found, Seed(1)).unwrap();
        assert_eq!(report.loaded, ["body.weight"]);
        assert_eq!(report.new, ["pooler.weight", "head.weight"]);
        assert_eq!(report.ignored, ["head.weight", "other.weight"]);
        assert_eq!(report.wrong_shape, [("head.weight".to_string(), vec![7, 2], vec![4, 2])]);
        let text = report.to_string();
        assert!(text.contains("loaded 1 tensors") && text.contains("[7, 2], needed [4, 2]"), "{text}");
    }

    #[test]
    fn a_table_of_positions_is_resampled_where_that_is_asked_for_and_said() {
        use crate::checkpoint::Resampling;
        let declared = |resample: bool| {
            let mut declared = Declarations::default();
            let layer = Layer::Tokens { count: 5, width: 2 };
            let table = declared.weight("positions", layer, INIT, Origin::Checkpoint);
            declared.positions(table, PositionTable { front: 1, behind: 0, resampling: Resampling::Bicubic });
            if resample {
                declared.resample_positions();
            }
            declared
        };
        let found = checkpoint(&[("positions", &[1, 10, 2])]);
        let error = declared(false).load(&found, Seed(1)).err().unwrap();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
        let (params, report) = declared(true).load(&found, Seed(1)).unwrap();
        let (id, _) = params.find("positions").unwrap();
        assert_eq!(&*params.values(id).unwrap(), [0.0; 10]);
        assert_eq!(report.loaded, ["positions"]);
        assert_eq!(report.resampled, [("positions".to_string(), vec![1, 10, 2], vec![1, 5, 2])]);
        assert!(report.to_string().contains("from shape [1, 10, 2] to [1, 5, 2]"));
        let wider = checkpoint(&[("positions", &[1, 10, 3])]);
        assert!(declared(true).load(&wider, Seed(1)).is_err());
    }

    #[test]
    fn an_optional_tensor_is_read_where_it_is() {
        let found = checkpoint(&[("body.weight", &[2, 3]), ("pooler.weight", &[2, 2])]);
        let (params, report) = declared().load(&found, Seed(1)).unwrap();
        assert_eq!(report.new, ["head.weight"]);
        let (id, _) = params.find("pooler.weight").unwrap();
        assert_eq!(&*params.values(id).unwrap(), [0.0; 4]);
    }

    #[test]
    fn a_missing_tensor_and_a_wrong_shape_are_errors_with_their_names() {
        let error = declared().load(&checkpoint(&[]), Seed(1)).err().unwrap();
        assert!(matches!(&error, Error::MissingTensors { count: 1, names, .. } if names == "body.weight"));
        // Also where the tensor is optional: it is there, and is another model's.
        let found = checkpoint(&[("body.weight", &[3, 2]), ("pooler.weight", &[2])]);
        let error = declared().load(&found, Seed(1)).err().unwrap();
        let Error::Shape { name, expected, found, others, .. } = error else { panic!("{error}") };
        assert_eq!((name.as_str(), expected, found, others), ("body.weight", vec![2, 3], vec![3, 2], 1));
    }

    #[test]
    fn a_new_weight_depends_on_its_name_and_not_on_the_order_of_declaration() {
        let layer = Layer::Linear { input: 5, output: 3 };
        let draw = |names: [&str; 2]| {
            let mut declared = Declarations::default();
            for name in names {
                declared.weight(name, layer.clone(), INIT, Origin::New);
            }
            let (params, _) = declared.load(&checkpoint(&[]), Seed(9)).unwrap();
            ["a", "b"].map(|name| params.values(params.find(name).unwrap().0).unwrap().to_vec())
        };
        let [a, b] = draw(["a", "b"]);
        assert_eq!(draw(["b", "a"]), [a.clone(), b.clone()]);
        assert_ne!(a, b);
    }
}
