//! A convolution with its batch norm and nonlinearity.

use super::{BatchNorm, Convolution, ConvolutionSpec};
use crate::graph::{Graph, Map};
use crate::{Declarations, Result};
use xexp_init::Init;
use xexp_kernels::Activation;
use xexp_kernels::batch_norm::Range;

/// `φ(norm(x ∗ w))`, without a bias in the convolution.
pub struct ConvNorm {
    convolution: Convolution,
    norm: BatchNorm,
    activation: Option<Activation>,
}

/// What a family's convolutions have in common.
#[derive(Clone, Copy, Debug)]
pub struct ConvNormSpec {
    /// `ε` of the norm.
    pub eps: f64,
    /// Share of a new batch in the running statistics.
    pub momentum: f64,
    /// How a new kernel is drawn.
    pub init: Init,
}

impl ConvNorm {
    /// Declares `path.convolution` and `path.normalization`.
    pub fn declare(
        declared: &mut Declarations,
        path: &str,
        sizes: ConvolutionSpec,
        activation: Option<Activation>,
        spec: &ConvNormSpec,
    ) -> Self {
        let kernel = format!("{path}.convolution");
        let convolution = Convolution::declare(declared, &kernel, sizes, false, spec.init);
        let norm = format!("{path}.normalization");
        let norm = BatchNorm::declare(declared, &norm, sizes.output, spec.eps, spec.momentum);
        ConvNorm { convolution, norm, activation }
    }

    /// The map that it makes of one.
    ///
    /// # Errors
    /// An image smaller than a window.
    pub fn forward(&self, graph: &mut Graph<'_, '_>, x: &Map) -> Result<Map> {
        let y = graph.convolution(&self.convolution, x)?;
        let range = self.activation.map_or(Some(Range::ALL), Range::of);
        let normed = graph.batch_norm(&self.norm, range.unwrap_or(Range::ALL), &y.values)?;
        Ok(y.with(match self.activation {
            Some(activation) if range.is_none() => graph.activation(activation, &normed),
            _ => normed,
        }))
    }
}
