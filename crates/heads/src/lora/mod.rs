//! LoRA: low-rank adapters on a frozen backbone, under a head that is trained whole, in the format of Hugging Face's PEFT.
//!
//! Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models"; PEFT 0.21 for names, defaults and files.

mod config;
mod saved;
mod targets;

pub use config::AdapterConfig;
pub use saved::SavedAdapter;
pub use targets::Targets;

use crate::{Classifier, Error, Result};
use serde_json::Value;
use std::collections::BTreeSet;
use xexp_backbones::families::Modality;
use xexp_backbones::{AdapterLaw, Params, Seed};

/// Which adapters.
#[derive(Clone, Debug, PartialEq)]
pub struct LoraSpec {
    /// `r`.
    pub rank: usize,
    /// `α`; what an adapter adds is multiplied by `α/r`.
    pub alpha: f64,
    /// Probability of dropping a value of an adapter's input.
    pub dropout: f64,
    /// The dense layers that are adapted.
    pub targets: Targets,
}

impl Classifier {
    /// Gives dense layers adapters that change nothing yet, and marks what is trained: these, the head, and the weights of
    /// the backbone that are `new`, for no checkpoint has them. Gives the names of the layers.
    ///
    /// # Errors
    /// [`Error::Targets`] for targets that no dense layer of the backbone has.
    pub fn adapt(&mut self, spec: &LoraSpec, new: &[String], seed: Seed) -> Result<Vec<String>> {
        let modules = self.chosen(&spec.targets)?;
        let widest = self.widest(&modules);
        if spec.rank > widest {
            let expected = "at most the wider side of the widest adapted layer";
            return Err(Error::Range { what: "rank of the adapters", expected, found: spec.rank as f64 });
        }
        let law = AdapterLaw { rank: spec.rank, scale: spec.alpha / spec.rank as f64, dropout: spec.dropout };
        for module in &modules {
            let found = self.params.find(&format!("{module}.weight")).map(|(id, _)| id);
            if let Some(id) = found {
                self.params.adapt(id, law, seed)?;
            }
        }
        let adapters: BTreeSet<String> =
            self.params.iter().filter(|(_, w)| w.adapts).map(|(_, w)| w.name.clone()).collect();
        let head = &self.family.head;
        self.params
            .train_only(|name| head.holds(name) || adapters.contains(name) || new.iter().any(|n| n == name));
        Ok(modules)
    }

    /// The names of the backbone's dense layers, in order of declaration.
    fn dense(&self) -> impl Iterator<Item = &str> {
        let dense = self.params.iter().filter(|(_, w)| Params::adaptable(w) && !self.in_head(&w.name));
        dense
            .filter_map(|(_, weight)| weight.name.strip_suffix(".weight"))
            .filter(|module| targets::is_one(module))
    }

    /// The wider side of the widest of these layers.
    fn widest(&self, modules: &[String]) -> usize {
        let weights = modules.iter().filter_map(|module| self.params.find(&format!("{module}.weight")));
        weights.flat_map(|(_, weight)| weight.layer.shape()).max().unwrap_or(0)
    }

    fn chosen(&self, targets: &Targets) -> Result<Vec<String>> {
        let model = self.family.model_type;
        let known = || {
            let kinds: BTreeSet<&str> = self.dense().map(targets::ending).collect();
            kinds.into_iter().collect::<Vec<_>>().join(", ")
        };
        let refused = |what: String| Err(Error::Targets { model, what, known: known() });
        let endings = match targets {
            Targets::AllLinear => return Ok(self.dense().map(str::to_string).collect()),
            Targets::Usual => match targets::usual(model) {
                Some(endings) => endings.iter().map(|ending| ending.to_string()).collect(),
                None => return refused("no usual targets".to_string()),
            },
            Targets::Endings(endings) => endings.clone(),
        };
        let hit = |ending: &String| self.dense().any(|module| targets::matches(module, ending));
        if let Some(none) = endings.iter().find(|ending| !hit(ending)) {
            return refused(format!("no dense layer of the backbone ends in {none:?}"));
        }
        let wanted = |module: &&str| endings.iter().any(|ending| targets::matches(module, ending));
        Ok(self.dense().filter(wanted).map(str::to_string).collect())
    }

    /// `adapter_config.json` of the adapters as they are, on a model that PEFT is to find under `base`.
    pub fn adapter_config(&self, spec: &LoraSpec, base: &str, revision: Option<&str>) -> Value {
        let name = |id| self.params.weight(id).name.trim_end_matches(".weight");
        let adapted: Vec<&str> = self.params.adapted().map(|(id, _)| name(id)).collect();
        let weights = || self.params.iter().filter(|(_, w)| !w.adapts);
        let modules: BTreeSet<&str> =
            weights().filter_map(|(_, w)| w.name.rsplit_once('.')).map(|(module, _)| module).collect();
        let trained = weights().filter(|(_, w)| w.trainable);
        let saved: BTreeSet<&str> = trained
            .filter_map(|(_, weight)| {
                let (module, _) = weight.name.rsplit_once('.')?;
                // PEFT keeps the head's outermost module, as its own list of heads has it.
                Some(if self.in_head(&weight.name) { module.split('.').next()? } else { module })
            })
            .collect();
        let names = [adapted.as_slice(), &modules.into_iter().collect::<Vec<_>>()];
        let transposed = self.params.adapted().any(|(id, _)| targets::is_transposed(self.params.weight(id)));
        AdapterConfig {
            rank: spec.rank,
            alpha: spec.alpha,
            dropout: spec.dropout,
            rank_stabilized: false,
            base: Some(base.to_string()),
            revision: revision.map(str::to_string),
        }
        .json(config::Written {
            targets: targets::written(names),
            saved: saved.into_iter().map(str::to_string).collect(),
            transposed,
            texts: self.family.modality == Modality::Text,
        })
    }
}
