//! `--plan`: what a run will take, measured on its own model and data, before anything is written.

use std::fmt::{self, Write};

use serde::Serialize;
use xexp_backbones::checkpoint::{Extent, Stored, extent_tensors};
use xexp_heads::Classifier;
use xexp_train::forecast::{self, tokens};
use xexp_train::{Forecast, Sample, Settings, Supervised};

use super::args::Strategy;
use super::data::Examples;
use super::{Args, Plan, lora, training};
use crate::args::Format;
use crate::doctor::machine::{Memory, Resident};
use crate::failure::Failure;
use crate::stdout;

/// Folders of a run's checkpoints at most: two that are kept, and one that is being written.
const CHECKPOINTS: u64 = 3;

/// What a run will take.
#[derive(Debug, Serialize)]
pub struct Expected {
    strategy: Strategy,
    /// Runs, one a seed.
    seeds: u32,
    train_examples: usize,
    epochs: u32,
    steps: u64,
    batch_size: usize,
    accumulate: usize,
    tokens: Tokens,
    seconds: Seconds,
    memory: Memories,
    disk: Disk,
    /// What would be better, in words.
    advice: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Tokens {
    train: u64,
    longest_example: usize,
    longest_step: usize,
    typical_step: usize,
}

#[derive(Debug, Serialize)]
struct Seconds {
    longest_step: f64,
    typical_step: f64,
    /// One evaluation of the validation examples.
    evaluation: f64,
    /// Of all runs.
    total: f64,
}

/// In bytes; null where the system does not tell.
#[derive(Debug, Serialize)]
struct Memories {
    /// The most that the run needs at a time.
    peak_bytes: Option<u64>,
    /// What is free now, and what this process has already.
    available_bytes: Option<u64>,
}

/// In bytes.
#[derive(Debug, Serialize)]
struct Disk {
    /// The weights of the finished model or adapter.
    model: u64,
    /// While the run goes on, at most.
    checkpoints: u64,
}

/// Measures, and prints what was found. Nothing is written.
///
/// # Errors
/// As a step of the run.
pub fn show(args: &Args, plan: &Plan, classifier: &Classifier, examples: &Examples) -> Result<(), Failure> {
    let expected = expect(args, plan, classifier, examples)?;
    match args.shared.format {
        Format::Json => stdout::write(stdout::json(&expected)?.as_bytes()),
        Format::Text => stdout::write(expected.to_string().as_bytes()),
    }
}

fn expect(
    args: &Args,
    plan: &Plan,
    classifier: &Classifier,
    examples: &Examples,
) -> Result<Expected, Failure> {
    let settings = training::settings(args, plan);
    let (train, valid) = (&examples.train.samples, &examples.valid.samples);
    let sum = |samples: &[Sample]| samples.iter().map(|sample| tokens(sample) as u64).sum::<u64>();
    let before = Resident::of_this_process();
    let measured = Measured::new(args, classifier, train, &settings)?;
    let after = Resident::of_this_process();

    let stepped = measured.steps.is_some();
    let steps = if stepped { settings.total_steps(train.len()) } else { 0 };
    let share = steps as f64 / (settings.steps_per_epoch(train.len()) * u64::from(settings.epochs)) as f64;
    let trained = (share * f64::from(settings.epochs) * sum(train) as f64) as u64;
    let evaluations = if stepped { (share * f64::from(settings.epochs)).ceil() } else { 0.0 };
    let evaluation = measured.forward(sum(valid));
    // A probe's features of both parts; the scores of the finished model.
    let features = match args.training.strategy {
        Strategy::Probe | Strategy::LpFt => measured.forward(sum(train) + sum(valid)),
        Strategy::Full | Strategy::Lora => 0.0,
    };
    let scores = evaluation + measured.forward(examples.test.as_ref().map_or(0, |test| sum(&test.samples)));
    let step_seconds = measured.steps.map_or(0.0, |steps_taken| steps_taken.training_seconds(steps, trained));
    let seeds = args.seeds.get();
    let once = features + step_seconds + evaluations * evaluation + scores;

    let extent = lora::extent(args);
    let weights = size(classifier, extent, args.save_dtype.stored())?;
    let kept = size(classifier, extent, Stored::F32)?;
    // The best weights are kept beside those that go on.
    let peak = after.map(|after| after.peak.max(after.now + if stepped { kept } else { 0 }));
    let available = Memory::of_this_machine().map(|memory| memory.available_bytes);
    let available = available.zip(after).map(|(free, after)| free + after.now);
    let mut longest: Vec<usize> = train.iter().map(tokens).collect();
    longest.sort_unstable();
    let timed = measured.steps;
    let mut expected = Expected {
        strategy: args.training.strategy,
        seeds,
        train_examples: train.len(),
        epochs: settings.epochs,
        steps,
        batch_size: settings.batch_size,
        accumulate: settings.accumulate,
        tokens: Tokens {
            train: sum(train),
            longest_example: longest.last().copied().unwrap_or(0),
            longest_step: timed.map_or(0, |timed| timed.longest.tokens),
            typical_step: timed.map_or(0, |timed| timed.typical.tokens),
        },
        seconds: Seconds {
            longest_step: timed.map_or(0.0, |timed| timed.longest.seconds),
            typical_step: timed.map_or(0.0, |timed| timed.typical.seconds),
            evaluation,
            total: f64::from(seeds) * once,
        },
        memory: Memories { peak_bytes: peak, available_bytes: available },
        // Weights, best weights, and two moments of each.
        disk: Disk { model: weights, checkpoints: if stepped { CHECKPOINTS * 4 * kept } else { 0 } },
        advice: vec![],
    };
    if let (Some(peak), Some(available), Some(before), Some(after)) = (peak, available, before, after) {
        expected.advice.extend(smaller(
            (settings.batch_size, settings.accumulate),
            (peak, available),
            after.peak.saturating_sub(before.now),
        ));
    }
    Ok(expected)
}

/// What was timed: steps, where the strategy takes any, and passes without gradients.
struct Measured {
    steps: Option<Forecast>,
    forward: forecast::Timed,
}

impl Measured {
    fn new(
        args: &Args,
        classifier: &Classifier,
        train: &[Sample],
        settings: &Settings,
    ) -> Result<Self, Failure> {
        if args.training.strategy == Strategy::Probe {
            let forward = forecast::forward(classifier, train, settings.batch_size)?;
            return Ok(Measured { steps: None, forward });
        }
        let objective = Supervised::new(classifier, train, &[]).mixed(args.augmentation.mixing());
        let steps = Forecast::measure(&objective, classifier, train, settings)?;
        Ok(Measured { steps: Some(steps), forward: steps.forward })
    }

    fn forward(&self, tokens: u64) -> f64 {
        self.forward.seconds / self.forward.tokens.max(1) as f64 * tokens as f64
    }
}

/// Bytes of a file of the weights.
fn size(classifier: &Classifier, extent: Extent, stored: Stored) -> Result<u64, Failure> {
    Ok(extent_tensors(&classifier.params, extent, stored)?.size() as u64)
}

/// The batch that fits where this one does not: halved as often as its share of the memory asks for.
fn smaller(
    (mut batch, mut accumulate): (usize, usize),
    (peak, available): (u64, u64),
    of_steps: u64,
) -> Option<String> {
    if peak <= available {
        return None;
    }
    let (mut needed, mut of_batch) = (peak, of_steps);
    while needed > available && batch > 1 {
        (batch, accumulate) = (batch.div_ceil(2), accumulate * 2);
        needed = needed.saturating_sub(of_batch / 2);
        of_batch -= of_batch / 2;
    }
    Some(format!(
        "more memory than is free: --batch-size {batch} --accumulate {accumulate} makes the same steps in less; \
         --max-length, --freeze and --strategy lora or probe save memory too"
    ))
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expected { tokens, seconds, memory, disk, .. } = self;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        writeln!(f, "examples  {} to train on, {} tokens", self.train_examples, tokens.train)?;
        if self.steps > 0 {
            let (epochs, steps) = (self.epochs, self.steps);
            let each = if self.accumulate > 1 {
                format!(" of {} micro-batches", self.accumulate)
            } else {
                String::new()
            };
            writeln!(
                f,
                "steps     {steps} in {epochs} epochs, {} examples each{each}",
                self.batch_size * self.accumulate
            )?;
            let Seconds { longest_step, typical_step, .. } = seconds;
            writeln!(f, "a step    {typical_step:.2} s ({} tokens)", tokens.typical_step)?;
            writeln!(f, "longest   {longest_step:.2} s ({} tokens)", tokens.longest_step)?;
        }
        writeln!(
            f,
            "time      {}, of which {:.1} s an evaluation",
            duration(seconds.total),
            seconds.evaluation
        )?;
        let mut line = String::from("memory    ");
        match memory.peak_bytes {
            Some(peak) => write!(line, "{:.0} MB at most", mb(peak))?,
            None => line.push_str("not known on this system"),
        }
        if let Some(available) = memory.available_bytes {
            write!(line, ", {:.0} MB to be had", mb(available))?;
        }
        writeln!(f, "{line}")?;
        writeln!(
            f,
            "disk      {:.0} MB, and up to {:.0} MB of checkpoints",
            mb(disk.model),
            mb(disk.checkpoints)
        )?;
        self.advice.iter().try_for_each(|advice| writeln!(f, "advice    {advice}"))
    }
}

/// Seconds, minutes or hours, to two places.
fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_halved_until_its_share_of_the_memory_fits() {
        assert_eq!(smaller((32, 1), (900, 1000), 800), None);
        // 1,000 of which 800 go with the batch: halves leave 600, then 400.
        for (available, expected) in
            [(999, "--batch-size 16 --accumulate 2"), (599, "--batch-size 8 --accumulate 4")]
        {
            let advice = smaller((32, 1), (1000, available), 800).unwrap();
            assert!(advice.contains(expected), "{advice}");
        }
        // What cannot fit ends at single examples.
        assert!(smaller((32, 1), (1000, 100), 800).unwrap().contains("--batch-size 1 "));
    }

    #[test]
    fn times_are_told_in_what_people_count_in() {
        let told = [4.4, 89.0, 90.0, 5399.0, 7200.0].map(duration);
        assert_eq!(told, ["4 s", "89 s", "1.5 min", "90.0 min", "2.0 h"]);
    }
}
