//! Random streams addressed by seed and name.

use core::f64::consts::TAU;

use crate::philox::philox4x32_10;
use crate::siphash::siphash_2_4;

/// Second half of SipHash's key, the ASCII of `xexp-rng`: it separates these streams from any other use of the seed.
const DOMAIN: u64 = u64::from_le_bytes(*b"xexp-rng");

/// A run's seed. Every source of randomness is a stream of it with a name of its own, for instance
/// `init/classifier.weight`, `dropout/3` or `shuffle/epoch/7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// Key of the stream `name`: the low and the high word of SipHash-2-4 of the name's UTF-8 bytes, under the 128-bit
    /// key (seed, ASCII `xexp-rng`). This never changes: recorded results rest on it.
    ///
    /// Names differ in their keys but for a chance of 2⁻⁶⁴ a pair.
    ///
    /// Source: Aumasson & Bernstein 2012 (SipHash).
    pub fn key(self, name: &str) -> [u32; 2] {
        let hash = siphash_2_4(self.0, DOMAIN, name.as_bytes());
        [hash as u32, (hash >> 32) as u32]
    }

    /// The stream `name` from its beginning.
    pub fn stream(self, name: &str) -> Stream {
        Stream::new(self.key(name))
    }
}

/// A sequence of 2⁶⁴ random words in which word `i` is a function of the key and of `i` alone.
///
/// Word `i` is word `i mod 4` of Philox4x32-10 at the counter `[low, high, 0, 0]` of `i / 4`. What a draw consumes is
/// part of the contract: `u32` one word, `u64` and `uniform` two, `normal` four. The whole state is the
/// [`position`](Stream::position); nothing is held back between draws, so a run resumes exactly.
#[derive(Debug, Clone)]
pub struct Stream {
    key: [u32; 2],
    position: u64,
    /// Block that holds the words around `position`, valid unless `position` is at its start.
    block: [u32; 4],
}

impl Stream {
    /// The stream under `key`, from its beginning.
    pub fn new(key: [u32; 2]) -> Self {
        Self { key, position: 0, block: [0; 4] }
    }

    /// Number of words consumed so far.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Moves to word `position`, at the same cost from anywhere.
    pub fn seek(&mut self, position: u64) {
        self.position = position;
        self.block = self.block_at(position);
    }

    /// Word `index`, wherever the stream stands.
    pub fn at(&self, index: u64) -> u32 {
        self.block_at(index)[(index % 4) as usize]
    }

    /// The next word, uniform over all values.
    #[inline]
    pub fn u32(&mut self) -> u32 {
        let lane = (self.position % 4) as usize;
        if lane == 0 {
            self.block = self.block_at(self.position);
        }
        self.position = self.position.wrapping_add(1);
        self.block[lane]
    }

    /// The next two words, the first in the low half.
    #[inline]
    pub fn u64(&mut self) -> u64 {
        let low = u64::from(self.u32());
        low | u64::from(self.u32()) << 32
    }

    /// Uniform in `[0, 1)`, a multiple of 2⁻⁵³. Consumes two words.
    #[inline]
    pub fn uniform(&mut self) -> f64 {
        // 53 bits are what a double's significand holds: every value is exact.
        (self.u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal. Consumes four words; the largest magnitude is 8.6.
    ///
    /// The sine's share of Box and Muller's pair is not kept: a spare value would be state beside the position.
    ///
    /// Source: Box & Muller 1958, `√(−2 ln u₁) cos(2π u₂)`.
    #[inline]
    pub fn normal(&mut self) -> f64 {
        // 1 − u lies in (0, 1], where the logarithm is finite.
        let radius = (-2.0 * libm::log(1.0 - self.uniform())).sqrt();
        radius * libm::cos(TAU * self.uniform())
    }

    /// Uniform over `0..bound`, without bias. Consumes two words, rarely more. There is nothing below 0, and
    /// `below(0)` is 0.
    ///
    /// Source: Lemire 2019, "Fast random integer generation in an interval", algorithm 5.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        let mut product = u128::from(self.u64()) * u128::from(bound);
        if (product as u64) < bound {
            // The 2⁶⁴ mod bound products with the smallest low halves are one too many for some results.
            let surplus = bound.wrapping_neg() % bound;
            while (product as u64) < surplus {
                product = u128::from(self.u64()) * u128::from(bound);
            }
        }
        (product >> 64) as u64
    }

    /// Puts `items` into an order drawn uniformly from all orders.
    ///
    /// Source: Fisher & Yates 1938, in Durstenfeld's form (1964).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last as u64 + 1) as usize;
            items.swap(last, other);
        }
    }

    #[inline]
    fn block_at(&self, position: u64) -> [u32; 4] {
        let index = position / 4;
        philox4x32_10(self.key, [index as u32, (index >> 32) as u32, 0, 0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Five standard errors: one false alarm in two million tests of a fact that holds.
    const SIGMAS: f64 = 5.0;

    fn mean(values: &[f64]) -> f64 {
        values.iter().sum::<f64>() / values.len() as f64
    }

    #[test]
    fn keys_and_draws_never_change() {
        // From an independent Python implementation of SipHash, Philox and the draws, with Python's `math`. Words are
        // exact; the normals may differ from another libm's in the last place.
        let seed = Seed(42);
        let name = "init/classifier.weight";
        assert_eq!(seed.key(name), [0x8e50_0420, 0x8872_105a]);
        assert_eq!(Seed(0).key(""), [0x5cdb_2c79, 0x9623_2393]);
        assert_eq!(Seed(u64::MAX).key("dropout/é"), [0x36ac_f5bc, 0x943d_38e8]);
        let mut stream = seed.stream(name);
        let words = [0x2f10_1c47, 0xa5fa_7219, 0xe717_0a5e, 0x3c88_b7c5, 0x1bf8_01fb, 0xfb70_8cf3];
        assert_eq!(words.map(|_| stream.u32()), words);
        let mut stream = seed.stream(name);
        let uniforms = [0.6483527480586989, 0.2364611490403058, 0.9821861356285524, 0.9813593669088642];
        assert_eq!(uniforms.map(|_| stream.uniform()), uniforms);
        let mut stream = seed.stream(name);
        for expected in [0.12283927258340253, 2.818786471718533, -1.0378459709442571] {
            let found: f64 = stream.normal();
            assert!((found - expected).abs() <= 4.0 * f64::EPSILON * expected.abs(), "{found} {expected}");
        }
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        seed.stream("shuffle/epoch/0").shuffle(&mut items);
        assert_eq!(items, [0, 5, 2, 4, 3, 1, 7, 6]);
    }

    #[test]
    fn the_order_of_drawing_does_not_matter() {
        let seed = Seed(7);
        let draw = |name: &str| {
            let mut stream = seed.stream(name);
            (0..100).map(|_| stream.normal()).collect::<Vec<_>>()
        };
        let (first, second) = (draw("encoder.0.weight"), draw("encoder.1.weight"));
        assert_eq!((draw("encoder.1.weight"), draw("encoder.0.weight")), (second, first));
        // Interleaved draws from two streams are those of each stream alone.
        let (mut a, mut b) = (seed.stream("a"), seed.stream("b"));
        let interleaved: Vec<(u32, u64)> = (0..50).map(|_| (a.u32(), b.u64())).collect();
        let (mut a, mut b) = (seed.stream("a"), seed.stream("b"));
        let left: Vec<u32> = (0..50).map(|_| a.u32()).collect();
        let right: Vec<u64> = (0..50).map(|_| b.u64()).collect();
        assert_eq!(interleaved, left.into_iter().zip(right).collect::<Vec<_>>());
    }

    #[test]
    fn a_stream_continues_from_its_position() {
        let mut stream = Seed(1).stream("resume");
        stream.u32();
        let _ = (stream.normal(), stream.uniform(), stream.below(10));
        let position = stream.position();
        assert_eq!(position, 1 + 4 + 2 + 2);
        let rest: Vec<f64> = (0..20).map(|_| stream.normal()).collect();
        let mut resumed = Seed(1).stream("resume");
        resumed.seek(position);
        assert_eq!(rest, (0..20).map(|_| resumed.normal()).collect::<Vec<_>>());
    }

    #[test]
    fn any_word_can_be_read_from_anywhere() {
        let mut stream = Seed(3).stream("random access");
        let words: Vec<u32> = (0..23).map(|_| stream.u32()).collect();
        for (index, word) in words.iter().enumerate().rev() {
            assert_eq!(stream.at(index as u64), *word);
            stream.seek(index as u64);
            assert_eq!(stream.u32(), *word);
        }
        // Beyond 2³⁴ words the counter's second word counts.
        let far = 5u64 << 34;
        stream.seek(far + 3);
        assert_eq!(stream.u32(), philox4x32_10(Seed(3).key("random access"), [0, 5, 0, 0])[3]);
        stream.seek(u64::MAX);
        stream.u32();
        assert_eq!(stream.position(), 0);
    }

    #[test]
    fn uniforms_have_the_moments_of_the_uniform_distribution() {
        let mut stream = Seed(11).stream("uniform");
        let n = 200_000;
        let values: Vec<f64> = (0..n).map(|_| stream.uniform()).collect();
        assert!(values.iter().all(|u| (0.0..1.0).contains(u)));
        // Var u = 1/12; Var (u − ½)² = 1/80 − 1/144 = 1/180.
        let root = (n as f64).sqrt();
        assert!((mean(&values) - 0.5).abs() < SIGMAS * (1.0f64 / 12.0).sqrt() / root);
        let squares: Vec<f64> = values.iter().map(|u| (u - 0.5).powi(2)).collect();
        assert!((mean(&squares) - 1.0 / 12.0).abs() < SIGMAS * (1.0f64 / 180.0).sqrt() / root);
        // Largest distance from the distribution function; √n·D exceeds 2 with probability 2e⁻⁸ (Kolmogorov).
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        let distance = sorted.iter().enumerate().map(|(i, u)| (u - (i as f64 + 0.5) / n as f64).abs());
        assert!(distance.fold(0.0, f64::max) * root < 2.0);
    }

    #[test]
    fn normals_have_the_moments_and_tails_of_the_normal_distribution() {
        let mut stream = Seed(12).stream("normal");
        let n = 400_000;
        let values: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let root = (n as f64).sqrt();
        // Standard errors from the moments: Var z² = 2, Var z³ = 15, Var z⁴ = 105 − 9 = 96.
        for (power, expected, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0f64)] {
            let moments: Vec<f64> = values.iter().map(|z| z.powi(power)).collect();
            let error = (mean(&moments) - expected).abs();
            assert!(error < SIGMAS * variance.sqrt() / root, "moment {power} is off by {error}");
        }
        // P(|z| > 3) = erfc(3/√2) = 0.0026998; binomial standard error.
        let tail = values.iter().filter(|z| z.abs() > 3.0).count() as f64 / n as f64;
        let expected = 0.002_699_796;
        assert!((tail - expected).abs() < SIGMAS * (expected / n as f64).sqrt());
    }

    #[test]
    fn streams_of_different_names_or_seeds_are_uncorrelated() {
        let n = 100_000;
        let draws = |seed: u64, name: &str| {
            let mut stream = Seed(seed).stream(name);
            (0..n).map(|_| stream.normal()).collect::<Vec<_>>()
        };
        let base = draws(5, "layer.0");
        // The correlation of independent normals has standard error 1/√n.
        for other in [draws(5, "layer.1"), draws(6, "layer.0"), draws(5, "layer.0 "), draws(5, "")] {
            let products: Vec<f64> = base.iter().zip(&other).map(|(x, y)| x * y).collect();
            assert!(mean(&products).abs() < SIGMAS / (n as f64).sqrt());
        }
        // Neighbours within one stream likewise.
        let products: Vec<f64> = base.windows(2).map(|pair| pair[0] * pair[1]).collect();
        assert!(mean(&products).abs() < SIGMAS / (n as f64).sqrt());
    }

    #[test]
    fn below_hits_every_value_equally_often() {
        let mut stream = Seed(13).stream("below");
        let (n, bound) = (120_000, 12);
        let mut counts = vec![0u32; bound];
        for _ in 0..n {
            counts[stream.below(bound as u64) as usize] += 1;
        }
        // χ² with 11 degrees of freedom exceeds 44 with probability 7e⁻⁶.
        let expected = n as f64 / bound as f64;
        let chi: f64 = counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!(chi < 44.0, "{counts:?}");
        // A bound just above 2⁶³ rejects nearly half of the words; without rejection, halves would be 2 : 1.
        let bound = (1u64 << 63) + 1;
        let low = (0..20_000).filter(|_| stream.below(bound) < bound / 2).count() as f64 / 20_000.0;
        assert!((low - 0.5).abs() < SIGMAS * 0.5 / 20_000f64.sqrt());
        assert_eq!((stream.below(0), stream.below(1)), (0, 0));
    }

    #[test]
    fn shuffles_reach_every_order_equally_often() {
        let mut stream = Seed(14).stream("shuffle");
        let n = 48_000;
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..n {
            let mut items = [0, 1, 2, 3];
            stream.shuffle(&mut items);
            *counts.entry(items).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 24);
        // χ² with 23 degrees of freedom exceeds 66 with probability 6e⁻⁶.
        let expected = f64::from(n) / 24.0;
        let chi: f64 = counts.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
        assert!(chi < 66.0, "{counts:?}");
        stream.shuffle::<u8>(&mut []);
    }
}
