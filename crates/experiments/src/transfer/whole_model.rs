//! Backbone and head trained together, followed on the way.

use xexp_backbones::Grads;
use xexp_heads::{Classifier, Features, HeadInit};
use xexp_init::Seed;
use xexp_kernels::{Pool, sum_of_squares, update};
use xexp_train::schedule::{Schedule, Shape};
use xexp_train::{Error as Train, Sample, StepSettings, gradients, order, pack};

use super::Optimiser;
use super::curve::{self, Curve};
use super::optimiser::{Memory, Update};
use super::signals::Given;
use super::subject::{Subject, labels};
use crate::Result;

/// How a model is trained.
pub struct Course {
    /// Optimiser.
    pub optimiser: Optimiser,
    /// Peak learning rate, of backbone and head.
    pub rate: f64,
    /// Passes over the texts.
    pub epochs: u64,
    /// Texts a step.
    pub batch: usize,
    /// Share of the steps over which the rate rises.
    pub warmup: f64,
    /// Largest norm of the gradient; 0 for no limit.
    pub clip: f64,
    /// How many of the scored texts are followed over the run; 0 for the last step's accuracy alone.
    pub followed: usize,
    /// Draws head, order and dropout.
    pub seed: Seed,
}

/// What came of a run.
pub struct Trained {
    /// Peak learning rate.
    pub rate: f64,
    /// Accuracy on all scored texts after the last step.
    pub accuracy: f64,
    /// Accuracy on those that are followed.
    pub curve: Curve,
    /// `‖φ − φ_0‖²/‖φ_0‖²` of those that are followed, at the last look that found numbers.
    pub drift: f64,
    /// Norm of the backbone's gradient at the first step.
    pub backbone_gradient: f64,
    /// Loss of the first step.
    pub first_loss: f64,
    /// Whether a loss or a gradient was not finite, which ended the run.
    pub broken_off: bool,
}

/// Trains the backbone under a head drawn by `init` on the `chosen` texts of the pool.
///
/// # Errors
/// A checkpoint that cannot be used, or a head that cannot be drawn.
pub fn train(
    (subject, given): (&Subject, &Given),
    init: HeadInit,
    chosen: &[usize],
    scored: &[Sample],
    course: &Course,
) -> Result<Trained> {
    let mut classifier = subject.classifier(course.seed)?;
    classifier.initialize(init, 1.0, Some(&given.moments), course.seed)?;
    let per_epoch = chosen.len().div_ceil(course.batch) as u64;
    let total = per_epoch * course.epochs;
    let schedule = Schedule::new(Shape::Linear, course.warmup, total).map_err(Train::from)?;
    let looks = curve::looks(total, 1.5);
    let followed = &scored[..course.followed.min(scored.len())];
    let pool = Pool::default();
    let mut engine = Engine::new(&classifier, course);
    let mut trained = Trained {
        rate: course.rate,
        accuracy: 0.0,
        curve: Curve::default(),
        drift: 0.0,
        backbone_gradient: 0.0,
        first_loss: 0.0,
        broken_off: false,
    };
    let (mut before, mut epoch) = (None, vec![]);
    for step in 0..=total {
        if !followed.is_empty() && looks.binary_search(&step).is_ok() {
            let (features, accuracy) = score(&classifier, followed, course.batch, &pool)?;
            trained.curve.push(step, accuracy);
            let moved = drift(before.get_or_insert_with(|| features.clone()), &features);
            // Of a run that breaks off, the last drift that is a number.
            trained.drift = if moved.is_finite() { moved } else { trained.drift };
        }
        if step == total {
            break;
        }
        let within = (step % per_epoch) as usize;
        if within == 0 {
            epoch = order(course.seed, step / per_epoch, chosen.len());
        }
        let batch = epoch.iter().skip(within * course.batch).take(course.batch);
        let batch: Vec<&Sample> = batch.map(|&i| &subject.pool[chosen[i]]).collect();
        match engine.step(&classifier, &batch, step, course.rate * schedule.factor(step), &pool) {
            Ok((loss, backbone)) if step == 0 => {
                (trained.first_loss, trained.backbone_gradient) = (loss, backbone)
            }
            Ok(_) => (),
            // What a head of any size does at any rate is the question: a run that breaks off is an answer.
            Err(Train::NonFiniteLoss { .. } | Train::NonFiniteGradient { .. }) => {
                trained.broken_off = true;
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    // A broken run is scored like the others: numbers that are not finite guess the first class.
    trained.accuracy = score(&classifier, scored, course.batch, &pool)?.1;
    Ok(trained)
}

/// What a run keeps from step to step.
struct Engine<'a> {
    course: &'a Course,
    grads: Grads,
    memories: Vec<Memory>,
}

impl<'a> Engine<'a> {
    fn new(classifier: &Classifier, course: &'a Course) -> Self {
        let params = &classifier.params;
        let memories = params.iter().map(|(_, w)| course.optimiser.memory(w.var.elem_count())).collect();
        Engine { course, grads: Grads::new(params), memories }
    }

    /// One step; its loss, and the norm of the backbone's gradient.
    fn step(
        &mut self,
        classifier: &Classifier,
        batch: &[&Sample],
        step: u64,
        rate: f64,
        pool: &Pool,
    ) -> std::result::Result<(f64, f64), Train> {
        let Course { batch: micro_batch, clip, seed, .. } = *self.course;
        let settings =
            StepSettings { step, epoch: 0, seed, micro_batch, accumulate: 1, lr: rate, head_lr: rate, clip };
        self.grads.clear();
        let loss = gradients(classifier, batch, &settings, &mut self.grads, pool)?;
        let (mut backbone, mut head) = (0.0, 0.0);
        for (id, weight) in classifier.params.iter() {
            let square = self.grads.get(id).map_or(0.0, sum_of_squares);
            if !square.is_finite() {
                return Err(Train::NonFiniteGradient { step, name: weight.name.clone() });
            }
            *if classifier.in_head(&weight.name) { &mut head } else { &mut backbone } += square;
        }
        let norm = f64::sqrt(backbone + head);
        let scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) as f32 } else { 1.0 };
        for ((id, weight), memory) in classifier.params.iter().zip(&mut self.memories) {
            let Some(gradient) = self.grads.get(id) else { continue };
            let change = Update { rate, decays: weight.decays(), step: step + 1, scale };
            update(&weight.var, |w| memory.update(w, gradient, change))
                .map_err(xexp_backbones::Error::from)?;
        }
        Ok((loss, backbone.sqrt()))
    }
}

/// Features of some texts, and the accuracy on them.
fn score(classifier: &Classifier, samples: &[Sample], batch: usize, pool: &Pool) -> Result<(Vec<f32>, f64)> {
    let mut features = Features { values: vec![], width: classifier.backbone.width() };
    for part in samples.chunks(batch) {
        classifier.collect_features(&pack(part.iter())?.0, pool, &mut features)?;
    }
    let logits = classifier.logits(&features.values, pool)?;
    let accuracy = curve::accuracy(&logits, &labels(samples), classifier.classes());
    Ok((features.values, accuracy))
}

fn drift(before: &[f32], now: &[f32]) -> f64 {
    let moved: f64 = before.iter().zip(now).map(|(a, b)| f64::from(b - a).powi(2)).sum();
    moved / sum_of_squares(before)
}
