//! `--head-init auto`: how a head begins, from what is trained and what the features are.

use crate::{CALIBRATED_VARIANCE, HeadInit, Moments, Result};
use xexp_init::{Init, Layer, head_theory};

/// What is trained with the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// Nothing, or nothing at first: features that stay as they are.
    Nothing,
    /// A backbone, or adapters on it, that has learned something.
    Pretrained,
    /// A backbone that has learned nothing.
    New,
}

/// A beginning, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The rule.
    pub init: HeadInit,
    /// The reason, one sentence.
    pub reason: String,
}

/// The beginning of a head of `classes` outputs on features of these moments.
///
/// A head that is trained alone is a convex problem, and ends at one place wherever it begins. Under a trained backbone the
/// head's weights are the direction of the gradient that goes down, `Wᵀ(p − y)`: random weights send one that has nothing to
/// do with the labels, and since AdamW divides a gradient by its own size, a small head is no remedy. A head of zeros sends
/// none until it has learned its own direction from the labels (Kumar et al. 2022, §3; `head_zeroinit` of Kolesnikov et al.
/// 2020). A backbone without anything to lose learns from the first step instead.
///
/// # Errors
/// None in practice: moments of features are numbers.
pub fn choose(classes: usize, moments: &Moments, company: Company) -> Result<Choice> {
    let Moments { width, second_moment, variance, .. } = *moments;
    let features = head_theory::Features { width, second_moment, variance };
    let xavier = Init::xavier_normal().std(&Layer::Linear { input: width, output: classes })?;
    let made = features.logit_variance(xavier)?;
    let shares = format!(
        "Xavier's would give these features logits of variance {:.2}, {:.0} % of it the same for every example",
        made.total,
        100.0 * made.class_bias / made.total.max(f64::MIN_POSITIVE)
    );
    let (init, reason) = match company {
        Company::Nothing => (
            HeadInit::Zero,
            format!(
                "a head on features that stay is a convex problem, which ends at one place wherever it begins, and zeros begin \
                 at the lowest loss that knows nothing of the features; {shares}"
            ),
        ),
        Company::New if second_moment > 0.0 => (
            HeadInit::Calibrated,
            format!(
                "a backbone drawn anew has nothing to lose and learns from the first step under a head whose logits have \
                 variance {CALIBRATED_VARIANCE}; {shares}"
            ),
        ),
        Company::New | Company::Pretrained => (
            HeadInit::Zero,
            format!(
                "a head of zeros leaves the backbone alone until it has learned its own direction from the labels; {shares}, and \
                 a gradient into the backbone that is random and that AdamW takes at full length"
            ),
        ),
    };
    Ok(Choice { init, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_spoilt_begins_from_zeros_and_a_new_backbone_from_a_gradient() {
        // Features of mean 1 and variance 1: half of their energy is common to all.
        let moments = Moments { variance: 1.0, second_moment: 2.0, ..Moments::of(&[1.0; 768], 768) };
        let chosen = |company| choose(10, &moments, company).unwrap();
        assert_eq!(chosen(Company::Nothing).init, HeadInit::Zero);
        assert_eq!(chosen(Company::Pretrained).init, HeadInit::Zero);
        assert_eq!(chosen(Company::New).init, HeadInit::Calibrated);
        // 768 · 2/(768 + 10) · 2 = 3.95, and half of it a class bias.
        let reason = chosen(Company::Pretrained).reason;
        assert!(reason.contains("variance 3.95, 50 %"), "{reason}");
        // Nothing can be calibrated on features that are all zero.
        let dead = Moments { variance: 0.0, second_moment: 0.0, ..moments };
        assert_eq!(choose(10, &dead, Company::New).unwrap().init, HeadInit::Zero);
    }
}
