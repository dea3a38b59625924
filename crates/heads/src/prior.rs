//! A head's bias from the shares of the classes.

use crate::{Classifier, Error, Result};

/// How often each class occurs among the labels that a head is trained on.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    shares: Vec<f64>,
    entropy: f64,
}

impl Prior {
    /// Of the number of labels of each class. A class without any counts as half a label, since the logarithm of its share
    /// must be finite; Source: Jeffreys' prior of a multinomial law.
    ///
    /// # Errors
    /// No labels at all.
    pub fn new(counts: &[usize]) -> Result<Self> {
        let labels: usize = counts.iter().sum();
        if labels == 0 {
            let found = 0.0;
            return Err(Error::Range { what: "labels", expected: "at least one", found });
        }
        let weights: Vec<f64> = counts.iter().map(|&n| if n == 0 { 0.5 } else { n as f64 }).collect();
        let total: f64 = weights.iter().sum();
        let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let own = counts.iter().zip(&shares).map(|(&n, share)| -(n as f64 / labels as f64) * share.ln());
        let entropy = own.sum();
        Ok(Prior { shares, entropy })
    }

    /// Shares of the classes.
    pub fn shares(&self) -> &[f64] {
        &self.shares
    }

    /// Cross-entropy of these shares with the labels, in nats: their entropy where each class occurs. It is the loss of a
    /// head without weights whose bias is [`Prior::bias`], and no other bias of such a head has a lower one.
    pub fn entropy(&self) -> f64 {
        self.entropy
    }

    /// `ln π_k`, less its mean over the classes: the softmax does not see what all logits have in common.
    ///
    /// Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", §3.3, for two classes; Karpathy 2019, "A Recipe for
    /// Training Neural Networks", "init well".
    pub fn bias(&self) -> Vec<f64> {
        let logarithms: Vec<f64> = self.shares.iter().map(|share| share.ln()).collect();
        let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
        logarithms.into_iter().map(|logarithm| logarithm - mean).collect()
    }
}

impl Classifier {
    /// Sets the bias of the head's last layer.
    ///
    /// # Errors
    /// A head without a bias, or of another number of classes.
    pub fn set_bias(&mut self, bias: &[f64]) -> Result<()> {
        let Some(id) = self.head.bias else { return Err(Error::NoBias { model: self.family.model_type }) };
        let values: Vec<f32> = bias.iter().map(|value| *value as f32).collect();
        Ok(self.params.set(id, &values)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bias_gives_back_the_shares_and_costs_the_entropy_of_the_labels() {
        let prior = Prior::new(&[1, 2, 5]).unwrap();
        let bias = prior.bias();
        assert!(bias.iter().sum::<f64>().abs() < 1e-12);
        // The softmax of the bias.
        let total: f64 = bias.iter().map(|b| b.exp()).sum();
        for (b, share) in bias.iter().zip([0.125, 0.25, 0.625]) {
            assert!((b.exp() / total - share).abs() < 1e-12);
        }
        // −(ln 1/8)/8 − (ln 1/4)/4 − 5(ln 5/8)/8, by hand.
        assert!((prior.entropy() - 0.900_256_051_268_536_9).abs() < 1e-12, "{}", prior.entropy());
        // Classes that are alike: no bias at all, and ln K.
        let even = Prior::new(&[7; 5]).unwrap();
        assert!(even.bias().iter().all(|b| b.abs() < 1e-12) && (even.entropy() - 5f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn a_class_without_labels_has_a_finite_bias() {
        let prior = Prior::new(&[3, 0, 6]).unwrap();
        assert!((prior.bias()[0] - prior.bias()[1] - 6f64.ln()).abs() < 1e-12);
        // The labels' own shares are 1/3 and 2/3, the bias's 3/9.5 and 6/9.5.
        let expected = -(3f64 / 9.5).ln() / 3.0 - 2.0 * (6f64 / 9.5).ln() / 3.0;
        assert!((prior.entropy() - expected).abs() < 1e-12);
        assert!(Prior::new(&[0, 0]).is_err());
    }
}
