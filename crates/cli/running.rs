//! A training run with its progress on stderr.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use xexp_report::Valid;
use xexp_train::{Checkpoints, Event, Objective, Outcome, Run, Settings};

use crate::failure::Failure;
use crate::progress::Progress;

/// What a finished run did.
pub struct Ran {
    /// Optimiser steps.
    pub steps: u64,
    /// The step whose weights were kept.
    pub best_step: u64,
    /// Wall time of this process's part.
    pub seconds: f64,
    /// Training examples that this process's steps saw, repeats counted.
    pub examples_seen: u64,
}

/// Trains until the end; `None` when a signal came first (and a checkpoint was written).
///
/// # Errors
/// Whatever stops the run: see [`xexp_train::Error`].
pub fn fit(
    objective: &dyn Objective,
    settings: &Settings,
    checkpoints: &Checkpoints,
    resume: bool,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<Option<Ran>, Failure> {
    let total = settings.total_steps(objective.examples());
    let (started, mut examples_seen) = (Instant::now(), 0);
    let mut display: Option<Progress> = None;
    let mut events = |event: Event<'_>| match event {
        Event::Step { step, total, examples, loss } => {
            examples_seen += examples as u64;
            let display = display.get_or_insert_with(|| Progress::new("training", step - 1, total, quiet));
            display.tick(step, Some(loss), examples);
        }
        Event::Evaluated { step, scores, best } if !quiet => {
            let line = line(step, scores, best);
            match &display {
                Some(display) => display.suspend(|| eprintln!("{line}")),
                None => eprintln!("{line}"),
            }
        }
        Event::Saved { path } => tracing::info!(path = %path.display(), "checkpoint"),
        Event::Evaluated { .. } => (),
    };
    let run = Run { objective, settings, checkpoints, interrupted: stop, events: &mut events };
    let outcome = run.fit(resume)?;
    if let Some(display) = display {
        display.finish();
    }
    match outcome {
        Outcome::Interrupted { step } => {
            eprintln!("interrupted at step {step} of {total}: saved; go on with --resume");
            Ok(None)
        }
        Outcome::Finished { steps, best_step } => {
            Ok(Some(Ran { steps, best_step, seconds: started.elapsed().as_secs_f64(), examples_seen }))
        }
    }
}

/// Whether to go on from a checkpoint; those of an earlier run are removed where not.
///
/// # Errors
/// A folder that cannot be read or emptied.
pub fn resumes(checkpoints: &Checkpoints, asked: bool, quiet: bool) -> Result<bool, Failure> {
    let resume = asked && checkpoints.exist()?;
    if asked && !resume && !quiet {
        eprintln!("no checkpoint had been written yet: starting from the beginning");
    }
    if !resume {
        checkpoints.clear()?;
    }
    Ok(resume)
}

fn line(step: u64, scores: &Valid, best: bool) -> String {
    let mut line = format!("step {step}: validation loss {:.4}", scores.loss);
    for (name, score) in [("accuracy", scores.accuracy), ("macro-F1", scores.macro_f1)] {
        if let Some(score) = score {
            line.push_str(&format!(", {name} {score:.4}"));
        }
    }
    if best {
        line.push_str(", best so far");
    }
    line
}
