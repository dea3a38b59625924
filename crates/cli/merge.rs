//! `xexp merge`: an adapter put into its model, as one model that transformers opens.

use std::path::Path;

use clap::ValueHint;
use serde::Serialize;
use xexp_backbones::checkpoint::{Extent, serialize_extent};
use xexp_report::atomic;

use crate::args::{Access, SaveDtype};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::finetune::whole_model;
use crate::output::{self, Existing};
use crate::{image_size, places, provenance, stdout, thresholds};

/// The arguments of `xexp merge`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub struct Args {
    /// The folder of the adapter: the output of finetune --strategy lora, or one of PEFT.
    #[arg(value_name = "ADAPTER", value_hint = ValueHint::DirPath)]
    pub adapter: String,
    /// The folder to write the model into.
    #[arg(long, env = "XEXP_OUTPUT", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: String,
    /// Writes into an output folder that is not empty.
    #[arg(long, env = "XEXP_OVERWRITE")]
    pub overwrite: bool,
    /// The model that the adapter belongs to [default: the one that its adapter_config.json names].
    #[arg(long, env = "XEXP_MODEL", value_name = "MODEL", value_hint = ValueHint::DirPath)]
    pub model: Option<String>,
    /// The number format of the saved weights.
    #[arg(long, env = "XEXP_SAVE_DTYPE", value_name = "FORMAT", default_value = "f32")]
    pub save_dtype: SaveDtype,
    /// Never uses the network.
    #[arg(long, env = "XEXP_OFFLINE")]
    pub offline: bool,
    /// Shows neither progress nor notes on stderr, only errors.
    #[arg(long, env = "XEXP_QUIET")]
    pub quiet: bool,
}

/// Files of an adapter that are as true of the merged model.
const KEPT: [&str; 3] = ["labels.tsv", "head.json", thresholds::FILE];

/// Merges.
///
/// # Errors
/// A folder that is no adapter's, a model that it does not fit, an output that cannot be written.
pub fn run(args: &Args) -> Result<Exit, Failure> {
    let access = Access { offline: args.offline, quiet: args.quiet };
    let (given, output) = (places::model("ADAPTER", &args.adapter, access)?, Path::new(&args.output));
    let existing = if args.overwrite { Existing::Overwrite } else { Existing::Refuse };
    output::check(output, existing)?;
    let mut saved = given.open_saved(args.model.as_deref(), access)?;
    if !saved.is_adapter() {
        return Err(Failure::input(format!("{given}: a whole model, with nothing to merge"))
            .hint("give the --output of finetune --strategy lora"));
    }
    image_size::agree(&mut saved.folder, args.quiet)?;
    let (mut classifier, names) = saved.classifier()?;
    let labels = saved.labels(names)?;
    let merged = classifier.params.merge()?;
    let stored = args.save_dtype.stored();
    stored.round(&classifier.params, Extent::Model)?;
    output::prepare(output, existing)?;
    for (name, content) in whole_model(&saved.folder, &classifier, &labels, stored)? {
        atomic::write(output.join(name), content)?;
    }
    for name in KEPT {
        if let Some(content) = saved.folder.file(name)? {
            atomic::write(output.join(name), content)?;
        }
    }
    let bytes = serialize_extent(&classifier.params, Extent::Model, stored)?;
    let hash = provenance::sha256(&bytes);
    atomic::write(output.join(Extent::Model.file()), bytes)?;
    let line = format!("{merged} adapters merged into {}: weights {hash}\n", output.display());
    stdout::write(line.as_bytes())?;
    Ok(Exit::Done)
}
