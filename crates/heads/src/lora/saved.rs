//! Adapters in a folder, ours or PEFT's, on the model that they belong to.

use super::AdapterConfig;
use crate::{Classifier, Error, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xexp_backbones::checkpoint::{ADAPTER_PREFIX, Checkpoint, Extent, module_name};
use xexp_backbones::folder::{ADAPTER, Folder};
use xexp_backbones::{AdapterLaw, Params, Seed, WeightId};

/// An adapter's configuration and its tensors.
pub struct SavedAdapter {
    /// The folder.
    pub path: PathBuf,
    /// Its configuration.
    pub config: AdapterConfig,
    weights: Checkpoint,
}

/// The tensors of an adapter, sorted.
struct Sorted {
    /// Keys of `A` and `B`, by the name of the layer.
    pairs: BTreeMap<String, [Option<String>; 2]>,
    /// Keys of whole weights, by their name.
    whole: BTreeMap<String, String>,
}

impl SavedAdapter {
    /// The adapter in a folder; `None` where it is not that of an adapter.
    ///
    /// # Errors
    /// An adapter that we cannot open, or not a whole one.
    pub fn find(path: &Path) -> Result<Option<Self>> {
        let file = path.join(ADAPTER);
        if !file.is_file() {
            return Ok(None);
        }
        let text = std::fs::read_to_string(&file)
            .map_err(|source| xexp_backbones::Error::Read { path: file.clone(), source })?;
        let config = AdapterConfig::parse(&file, &text)?;
        let weights = path.join(Extent::Adapter.file());
        if !weights.is_file() {
            let pickle = path.join("adapter_model.bin");
            let missing = xexp_backbones::Error::Missing { path: weights };
            return Err(if pickle.is_file() {
                let reason = "a pickle, which can run code when read; expected adapter_model.safetensors";
                Error::Adapter { path: pickle, reason: reason.to_string() }
            } else {
                missing.into()
            });
        }
        Ok(Some(SavedAdapter { path: path.into(), config, weights: Checkpoint::open(&weights)? }))
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Adapter { path: self.weights.path().into(), reason }
    }

    fn sorted(&self) -> Result<Sorted> {
        let mut sorted = Sorted { pairs: BTreeMap::new(), whole: BTreeMap::new() };
        for key in self.weights.names() {
            let name = key
                .strip_prefix(ADAPTER_PREFIX)
                .ok_or_else(|| self.wrong(format!("tensor {key}: expected a name under {ADAPTER_PREFIX}")))?;
            let part = |end: &str| name.strip_suffix(end).map(str::to_string);
            let parts = [part(".lora_A.weight"), part(".lora_B.weight")];
            match parts.iter().position(Option::is_some) {
                Some(which) => {
                    let module = parts.into_iter().flatten().next().unwrap_or_default();
                    sorted.pairs.entry(module).or_default()[which] = Some(key);
                }
                None if name.contains(".lora_") => {
                    let reason = format!("tensor {key}: expected adapters of dense layers alone");
                    return Err(self.wrong(reason));
                }
                None => drop(sorted.whole.insert(name.to_string(), key.clone())),
            }
        }
        Ok(sorted)
    }

    /// Gives a model the adapters.
    fn attach(
        &self,
        params: &mut Params,
        pairs: BTreeMap<String, [Option<String>; 2]>,
        model: &str,
    ) -> Result<()> {
        let mut layers: BTreeMap<String, WeightId> = BTreeMap::new();
        for (id, weight) in params.iter().filter(|(_, weight)| Params::adaptable(weight)) {
            let name = weight.name.trim_end_matches(".weight");
            // PEFT on version 4 of transformers has written the checkpoints' own names.
            layers.insert(module_name(name), id);
            layers.insert(name.to_string(), id);
        }
        for (module, pair) in pairs {
            let [Some(a), Some(b)] = pair else {
                return Err(self.wrong(format!("{module} has one of lora_A and lora_B; expected both")));
            };
            let Some(&id) = layers.get(&module) else {
                let reason = format!("{module}: the {model} model has no dense layer of this name");
                return Err(self.wrong(reason));
            };
            let rank = self.config.rank;
            let law = AdapterLaw { rank, scale: self.config.scale(), dropout: self.config.dropout };
            let ids = params.adapt(id, law, Seed(0))?;
            for (key, id) in [a, b].iter().zip(ids) {
                let (found, expected) =
                    (self.weights.shape(key).unwrap_or_default(), params.weight(id).layer.shape());
                if found != expected {
                    let reason = format!("tensor {key}: expected shape {expected:?}, found {found:?}");
                    return Err(self.wrong(reason));
                }
                params.set(id, &self.weights.values(key)?)?;
            }
        }
        Ok(())
    }
}

impl Classifier {
    /// A saved adapter's model with the adapters in place; `folder` is that of the adapter, over its model. Label names by
    /// id are those of the configuration, where it has as many as the head has outputs, and else `LABEL_0` and so on.
    ///
    /// # Errors
    /// A model that the adapter does not fit; a head that neither has.
    pub fn open_adapted(folder: &Folder, adapter: &SavedAdapter) -> Result<(Self, Vec<String>)> {
        let Sorted { pairs, whole } = adapter.sorted()?;
        let head = format!("{}.weight", folder.family.head.path);
        let named = folder.config.labels()?;
        let outputs = match whole.get(&head) {
            Some(key) => adapter.weights.shape(key).and_then(|shape| shape.first().copied()),
            None => named.as_ref().map(Vec::len),
        };
        let outputs = outputs.filter(|outputs| *outputs > 0).ok_or_else(|| {
            adapter.wrong(format!("no {ADAPTER_PREFIX}{head}, and the model has no labels: not a classifier"))
        })?;
        let names = named
            .filter(|names| names.len() == outputs)
            .unwrap_or_else(|| (0..outputs).map(|id| format!("LABEL_{id}")).collect());
        let mut classifier = Self::with_lent(folder, outputs, |name| whole.contains_key(name))?;
        for (name, key) in &whole {
            let Some((id, weight)) = classifier.params.find(name) else {
                let model = folder.family.model_type;
                return Err(adapter.wrong(format!("tensor {key}: the {model} model has none of this name")));
            };
            let (found, expected) = (adapter.weights.shape(key).unwrap_or_default(), weight.layer.shape());
            if found != expected {
                let reason = format!("tensor {key}: expected shape {expected:?}, found {found:?}");
                return Err(adapter.wrong(reason));
            }
            classifier.params.set(id, &adapter.weights.values(key)?)?;
        }
        adapter.attach(&mut classifier.params, pairs, folder.family.model_type)?;
        Ok((classifier, names))
    }
}
