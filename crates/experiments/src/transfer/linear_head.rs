//! A head trained alone, on features kept from one pass.

use xexp_heads::Features;
use xexp_init::Seed;
use xexp_kernels::cross_entropy;
use xexp_kernels::linear::{self, GradColumns};
use xexp_train::order;
use xexp_train::schedule::{Schedule, Shape};

use super::Optimiser;
use super::curve::{self, Curve};
use super::optimiser::Update;
use crate::Result;

/// How a head is trained.
pub struct Course {
    /// Optimiser.
    pub optimiser: Optimiser,
    /// Peak learning rate.
    pub rate: f64,
    /// Steps.
    pub steps: u64,
    /// Texts a step.
    pub batch: usize,
    /// Share of the steps over which the rate rises.
    pub warmup: f64,
}

/// Features and labels that are looked up by number.
#[derive(Clone, Copy)]
pub struct Texts<'a> {
    /// Features.
    pub features: &'a Features,
    /// Labels.
    pub labels: &'a [u32],
}

impl Texts<'_> {
    /// The chosen ones, end to end.
    fn gather(&self, chosen: impl Iterator<Item = usize>) -> (Vec<f32>, Vec<u32>) {
        let (mut x, mut labels, width) = (vec![], vec![], self.features.width);
        for i in chosen {
            x.extend_from_slice(&self.features.values[i * width..(i + 1) * width]);
            labels.push(self.labels[i]);
        }
        (x, labels)
    }
}

/// The curve of a head `(classes, width)` trained on the `chosen` texts and scored on the `scored` ones.
///
/// # Errors
/// A warm-up that is no share.
pub fn train(
    mut head: Vec<f32>,
    (texts, chosen): (Texts<'_>, &[usize]),
    (others, scored): (Texts<'_>, &[usize]),
    course: &Course,
    seed: Seed,
) -> Result<Curve> {
    let classes = head.len() / texts.features.width;
    let mut bias = vec![0.0f32; classes];
    let (test, test_labels) = others.gather(scored.iter().copied());
    let mut z = vec![0.0; test_labels.len() * classes];
    let mut memories = [course.optimiser.memory(head.len()), course.optimiser.memory(classes)];
    let schedule =
        Schedule::new(Shape::Linear, course.warmup, course.steps).map_err(xexp_train::Error::from)?;
    let looks = curve::looks(course.steps, 1.1);
    let per_epoch = chosen.len().div_ceil(course.batch) as u64;
    let (mut curve, mut epoch) = (Curve::default(), vec![]);
    for step in 0..=course.steps {
        if looks.binary_search(&step).is_ok() {
            linear::forward(&test, &head, Some(&bias), &mut z);
            curve.push(step, curve::accuracy(&z, &test_labels, classes));
        }
        if step == course.steps {
            break;
        }
        let within = (step % per_epoch) as usize;
        if within == 0 {
            epoch = order(seed, step / per_epoch, chosen.len());
        }
        let batch = epoch.iter().skip(within * course.batch).take(course.batch).map(|&i| chosen[i]);
        let (x, labels) = texts.gather(batch);
        let (mut z, mut dz) = (vec![0.0; labels.len() * classes], vec![0.0; labels.len() * classes]);
        linear::forward(&x, &head, Some(&bias), &mut z);
        cross_entropy::forward_backward(&z, &labels, 1.0 / labels.len() as f64, &mut dz);
        let (mut dw, mut db) = (vec![0.0; head.len()], vec![0.0; classes]);
        linear::backward_weight(GradColumns::all(&dz, classes), &x, &mut dw);
        linear::backward_bias(GradColumns::all(&dz, classes), &mut db);
        let update =
            |decays| Update { rate: course.rate * schedule.factor(step), decays, step: step + 1, scale: 1.0 };
        memories[0].update(&mut head, &dw, update(true));
        memories[1].update(&mut bias, &db, update(false));
    }
    Ok(curve)
}
