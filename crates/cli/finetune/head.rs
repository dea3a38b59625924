//! The new head: its plan, predicted and measured before training.

use xexp_backbones::Seed;
use xexp_heads::{Classifier, Features, HeadPlan, Moments};
use xexp_kernels::Pool;
use xexp_train::{Sample, pack, truth};

use super::Args;
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
    let (init, scale) = (args.head.head_init, args.head.head_scale);
    classifier.initialize_hidden(init, seed)?;
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
    let std = classifier.initialize(init, scale, Some(&moments), seed)?;
    let truth = truth(chosen.iter().copied())?;
    Ok(HeadPlan::new(classifier, (init, scale, std), &features, &truth, &pool)?)
}
