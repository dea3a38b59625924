//! `--monitor`: what weights, gradients and outputs do while a run goes on, and what of it is a fault.
//!
//! `monitor.csv` has a row a part of the network at each logged step, and a row of the outputs at each evaluation. Everything
//! is read and nothing changed.

use crate::{Error, Optimizer, Result};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use xexp_backbones::{Grads, Params};
use xexp_kernels::sum_of_squares;
use xexp_report::atomic;

/// The columns of `monitor.csv`.
const HEADER: &str =
    "step,part,gradient,gradient_rms,weight,update_ratio,logit_variance,largest_logit,saturated,top_share\n";

/// AdamW divides a gradient by its own size and ε: below ten times its ε of 1e-8 an update is a tenth short and more.
const SMALL_GRADIENT: f64 = 1e-7;
/// A norm of which clipping to 1 leaves a hundredth.
const LARGE_GRADIENT: f64 = 100.0;
/// A step that moves matrices by a hundredth of their norm undoes a pretrained weight in a hundred steps; about a thousandth is
/// usual. Source: Karpathy 2022, "Building makemore, part 3" (update to data ratio).
const LARGE_RATIO: f64 = 1e-2;
/// The head's gradient over that of all else at which clipping by the norm of all goes by the head alone: it is 99 % of the square.
const LOUD_HEAD: f64 = 10.0;
/// An output that is as good as certain.
const CERTAIN: f64 = 0.999;

/// A run's monitor.
pub struct Monitor {
    path: PathBuf,
    depths: BTreeMap<String, usize>,
    head: usize,
    classes: Vec<String>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    step: u64,
    /// Readings, and of those the ones with a fault, by what and where.
    readings: u64,
    faults: BTreeMap<(Fault, usize), u64>,
    outputs: Option<Outputs>,
}

impl State {
    /// Counts the readings of one step and their faults.
    fn count(&mut self, readings: &[Reading], head: usize) {
        self.readings += 1;
        let below: f64 = readings.iter().filter(|r| r.depth != head).map(|r| r.gradient.powi(2)).sum();
        for &Reading { depth, gradient, rms, ratio, .. } in readings {
            let faults = [
                // Rows that no text has looked up have no gradient, so that a table's mean says nothing.
                (Fault::Vanishing, depth > 0 && rms > 0.0 && rms < SMALL_GRADIENT),
                (Fault::Exploding, gradient > LARGE_GRADIENT),
                (Fault::Fast, depth != head && ratio.is_some_and(|ratio| ratio > LARGE_RATIO)),
                (Fault::Loud, depth == head && below > 0.0 && gradient > LOUD_HEAD * below.sqrt()),
            ];
            for (fault, _) in faults.into_iter().filter(|(_, found)| *found) {
                *self.faults.entry((fault, depth)).or_default() += 1;
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Vanishing,
    Exploding,
    Fast,
    Loud,
}

/// What a part of the network does at a step, as sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Part {
    /// Sums of squares of gradients, matrices, and matrices' updates; numbers of values with a gradient.
    gradient: f64,
    weight: f64,
    update: f64,
    values: usize,
}

/// A row of a part: norm and root mean square of its gradient, norm of its matrices, and their update's over that.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Reading {
    depth: usize,
    gradient: f64,
    rms: f64,
    weight: f64,
    /// None where no matrix is moved whole.
    ratio: Option<f64>,
}

impl Reading {
    fn of(depth: usize, part: &Part) -> Self {
        let ratio = (part.update / part.weight).sqrt();
        Reading {
            depth,
            gradient: part.gradient.sqrt(),
            rms: (part.gradient / part.values.max(1) as f64).sqrt(),
            weight: part.weight.sqrt(),
            ratio: ratio.is_finite().then_some(ratio),
        }
    }

    fn fields(&self) -> String {
        let ratio = self.ratio.map_or(String::new(), |ratio| ratio.to_string());
        format!("{},{},{},{ratio},,,,", self.gradient, self.rms, self.weight)
    }

    /// From the fields behind the part's name; `None` of what is no such row.
    fn parse(depth: usize, fields: &[&str]) -> Option<Self> {
        let [gradient, rms, weight, ratio, ..] = fields else { return None };
        let number = |field: &str| field.parse().ok();
        let (gradient, rms, weight) = (number(gradient)?, number(rms)?, number(weight)?);
        Some(Reading { depth, gradient, rms, weight, ratio: number(ratio) })
    }
}

/// What the validation examples' logits are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outputs {
    /// Mean square of the logits about each example's mean.
    pub variance: f64,
    /// The largest logit.
    pub largest: f64,
    /// Share of examples with a class that is as good as certain.
    pub saturated: f64,
    /// Share of right answers.
    pub accuracy: f64,
    /// The class that is said most often, the share of examples that it is said of, and of those that have it.
    pub top: (usize, f64, f64),
}

impl Outputs {
    /// Of `logits (rows, classes)` with their labels.
    pub fn of(logits: &[f32], labels: &[u32], classes: usize) -> Self {
        let rows = labels.len().max(1) as f64;
        let (mut variance, mut largest, mut certain, mut right) = (0.0, 0f64, 0.0, 0.0);
        let (mut said, mut have) = (vec![0.0; classes], vec![0.0; classes]);
        for (z, &label) in logits.chunks_exact(classes).zip(labels) {
            let mean = z.iter().map(|v| f64::from(*v)).sum::<f64>() / classes as f64;
            variance += z.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / classes as f64;
            largest = z.iter().fold(largest, |most, v| most.max(f64::from(v.abs())));
            let (top, max) = z.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (class, v)| {
                if *v > best.1 { (class, *v) } else { best }
            });
            let sum: f64 = z.iter().map(|v| f64::from(*v - max).exp()).sum();
            certain += f64::from(u8::from(1.0 / sum > CERTAIN));
            right += f64::from(u8::from(top == label as usize));
            said[top] += 1.0 / rows;
            have[label as usize] += 1.0 / rows;
        }
        let top = (0..classes).fold(0, |best, class| if said[class] > said[best] { class } else { best });
        Outputs {
            variance: variance / rows,
            largest,
            saturated: certain / rows,
            accuracy: right / rows,
            top: (top, said[top], have[top]),
        }
    }
}

impl Monitor {
    /// Of weights of these depths, that of the head being `head`, into `monitor.csv` of a folder.
    pub fn new(folder: &Path, depths: BTreeMap<String, usize>, head: usize, classes: Vec<String>) -> Self {
        Monitor { path: folder.join("monitor.csv"), depths, head, classes, state: Mutex::default() }
    }

    fn part(&self, depth: usize) -> String {
        match depth {
            0 => "embeddings".to_string(),
            depth if depth == self.head => "head".to_string(),
            depth => format!("block {}", depth - 1),
        }
    }

    fn depth(&self, part: &str) -> Option<usize> {
        match part {
            "embeddings" => Some(0),
            "head" => Some(self.head),
            block => block.strip_prefix("block ")?.parse::<usize>().ok().map(|number| number + 1),
        }
    }

    /// Begins the table, or goes on after the rows of this step, whose faults count.
    ///
    /// # Errors
    /// A table that cannot be read or written.
    pub fn begin(&self, step: u64) -> Result<()> {
        let old = if step == 0 { String::new() } else { fs::read_to_string(&self.path).unwrap_or_default() };
        let of = |line: &&str| line.split(',').next().and_then(|field| field.parse::<u64>().ok());
        let whole = old.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let kept: Vec<&str> = whole.filter(|line| of(line).is_some_and(|at| at <= step)).collect();
        let mut readings = BTreeMap::<u64, Vec<Reading>>::new();
        for line in &kept {
            let fields: Vec<&str> = line.trim_end().split(',').collect();
            let depth = fields.get(1).and_then(|part| self.depth(part));
            let reading = depth.and_then(|depth| Reading::parse(depth, &fields[2..]));
            if let (Some(at), Some(reading)) = (of(line), reading) {
                readings.entry(at).or_default().push(reading);
            }
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.step = step;
        readings.values().for_each(|step| state.count(step, self.head));
        drop(state);
        let text = std::iter::once(HEADER).chain(kept).collect::<String>();
        Ok(atomic::write(&self.path, text)?)
    }

    /// Hears that a step was taken, number `step` from 1.
    pub fn reached(&self, step: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).step = step;
    }

    fn append(&self, lines: &str) -> Result<()> {
        let failed = |source| Error::File { doing: "append to", path: self.path.clone(), source };
        let mut file: File = OpenOptions::new().append(true).open(&self.path).map_err(failed)?;
        file.write_all(lines.as_bytes()).map_err(failed)
    }

    /// Reads the step that has just been taken, number `step` from 1.
    ///
    /// # Errors
    /// A table that cannot be written.
    pub fn stepped(
        &self,
        (params, grads, optimizer): (&Params, &Grads, &Optimizer),
        step: u64,
        pace: impl Fn(&str) -> (f64, u64),
    ) -> Result<()> {
        let mut parts = BTreeMap::<usize, Part>::new();
        for (id, weight) in params.iter().filter(|(_, weight)| weight.learning()) {
            let Some(gradient) = grads.get(id) else { continue };
            let part = parts.entry(self.depths.get(&weight.name).copied().unwrap_or(self.head)).or_default();
            part.gradient += sum_of_squares(gradient);
            part.values += gradient.len();
            // Of a table a step moves a few rows, which says nothing of it as a whole.
            if weight.decays() && grads.touched(id).is_none() {
                let (lr, slept) = pace(&weight.name);
                part.weight += sum_of_squares(&params.values(id)?);
                part.update += optimizer.moved(params, id, step - slept, lr);
            }
        }
        let readings: Vec<Reading> = parts.iter().map(|(&depth, part)| Reading::of(depth, part)).collect();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).count(&readings, self.head);
        let line = |reading: &Reading| format!("{step},{},{}\n", self.part(reading.depth), reading.fields());
        self.append(&readings.iter().map(line).collect::<String>())
    }

    /// Reads the outputs on the validation examples.
    ///
    /// # Errors
    /// A table that cannot be written.
    pub fn evaluated(&self, outputs: Outputs) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.outputs = Some(outputs);
        let Outputs { variance, largest, saturated, top: (_, share, _), .. } = outputs;
        let line = format!("{},outputs,,,,,{variance},{largest},{saturated},{share}\n", state.step);
        drop(state);
        self.append(&line)
    }

    /// What was wrong at every other reading or more often, and with the outputs at the last evaluation: where, and what to do.
    pub fn warnings(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let often = state.faults.iter().filter(|(_, count)| 2 * **count >= state.readings);
        let mut all: Vec<String> = often
            .map(|((fault, depth), count)| {
                let (part, times) = (self.part(*depth), format!("at {count} of {} logged steps", state.readings));
                match fault {
                    Fault::Vanishing => format!(
                        "{part}: gradients below {SMALL_GRADIENT:e} {times}, where AdamW's ε shortens its updates: begin from \
                         --head-init auto, or leave the blocks below as they are with --freeze"
                    ),
                    Fault::Exploding => format!(
                        "{part}: a gradient of norm above {LARGE_GRADIENT} {times}: lower --lr, warm up longer, or draw the \
                         block anew with --reinit-layers"
                    ),
                    Fault::Fast => format!(
                        "{part}: a step moves its matrices by more than a hundredth of their norm {times}: lower --lr, or let \
                         the lower blocks learn more slowly with --layer-decay"
                    ),
                    Fault::Loud => format!(
                        "head: its gradient is more than {LOUD_HEAD} times that of all else {times}, so that --clip goes by the \
                         head alone: begin from --head-init auto, or raise --clip"
                    ),
                }
            })
            .collect();
        if let Some(Outputs { saturated, accuracy, top: (class, said, have), .. }) = state.outputs {
            if said > CERTAIN && have < 0.95 {
                let name = self.classes.get(class).map_or("?", String::as_str);
                all.push(format!(
                    "outputs: the model says {name} of every validation example, though {:.0} % have it: it has collapsed; \
                     lower --lr, warm up longer, or try another --seed",
                    100.0 * have
                ));
            }
            if saturated > accuracy {
                all.push(format!(
                    "outputs: {:.1} % of the validation examples have a class of probability above {CERTAIN}, and only {:.1} % \
                     are right: the logits have saturated; train for fewer epochs, or use predict --temperature fitted",
                    100.0 * saturated,
                    100.0 * accuracy
                ));
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_those_by_hand() {
        // Two of three say class 1; the second is certain: 1/(1 + 2e⁻⁹⁹).
        let logits = [0.0, 3.0, 0.0, 1.0, 100.0, 1.0, 6.0, 0.0, 0.0];
        let found = Outputs::of(&logits, &[1, 0, 0], 3);
        assert_eq!(found.top, (1, 2.0 / 3.0, 1.0 / 3.0));
        assert_eq!((found.saturated, found.largest), (1.0 / 3.0, 100.0));
        assert!((found.accuracy - 2.0 / 3.0).abs() < 1e-12);
        // (3² + 99² + 6²)·2/9 over three rows.
        assert!((found.variance - (9.0 + 9801.0 + 36.0) * 2.0 / 27.0).abs() < 1e-9);
    }

    #[test]
    fn a_collapse_is_named_and_an_uneven_set_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let names = vec!["spam".to_string(), "ham".to_string()];
        let monitor = Monitor::new(folder.path(), BTreeMap::new(), 3, names);
        monitor.begin(0).unwrap();
        let outputs = |top| Outputs { variance: 1.0, largest: 1.0, saturated: 0.0, accuracy: 0.5, top };
        monitor.evaluated(outputs((1, 1.0, 0.5))).unwrap();
        assert!(matches!(&monitor.warnings()[..], [one] if one.contains("says ham") && one.contains("50 %")));
        monitor.evaluated(outputs((1, 1.0, 0.97))).unwrap();
        assert!(monitor.warnings().is_empty());
        monitor.evaluated(Outputs { saturated: 0.6, ..outputs((1, 0.5, 0.5)) }).unwrap();
        assert!(matches!(&monitor.warnings()[..], [one] if one.contains("saturated")));
    }

    #[test]
    fn a_run_that_goes_on_counts_what_was_wrong_before() {
        let folder = tempfile::tempdir().unwrap();
        let monitor = || Monitor::new(folder.path(), BTreeMap::new(), 3, vec![]);
        // A gradient of 200 in block 1 at the steps 5 and 10; rows beyond the step that a run goes on from, and a torn one, go.
        let kept = format!(
            "{HEADER}5,block 1,200,1,1,,,,,\n5,head,1,1,1,,,,,\n5,outputs,,,,,1,1,0,1\n10,block 1,200,1,1,,,,,\n"
        );
        std::fs::write(folder.path().join("monitor.csv"), format!("{kept}15,head,2,2,2,,,,,\n15,bl"))
            .unwrap();
        let resumed = monitor();
        resumed.begin(12).unwrap();
        assert_eq!(std::fs::read_to_string(&resumed.path).unwrap(), kept);
        let warnings = resumed.warnings();
        assert!(
            matches!(&warnings[..], [one] if one.starts_with("block 1:") && one.contains("at 2 of 2 logged")),
            "{warnings:?}"
        );
        let fresh = monitor();
        fresh.begin(0).unwrap();
        assert!(fresh.warnings().is_empty());
        assert_eq!(std::fs::read_to_string(&fresh.path).unwrap(), HEADER);
    }
}
