//! What a run minimises.

use crate::by_depth::ByDepth;
use crate::counting::Counting;
use crate::fit;
use crate::loader::{Ahead, Loader};
use crate::mixing::{Mixed, Mixing};
use crate::monitor::{Monitor, Outputs};
use crate::sample::{Sample, Target, Visit, pack_with, truth};
use crate::sampling::Sampling;
use crate::step::StepSettings;
use crate::validate::validate;
use crate::{Error, Result, predict};
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use xexp_backbones::{Grads, Mode, Params, Pass, Seed};
use xexp_heads::{Classifier, Truth};
use xexp_kernels::{Pool, cross_entropy};
use xexp_report::Valid;

/// A loss over examples that are known by number, and the weights that it depends on. What it draws at random comes
/// from streams named by step and example, so that a resumed run repeats it.
pub trait Objective {
    /// The weights.
    fn params(&self) -> &Params;

    /// Number of training examples.
    fn examples(&self) -> usize;

    /// The examples of an epoch in their order, as many as there are: each once, or drawn.
    fn order(&self, seed: Seed, epoch: u64) -> Vec<usize> {
        fit::order(seed, epoch, self.examples())
    }

    /// Whether a weight follows the head's learning rate rather than the backbone's.
    fn in_head(&self, name: &str) -> bool;

    /// How weights learn by their depth, where they do not all learn alike.
    fn by_depth(&self) -> Option<&ByDepth> {
        None
    }

    /// Who watches the run, if anybody does.
    fn monitor(&self) -> Option<&Monitor> {
        None
    }

    /// Hears which examples the step after this one takes, so that it may fetch them meanwhile.
    fn expect(&self, _epoch: u64, _chosen: &[usize], _seed: Seed) {}

    /// Adds the gradient of the mean loss over the `chosen` examples, however they are cut into micro-batches, and
    /// returns that loss.
    ///
    /// # Errors
    /// A loss that is not finite.
    fn gradients(
        &self,
        chosen: &[usize],
        settings: &StepSettings,
        grads: &mut Grads,
        pool: &Pool,
    ) -> Result<f64>;

    /// Scores the weights on examples that are not trained on, in batches of `batch`.
    ///
    /// # Errors
    /// As the forward pass.
    fn evaluate(&self, batch: usize, interrupted: &AtomicBool) -> Result<Evaluation>;
}

/// What came of an evaluation.
pub enum Evaluation {
    /// There is nothing to evaluate on: the last weights are kept.
    Nothing,
    /// A signal came first.
    Interrupted,
    /// Scores, which choose the best weights by [`Score`](crate::Score).
    Scored(Valid),
}

/// The loss of a classifier on samples, that of their task ([`Truth::loss`]); the best weights are those of the highest
/// [`Score`](crate::Score).
pub struct Supervised<'a> {
    classifier: &'a Classifier,
    train: &'a [Sample],
    valid: &'a [Sample],
    mixing: Mixing,
    counting: Counting,
    sampling: Sampling,
    by_depth: Option<ByDepth>,
    monitor: Option<Monitor>,
    loader: Loader,
    /// Steps whose images were begun: this one's and the next one's.
    ahead: Mutex<VecDeque<(u64, Vec<usize>, Ahead)>>,
}

impl<'a> Supervised<'a> {
    /// Of a backbone and head, on examples to train on, and examples that choose the best weights, which may be none.
    pub fn new(classifier: &'a Classifier, train: &'a [Sample], valid: &'a [Sample]) -> Self {
        Supervised {
            classifier,
            train,
            valid,
            mixing: Mixing::default(),
            counting: Counting::default(),
            sampling: Sampling::default(),
            by_depth: None,
            monitor: None,
            loader: Loader::new(train),
            ahead: Mutex::default(),
        }
    }

    /// The same with classes and labels that count otherwise. Mixed images have no class: their weights are not used.
    pub fn counted(self, counting: Counting) -> Self {
        Supervised { counting, ..self }
    }

    /// The same with examples drawn otherwise.
    pub fn sampled(self, sampling: Sampling) -> Self {
        Supervised { sampling, ..self }
    }

    /// The same with images mixed.
    pub fn mixed(self, mixing: Mixing) -> Self {
        Supervised { mixing, ..self }
    }

    /// The same with weights that learn by their depth.
    pub fn paced(self, by_depth: Option<ByDepth>) -> Self {
        Supervised { by_depth, ..self }
    }

    /// The same watched by a monitor.
    pub fn watched(self, monitor: Option<Monitor>) -> Self {
        Supervised { monitor, ..self }
    }

    fn begin(&self, epoch: u64, chosen: &[usize], seed: Seed) -> Ahead {
        let visited = |&example: &usize| (&self.train[example], Some(Visit { seed, epoch, example }));
        self.loader.begin(chosen.iter().map(visited))
    }

    /// The images of a step, begun before or now.
    fn images(&self, chosen: &[usize], settings: &StepSettings) -> Result<Vec<Arc<[f32]>>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = ahead.iter().position(|(epoch, of, _)| *epoch == settings.epoch && of == chosen);
        let begun = begun.and_then(|index| ahead.remove(index));
        drop(ahead);
        begun
            .map_or_else(|| self.begin(settings.epoch, chosen, settings.seed), |(_, _, begun)| begun)
            .finish()
    }

    /// Mixes each image with the one as far from the step's other end; the shares of the classes.
    fn mix(
        &self,
        chosen: &[usize],
        settings: &StepSettings,
        images: &mut Vec<Arc<[f32]>>,
    ) -> Option<Vec<f32>> {
        let shape = self.classifier.backbone.image().filter(|_| !self.mixing.is_none())?;
        let classes = self.classifier.classes();
        let mut targets = vec![0.0; chosen.len() * classes];
        let mixed = chosen.iter().enumerate().map(|(turn, &example)| {
            let partner = chosen.len() - 1 - turn;
            let mut stream = settings.seed.stream(&format!("mixing/{}/{example}", settings.epoch));
            let Mixed { pixels, share } =
                self.mixing.apply(&images[turn], &images[partner], shape, &mut stream);
            for (of, share) in [(example, share), (chosen[partner], 1.0 - share)] {
                if let Target::Class(label) = self.train[of].target {
                    targets[turn * classes + label as usize] += share as f32;
                }
            }
            pixels
        });
        *images = mixed.collect();
        self.counting.smooth(&mut targets, classes);
        Some(targets)
    }
}

impl Objective for Supervised<'_> {
    fn params(&self) -> &Params {
        &self.classifier.params
    }

    fn examples(&self) -> usize {
        self.train.len()
    }

    fn order(&self, seed: Seed, epoch: u64) -> Vec<usize> {
        self.sampling.order(self.train, seed, epoch)
    }

    fn in_head(&self, name: &str) -> bool {
        self.classifier.in_head(name)
    }

    fn by_depth(&self) -> Option<&ByDepth> {
        self.by_depth.as_ref()
    }

    fn monitor(&self) -> Option<&Monitor> {
        self.monitor.as_ref()
    }

    fn expect(&self, epoch: u64, chosen: &[usize], seed: Seed) {
        let begun = self.begin(epoch, chosen, seed);
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody came for is of a step that was never taken.
        ahead.truncate(1);
        ahead.push_back((epoch, chosen.to_vec(), begun));
    }

    fn gradients(
        &self,
        chosen: &[usize],
        settings: &StepSettings,
        grads: &mut Grads,
        pool: &Pool,
    ) -> Result<f64> {
        let samples: Vec<&Sample> = chosen.iter().map(|&i| &self.train[i]).collect();
        let mut images = self.images(chosen, settings)?;
        let targets = self.mix(chosen, settings, &mut images);
        let (targets, counting) = (targets.as_deref(), &self.counting);
        let batch = Batch { samples: &samples, images: &images, targets, counting };
        accumulate(self.classifier, batch, settings, grads, pool)
    }

    fn evaluate(&self, batch: usize, interrupted: &AtomicBool) -> Result<Evaluation> {
        if self.valid.is_empty() {
            return Ok(Evaluation::Nothing);
        }
        let logits = predict::logits(self.classifier, self.valid, batch, interrupted, |_| ())?;
        let Some(logits) = logits else { return Ok(Evaluation::Interrupted) };
        let (truth, classes) = (truth(self.valid.iter())?, self.classifier.classes());
        let scores = validate(&logits, &truth, classes)?;
        if let (Some(monitor), Truth::Classes(labels)) = (&self.monitor, &truth) {
            monitor.evaluated(Outputs::of(&logits, labels, classes))?;
        }
        Ok(Evaluation::Scored(scores))
    }
}

/// Adds up the gradients of all samples, each weighted by one over their true number, so that micro-batches of
/// any sizes give the gradient of the one large batch; but for batch norms, which see a micro-batch at a time, and whose
/// running statistics move with each. Returns the mean loss. Images are taken as they are.
///
/// # Errors
/// A loss that is not finite, an image that cannot be read any more.
pub fn gradients(
    classifier: &Classifier,
    samples: &[&Sample],
    settings: &StepSettings,
    grads: &mut Grads,
    pool: &Pool,
) -> Result<f64> {
    let images = Loader::new(&[]).begin(samples.iter().map(|sample| (*sample, None))).finish()?;
    let batch = Batch { samples, images: &images, targets: None, counting: &Counting::default() };
    accumulate(classifier, batch, settings, grads, pool)
}

/// The samples of a step.
struct Batch<'a> {
    samples: &'a [&'a Sample],
    /// The images of the samples; none of texts.
    images: &'a [Arc<[f32]>],
    /// Shares of the classes instead of labels, `(samples, classes)`.
    targets: Option<&'a [f32]>,
    /// How classes and labels count.
    counting: &'a Counting,
}

/// The same of samples with their images at hand.
fn accumulate(
    classifier: &Classifier,
    Batch { samples, images, targets, counting }: Batch<'_>,
    settings: &StepSettings,
    grads: &mut Grads,
    pool: &Pool,
) -> Result<f64> {
    let (classes, size) = (classifier.classes(), settings.micro_batch);
    let weight = match targets {
        None => counting.share(samples.iter().map(|sample| &sample.target)),
        Some(_) => 1.0 / samples.len() as f64,
    };
    let mut loss = 0.0;
    for (turn, part) in samples.chunks(size).enumerate() {
        let within = turn * size..turn * size + part.len();
        // Texts have no images at all.
        let input = pack_with(part.iter().copied(), images.get(within.clone()).unwrap_or_default())?;
        let mode = Mode::Train { seed: settings.seed, step: settings.pass(turn) };
        let mut pass = Pass::new(pool, mode);
        let logits = classifier.forward(&input, &mut pass)?;
        let mut dlogits = pool.buffer(logits.values.len());
        loss += match targets {
            None => {
                let truth: Truth = truth(part.iter().copied())?;
                counting.loss(&truth, &logits.values, classes, weight, &mut dlogits)
            }
            Some(targets) => {
                let targets = &targets[within.start * classes..within.end * classes];
                cross_entropy::forward_backward_soft(&logits.values, targets, classes, weight, &mut dlogits)
            }
        };
        if !loss.is_finite() {
            return Err(Error::NonFiniteLoss { step: settings.step, loss });
        }
        if let Some(mut tape) = logits.tape {
            let statistics = tape.statistics();
            classifier.backward(grads, &dlogits, tape, &input, &pass)?;
            // Each micro-batch moves the running statistics from where the one before has left them, as in PyTorch.
            for (id, values) in statistics {
                classifier.params.set(id, &values)?;
            }
        }
    }
    Ok(loss)
}
