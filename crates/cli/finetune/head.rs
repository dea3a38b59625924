//! The new head: its plan, predicted and measured before training.

use xexp_backbones::Seed;
use xexp_heads::{Classifier, Features, HeadInit, HeadPlan, Moments, Prior, Truth};
use xexp_kernels::Pool;
use xexp_train::{Sample, Target, pack, truth};

use super::Args;
use super::beginning::{self, HeadBias, HeadRule};
use crate::failure::Failure;

/// Examples that the plan is measured on: enough that the moments' sampling error is a few per cent of
/// themselves, few enough to take about a second.
const SAMPLE: usize = 256;

/// Examples run through the backbone at once.
const BATCH: usize = 32;

/// Measures the features of some training examples, draws the head, and sets down what follows.
///
/// # Errors
/// A head that cannot be drawn as asked.
pub fn plan(args: &Args, classifier: &mut Classifier, train: &[Sample]) -> Result<HeadPlan, Failure> {
    let seed = Seed(args.shared.seed);
    let scale = args.head.head_scale;
    let hidden = match args.head.head_init {
        HeadRule::Fixed(init) => init,
        HeadRule::Auto => HeadInit::Zero,
    };
    classifier.initialize_hidden(hidden, seed)?;
    let mut order: Vec<usize> = (0..train.len()).collect();
    seed.stream("head-plan").shuffle(&mut order);
    order.truncate(SAMPLE);
    let chosen: Vec<&Sample> = order.iter().map(|&i| &train[i]).collect();

    let pool = Pool::default();
    let mut features = Features { values: vec![], width: classifier.backbone.width() };
    for part in chosen.chunks(BATCH) {
        let (input, _) = pack(part.iter().copied())?;
        classifier.collect_features(&input, &pool, &mut features)?;
    }
    let moments = Moments::of(&features.values, features.width);
    let (init, choice) = beginning::law(args, classifier, &moments)?;
    let std = classifier.initialize(init, scale, Some(&moments), seed)?;
    let truth = truth(chosen.iter().copied())?;
    let bias = beginning::bias(args, classifier, &truth)?;
    if bias == Some(HeadBias::Zero) && classifier.head.bias.is_some() {
        classifier.set_bias(&vec![0.0; classifier.classes()])?;
    }
    let mut plan = HeadPlan::new(classifier, (init, scale, std), &features, &truth, &pool)?;
    if let Some(choice) = choice {
        plan = plan.chosen(choice);
    }
    let (Some(HeadBias::Prior), Truth::Classes(labels)) = (bias, &truth) else { return Ok(plan) };
    let mut counts = vec![0; classifier.classes()];
    for sample in train {
        if let Target::Class(class) = sample.target {
            counts[class as usize] += 1;
        }
    }
    let prior = Prior::new(&counts)?;
    classifier.set_bias(&prior.bias())?;
    Ok(plan.with_prior(&prior, classifier, (&features, labels), &pool)?)
}
