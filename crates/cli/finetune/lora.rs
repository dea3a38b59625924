//! `--strategy lora`: its flags, and what of a run is another with adapters.

use std::num::NonZeroUsize;

use serde::Serialize;
use xexp_backbones::Seed;
use xexp_backbones::checkpoint::{Extent, LoadReport};
use xexp_backbones::folder::ADAPTER;
use xexp_heads::{Classifier, LoraSpec, Targets};

use super::args::{Backbone, Strategy};
use super::{Args, Plan};
use crate::args::number;
use crate::failure::Failure;
use crate::places;
use crate::stdout::json;

/// What stands for all dense layers of the backbone.
const ALL: &str = "all-linear";

/// Adapters take larger steps than whole weights: their product is of second order in what is drawn small.
///
/// Source: Hu et al. 2022, tables 9 and 10, whose rates for RoBERTa and DeBERTa are about ten times those of whole weights.
pub const RATE: f64 = 10.0;

/// The adapters of `--strategy lora`.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Adapters (--strategy lora)")]
pub struct Lora {
    /// The rank of the adapters [default: 8].
    #[arg(long, env = "XEXP_LORA_RANK", value_name = "R")]
    pub lora_rank: Option<NonZeroUsize>,
    /// What an adapter adds is multiplied by this over the rank [default: 16].
    #[arg(long, env = "XEXP_LORA_ALPHA", value_name = "X", value_parser = number::positive)]
    pub lora_alpha: Option<f64>,
    /// The probability of dropping a value of an adapter's input in training [default: 0].
    #[arg(long, env = "XEXP_LORA_DROPOUT", value_name = "P", value_parser = number::dropout)]
    pub lora_dropout: Option<f64>,
    /// The dense layers that are adapted, by the ends of their names with a comma between, or all-linear [default: queries
    /// and values, as in PEFT's table: query,value for bert, c_attn for gpt2, …].
    #[arg(long, env = "XEXP_LORA_TARGETS", value_name = "NAMES")]
    pub lora_targets: Option<String>,
}

impl Lora {
    /// The first of these flags that was given.
    fn given(&self) -> Option<&'static str> {
        [
            (self.lora_rank.is_some(), "--lora-rank"),
            (self.lora_alpha.is_some(), "--lora-alpha"),
            (self.lora_dropout.is_some(), "--lora-dropout"),
            (self.lora_targets.is_some(), "--lora-targets"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }

    fn spec(&self) -> LoraSpec {
        let targets = match self.lora_targets.as_deref().map(str::trim) {
            None => Targets::Usual,
            Some(ALL) => Targets::AllLinear,
            Some(names) => Targets::Endings(names.split(',').map(|name| name.trim().to_string()).collect()),
        };
        LoraSpec {
            rank: self.lora_rank.map_or(8, NonZeroUsize::get),
            alpha: self.lora_alpha.unwrap_or(16.0),
            dropout: self.lora_dropout.unwrap_or(0.0),
            targets,
        }
    }
}

impl Lora {
    /// What must be the same for a resumed run to be the same run.
    pub fn identity(&self) -> serde_json::Value {
        let LoraSpec { rank, alpha, dropout, targets } = self.spec();
        serde_json::json!([rank, alpha, dropout, format!("{targets:?}")])
    }
}

/// What `results.json` says of the adapters.
#[derive(Debug, Clone, Serialize)]
pub struct Adapters {
    /// `r`.
    pub rank: usize,
    /// `α`.
    pub alpha: f64,
    /// Dropout of their inputs.
    pub dropout: f64,
    /// The adapted layers.
    pub layers: Vec<String>,
    /// Number of trained values, the head's among them.
    pub trained: usize,
    /// Number of values of the whole model, without the adapters.
    pub model: usize,
}

/// The adapters of a run, once they are in place.
pub struct Adapted {
    spec: LoraSpec,
    /// What `results.json` says of them.
    pub adapters: Adapters,
}

/// Whether the flags fit each other, and what is known of the model.
///
/// # Errors
/// Flags of adapters without them; adapters on weights that nobody else has.
pub fn check(args: &Args, model: &places::Model) -> Result<(), Failure> {
    if args.training.strategy != Strategy::Lora {
        return match args.lora.given() {
            Some(flag) => Err(Failure::input(format!("{flag}: the strategy is not lora"))
                .hint("add --strategy lora, or leave the flag away")),
            None => Ok(()),
        };
    }
    if args.training.backbone == Backbone::Random {
        let message = "--strategy lora: adapters go with a pretrained backbone, and this one is drawn anew";
        return Err(Failure::input(message).hint("train all weights of it: --strategy full"));
    }
    if args.push.is_some() && !matches!(model, places::Model::Hub(_)) {
        return Err(unreachable_base(&model.to_string()));
    }
    Ok(())
}

/// The refusal to upload an adapter whose model nobody else has.
pub fn unreachable_base(model: &str) -> Failure {
    Failure::input(format!("--push: an adapter is of use with its model, and others cannot reach {model}"))
        .hint("name the model at the Hub, --model ORG/NAME, or upload a whole one made by xexp merge")
}

/// Gives the classifier its adapters; `None` under another strategy.
///
/// # Errors
/// Targets that the model has not.
pub fn adapt(
    args: &Args,
    classifier: &mut Classifier,
    load: &LoadReport,
) -> Result<Option<Adapted>, Failure> {
    if args.training.strategy != Strategy::Lora {
        return Ok(None);
    }
    let (spec, (model, _)) = (args.lora.spec(), classifier.params.count());
    let layers = classifier.adapt(&spec, &load.new, Seed(args.shared.seed))?;
    let trained = classifier.params.count().1;
    if !args.shared.quiet {
        let (rank, share) = (spec.rank, 100.0 * trained as f64 / model as f64);
        eprintln!(
            "adapters of rank {rank} on {} layers: {trained} values are trained, head included, beside {model} ({share:.2} %)",
            layers.len()
        );
    }
    let LoraSpec { rank, alpha, dropout, .. } = spec;
    Ok(Some(Adapted { spec, adapters: Adapters { rank, alpha, dropout, layers, trained, model } }))
}

impl Adapted {
    /// The file that makes a folder of weights an adapter of PEFT.
    ///
    /// # Errors
    /// A local model whose folder is gone.
    pub fn file(&self, plan: &Plan, classifier: &Classifier) -> Result<(String, Vec<u8>), Failure> {
        let (base, revision) = plan.model.reference()?;
        let config = classifier.adapter_config(&self.spec, &base, revision.as_deref());
        Ok((ADAPTER.to_string(), json(&config)?.into_bytes()))
    }
}

/// Which weights of a run are kept.
pub fn extent(args: &Args) -> Extent {
    if args.training.strategy == Strategy::Lora { Extent::Adapter } else { Extent::Model }
}
