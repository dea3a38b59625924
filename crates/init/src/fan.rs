//! Fans: how many products an output sums, and how many an input feeds.

use crate::Layer;

/// Products on the two sides of a weight, in the interior of the input (away from padded borders).
///
/// The fields are `f64` because the means are fractions: with stride 2, the nine taps of a 3×3 kernel are shared by
/// four kinds of input positions, and a mean input feeds 9/4 of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fan {
    /// Products that one output sums; the mean over output positions.
    pub input: f64,
    /// Products that one input feeds; the mean over input positions.
    pub output: f64,
}

impl Fan {
    /// Mean of the two: the fan that Xavier initialization divides by.
    ///
    /// Source: Glorot & Bengio 2010, eq. 12, `Var(w) = 2 / (fan_in + fan_out)`.
    pub fn average(self) -> f64 {
        0.5 * (self.input + self.output)
    }
}

impl Layer {
    /// Exact fans, by counting products; `None` for a vector, and for a layer that [`Layer::check`] refuses.
    ///
    /// A strided convolution's `output` and a transposed convolution's `input` are means over positions. An embedding
    /// sums one product, since a single row is looked up. A recurrent matrix's `output` counts all gates.
    ///
    /// Source: products counted one by one; the tests do it for small layers.
    pub fn fan(&self) -> Option<Fan> {
        self.check().ok()?;
        match self {
            Self::Linear { input, output } | Self::Transposed { input, output } => {
                Some(fan(*input as f64, *output as f64))
            }
            Self::Conv { input, output, kernel, stride, groups } => {
                let taps = volume(kernel);
                Some(fan((input / groups) as f64 * taps, (output / groups) as f64 * taps / volume(stride)))
            }
            Self::TransposedConv { input, output, kernel, stride, groups } => {
                let taps = volume(kernel);
                Some(fan((input / groups) as f64 * taps / volume(stride), (output / groups) as f64 * taps))
            }
            Self::Embedding { width, .. } => Some(fan(1.0, *width as f64)),
            Self::Recurrent { input, hidden, gates } => {
                Some(fan(*input as f64, *gates as f64 * *hidden as f64))
            }
            Self::Tokens { .. }
            | Self::Channels { .. }
            | Self::Statistic { .. }
            | Self::Count
            | Self::Vector { .. } => None,
        }
    }

    /// Fans that PyTorch's `_calculate_fan_in_and_fan_out` reads off the weight's shape: dimension 1 and dimension 0,
    /// each times the size of the kernel. `None` for fewer than two dimensions, as there.
    ///
    /// It knows neither groups nor stride, swaps the sides of a transposed convolution, and takes an embedding's
    /// width for its fan-in.
    ///
    /// Source: `torch/nn/init.py`; candle's `FanInOut::for_shape` does the same.
    pub fn shape_rule_fan(&self) -> Option<Fan> {
        match self.shape().as_slice() {
            [rows, columns, kernel @ ..] => {
                let taps = volume(kernel);
                Some(fan(*columns as f64 * taps, *rows as f64 * taps))
            }
            _ => None,
        }
    }

    /// Fans of each phase of the outputs, in row-major order of the phases' coordinates; one entry, [`Layer::fan`],
    /// for layers whose outputs are all alike, none for a layer without fans.
    ///
    /// For a transposed convolution, phase `(a, b)` sees the taps congruent to `(a, b)` modulo the stride: with
    /// `n_a` and `n_b` of them along the axes, `input` is `channels · n_a · n_b`. Coordinates are those before padding
    /// is cropped. Phases without a tap (a kernel smaller than the stride) have zero fans and zero outputs. `output`
    /// is the number of products that one input feeds *into that phase*.
    pub fn phase_fans(&self) -> Vec<Fan> {
        match self {
            Self::TransposedConv { input, output, kernel, stride, groups } if self.check().is_ok() => {
                let phases = grid(stride);
                let fan_of = |phase: &Vec<usize>| {
                    let taps = phase_taps(phase, kernel, stride);
                    fan((input / groups) as f64 * taps, (output / groups) as f64 * taps)
                };
                phases.iter().map(fan_of).collect()
            }
            _ => self.fan().into_iter().collect(),
        }
    }

    /// Fan-in of the outputs that each tap of the kernel feeds, in row-major order of the taps: one entry per tap for
    /// a transposed convolution, a single entry where all taps feed outputs alike.
    pub(crate) fn tap_fan_inputs(&self) -> Vec<f64> {
        match self {
            Self::TransposedConv { input, kernel, stride, groups, .. } if self.check().is_ok() => {
                let fan_of = |tap: &Vec<usize>| {
                    let phase: Vec<usize> = tap.iter().zip(stride).map(|(j, s)| j % s).collect();
                    (input / groups) as f64 * phase_taps(&phase, kernel, stride)
                };
                grid(kernel).iter().map(fan_of).collect()
            }
            _ => self.fan().iter().map(|fan| fan.input).collect(),
        }
    }
}

fn fan(input: f64, output: f64) -> Fan {
    Fan { input, output }
}

fn volume(sizes: &[usize]) -> f64 {
    sizes.iter().map(|size| *size as f64).product()
}

/// Number of taps congruent to `phase` modulo the stride: `Π #{j < k : j ≡ a (mod s)}`.
fn phase_taps(phase: &[usize], kernel: &[usize], stride: &[usize]) -> f64 {
    let axes = phase.iter().zip(kernel).zip(stride);
    axes.map(|((a, k), s)| if a < k { (k - 1 - a) / s + 1 } else { 0 } as f64).product()
}

/// All coordinates below `sizes`, in row-major order.
fn grid(sizes: &[usize]) -> Vec<Vec<usize>> {
    sizes.iter().fold(vec![Vec::new()], |points, size| {
        points.iter().flat_map(|point| (0..*size).map(|x| [point.as_slice(), &[x]].concat())).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Counts of products by unit: `(channel, position)`.
    type Counts = BTreeMap<(usize, Vec<usize>), usize>;

    /// Input channels, output channels, kernel, stride, groups.
    type Case = (usize, usize, &'static [usize], &'static [usize], usize);

    /// A layer run product by product over an input of side `side`, every product noted on both of its ends.
    fn enumerate(layer: &Layer, side: usize, dilation: usize) -> (Counts, Counts) {
        let (mut outputs, mut inputs) = (Counts::new(), Counts::new());
        let (Layer::Conv { input, output, kernel, stride, groups }
        | Layer::TransposedConv { input, output, kernel, stride, groups }) = layer
        else {
            unreachable!("only convolutions have positions")
        };
        let transposed = matches!(layer, Layer::TransposedConv { .. });
        let (in_group, out_group) = (input / groups, output / groups);
        for from in grid(&vec![side; kernel.len()]) {
            for to in grid(&vec![side * if transposed { 4 } else { 1 }; kernel.len()]) {
                for tap in grid(kernel) {
                    // A convolution reads from = to · s + j · d; a transposed one writes to = from · s + j.
                    let (anchor, reached) = if transposed { (&from, &to) } else { (&to, &from) };
                    let meets =
                        (0..kernel.len()).all(|d| anchor[d] * stride[d] + tap[d] * dilation == reached[d]);
                    if !meets {
                        continue;
                    }
                    // Valid convolution: an output whose receptive field leaves the input does not exist.
                    let exists = transposed
                        || (0..kernel.len()).all(|d| to[d] * stride[d] + (kernel[d] - 1) * dilation < side);
                    if !exists {
                        continue;
                    }
                    for c in 0..*input {
                        for o in 0..*output {
                            if c / in_group == o / out_group {
                                *outputs.entry((o, to.clone())).or_default() += 1;
                                *inputs.entry((c, from.clone())).or_default() += 1;
                            }
                        }
                    }
                }
            }
        }
        (outputs, inputs)
    }

    /// Mean count over one whole period of the stride, starting at `start`, over all channels. Units that no product
    /// touches count as zero.
    fn mean_over_period(counts: &Counts, channels: usize, start: usize, period: &[usize]) -> f64 {
        let cells = grid(period);
        let mut total = 0;
        for c in 0..channels {
            for cell in &cells {
                let position: Vec<usize> = cell.iter().map(|x| start + x).collect();
                total += counts.get(&(c, position)).copied().unwrap_or(0);
            }
        }
        total as f64 / (channels * cells.len()) as f64
    }

    #[test]
    fn conv_fans_are_the_products_counted_one_by_one() {
        let cases: &[Case] = &[
            (3, 5, &[3], &[1], 1),
            (2, 4, &[5], &[2], 2),
            (3, 2, &[4], &[3], 1),
            (2, 3, &[2], &[3], 1),
            (3, 3, &[3, 3], &[1, 1], 3),
            (2, 8, &[3, 3], &[1, 1], 2), // depthwise, multiplier 4
            (4, 6, &[3, 3], &[2, 2], 2),
            (2, 3, &[3, 2], &[2, 1], 1),
            (4, 8, &[1, 1], &[1, 1], 1), // pointwise
            (2, 2, &[2, 3, 1], &[1, 2, 1], 1),
            (2, 4, &[2, 2, 2], &[2, 2, 2], 2),
        ];
        for (input, output, kernel, stride, groups) in cases.iter().copied() {
            let layer =
                Layer::Conv { input, output, kernel: kernel.to_vec(), stride: stride.to_vec(), groups };
            // Input positions from `start` on have all their outputs once start ≥ (k − 1); the far side needs as much.
            let (start, side) = if kernel.len() == 3 { (2, 7) } else { (6, 16) };
            let (outputs, inputs) = enumerate(&layer, side, 1);
            let fan = layer.fan().unwrap();
            assert!(outputs.values().all(|count| *count as f64 == fan.input), "{layer:?}");
            assert_eq!(mean_over_period(&inputs, input, start, stride), fan.output, "{layer:?}");
        }
    }

    #[test]
    fn dilation_changes_no_fan() {
        let layer = Layer::Conv { input: 2, output: 3, kernel: vec![3], stride: vec![2], groups: 1 };
        let (outputs, inputs) = enumerate(&layer, 24, 3);
        let fan = layer.fan().unwrap();
        assert!(outputs.values().all(|count| *count as f64 == fan.input));
        assert_eq!(mean_over_period(&inputs, 2, 10, &[2]), fan.output);
    }

    #[test]
    fn transposed_conv_fans_are_the_products_counted_one_by_one_in_every_phase() {
        let cases: &[Case] = &[
            (3, 2, &[3], &[2], 1),
            (4, 6, &[4], &[2], 2),
            (2, 3, &[2], &[3], 1), // a phase without taps
            (2, 3, &[5, 3], &[3, 2], 1),
            (2, 2, &[3, 3], &[2, 2], 2),
            (1, 2, &[4, 4], &[2, 2], 1),
            (1, 2, &[2, 3, 2], &[1, 2, 2], 1),
        ];
        for (input, output, kernel, stride, groups) in cases.iter().copied() {
            let layer = Layer::TransposedConv {
                input,
                output,
                kernel: kernel.to_vec(),
                stride: stride.to_vec(),
                groups,
            };
            // The window starts at a multiple of every stride here, so that its first cell is phase (0, 0, …), and far
            // enough from both ends: outputs at 6 are reached by inputs up to 6, of which there are 4 or 7.
            let (start, side) = if kernel.len() == 3 { (2, 4) } else { (6, 7) };
            let (outputs, inputs) = enumerate(&layer, side, 1);
            let fan = layer.fan().unwrap();
            assert!(inputs.values().all(|count| *count as f64 == fan.output), "{layer:?}");
            assert_eq!(mean_over_period(&outputs, output, start, stride), fan.input, "{layer:?}");
            let phases = layer.phase_fans();
            for (phase, expected) in grid(stride).iter().zip(&phases) {
                let position: Vec<usize> = phase.iter().map(|a| start + a).collect();
                for o in 0..output {
                    let counted = outputs.get(&(o, position.clone())).copied().unwrap_or(0);
                    assert_eq!(counted as f64, expected.input, "{layer:?} phase {phase:?}");
                }
            }
            // Phases share out an input's products among them, and their mean is the averaged fan.
            assert_eq!(phases.iter().map(|phase| phase.output).sum::<f64>(), fan.output);
            assert_eq!(phases.iter().map(|phase| phase.input).sum::<f64>() / phases.len() as f64, fan.input);
        }
    }

    #[test]
    fn matrix_fans_are_the_products_counted_one_by_one() {
        // y[o] = Σ_i W[o, i] x[i], gates stacked along o.
        for (layer, rows, columns) in [
            (Layer::Linear { input: 7, output: 3 }, 3, 7),
            (Layer::Transposed { input: 7, output: 3 }, 3, 7),
            (Layer::Recurrent { input: 5, hidden: 2, gates: 4 }, 8, 5),
            (Layer::Recurrent { input: 2, hidden: 2, gates: 3 }, 6, 2),
        ] {
            let (mut outputs, mut inputs) = (vec![0; rows], vec![0; columns]);
            for output in &mut outputs {
                for input in &mut inputs {
                    *output += 1;
                    *input += 1;
                }
            }
            let fan = layer.fan().unwrap();
            assert!(outputs.iter().all(|count| f64::from(*count) == fan.input));
            assert!(inputs.iter().all(|count| f64::from(*count) == fan.output));
        }
    }

    #[test]
    fn an_embedding_sums_one_product_and_feeds_its_width() {
        let (count, width, looked_up) = (11, 4, 6);
        let mut outputs = vec![0; width];
        let mut fed = 0;
        for row in 0..count {
            for output in &mut outputs {
                // The one-hot input is zero in every other row, and a lookup multiplies nothing there.
                if row == looked_up {
                    *output += 1;
                    fed += 1;
                }
            }
        }
        let fan = Layer::Embedding { count, width }.fan().unwrap();
        assert!(outputs.iter().all(|count| f64::from(*count) == fan.input));
        assert_eq!(f64::from(fed), fan.output);
    }

    #[test]
    fn a_vector_has_no_fan() {
        let vector = Layer::Vector { len: 8 };
        assert_eq!((vector.fan(), vector.shape_rule_fan()), (None, None));
        assert!(vector.phase_fans().is_empty());
    }

    #[test]
    fn the_shape_rule_is_pytorchs() {
        // torch.nn.init._calculate_fan_in_and_fan_out on weights of these shapes, worked out from its source:
        // Linear (10, 768) → (768, 10); Conv2d depthwise (64, 1, 3, 3) → (9, 576); ConvTranspose2d (16, 32, 3, 3)
        // → (288, 144), the two sides swapped; Embedding (1000, 64) → (64, 1000).
        let (kernel, stride) = (vec![3, 3], vec![2, 2]);
        let (k, s) = (kernel.clone(), stride.clone());
        let depthwise = Layer::Conv { input: 64, output: 64, kernel: k, stride: s, groups: 64 };
        let up = Layer::TransposedConv { input: 16, output: 32, kernel, stride, groups: 1 };
        for (layer, fan_in, fan_out) in [
            (Layer::Linear { input: 768, output: 10 }, 768.0, 10.0),
            (depthwise, 9.0, 576.0),
            (up, 288.0, 144.0),
            (Layer::Embedding { count: 1000, width: 64 }, 64.0, 1000.0),
        ] {
            assert_eq!(layer.shape_rule_fan(), Some(Fan { input: fan_in, output: fan_out }), "{layer:?}");
        }
    }
}
