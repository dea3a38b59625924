//! What a run is told to do.

use crate::schedule::{Schedule, Shape};
use crate::{Error, Result};
use xexp_backbones::Seed;

/// Settings of a training run. Learning rates are peak values; a step is an optimiser step.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Passes over the training examples.
    pub epochs: u32,
    /// Stops after so many steps, if that comes first.
    pub max_steps: Option<u64>,
    /// Examples a micro-batch.
    pub batch_size: usize,
    /// Micro-batches a step.
    pub accumulate: usize,
    /// Learning rate of the backbone.
    pub lr: f64,
    /// Learning rate of the head.
    pub head_lr: f64,
    /// Shape of the learning rate over the run.
    pub schedule: Shape,
    /// Share of the steps over which it rises.
    pub warmup: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest gradient norm; 0 for no limit.
    pub clip: f64,
    /// Seed of order and dropout.
    pub seed: Seed,
    /// A row of `metrics.csv` every so many steps.
    pub log_every: u64,
    /// A checkpoint every so many steps, besides one at each epoch's end.
    pub checkpoint_every: Option<u64>,
    /// Stops after so many evaluations without a better one.
    pub patience: Option<u32>,
    /// Decay of a running average of the weights, which is then what is scored and kept.
    pub average: Option<f64>,
}

impl Settings {
    /// Sees that all numbers make sense.
    ///
    /// # Errors
    /// [`Error::Setting`], naming the first that does not.
    pub fn check(&self) -> Result<()> {
        let at_least_one = "a whole number of at least 1";
        let rate = "a finite number of at least 0";
        let average = self.average.unwrap_or(0.0);
        let checks: [(&'static str, bool, &'static str, String); 10] = [
            ("average's decay", (0.0..1.0).contains(&average), "at least 0 and below 1", average.to_string()),
            ("epochs", self.epochs > 0, at_least_one, self.epochs.to_string()),
            ("max steps", self.max_steps != Some(0), at_least_one, "0".to_string()),
            ("batch size", self.batch_size > 0, at_least_one, self.batch_size.to_string()),
            ("accumulate", self.accumulate > 0, at_least_one, self.accumulate.to_string()),
            ("learning rate", self.lr.is_finite() && self.lr >= 0.0, rate, self.lr.to_string()),
            (
                "head learning rate",
                self.head_lr.is_finite() && self.head_lr >= 0.0,
                rate,
                self.head_lr.to_string(),
            ),
            (
                "weight decay",
                self.weight_decay.is_finite() && self.weight_decay >= 0.0,
                rate,
                self.weight_decay.to_string(),
            ),
            ("clip", self.clip.is_finite() && self.clip >= 0.0, rate, self.clip.to_string()),
            ("log every", self.log_every > 0, at_least_one, self.log_every.to_string()),
        ];
        match checks.into_iter().find(|(_, fine, _, _)| !fine) {
            Some((what, _, expected, found)) => Err(Error::Setting { what, expected, found }),
            None => Ok(()),
        }
    }

    /// The learning rate's factor over the run.
    ///
    /// # Errors
    /// A warm-up outside [0, 1].
    pub fn rates(&self, examples: usize) -> Result<Schedule> {
        Ok(Schedule::new(self.schedule, self.warmup, self.total_steps(examples))?)
    }

    /// Steps an epoch of `examples` has; the last may be short.
    pub fn steps_per_epoch(&self, examples: usize) -> u64 {
        examples.div_ceil(self.batch_size * self.accumulate) as u64
    }

    /// Steps of the whole run.
    pub fn total_steps(&self, examples: usize) -> u64 {
        let all = self.steps_per_epoch(examples) * u64::from(self.epochs);
        self.max_steps.map_or(all, |limit| limit.min(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings {
            epochs: 3,
            max_steps: None,
            batch_size: 8,
            accumulate: 2,
            lr: 5e-5,
            head_lr: 1e-3,
            schedule: Shape::Linear,
            warmup: 0.1,
            weight_decay: 0.01,
            clip: 1.0,
            seed: Seed(1),
            log_every: 10,
            checkpoint_every: None,
            patience: None,
            average: None,
        }
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        assert!(settings().check().is_ok());
        type Change = fn(&mut Settings);
        let wrong: [(&str, Change); 10] = [
            ("epochs", |s| s.epochs = 0),
            ("max steps", |s| s.max_steps = Some(0)),
            ("batch size", |s| s.batch_size = 0),
            ("accumulate", |s| s.accumulate = 0),
            ("learning rate", |s| s.lr = -1e-9),
            ("learning rate", |s| s.lr = f64::NAN),
            ("head learning rate", |s| s.head_lr = f64::INFINITY),
            ("weight decay", |s| s.weight_decay = -0.1),
            ("clip", |s| s.clip = f64::NAN),
            ("log every", |s| s.log_every = 0),
        ];
        for (name, change) in wrong {
            let mut settings = settings();
            change(&mut settings);
            assert!(matches!(settings.check(), Err(Error::Setting { what, .. }) if what == name), "{name}");
        }
        let warmup = Settings { warmup: 1.5, ..settings() };
        assert!(matches!(warmup.rates(100), Err(Error::Schedule(_))));
    }

    #[test]
    fn an_epochs_short_last_step_counts() {
        // 100 examples in steps of 16: six whole ones and one of four.
        assert_eq!((settings().steps_per_epoch(100), settings().total_steps(100)), (7, 21));
        assert_eq!(Settings { max_steps: Some(5), ..settings() }.total_steps(100), 5);
        assert_eq!(Settings { max_steps: Some(50), ..settings() }.total_steps(100), 21);
    }
}
