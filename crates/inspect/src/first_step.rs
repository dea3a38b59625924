//! How far the first step of a fine-tuning may go before the loss on the same examples rises: a search along the step itself.
//!
//! For a loss of curvature `λ` along the gradient a step of gradient descent lowers it up to `2/λ`; the search needs no
//! second derivatives and sees what lies beyond them. Source: Kalra & Barkeshli 2024 ("critical sharpness").

use xexp_backbones::{Grads, Input, Mode, Pass, WeightId};
use xexp_heads::{Classifier, Features, HeadInit, Moments, Truth};
use xexp_init::Seed;
use xexp_kernels::Pool;
use xexp_train::Sample;
use xexp_train::line::{self, Line};

use crate::Result;
use crate::advice::Advice;
use crate::sheet::shown;
use crate::structure::Structure;

/// Examples of the step, at most, and of a batch.
const EXAMPLES: usize = 64;
const BATCH: usize = 8;

/// Packed batches with their truth.
type Batches = Vec<(Input, Truth)>;

/// The largest first steps that do not raise the mean cross-entropy of a calibrated head on these labelled examples, with the
/// blocks and the head trained: along the gradient, and as Adam takes it, every value by the same amount against its
/// gradient's sign. `None` where there are fewer than two classes or the gradient vanishes.
///
/// # Errors
/// Input that the network does not take.
pub fn advice(
    classifier: &mut Classifier,
    structure: &Structure,
    samples: &[Sample],
    features: &Features,
) -> Result<Option<Advice>> {
    if classifier.classes() < 2 || classifier.family.frozen {
        return Ok(None);
    }
    let moments = Moments::of(&features.values, features.width);
    classifier.initialize(HeadInit::Calibrated, 1.0, Some(&moments), Seed(0))?;
    let family = classifier.family;
    classifier.params.train_only(|name| structure.layer(name).is_some() || family.head.holds(name));
    let step = samples.len().div_ceil(EXAMPLES).max(1);
    let chosen: Vec<&Sample> = samples.iter().step_by(step).collect();
    let batches: Batches = chosen
        .chunks(BATCH)
        .map(|part| Ok(xexp_train::pack(part.iter().copied())?))
        .collect::<Result<_>>()?;
    let mut grads = Grads::new(&classifier.params);
    let loss = gradients(classifier, &batches, chosen.len(), &mut grads)?;
    let directions: Vec<(WeightId, Vec<f32>)> =
        classifier.params.iter().filter_map(|(id, _)| Some((id, grads.get(id)?.to_vec()))).collect();
    drop(grads);
    let energy = |of: fn(f32) -> f64| directions.iter().flat_map(|(_, g)| g).map(|g| of(*g)).sum::<f64>();
    let (squares, sizes) = (energy(|g| f64::from(g).powi(2)), energy(|g| f64::from(g.abs())));
    if squares <= 0.0 || !loss.is_finite() {
        return Ok(None);
    }
    let longest = |line: &Line<'_>, slope: f64| -> Result<f64> {
        // A step that would lower a straight loss by a hundredth of it.
        let first = 0.01 * loss / slope;
        let at = |eta| line.at(eta, |_| true, || loss_of(classifier, &batches, chosen.len()));
        line::longest(first, |eta| Ok(at(eta)? <= loss))
    };
    let line = Line::new(&classifier.params, directions)?;
    let descent = longest(&line, squares)?;
    let line = line.turned(|g| if g == 0.0 { 0.0 } else { g.signum() });
    let adam = longest(&line, sizes)?;
    drop(line);
    classifier.params.train_only(|_| false);
    Ok(Some(Advice {
        about: "largest learning rate",
        text: format!(
            "with a calibrated head, a first step on {} labelled examples does not raise their loss up to a learning rate of {} \
             for Adam and {} for gradient descent, all blocks trained",
            chosen.len(),
            shown(adam),
            shown(descent)
        ),
        formula: "the largest η with L(θ − η·d) ≤ L(θ), d = sign ∇L or ∇L",
        number: adam,
        source: "Kalra & Barkeshli 2024; warm-up is what keeps larger ones from the first steps",
    }))
}

/// Mean loss and its gradients.
fn gradients(classifier: &Classifier, batches: &Batches, examples: usize, grads: &mut Grads) -> Result<f64> {
    let (pool, mut loss) = (Pool::default(), 0.0);
    for (input, truth) in batches {
        let mut pass = Pass::new(&pool, Mode::Trace);
        let logits = classifier.forward(input, &mut pass)?;
        let mut dlogits = pool.buffer(logits.values.len());
        let weight = 1.0 / examples as f64;
        loss += truth.loss(&logits.values, classifier.classes(), weight, &mut dlogits);
        if let Some(tape) = logits.tape {
            classifier.backward(grads, &dlogits, tape, input, &pass)?;
        }
    }
    Ok(loss)
}

/// Mean loss.
fn loss_of(classifier: &Classifier, batches: &Batches, examples: usize) -> Result<f64> {
    let (pool, mut loss) = (Pool::default(), 0.0);
    for (input, truth) in batches {
        let logits = classifier.forward(input, &mut Pass::new(&pool, Mode::Eval))?;
        let mut unused = pool.buffer(logits.values.len());
        let weight = 1.0 / examples as f64;
        loss += truth.loss(&logits.values, classifier.classes(), weight, &mut unused);
    }
    Ok(loss)
}
