//! How much each class and each label of an example counts in the cross-entropy of a classifier.
//!
//! Both as PyTorch's `CrossEntropyLoss(weight=…, label_smoothing=…)` has them, with the mean over a whole optimiser step: the
//! sum of the weighted losses over the sum of the weights of the examples' classes.
//! Source: Szegedy et al. 2016, §7 (label smoothing).

use crate::Target;
use xexp_heads::Truth;
use xexp_kernels::cross_entropy;

/// The weights of the classes, and how much of each label is spread over all of them. They are for classes alone: whoever
/// trains on another task leaves both at their defaults.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counting {
    /// A positive weight of each class, `(classes,)`; without them all count alike.
    pub class_weights: Option<Vec<f32>>,
    /// The part of each label that is spread evenly over all classes, from 0 to below 1.
    pub label_smoothing: f64,
}

impl Counting {
    /// Whether every example counts alike, and by its label alone.
    pub fn is_plain(&self) -> bool {
        *self == Counting::default()
    }

    /// One over what the examples of a step count together.
    pub fn share<'a>(&self, targets: impl Iterator<Item = &'a Target>) -> f64 {
        let weight = |target: &Target| match (&self.class_weights, target) {
            (Some(weights), Target::Class(id)) => f64::from(weights[*id as usize]),
            _ => 1.0,
        };
        1.0 / targets.map(weight).sum::<f64>()
    }

    /// The loss of a part of a step, times `share`, and its gradient, as [`Truth::loss`].
    pub fn loss(
        &self,
        truth: &Truth,
        logits: &[f32],
        outputs: usize,
        share: f64,
        dlogits: &mut [f32],
    ) -> f64 {
        match truth {
            Truth::Classes(labels) if !self.is_plain() => {
                let costs = self.costs(labels, outputs);
                cross_entropy::forward_backward_weighted(logits, &costs, outputs, share, dlogits)
            }
            truth => truth.loss(logits, outputs, share, dlogits),
        }
    }

    /// What `−ln p` of each class costs, `(examples, classes)`: `(1 − ε) w_y` for the label, and `ε/C w_c` for every class.
    pub fn costs(&self, labels: &[u32], classes: usize) -> Vec<f32> {
        let weight = |class: usize| self.class_weights.as_ref().map_or(1.0, |w| f64::from(w[class]));
        let spread: Vec<f64> =
            (0..classes).map(|class| self.label_smoothing / classes as f64 * weight(class)).collect();
        let row = |&label: &u32| {
            let mut row = spread.clone();
            row[label as usize] += (1.0 - self.label_smoothing) * weight(label as usize);
            row.into_iter().map(|cost| cost as f32)
        };
        labels.iter().flat_map(row).collect()
    }

    /// Shares of the classes, as mixed images have them, with the same part spread evenly.
    pub fn smooth(&self, shares: &mut [f32], classes: usize) {
        if self.label_smoothing > 0.0 {
            let (kept, even) = (1.0 - self.label_smoothing, self.label_smoothing / classes as f64);
            shares.iter_mut().for_each(|share| *share = (f64::from(*share) * kept + even) as f32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 12] = [1.5, -2.0, 0.25, 300.0, 299.0, -40.0, 0.5, 0.25, -1.0, -1.0, 2.0, 3.0];
    const LABELS: [u32; 4] = [2, 1, 0, 1];

    /// torch.nn.functional.cross_entropy(z, y, weight, label_smoothing) in float64, and its gradient.
    fn pytorch() -> [(Counting, f64, [f64; 12]); 3] {
        let weights = || Some(vec![0.5, 2.0, 1.25]);
        [
            (
                Counting { class_weights: None, label_smoothing: 0.1 },
                4.0710166943588115,
                [
                    0.181534963191,
                    -0.002599807583,
                    -0.178935155607,
                    0.174431311324,
                    -0.166097977991,
                    -0.008333333333,
                    -0.10845390088,
                    0.088922866451,
                    0.019531034429,
                    -0.005030111595,
                    -0.16698635114,
                    0.172016462735,
                ],
            ),
            (
                Counting { class_weights: weights(), label_smoothing: 0.0 },
                1.3101074049707633,
                [
                    0.165102866543,
                    0.004985674565,
                    -0.170088541108,
                    0.254281244741,
                    -0.254281244741,
                    0.0,
                    -0.043520197408,
                    0.033828243403,
                    0.009691954004,
                    0.004595786767,
                    -0.255517242166,
                    0.2509214554,
                ],
            ),
            (
                Counting { class_weights: weights(), label_smoothing: 0.2 },
                6.241958392560752,
                [
                    0.159305765094,
                    -0.018202731232,
                    -0.141103033862,
                    0.229413049936,
                    -0.214920296313,
                    -0.014492753623,
                    -0.01889509721,
                    0.020788310627,
                    -0.001893213418,
                    -0.00154599869,
                    -0.216063593931,
                    0.217609592621,
                ],
            ),
        ]
    }

    #[test]
    fn the_loss_and_slope_are_those_of_pytorch_however_the_step_is_cut() {
        for (counting, loss, slope) in pytorch() {
            let targets = LABELS.map(Target::Class);
            let share = counting.share(targets.iter());
            for size in [4, 3, 1] {
                let (mut found, mut d) = (0.0, vec![0.0; 12]);
                for (turn, labels) in LABELS.chunks(size).enumerate() {
                    let within = turn * size * 3..(turn * size + labels.len()) * 3;
                    let truth = Truth::Classes(labels.to_vec());
                    found += counting.loss(&truth, &LOGITS[within.clone()], 3, share, &mut d[within]);
                }
                // Costs in f32: 2⁻²⁴ of logits of 300.
                assert!((found - loss).abs() < 2e-5, "{counting:?}, {size}: {found}");
                for (d, expected) in d.iter().zip(slope) {
                    assert!((f64::from(*d) - expected).abs() < 1e-7, "{counting:?}, {size}: {d}, {expected}");
                }
            }
        }
    }

    #[test]
    fn shares_of_one_class_are_smoothed_as_a_label_is() {
        let counting = Counting { class_weights: None, label_smoothing: 0.3 };
        let mut shares = vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0];
        counting.smooth(&mut shares, 3);
        assert_eq!(shares, counting.costs(&[1, 0], 3));
    }
}
