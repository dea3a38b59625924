//! A probe: the head trained on features that the backbone computes once.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use xexp_heads::Classifier;
use xexp_report::{History, Row};
use xexp_train::probe::{self, Lesson, ProbeSettings};
use xexp_train::{predict, truth};

use super::Args;
use super::data::Examples;
use super::rates::{Measured, Rate};
use super::training::Trained;
use crate::failure::Failure;
use crate::progress::Progress;

/// Full-batch passes where nothing is said.
pub const PASSES: u32 = 300;
/// The probe in front of a fine-tuning, whose flags are about the latter.
pub const USUAL: ProbeSettings = ProbeSettings { passes: PASSES, lr: None, patience: None };

/// Trains the head, with a row a pass in `history`; `None` when a signal came first.
///
/// # Errors
/// Whatever stops the run: see [`xexp_train::Error`].
pub fn train(
    args: &Args,
    classifier: &mut Classifier,
    examples: &Examples,
    settings: &ProbeSettings,
    mut history: Option<History>,
    stop: &AtomicBool,
) -> Result<Option<Trained>, Failure> {
    let (started, batch) = (Instant::now(), args.shared.batch_size.get());
    let parts = [("features", &examples.train), ("validation features", &examples.valid)];
    let mut features = vec![];
    for (what, part) in parts {
        let total = part.samples.len() as u64;
        let mut display = Progress::new(what, 0, total, args.shared.quiet);
        let mut before = 0;
        let found = predict::features(classifier, &part.samples, batch, stop, |done| {
            display.tick(done as u64, None, done - std::mem::replace(&mut before, done));
        })?;
        display.finish();
        match found {
            Some(found) => features.push(found),
            None => return interrupted(),
        }
    }
    let [of_train, of_valid] = parts.map(|(_, part)| truth(part.samples.iter()));
    let (of_train, of_valid, counting) = (of_train?, of_valid?, args.tasks.counting(examples)?);
    let count = examples.train.samples.len();
    let mut heard = |pass: u32, head_lr: f64, loss: f64, valid| {
        let examples = u64::from(pass) * count as u64;
        let step = u64::from(pass);
        let (lr, grad_norm) = (0.0, None);
        let Some(history) = &mut history else { return Ok(()) };
        Ok(history.append(&Row {
            step,
            epoch: f64::from(pass),
            examples,
            lr,
            head_lr,
            loss: Some(loss),
            grad_norm,
            valid,
        })?)
    };
    let (train, valid) = ((&features[0], &of_train), (&features[1], &of_valid));
    let lesson = Lesson { train, valid, counting: &counting };
    let Some(probed) = probe::fit(classifier, lesson, settings, stop, &mut heard)? else {
        return interrupted();
    };
    if !args.shared.quiet {
        eprintln!(
            "probe: {} passes at learning rate {:.4} (guaranteed limit {}/λ with λ = {:.3}), best after {}",
            probed.passes,
            probed.lr,
            4.0 * probe::rate_factor(&of_train, classifier.classes()),
            probed.lambda_max,
            probed.best_pass
        );
    }
    Ok(Some(Trained {
        steps: u64::from(probed.passes),
        best_step: u64::from(probed.best_pass),
        epochs: u64::from(probed.passes),
        lr: (0.0, probed.lr),
        warnings: None,
        measured: (args.training.lr == Some(Rate::Auto))
            .then(|| Measured::of_probe(count, probed.lambda_max, probed.lr)),
        seconds: started.elapsed().as_secs_f64(),
        examples_seen: u64::from(probed.passes) * count as u64,
    }))
}

fn interrupted() -> Result<Option<Trained>, Failure> {
    eprintln!("interrupted: a probe keeps no checkpoint; --resume computes its features again");
    Ok(None)
}
