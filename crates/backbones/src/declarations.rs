//! The declaration of a model's weights, before they have values.

use crate::checkpoint::{Checkpoint, LoadReport};
use crate::params::{Params, Weight, WeightId};
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeSet;
use xexp_init::{Init, Layer, Seed};

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
}

/// The weights that a model's layers have declared.
#[derive(Default)]
pub struct Declarations {
    declared: Vec<Declared>,
    aliases: Vec<fn(&str) -> Option<String>>,
}

impl Declarations {
    /// Declares one weight.
    pub fn weight(&mut self, name: impl Into<String>, layer: Layer, init: Init, origin: Origin) -> WeightId {
        self.declared.push(Declared { name: name.into(), layer, init, origin });
        WeightId(self.declared.len() - 1)
    }

    /// Adds another spelling under which a checkpoint may hold a weight, tried in the order added.
    pub fn alias(&mut self, spelling: fn(&str) -> Option<String>) {
        self.aliases.push(spelling);
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
        for weight in &self.declared {
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
        for (declared, source) in self.declared.into_iter().zip(sources) {
            let values = match source {
                Some(key) => {
                    report.loaded.push(declared.name.clone());
                    checkpoint.values(&key)?
                }
                None => {
                    report.new.push(declared.name.clone());
                    declared.init.fill(&declared.layer, &mut seed.stream(&declared.name))?
                }
            };
            let tensor = Tensor::from_vec(values, declared.layer.shape(), &Device::Cpu)?;
            weights.push(Weight {
                var: Var::from_tensor(&tensor)?,
                name: declared.name,
                layer: declared.layer,
                init: declared.init,
                trainable: true,
            });
        }
        Ok((Params::new(weights), report))
    }

    /// Under which key the checkpoint holds a weight.
    fn key(&self, checkpoint: &Checkpoint, name: &str) -> Option<String> {
        let spellings = std::iter::once(name.to_string()).chain(self.aliases.iter().filter_map(|f| f(name)));
        spellings.into_iter().find(|key| checkpoint.shape(key).is_some())
    }
}
