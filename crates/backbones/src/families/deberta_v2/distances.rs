//! The rows of distances in DeBERTa's tables.

use xexp_kernels::disentangled::Distances;

/// How distances are told apart.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Half the rows of the tables.
    pub span: usize,
    /// The largest distance that is meant.
    pub farthest: usize,
    /// Whether `span` buckets, each side, stand for the distances below `farthest`; else each has a row of its own.
    pub logarithmic: bool,
}

impl Scale {
    /// The rows of `n` tokens: query `i` and key `j` have that of `i − j`, and distances beyond the tables their ends.
    pub fn distances(&self, n: usize) -> Distances {
        let (last, span) = (n.max(1) as i64 - 1, self.span as i64);
        let row = |ahead: i64| (self.bucket(ahead) + span).clamp(0, 2 * span - 1) as u32;
        Distances { rows: (-last..=last).map(row).collect() }
    }

    /// A distance up to half the span is itself; from there on, buckets grow by a constant factor.
    /// Source: He et al. 2021 (DeBERTaV3's code, `make_log_bucket_position`), in `f32`, as transformers rounds it.
    fn bucket(&self, ahead: i64) -> i64 {
        let middle = self.span as i64 / 2;
        if !self.logarithmic || ahead.abs() <= middle {
            return ahead;
        }
        let (middle, farthest) = (middle as f32, (self.farthest - 1) as f64 / middle as f64);
        let share = (ahead.unsigned_abs() as f32 / middle).ln() / (farthest as f32).ln();
        ((share * (middle - 1.0)).ceil() + middle) as i64 * ahead.signum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// transformers' `make_log_bucket_position` of the distances from 0 on: all of 6 buckets, and of DeBERTaV3's 256 the
    /// first distance of some buckets and the sum of the buckets below 600.
    #[test]
    fn buckets_are_those_of_transformers() {
        let small = Scale { span: 6, farthest: 16, logarithmic: true };
        let first = [0, 1, 2, 3, 4, 7, 16, 34, 76, 168, 376];
        for distance in 0..600i64 {
            let expected = first.iter().rposition(|&first| first <= distance).unwrap() as i64;
            assert_eq!(
                (small.bucket(distance), small.bucket(-distance)),
                (expected, -expected),
                "{distance}"
            );
        }
        let large = Scale { span: 256, farthest: 512, logarithmic: true };
        for (distance, bucket) in [(128, 128), (131, 131), (133, 132), (512, 256), (596, 270)] {
            assert_eq!((large.bucket(distance - 1), large.bucket(distance)), (bucket - 1, bucket));
        }
        assert_eq!((0..600).map(|distance| large.bucket(distance)).sum::<i64>(), 110_448);
    }

    #[test]
    fn distances_beyond_the_tables_have_their_ends() {
        let plain = Scale { span: 2, farthest: 2, logarithmic: false };
        assert_eq!(plain.distances(4).rows, [0, 0, 1, 2, 3, 3, 3]);
        assert_eq!(plain.distances(1).rows, [2]);
    }
}
