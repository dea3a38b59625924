//! What a run will take, measured on a few of its steps before it begins.

use crate::sample::Content;
use crate::{
    Objective, Optimizer, OptimizerSettings, Result, Sample, Settings, StepSettings, order, predict, step,
};
use std::cmp::Reverse;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use xexp_backbones::Grads;
use xexp_heads::Classifier;
use xexp_kernels::Pool;

/// Tokens of the forward pass that is timed: as many as are computed together where nothing is trained.
const FORWARD: usize = 4096;
/// Times that each step is taken: the first fills the pool of buffers, the fastest of the others counts.
const REPEATS: usize = 3;

/// A step that was taken, with learning rates of zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timed {
    /// Tokens of its examples.
    pub tokens: usize,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// A step of examples as the first epoch draws them.
    pub typical: Timed,
    /// A step of the longest examples.
    pub longest: Timed,
    /// Passes without gradients.
    pub forward: Timed,
}

impl Forecast {
    /// Takes the steps. The weights stay as they are, and so does everything that is drawn later; running statistics follow the
    /// examples, so nothing should be trained afterwards.
    ///
    /// # Errors
    /// As [`step`].
    pub fn measure(
        objective: &dyn Objective,
        classifier: &Classifier,
        train: &[Sample],
        settings: &Settings,
    ) -> Result<Self> {
        let size = (settings.batch_size * settings.accumulate).min(train.len());
        let mut typical = order(settings.seed, 0, train.len());
        typical.truncate(size);
        let mut longest: Vec<usize> = (0..train.len()).collect();
        longest.sort_by_key(|&i| Reverse(tokens(&train[i])));
        longest.truncate(size);

        let optimizer = OptimizerSettings { weight_decay: settings.weight_decay, ..Default::default() };
        let mut memory = (Grads::new(objective.params()), Optimizer::new(objective.params(), optimizer));
        let pool = Pool::default();
        let mut timed = |chosen: &[usize]| -> Result<Timed> {
            let tokens = chosen.iter().map(|&i| tokens(&train[i])).sum();
            let mut fastest = f64::INFINITY;
            for turn in 0..REPEATS {
                let begun = Instant::now();
                let settings = StepSettings::still(settings, 0);
                step(objective, chosen, &settings, (&mut memory.0, &mut memory.1), &pool)?;
                if turn > 0 {
                    fastest = fastest.min(begun.elapsed().as_secs_f64());
                }
            }
            Ok(Timed { tokens, seconds: fastest })
        };
        // The longest first: what it needs, the other finds there.
        let (longest, typical) = (timed(&longest)?, timed(&typical)?);
        Ok(Forecast { typical, longest, forward: forward(classifier, train, settings.batch_size)? })
    }

    /// Seconds of `steps` steps over `tokens` tokens in all: the line through the two steps that were taken, or, where these are of
    /// about one size or the line falls, so much a token.
    pub fn training_seconds(&self, steps: u64, tokens: u64) -> f64 {
        let (a, b) = (self.typical, self.longest);
        let (few, many) = (a.tokens as f64, b.tokens as f64);
        let slope = (b.seconds - a.seconds) / (many - few);
        let constant = a.seconds - slope * few;
        if many < 1.2 * few || slope <= 0.0 || constant < 0.0 {
            return a.seconds / few.max(1.0) * tokens as f64;
        }
        constant * steps as f64 + slope * tokens as f64
    }

    /// Seconds of passes without gradients over so many tokens.
    pub fn forward_seconds(&self, tokens: u64) -> f64 {
        self.forward.seconds / self.forward.tokens.max(1) as f64 * tokens as f64
    }
}

/// Times passes without gradients over the first samples.
///
/// # Errors
/// As [`predict::logits`].
pub fn forward(classifier: &Classifier, samples: &[Sample], batch: usize) -> Result<Timed> {
    let mut tokens_seen = 0;
    let few = samples.iter().take_while(|sample| {
        let fits = tokens_seen < FORWARD;
        tokens_seen += tokens(sample);
        fits
    });
    let few = &samples[..few.count()];
    let begun = Instant::now();
    predict::logits(classifier, few, batch, &AtomicBool::new(false), |_| ())?;
    Ok(Timed { tokens: few.iter().map(tokens).sum(), seconds: begun.elapsed().as_secs_f64() })
}

/// Tokens that a backbone computes of a sample.
pub fn tokens(sample: &Sample) -> usize {
    match &sample.content {
        Content::Text { ids, .. } => ids.len(),
        Content::Image { tokens, .. } => *tokens,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forecast(typical: (usize, f64), longest: (usize, f64)) -> Forecast {
        let timed = |(tokens, seconds)| Timed { tokens, seconds };
        let forward = Timed { tokens: 100, seconds: 0.5 };
        Forecast { typical: timed(typical), longest: timed(longest), forward }
    }

    #[test]
    fn time_is_that_of_the_line_through_both_steps() {
        // Half a second a step and a hundredth a token.
        let found = forecast((100, 1.5), (400, 4.5));
        assert!((found.training_seconds(7, 1000) - (7.0 * 0.5 + 1000.0 * 0.01)).abs() < 1e-9);
        assert!((found.forward_seconds(1000) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn steps_of_one_size_or_no_line_count_by_the_token() {
        for longest in [(100, 1.6), (110, 2.0), (400, 1.4), (400, 40.0)] {
            let found = forecast((100, 1.5), longest);
            assert!((found.training_seconds(7, 1000) - 15.0).abs() < 1e-9, "{longest:?}");
        }
    }
}
