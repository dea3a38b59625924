//! What the logits of a batch are held against, and the loss that goes with it.

use xexp_kernels::{binary_cross_entropy, cross_entropy, squared_error};

/// The truth of a batch, by kind of task.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// A class of each example, `(examples,)`.
    Classes(Vec<u32>),
    /// Which labels apply to each example, 1 or 0, `(examples, labels)`.
    Labels(Vec<f32>),
    /// A value of each example, `(examples,)`.
    Values(Vec<f32>),
}

impl Truth {
    /// The loss that transformers takes for the task, times `weight`, and its gradient in `dlogits`: cross-entropy, binary
    /// cross-entropy averaged over an example's labels, or squared error, each summed over the examples; `logits`,
    /// `dlogits (examples, outputs)`. With one over the number of examples as the weight it is a mean.
    pub fn loss(&self, logits: &[f32], outputs: usize, weight: f64, dlogits: &mut [f32]) -> f64 {
        match self {
            Truth::Classes(labels) => cross_entropy::forward_backward(logits, labels, weight, dlogits),
            Truth::Labels(targets) => {
                binary_cross_entropy::forward_backward(logits, targets, outputs, weight, dlogits)
            }
            Truth::Values(values) => squared_error::forward_backward(logits, values, weight, dlogits),
        }
    }

    /// Number of examples; of labels there are as many as `outputs`.
    pub fn examples(&self, outputs: usize) -> usize {
        match self {
            Truth::Classes(labels) => labels.len(),
            Truth::Labels(targets) => targets.len() / outputs.max(1),
            Truth::Values(values) => values.len(),
        }
    }
}
