//! The stream between blocks: its size, how alike its tokens are, and which channels stick out.

use xexp_kernels::sum_of_squares;

/// Rows of a sequence that are compared with each other.
const ROWS: usize = 96;

/// What was seen of the stream at a place.
pub struct Stream {
    /// The place's name.
    pub place: String,
    /// The block behind which it is; none behind the stem and between stages.
    pub layer: Option<usize>,
    /// Width of a token.
    pub width: usize,
    /// Tokens.
    pub tokens: usize,
    /// Sums of squares by channel.
    channels: Vec<f64>,
    fourth: f64,
    /// Largest magnitude.
    pub max: f64,
    special: (f64, usize),
    cosine: (f64, f64),
    centred: (f64, f64),
    rank: (f64, f64),
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Mean cosine of two different rows, from the square of the sum of unit vectors; `None` for fewer than two.
fn cosine(rows: &[Vec<f64>]) -> Option<f64> {
    let n = rows.len() as f64;
    let mut sum = vec![0.0; rows.first()?.len()];
    let mut units = 0.0;
    for row in rows {
        let norm = dot(row, row).sqrt();
        if norm > 0.0 {
            sum.iter_mut().zip(row).for_each(|(s, v)| *s += v / norm);
            units += 1.0;
        }
    }
    (rows.len() > 1).then(|| (dot(&sum, &sum) - units) / (n * (n - 1.0)))
}

/// `(tr G)²/tr G²` of the rows' products `G`: how many directions they have. Source: participation ratio.
fn rank(rows: &[Vec<f64>]) -> f64 {
    let (mut trace, mut squares) = (0.0, 0.0);
    for (i, a) in rows.iter().enumerate() {
        let own = dot(a, a);
        trace += own;
        squares += own * own + 2.0 * rows[..i].iter().map(|b| dot(a, b).powi(2)).sum::<f64>();
    }
    if squares > 0.0 { trace * trace / squares } else { 0.0 }
}

impl Stream {
    pub(super) fn new(place: &str, layer: Option<usize>, width: usize) -> Self {
        Stream {
            place: place.to_string(),
            layer,
            width,
            tokens: 0,
            channels: vec![0.0; width],
            fourth: 0.0,
            max: 0.0,
            special: (0.0, 0),
            cosine: (0.0, 0.0),
            centred: (0.0, 0.0),
            rank: (0.0, 0.0),
        }
    }

    /// Adds a batch. Between stages an image has other rows than tokens; they are dealt out evenly.
    pub(super) fn add(&mut self, values: &[f32], offsets: &[usize], special: &[bool]) {
        let width = self.width;
        let count = values.len() / width;
        let as_tokens = offsets.last() == Some(&count);
        let images = offsets.len() - 1;
        let ends: Vec<usize> = if as_tokens {
            offsets.to_vec()
        } else {
            (0..=images).map(|i| i * count / images.max(1)).collect()
        };
        let mut mean = vec![0.0; width];
        for row in values.chunks_exact(width) {
            for ((sum, mean), v) in self.channels.iter_mut().zip(&mut mean).zip(row) {
                let v = f64::from(*v);
                *sum += v * v;
                *mean += v / count as f64;
                self.fourth += v.powi(4);
                self.max = if v.is_nan() { f64::NAN } else { self.max.max(v.abs()) };
            }
        }
        if as_tokens {
            for (row, _) in values.chunks_exact(width).zip(special).filter(|(_, special)| **special) {
                self.special.0 += sum_of_squares(row);
                self.special.1 += row.len();
            }
        }
        self.tokens += count;
        for range in ends.windows(2) {
            let step = (range[1] - range[0]).div_ceil(ROWS).max(1);
            let wide = |row: usize| -> Vec<f64> {
                values[row * width..(row + 1) * width].iter().map(|v| f64::from(*v)).collect()
            };
            let rows: Vec<Vec<f64>> = (range[0]..range[1]).step_by(step).map(wide).collect();
            let weight = rows.len() as f64;
            if let Some(cosine) = cosine(&rows) {
                self.cosine = (self.cosine.0 + weight * cosine, self.cosine.1 + weight);
                self.rank = (self.rank.0 + weight * rank(&rows), self.rank.1 + weight);
            }
            let less = |mut row: Vec<f64>| {
                row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m);
                row
            };
            let rows: Vec<Vec<f64>> = rows.into_iter().map(less).collect();
            if let Some(cosine) = cosine(&rows) {
                self.centred = (self.centred.0 + weight * cosine, self.centred.1 + weight);
            }
        }
    }

    fn count(&self) -> f64 {
        (self.tokens * self.width).max(1) as f64
    }

    /// `E[x²]`.
    pub fn second_moment(&self) -> f64 {
        self.channels.iter().sum::<f64>() / self.count()
    }

    /// `√E[x²]` of special tokens.
    pub fn special(&self) -> f64 {
        (self.special.0 / self.special.1 as f64).sqrt()
    }

    /// Mean cosine of two tokens of a sequence: as they are, and with the mean of all taken off.
    pub fn cosines(&self) -> (f64, f64) {
        (self.cosine.0 / self.cosine.1, self.centred.0 / self.centred.1)
    }

    /// Directions that a sequence's tokens have, `(tr G)²/tr G²`.
    pub fn rank(&self) -> f64 {
        self.rank.0 / self.rank.1
    }

    /// `E[x⁴]/E[x²]²`, 3 for normal values.
    pub fn fourth(&self) -> f64 {
        let square = self.second_moment();
        self.fourth / self.count() / (square * square)
    }

    /// Root mean square of each channel over the median one.
    pub fn channels(&self) -> Vec<f64> {
        let sizes: Vec<f64> =
            self.channels.iter().map(|sum| (sum / self.tokens.max(1) as f64).sqrt()).collect();
        let mut sorted = sizes.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted[sorted.len() / 2].max(f64::MIN_POSITIVE);
        sizes.into_iter().map(|size| size / middle).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_hand() {
        // Two sequences: tokens at right angles of lengths 1 and 2, and one alone.
        let mut stream = Stream::new("x", None, 2);
        stream.add(&[1.0, 0.0, 0.0, 2.0, 3.0, 0.0], &[0, 2, 3], &[true, false, false]);
        assert!((stream.second_moment() - 14.0 / 6.0).abs() < 1e-12);
        assert_eq!(stream.cosines().0, 0.0);
        // (1 + 4)²/(1 + 16).
        assert!((stream.rank() - 25.0 / 17.0).abs() < 1e-12);
        assert!((stream.special() - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(stream.max, 3.0);
        // Channels √(10/3) and √(4/3), of which the larger is the upper median.
        assert!((stream.channels()[1] - 0.4f64.sqrt()).abs() < 1e-12);
        assert!((stream.fourth() - (1.0 + 16.0 + 81.0) / 6.0 / (14.0f64 / 6.0).powi(2)).abs() < 1e-12);
    }
}
