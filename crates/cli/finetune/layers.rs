//! What the layers do, each for itself: rates by depth, layers that stay or wait or begin anew, an average of all.

use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

use serde::Serialize;
use xexp_backbones::Seed;
use xexp_heads::{Classifier, Depths};
use xexp_train::ByDepth;

use super::Args;
use super::args::Strategy;
use crate::args::number;
use crate::failure::Failure;

/// What the layers do, each for itself.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Layers")]
pub struct Layers {
    /// The learning rate of each block as a share of the one above it; the head has the whole rate, what stands below the
    /// blocks the smallest [default: all alike].
    #[arg(long, env = "XEXP_LAYER_DECAY", value_name = "X", value_parser = number::layer_decay)]
    pub layer_decay: Option<f64>,
    /// Trains the head alone in the first epoch, and one block more, from the top, in each epoch after it.
    #[arg(long, env = "XEXP_GRADUAL_UNFREEZE")]
    pub gradual_unfreeze: bool,
    /// The lowest part of the backbone, which stays as it is: a number of blocks with all that is below them, or embeddings
    /// for what is below the blocks alone [default: nothing stays].
    #[arg(long, env = "XEXP_FREEZE", value_name = "N")]
    pub freeze: Option<Frozen>,
    /// The number of blocks at the top that are drawn anew by the family's initializers, with what is between them and the
    /// head, such as a pooler [default: none].
    #[arg(long, env = "XEXP_REINIT_LAYERS", value_name = "N")]
    pub reinit_layers: Option<NonZeroUsize>,
    /// Averages the weights over the steps, an older one counting this much of the next; the average is what is validated and
    /// saved [default: the weights themselves].
    #[arg(long, env = "XEXP_EMA", value_name = "DECAY", value_parser = number::dropout)]
    pub ema: Option<f64>,
}

/// The lowest part of the backbone, by the number of its blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frozen(usize);

impl FromStr for Frozen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "embeddings" => Ok(Frozen(0)),
            number => match number.parse() {
                Ok(blocks) if blocks > 0 => Ok(Frozen(blocks)),
                _ => Err("expected a positive number of blocks, or embeddings".to_string()),
            },
        }
    }
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 { f.write_str("embeddings") } else { self.0.fmt(f) }
    }
}

impl Serialize for Frozen {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Layers {
    /// The first of these flags that was given.
    pub fn given(&self) -> Option<&'static str> {
        [
            (self.layer_decay.is_some(), "--layer-decay"),
            (self.gradual_unfreeze, "--gradual-unfreeze"),
            (self.freeze.is_some(), "--freeze"),
            (self.reinit_layers.is_some(), "--reinit-layers"),
            (self.ema.is_some(), "--ema"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }
}

/// Whether the flags fit the strategy.
///
/// # Errors
/// A flag about layers that are not trained.
pub fn check(args: &Args) -> Result<(), Failure> {
    let refused =
        |flag: &str, why: &str, hint: &str| Err(Failure::input(format!("{flag}: {why}")).hint(hint));
    match (args.training.strategy, args.layers.given()) {
        (Strategy::Probe, Some(flag)) => {
            refused(flag, "a probe trains the head alone", "leave the flag away, or choose --strategy full")
        }
        (Strategy::Lora, _) if args.layers.reinit_layers.is_some() => refused(
            "--reinit-layers",
            "adapters go with the weights of their model as they are",
            "leave the flag away, or choose --strategy full",
        ),
        (Strategy::Lora, _) if args.layers.freeze.is_some() => refused(
            "--freeze",
            "under lora the backbone stays as it is, but for its adapters",
            "say with --lora-targets which layers are adapted, by their whole names if need be",
        ),
        _ => Ok(()),
    }
}

/// Draws the upper blocks anew and marks the lower ones as those that stay, as far as that is asked for.
///
/// # Errors
/// More blocks than the model has.
pub fn begin(args: &Args, classifier: &mut Classifier) -> Result<(), Failure> {
    let Layers { freeze, reinit_layers, .. } = args.layers;
    let (frozen, renewed) = (freeze.map(|frozen| frozen.0), reinit_layers.map(NonZeroUsize::get));
    if frozen.is_none() && renewed.is_none() {
        return Ok(());
    }
    let depths = classifier.depths();
    let Depths { blocks, .. } = depths;
    for (flag, count) in [("--freeze", frozen), ("--reinit-layers", renewed)] {
        if count.is_some_and(|count| count > blocks) {
            let message = format!("{flag}: the model has {blocks} blocks");
            return Err(Failure::input(message).hint(format!("give at most {blocks}")));
        }
    }
    if frozen.unwrap_or(0) + renewed.unwrap_or(0) > blocks {
        let message = "--freeze and --reinit-layers: a block that is drawn anew cannot stay as it is";
        return Err(Failure::input(message).hint(format!("the model has {blocks} blocks for both")));
    }
    if let Some(frozen) = frozen {
        let learned = classifier.params.iter().filter(|(_, w)| w.trainable).map(|(_, w)| w.name.clone());
        let learned: std::collections::BTreeSet<String> = learned.collect();
        classifier.params.train_only(|name| learned.contains(name) && depths.of_weight(name) > frozen);
    }
    if let Some(renewed) = renewed {
        let upper = |name: &str| depths.of_weight(name) + renewed > blocks && !classifier.in_head(name);
        let drawn: Vec<_> = classifier.params.iter().filter(|(_, w)| w.learns && upper(&w.name)).collect();
        let drawn: Vec<_> = drawn.into_iter().map(|(id, weight)| (id, weight.init)).collect();
        for (id, init) in drawn {
            classifier.params.draw(id, init, Seed(args.shared.seed)).map_err(xexp_heads::Error::from)?;
        }
    }
    Ok(())
}

/// How the weights learn by their depth, where they do not all learn alike.
pub fn by_depth(args: &Args, classifier: &Classifier, epoch_steps: u64, epochs: u32) -> Option<ByDepth> {
    let Layers { layer_decay, gradual_unfreeze: gradual, .. } = args.layers;
    if layer_decay.is_none() && !gradual {
        return None;
    }
    let depths = classifier.depths();
    let top = depths.blocks + 1;
    if gradual && (epochs as usize) <= top && !args.shared.quiet {
        eprintln!(
            "{epochs} epochs of gradual unfreezing: of {} blocks the upper {} learn",
            depths.blocks,
            epochs - 1
        );
    }
    let decay = layer_decay.unwrap_or(1.0);
    Some(ByDepth { depths: depths.by_name().clone(), top, decay, gradual, epoch_steps })
}
