//! `--monitor`: the run watched while it goes on.

use xexp_heads::Classifier;
use xexp_train::{Monitor, Objective};

use super::args::Strategy;
use super::{Args, Plan};
use crate::failure::Failure;
use crate::provenance;

/// Whether there is a run to watch.
///
/// # Errors
/// A probe, which has no steps of AdamW.
pub fn check(args: &Args) -> Result<(), Failure> {
    if args.training.monitor && args.training.strategy == Strategy::Probe {
        let message = "--monitor: a probe trains the head alone, by steps of its own on all examples at once";
        return Err(Failure::input(message).hint("leave the flag away, or choose another --strategy"));
    }
    Ok(())
}

/// The monitor, if one is asked for; the table of an earlier run goes where none is, unless it is this run that goes on.
///
/// # Errors
/// A table that cannot be removed.
pub fn monitor(
    args: &Args,
    plan: &Plan,
    classifier: &Classifier,
    names: &[String],
    goes_on: bool,
) -> Result<Option<Monitor>, Failure> {
    if !args.training.monitor {
        if !goes_on {
            provenance::remove(&plan.output.join("monitor.csv"))?;
        }
        return Ok(None);
    }
    let depths = classifier.depths();
    let head = depths.blocks + 1;
    Ok(Some(Monitor::new(&plan.output, depths.by_name().clone(), head, names.to_vec())))
}

/// What the monitor has found, said to the user as well; `None` without one.
pub fn warnings(args: &Args, objective: &dyn Objective) -> Option<Vec<String>> {
    let warnings = objective.monitor()?.warnings();
    if !args.shared.quiet {
        warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    }
    Some(warnings)
}
