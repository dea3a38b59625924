//! Position tables of images of another size: resampled as transformers resamples them.

/// How the positions of a square of patches become those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resampling {
    /// The two neighbours, by their nearness.
    Bilinear,
    /// Cubic convolution of four neighbours. Source: Keys 1981, eq. 8 with a = −3/4, as in PyTorch's `interpolate`.
    Bicubic,
    /// The same with a = −1/2, and the kernel as wide as the step where there are fewer positions than before: PyTorch's
    /// `antialias`.
    Smooth,
}

/// What a weight's table of positions is: a square of patches, row by row, and in front of it and behind it some positions
/// that belong to no patch.
#[derive(Clone, Copy, Debug)]
pub struct PositionTable {
    /// Positions in front of the patches'.
    pub front: usize,
    /// Positions behind them.
    pub behind: usize,
    /// How the patches' are resampled.
    pub resampling: Resampling,
}

impl PositionTable {
    /// The sides of the two squares, where a table `(positions, width)` or `(1, positions, width)` of one shape can become
    /// one of the other.
    pub(crate) fn sides(self, from: &[usize], to: &[usize]) -> Option<(usize, usize)> {
        let side = |shape: &[usize]| {
            let (&[positions, _] | &[1, positions, _]) = shape else { return None };
            let patches = positions.checked_sub(self.front + self.behind)?;
            let side = patches.isqrt();
            (side > 0 && side * side == patches).then_some(side)
        };
        (from.len() == to.len() && from.last() == to.last()).then_some((side(from)?, side(to)?))
    }

    /// A table whose patches are `to · to` from one whose patches are `from · from`.
    pub(crate) fn resample(self, table: &[f32], from: usize, to: usize) -> Vec<f32> {
        let width = table.len() / (self.front + from * from + self.behind);
        let (front, patches) = table.split_at(self.front * width);
        let (patches, behind) = patches.split_at(from * from * width);
        let taps: Vec<_> = (0..to).map(|at| self.resampling.taps(from, to, at)).collect();
        let mut resampled = front.to_vec();
        for row in &taps {
            for column in &taps {
                let mut sum = vec![0f64; width];
                for &(r, across) in row {
                    for &(c, along) in column {
                        let patch = &patches[(r * from + c) * width..][..width];
                        sum.iter_mut().zip(patch).for_each(|(s, v)| *s += across * along * f64::from(*v));
                    }
                }
                resampled.extend(sum.iter().map(|s| *s as f32));
            }
        }
        resampled.extend(behind);
        resampled
    }
}

impl Resampling {
    /// Which of `from` places along an edge make up place `at` of `to`, and with which weights, whose sum is 1.
    fn taps(self, from: usize, to: usize, at: usize) -> Vec<(usize, f64)> {
        let step = from as f64 / to as f64;
        // Places are the middles of equal parts of the edge: `align_corners=False`.
        let middle = step * (at as f64 + 0.5);
        match self {
            Resampling::Bilinear => {
                let place = (middle - 0.5).max(0.0);
                let left = place.floor();
                // Beyond the edge stands what is at the edge.
                let right = (left + 1.0).min((from - 1) as f64);
                vec![(left as usize, left + 1.0 - place), (right as usize, place - left)]
            }
            Resampling::Bicubic => {
                let left = (middle - 0.5).floor();
                let tap = |offset: i32| {
                    let place = (left + f64::from(offset)).clamp(0.0, (from - 1) as f64);
                    (place as usize, cubic(middle - 0.5 - left - f64::from(offset), -0.75))
                };
                (-1..=2).map(tap).collect()
            }
            Resampling::Smooth => {
                let wide = step.max(1.0);
                let first = (middle - 2.0 * wide + 0.5).max(0.0) as usize;
                let end = ((middle + 2.0 * wide + 0.5) as usize).min(from);
                let tap = |place: usize| (place, cubic((place as f64 + 0.5 - middle) / wide, -0.5));
                let taps: Vec<_> = (first..end).map(tap).collect();
                // Beyond the edge stands nothing.
                let sum: f64 = taps.iter().map(|(_, weight)| weight).sum();
                taps.into_iter().map(|(place, weight)| (place, weight / sum)).collect()
            }
        }
    }
}

/// The kernel of cubic convolution. Source: Keys 1981, eq. 8, with `a` as a parameter.
fn cubic(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.nn.functional.interpolate(table, size, mode=…, align_corners=False, antialias=…)` of PyTorch 2 on
    /// the table `sin(0.7 i + 0.3)`, `i` counting its places row by row.
    const TORCH: [(Resampling, usize, usize, &[f32]); 8] = [
        (
            Resampling::Bilinear,
            3,
            5,
            &[
                0.2955202, 0.5139005, 0.841471, 0.9315873, 0.9916648, 0.4474974, 0.4771044, 0.5215148,
                0.4187593, 0.3502556, 0.6754632, 0.4219102, 0.0415807, -0.3504826, -0.6118579, -0.316333,
                -0.3951761, -0.5134407, -0.4868177, -0.4690691, -0.9775301, -0.9398999, -0.8834547,
                -0.5777078, -0.3738767,
            ],
        ),
        (
            Resampling::Bilinear,
            5,
            3,
            &[
                0.073753, 0.366625, 0.1962728, 0.8967438, 0.6629692, -0.4084552, 0.2678151, -0.114101,
                -0.3518526,
            ],
        ),
        (
            Resampling::Bicubic,
            3,
            5,
            &[
                0.1957612, 0.4984526, 0.9182605, 1.1048576, 1.1674281, 0.5585202, 0.5934944, 0.5977156,
                0.4501347, 0.3288092, 0.736316, 0.476564, 0.0415807, -0.4039632, -0.6745881, -0.2825744,
                -0.4148948, -0.582133, -0.6015267, -0.5816221, -1.1519579, -1.1173295, -0.9722582,
                -0.5802619, -0.2913928,
            ],
        ),
        (
            Resampling::Bicubic,
            5,
            3,
            &[
                -0.0073358, 0.315437, 0.224469, 0.912304, 0.6629692, -0.4559447, 0.2156532, -0.1640531,
                -0.3285803,
            ],
        ),
        (Resampling::Bicubic, 7, 2, &[-0.5193518, 0.9730696, 0.8094992, -0.1809983]),
        (
            Resampling::Smooth,
            3,
            5,
            &[
                0.2189212, 0.4801265, 0.90184, 1.0671647, 1.1285981, 0.4952865, 0.5459372, 0.6023319,
                0.4874865, 0.4047112, 0.7233033, 0.4823897, 0.0415807, -0.4110496, -0.661174, -0.3645796,
                -0.4587655, -0.5948181, -0.5617666, -0.5241908, -1.1135306, -1.0767648, -0.9532686,
                -0.5587626, -0.3108326,
            ],
        ),
        (
            Resampling::Smooth,
            5,
            3,
            &[
                -0.0107341, 0.1859583, 0.1747324, 0.0596418, 0.0398784, -0.0244726, 0.1078043, -0.121054,
                -0.214563,
            ],
        ),
        (Resampling::Smooth, 7, 2, &[-0.0468246, 0.1395338, 0.1198096, 0.0034088]),
    ];

    #[test]
    fn resampled_tables_are_those_of_pytorch() {
        for (resampling, from, to, expected) in TORCH {
            let table = PositionTable { front: 1, behind: 1, resampling };
            // Two columns: the table, and its negative.
            let rows = (0..from * from).map(|i| (0.7 * i as f64 + 0.3).sin() as f32).flat_map(|v| [v, -v]);
            let values: Vec<f32> = [9.0, 8.0].into_iter().chain(rows).chain([7.0, 6.0]).collect();
            let found = table.resample(&values, from, to);
            let end = 2 + 2 * to * to;
            assert_eq!((&found[..2], &found[end..]), (&[9.0, 8.0][..], &[7.0, 6.0][..]));
            for (pair, expected) in found[2..end].chunks_exact(2).zip(expected) {
                // PyTorch adds in single precision.
                assert!((pair[0] - expected).abs() < 1e-5, "{resampling:?} {from} {to}: {pair:?} {expected}");
                assert_eq!(pair[1], -pair[0]);
            }
        }
    }

    #[test]
    fn only_squares_of_the_same_width_are_resampled() {
        let table = PositionTable { front: 2, behind: 0, resampling: Resampling::Bicubic };
        assert_eq!(table.sides(&[1, 11, 8], &[1, 18, 8]), Some((3, 4)));
        for (from, to) in [
            ([1, 11, 8], [1, 18, 6]),
            ([1, 10, 8], [1, 18, 8]),
            ([1, 11, 8], [1, 2, 8]),
            ([2, 11, 8], [1, 18, 8]),
        ] {
            assert_eq!(table.sides(&from, &to), None, "{from:?} {to:?}");
        }
        assert_eq!(table.sides(&[11, 8], &[18, 8]), Some((3, 4)));
        assert_eq!(table.sides(&[11, 8], &[1, 18, 8]), None);
    }
}
