//! Layer kinds: what a weight is, as far as its initial values depend on it.

use crate::{Error, Result};

/// What one weight tensor does. Shapes follow PyTorch's layouts, which are those of the checkpoints.
///
/// A bias is a [`Layer::Vector`] of its own. Padding and dilation are absent because neither changes a fan in the
/// interior of the input; near a zero-padded border fewer products count, and deep stacks feel it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Layer {
    /// Weight `(output, input)` of `y = W x`.
    Linear {
        /// Width of `x`.
        input: usize,
        /// Width of `y`.
        output: usize,
    },
    /// Weight `(input, output)` of `y = Wᵀ x`: a dense layer that is stored the other way round, as GPT-2's are.
    Transposed {
        /// Width of `x`.
        input: usize,
        /// Width of `y`.
        output: usize,
    },
    /// Weight `(output, input / groups, kernel…)` of a convolution over one to three axes.
    ///
    /// Depthwise with multiplier `m`: `groups = input`, `output = m · input`.
    Conv {
        /// Input channels.
        input: usize,
        /// Output channels.
        output: usize,
        /// Taps along each axis.
        kernel: Vec<usize>,
        /// Step along each axis.
        stride: Vec<usize>,
        /// Blocks of channels that do not see each other; divides `input` and `output`.
        groups: usize,
    },
    /// Weight `(input, output / groups, kernel…)` of a transposed convolution: input position `i` adds to output
    /// positions `i · stride + tap`. Outputs fall into *phases*, their coordinates modulo the stride, and each phase
    /// sees its own subset of the taps.
    TransposedConv {
        /// Input channels.
        input: usize,
        /// Output channels.
        output: usize,
        /// Taps along each axis.
        kernel: Vec<usize>,
        /// Upsampling factor along each axis.
        stride: Vec<usize>,
        /// Blocks of channels that do not see each other; divides `input` and `output`.
        groups: usize,
    },
    /// Table `(count, width)`, of which one row is looked up: a linear map of one-hot vectors.
    Embedding {
        /// Rows.
        count: usize,
        /// Width of a row.
        width: usize,
    },
    /// One of the two matrices of a recurrent layer, `(gates · hidden, input)`, gates stacked along the first axis.
    /// The hidden-to-hidden matrix is the one with `input == hidden`.
    ///
    /// A gate's pre-activation is the *sum* of both matrices' products, so the second moments of the two add: a
    /// linear recurrence driven by unit inputs grows by `input · Var(w)` a step.
    Recurrent {
        /// Width of what the matrix reads: the layer's input, or its own state.
        input: usize,
        /// Width of the state.
        hidden: usize,
        /// Blocks of `hidden` rows: 1 for a plain network, 3 for a GRU, 4 for an LSTM.
        gates: usize,
    },
    /// Learned vectors `(1, count, width)` that stand in a sequence or are added to it: a class token, the position
    /// table of an image encoder. They are multiplied by nothing, sum no products and have no fan.
    Tokens {
        /// Number of vectors.
        count: usize,
        /// Width of a vector.
        width: usize,
    },
    /// Gains or offsets `(1, 1, 1, width)` of the channels of images that lie as `(images, height, width, channels)`. They
    /// act elementwise, as a [`Layer::Vector`] does.
    Channels {
        /// Number of channels.
        width: usize,
    },
    /// A running statistic `(len)`, such as a batch norm's mean: it follows the data, and no gradient moves it.
    Statistic {
        /// Length.
        len: usize,
    },
    /// A count, a tensor of whole numbers without axes: batches that a running statistic has seen.
    Count,
    /// Bias, norm gain or any other vector `(len)` that is added or multiplied elementwise: it sums no products and
    /// has no fan.
    Vector {
        /// Length.
        len: usize,
    },
}

impl Layer {
    /// Name of the kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Linear { .. } => "linear",
            Self::Transposed { .. } => "transposed",
            Self::Conv { .. } => "conv",
            Self::TransposedConv { .. } => "transposed conv",
            Self::Embedding { .. } => "embedding",
            Self::Recurrent { .. } => "recurrent",
            Self::Tokens { .. } => "tokens",
            Self::Channels { .. } => "channels",
            Self::Statistic { .. } => "statistic",
            Self::Count => "count",
            Self::Vector { .. } => "vector",
        }
    }

    /// Shape of the weight. Without meaning for a layer that [`Layer::check`] refuses.
    pub fn shape(&self) -> Vec<usize> {
        // Zero groups leave no weights; `check` refuses such a layer, and asking for its shape must not panic.
        let per_group = |channels: usize, groups: usize| channels.checked_div(groups).unwrap_or(0);
        match self {
            Self::Linear { input, output } => vec![*output, *input],
            Self::Transposed { input, output } => vec![*input, *output],
            Self::Conv { input, output, kernel, groups, .. } => {
                [&[*output, per_group(*input, *groups)], kernel.as_slice()].concat()
            }
            Self::TransposedConv { input, output, kernel, groups, .. } => {
                [&[*input, per_group(*output, *groups)], kernel.as_slice()].concat()
            }
            Self::Embedding { count, width } => vec![*count, *width],
            Self::Recurrent { input, hidden, gates } => vec![gates.saturating_mul(*hidden), *input],
            Self::Tokens { count, width } => vec![1, *count, *width],
            Self::Channels { width } => vec![1, 1, 1, *width],
            Self::Statistic { len } | Self::Vector { len } => vec![*len],
            Self::Count => vec![],
        }
    }

    /// Whether its values are parameters, which a gradient may move, rather than what the model has seen.
    pub fn is_parameter(&self) -> bool {
        !matches!(self, Self::Statistic { .. } | Self::Count)
    }

    /// Number of weights.
    ///
    /// # Errors
    /// The layer is refused by [`Layer::check`], or the product overflows.
    pub fn count(&self) -> Result<usize> {
        self.check()?;
        let shape = self.shape();
        let product = shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size));
        product.ok_or(Error::TooLarge { shape })
    }

    /// Refuses sizes that contradict each other: a zero size, groups that do not divide the channels, a kernel of
    /// other than one to three axes, or a stride of another rank than the kernel.
    ///
    /// # Errors
    /// [`Error::Layer`] with the first field that is wrong.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Linear { input, output } | Self::Transposed { input, output } => {
                self.check_sizes(&[("input", *input), ("output", *output)])
            }
            Self::Conv { input, output, kernel, stride, groups }
            | Self::TransposedConv { input, output, kernel, stride, groups } => {
                self.check_sizes(&[("input", *input), ("output", *output), ("groups", *groups)])?;
                for (channels, side) in [(*input, "input"), (*output, "output")] {
                    if !channels.is_multiple_of(*groups) {
                        let expected = format!("a divisor of the {channels} {side} channels");
                        return Err(self.wrong("groups", groups.to_string(), expected));
                    }
                }
                if !(1..=3).contains(&kernel.len()) {
                    return Err(self.wrong("kernel", format!("{kernel:?}"), "one to three axes".to_owned()));
                }
                if stride.len() != kernel.len() {
                    let expected = format!("one entry for each of the {} axes", kernel.len());
                    return Err(self.wrong("stride", format!("{stride:?}"), expected));
                }
                for (field, sizes) in [("kernel", kernel), ("stride", stride)] {
                    if sizes.contains(&0) {
                        return Err(self.wrong(
                            field,
                            format!("{sizes:?}"),
                            "at least 1 everywhere".to_owned(),
                        ));
                    }
                }
                Ok(())
            }
            Self::Embedding { count, width } | Self::Tokens { count, width } => {
                self.check_sizes(&[("count", *count), ("width", *width)])
            }
            Self::Recurrent { input, hidden, gates } => {
                self.check_sizes(&[("input", *input), ("hidden", *hidden), ("gates", *gates)])
            }
            Self::Channels { width } => self.check_sizes(&[("width", *width)]),
            Self::Statistic { len } | Self::Vector { len } => self.check_sizes(&[("len", *len)]),
            Self::Count => Ok(()),
        }
    }

    fn check_sizes(&self, sizes: &[(&'static str, usize)]) -> Result<()> {
        match sizes.iter().find(|(_, size)| *size == 0) {
            Some((field, _)) => Err(self.wrong(field, "0".to_owned(), "at least 1".to_owned())),
            None => Ok(()),
        }
    }

    fn wrong(&self, field: &'static str, found: String, expected: String) -> Error {
        Error::Layer { kind: self.kind(), field, found, expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(input: usize, output: usize, kernel: &[usize], stride: &[usize], groups: usize) -> Layer {
        Layer::Conv { input, output, kernel: kernel.to_vec(), stride: stride.to_vec(), groups }
    }

    #[test]
    fn shapes_are_those_of_pytorch() {
        // torch.nn.Linear(768, 10), Conv2d(64, 128, 3, groups=64), ConvTranspose1d(8, 6, 4, groups=2),
        // Embedding(30522, 384), LSTM(5, 7): weight_ih_l0 and weight_hh_l0.
        assert_eq!(Layer::Linear { input: 768, output: 10 }.shape(), [10, 768]);
        // transformers' Conv1D(nf=10, nx=768).
        assert_eq!(Layer::Transposed { input: 768, output: 10 }.shape(), [768, 10]);
        assert_eq!(conv(64, 128, &[3, 3], &[1, 1], 64).shape(), [128, 1, 3, 3]);
        let up = Layer::TransposedConv { input: 8, output: 6, kernel: vec![4], stride: vec![2], groups: 2 };
        assert_eq!(up.shape(), [8, 3, 4]);
        assert_eq!(Layer::Embedding { count: 30522, width: 384 }.shape(), [30522, 384]);
        assert_eq!(Layer::Recurrent { input: 5, hidden: 7, gates: 4 }.shape(), [28, 5]);
        assert_eq!(Layer::Recurrent { input: 7, hidden: 7, gates: 4 }.shape(), [28, 7]);
        // transformers' ViTEmbeddings: cls_token of width 48.
        assert_eq!(Layer::Tokens { count: 1, width: 48 }.shape(), [1, 1, 48]);
        assert_eq!(Layer::Vector { len: 9 }.shape(), [9]);
        // BatchNorm2d(9): running_mean and num_batches_tracked; transformers' ConvNextV2GRN(9).
        assert_eq!(Layer::Statistic { len: 9 }.shape(), [9]);
        assert_eq!((Layer::Count.shape(), Layer::Count.count()), (vec![], Ok(1)));
        assert_eq!(Layer::Channels { width: 9 }.shape(), [1, 1, 1, 9]);
    }

    #[test]
    fn contradictions_are_refused_with_the_field_that_is_wrong() {
        let field_of = |layer: &Layer| match layer.check() {
            Err(Error::Layer { field, .. }) => Some(field),
            _ => None,
        };
        assert_eq!(field_of(&conv(6, 4, &[3], &[1], 2)), None);
        assert_eq!(field_of(&conv(6, 4, &[3], &[1], 4)), Some("groups"));
        assert_eq!(field_of(&conv(6, 4, &[3], &[1], 3)), Some("groups"));
        assert_eq!(field_of(&conv(6, 4, &[3], &[1], 0)), Some("groups"));
        assert_eq!(field_of(&conv(6, 4, &[], &[], 1)), Some("kernel"));
        assert_eq!(field_of(&conv(6, 4, &[1; 4], &[1; 4], 1)), Some("kernel"));
        assert_eq!(field_of(&conv(6, 4, &[3, 3], &[1], 1)), Some("stride"));
        assert_eq!(field_of(&conv(6, 4, &[3, 3], &[1, 0], 1)), Some("stride"));
        assert_eq!(field_of(&conv(6, 4, &[3, 0], &[1, 1], 1)), Some("kernel"));
        assert_eq!(field_of(&Layer::Linear { input: 0, output: 1 }), Some("input"));
        assert_eq!(field_of(&Layer::Embedding { count: 1, width: 0 }), Some("width"));
        assert_eq!(field_of(&Layer::Recurrent { input: 1, hidden: 1, gates: 0 }), Some("gates"));
        assert_eq!(field_of(&Layer::Vector { len: 0 }), Some("len"));
    }

    #[test]
    fn a_refused_layer_still_answers_without_a_panic() {
        let layer = conv(6, 4, &[3], &[0], 0);
        assert_eq!(layer.shape(), [4, 0, 3]);
        assert!(layer.count().is_err() && layer.fan().is_none() && layer.phase_fans().is_empty());
    }

    #[test]
    fn a_count_that_overflows_is_an_error() {
        let layer = Layer::Linear { input: usize::MAX, output: 2 };
        assert_eq!(layer.count(), Err(Error::TooLarge { shape: vec![2, usize::MAX] }));
        assert_eq!(Layer::Recurrent { input: 3, hidden: 5, gates: 4 }.count(), Ok(60));
    }
}
