//! The training loop.

use crate::average::Average;
use crate::checkpoint::{Checkpoints, Progress};
use crate::objective::{Evaluation, Objective};
use crate::schedule::Schedule;
use crate::step::{StepOutcome, StepSettings, pace, step};
use crate::{Optimizer, OptimizerSettings, Result, Score, Settings};
use std::sync::atomic::{AtomicBool, Ordering};
use xexp_backbones::Grads;
use xexp_backbones::checkpoint::Checkpoint;
use xexp_kernels::Pool;
use xexp_report::{History, Row, Valid, atomic};

/// Something that happened, for a progress display.
pub enum Event<'a> {
    /// A step was taken.
    Step {
        /// Steps done.
        step: u64,
        /// Steps of the run.
        total: u64,
        /// Examples of the step.
        examples: usize,
        /// Its mean loss.
        loss: f64,
    },
    /// The validation set was evaluated.
    Evaluated {
        /// Steps done.
        step: u64,
        /// The scores.
        scores: &'a Valid,
        /// Whether they are the best so far.
        best: bool,
    },
    /// A checkpoint was written.
    Saved {
        /// Its folder.
        path: &'a std::path::Path,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All steps were taken, or patience ran out; the weights are the best ones.
    Finished {
        /// Steps taken.
        steps: u64,
        /// Step of the best evaluation.
        best_step: u64,
    },
    /// A signal came; a checkpoint was written at this step.
    Interrupted {
        /// Steps done.
        step: u64,
    },
}

/// A run about to start or to go on.
pub struct Run<'a> {
    /// The loss, and the weights that are trained in place.
    pub objective: &'a dyn Objective,
    /// What to do.
    pub settings: &'a Settings,
    /// Where checkpoints go.
    pub checkpoints: &'a Checkpoints,
    /// Set by a signal.
    pub interrupted: &'a AtomicBool,
    /// Hears what happens.
    pub events: &'a mut dyn FnMut(Event<'_>),
}

/// What the loop changes.
struct State {
    progress: Progress,
    grads: Grads,
    optimizer: Optimizer,
    /// The running average of the weights, where one is kept.
    average: Option<Average>,
    history: History,
    schedule: Schedule,
    pool: Pool,
    /// The best weights so far as a safetensors file, once an evaluation chose them.
    best: Option<Vec<u8>>,
    order: Option<(u64, Vec<usize>)>,
    /// Epoch and examples of the step to come, once they have been announced.
    next: Option<(u64, Vec<usize>)>,
    last: Option<StepOutcome>,
}

impl Run<'_> {
    /// Trains from the start, or from the newest checkpoint with `resume`.
    ///
    /// # Errors
    /// Settings out of range, the gradient guard, a checkpoint or file that cannot be written or read.
    pub fn fit(mut self, resume: bool) -> Result<Outcome> {
        self.settings.check()?;
        let mut state = self.begin(resume)?;
        let total = self.settings.total_steps(self.objective.examples());
        let patience = self.settings.patience.unwrap_or(u32::MAX);
        loop {
            if self.interrupted.load(Ordering::Relaxed) {
                return self.interrupt(&state);
            }
            if state.progress.evaluation_due {
                if !self.evaluate(&mut state)? {
                    return self.interrupt(&state);
                }
                state.progress.evaluation_due = false;
            }
            let done = state.progress.step;
            if done == total || state.progress.since_best >= patience {
                break;
            }
            if done > 0 && self.checkpoint_due(done, state.last.is_some()) {
                self.save(&state)?;
            }
            self.advance(&mut state, total)?;
        }
        let steps = state.progress.step;
        if let (None, Some(average)) = (&state.best, &mut state.average) {
            average.swap(self.objective.params())?;
        }
        if let Some(best) = state.best.take() {
            let best = Checkpoint::from_bytes("best.safetensors".as_ref(), best)?;
            self.checkpoints.restore(self.objective.params(), &best)?;
        }
        Ok(Outcome::Finished { steps, best_step: state.progress.best.map_or(steps, |b| b.0) })
    }

    fn begin(&mut self, resume: bool) -> Result<State> {
        let params = self.objective.params();
        let settings = OptimizerSettings { weight_decay: self.settings.weight_decay, ..Default::default() };
        let mut optimizer = Optimizer::new(params, settings);
        let table = self.checkpoints.output.join("metrics.csv");
        atomic::remove_leftovers(&self.checkpoints.output)?;
        let mut average = self.settings.average.map(|decay| Average::new(params, decay)).transpose()?;
        let (progress, best, history) = if resume {
            let resumed = self.checkpoints.resume(params, &mut optimizer, average.as_mut())?;
            let best = match (resumed.best, resumed.progress.best) {
                (Some(best), _) => Some(best),
                // Without a file of their own, the best weights are those of the checkpoint.
                (None, Some(_)) => Some(self.checkpoints.weights(params)?),
                (None, None) => None,
            };
            let history = History::resume(&table, resumed.progress.step)?;
            (resumed.progress, best, history)
        } else {
            (Progress::default(), None, History::create(&table)?)
        };
        if let Some(monitor) = self.objective.monitor() {
            monitor.begin(progress.step)?;
        }
        let (grads, pool) = (Grads::new(params), Pool::default());
        let schedule = self.settings.rates(self.objective.examples())?;
        Ok(State {
            progress,
            grads,
            optimizer,
            average,
            history,
            schedule,
            pool,
            best,
            order: None,
            next: None,
            last: None,
        })
    }

    /// At an epoch's end or as often as asked, but not again right after resuming.
    fn checkpoint_due(&self, done: u64, moved: bool) -> bool {
        let epoch_end = done.is_multiple_of(self.settings.steps_per_epoch(self.objective.examples()));
        moved && (epoch_end || self.settings.checkpoint_every.is_some_and(|every| done.is_multiple_of(every)))
    }

    fn advance(&mut self, state: &mut State, total: u64) -> Result<()> {
        let s = self.settings;
        let (done, per_epoch) = (state.progress.step, s.steps_per_epoch(self.objective.examples()));
        let (epoch, chosen) = match state.next.take() {
            Some(next) => next,
            None => self.chosen(state, done),
        };
        if done + 1 < total {
            let (epoch, chosen) = self.chosen(state, done + 1);
            self.objective.expect(epoch, &chosen, s.seed);
            state.next = Some((epoch, chosen));
        }
        let factor = state.schedule.factor(done);
        let settings = StepSettings {
            step: done,
            epoch,
            seed: s.seed,
            micro_batch: s.batch_size,
            accumulate: s.accumulate,
            lr: s.lr * factor,
            head_lr: s.head_lr * factor,
            clip: s.clip,
        };
        let memory = (&mut state.grads, &mut state.optimizer);
        let outcome = step(self.objective, &chosen, &settings, memory, &state.pool)?;
        if let Some(average) = &mut state.average {
            average.follow(self.objective.params())?;
        }
        let progress = &mut state.progress;
        progress.step = done + 1;
        progress.losses = (progress.losses.0 + outcome.loss, progress.losses.1 + 1);
        progress.evaluation_due = progress.step.is_multiple_of(per_epoch) || progress.step == total;
        state.last = Some(outcome);
        (self.events)(Event::Step { step: done + 1, total, examples: chosen.len(), loss: outcome.loss });
        if let Some(monitor) = self.objective.monitor() {
            monitor.reached(done + 1);
            if (done + 1).is_multiple_of(s.log_every) {
                let seen = (self.objective.params(), &state.grads, &state.optimizer);
                monitor.stepped(seen, done + 1, pace(self.objective, &settings))?;
            }
        }
        // The row of an epoch's last step waits for its evaluation, so that a step has one row.
        if !state.progress.evaluation_due && state.progress.step.is_multiple_of(s.log_every) {
            self.log(state, None)?;
        }
        Ok(())
    }

    /// The epoch and the examples of a step.
    fn chosen(&self, state: &mut State, step: u64) -> (u64, Vec<usize>) {
        let (s, examples) = (self.settings, self.objective.examples());
        let per_epoch = s.steps_per_epoch(examples);
        let (epoch, within) = (step / per_epoch, (step % per_epoch) as usize);
        if state.order.as_ref().is_none_or(|(of, _)| *of != epoch) {
            state.order = Some((epoch, self.objective.order(s.seed, epoch)));
        }
        let size = s.batch_size * s.accumulate;
        let order = state.order.iter().flat_map(|(_, order)| order);
        (epoch, order.skip(within * size).take(size).copied().collect())
    }

    fn log(&self, state: &mut State, valid: Option<Valid>) -> Result<()> {
        let s = self.settings;
        let step = state.progress.step;
        let per_epoch = s.steps_per_epoch(self.objective.examples());
        let size = (s.batch_size * s.accumulate) as u64;
        let (epoch, within) = (step / per_epoch, step % per_epoch);
        // The rates of the step just taken.
        let factor = state.schedule.factor(step.saturating_sub(1));
        let (sum, count) = std::mem::take(&mut state.progress.losses);
        state.history.append(&Row {
            step,
            epoch: step as f64 / per_epoch as f64,
            examples: epoch * self.objective.examples() as u64 + within * size,
            lr: s.lr * factor,
            head_lr: s.head_lr * factor,
            loss: (count > 0).then(|| sum / f64::from(count)),
            grad_norm: state.last.map(|o| o.grad_norm),
            valid,
        })?;
        Ok(())
    }

    /// Evaluates the weights, or their average where one is kept, and keeps the best; false when interrupted before the end.
    fn evaluate(&mut self, state: &mut State) -> Result<bool> {
        let params = self.objective.params();
        if let Some(average) = &mut state.average {
            average.swap(params)?;
        }
        let done = self.score(state);
        if let Some(average) = &mut state.average {
            average.swap(params)?;
        }
        done
    }

    fn score(&mut self, state: &mut State) -> Result<bool> {
        let scores = match self.objective.evaluate(self.settings.batch_size, self.interrupted)? {
            Evaluation::Nothing => {
                self.log(state, None)?;
                return Ok(true);
            }
            Evaluation::Interrupted => return Ok(false),
            Evaluation::Scored(scores) => scores,
        };
        self.log(state, Some(scores))?;
        let score = Score::of(&scores);
        let best = state.progress.best.is_none_or(|(_, best)| score.beats(best));
        if best {
            state.progress.best = Some((state.progress.step, score));
            state.progress.since_best = 0;
            state.best = Some(self.checkpoints.weights(self.objective.params())?);
        } else {
            state.progress.since_best += 1;
        }
        (self.events)(Event::Evaluated { step: state.progress.step, scores: &scores, best });
        Ok(true)
    }

    fn save(&mut self, state: &State) -> Result<()> {
        state.history.sync()?;
        // An average is never what the checkpoint has as its weights.
        let elsewhere = state.average.is_some()
            || state.progress.best.is_some_and(|(step, _)| step != state.progress.step);
        let kept = (state.best.as_deref().filter(|_| elsewhere), state.average.as_ref());
        let path = self.checkpoints.save(self.objective.params(), &state.optimizer, &state.progress, kept)?;
        (self.events)(Event::Saved { path: &path });
        Ok(())
    }

    fn interrupt(&mut self, state: &State) -> Result<Outcome> {
        self.save(state)?;
        Ok(Outcome::Interrupted { step: state.progress.step })
    }
}

/// The order of an epoch, from a stream of its own: any epoch's order can be had without the earlier ones.
pub fn order(seed: xexp_backbones::Seed, epoch: u64, examples: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..examples).collect();
    seed.stream(&format!("order/{epoch}")).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_backbones::Seed;

    #[test]
    fn an_epochs_order_has_each_example_once_and_is_its_own() {
        let orders: Vec<Vec<usize>> = (0..5).map(|epoch| order(Seed(3), epoch, 100)).collect();
        for (epoch, found) in orders.iter().enumerate() {
            let mut sorted = found.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..100).collect::<Vec<_>>());
            assert_eq!(*found, order(Seed(3), epoch as u64, 100));
            // Two random orders agree in one place on average, in more than ten once in ten million.
            for other in orders[..epoch].iter().chain([&order(Seed(4), epoch as u64, 100)]) {
                assert!(found.iter().zip(other).filter(|(a, b)| a == b).count() <= 10);
            }
        }
        assert!(order(Seed(3), 0, 0).is_empty());
    }
}
