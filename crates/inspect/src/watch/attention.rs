//! Attention: logits within rows, entropy against the keys that are visible, and where the weight goes.

use std::collections::BTreeMap;

use rayon::prelude::*;
use xexp_backbones::Attended;
use xexp_experiments::catalogue::entropy_law::RowLaw;

use crate::sheet::Reading;

/// Numbers of keys at which the law of the entropy is evaluated; between them it is taken from the nearest.
const COUNTS: usize = 8;
/// Variances below which a row's entropy is `ln n − σ²/2`: the next term is of order σ⁶.
const SMALL: f64 = 0.05;

/// What was seen of an attention.
pub struct Attention {
    /// Its name.
    pub place: String,
    /// The block.
    pub block: usize,
    /// Its heads.
    pub heads: Vec<Head>,
    /// Rows by the number of keys that they see, two and more.
    rows: BTreeMap<usize, usize>,
    plain: bool,
}

/// What was seen of a head; sums over its rows of two keys and more.
#[derive(Clone, Default)]
pub struct Head {
    rows: f64,
    variance: f64,
    content: f64,
    /// Largest magnitude of a logit.
    pub max: f64,
    entropy: f64,
    heat: f64,
    first: (f64, f64),
    special: (f64, f64),
    independent: f64,
    /// `independent/(2 ln n)`, row by row, and the same of what terms of places add.
    independent_heat: f64,
    terms_heat: f64,
    queries: Vec<f64>,
    /// Anisotropy of the keys, sequence by sequence, and the weights of these.
    keys: (f64, f64),
    pooled: Vec<f64>,
}

/// `Σ vvᵀ` of rows, `(width, width)`, with `minus` taken off each.
fn add_products(sum: &mut [f64], row: &[f32], minus: &[f64]) {
    let wide: Vec<f64> = row.iter().zip(minus).map(|(v, m)| f64::from(*v) - m).collect();
    for (line, a) in sum.chunks_exact_mut(wide.len().max(1)).zip(&wide) {
        line.iter_mut().zip(&wide).for_each(|(s, b)| *s += a * b);
    }
}

/// `tr G°²/(tr G)²`, with `G°` the part without trace.
fn anisotropy(gram: &[f64], width: usize) -> f64 {
    let trace: f64 = gram.iter().step_by(width + 1).sum();
    let squares: f64 = gram.iter().map(|g| g * g).sum();
    if trace > 0.0 { (squares / (trace * trace) - 1.0 / width as f64).max(0.0) } else { 0.0 }
}

impl Attention {
    pub(super) fn new(place: &str, block: usize, seen: &Attended<'_>) -> Self {
        let size = seen.law.head_width * seen.law.head_width;
        let head = Head { queries: vec![0.0; size], pooled: vec![0.0; size], ..Head::default() };
        Attention {
            place: place.to_string(),
            block,
            heads: vec![head; seen.law.heads],
            rows: BTreeMap::new(),
            plain: seen.plain,
        }
    }

    pub(super) fn add(&mut self, seen: &Attended<'_>, special: &[bool]) {
        // Windows are sequences of their own, whose places are not those of tokens.
        let special = if seen.offsets.last() == Some(&special.len()) { special } else { &[] };
        self.heads.par_iter_mut().enumerate().for_each(|(h, head)| head.add(seen, special, h));
        for s in 0..seen.offsets.len() - 1 {
            (seen.rows)((s, 0), &mut |row| {
                if row.keys.len() > 1 {
                    *self.rows.entry(row.keys.len()).or_default() += 1;
                }
            });
        }
    }

    /// The mean over rows of `H/ln n`, for logits whose variance within a row is `variance` in the mean.
    ///
    /// Source: the exact law of a row of independent normal logits, [`RowLaw`].
    fn entropy(&self, variance: f64) -> f64 {
        let rows: usize = self.rows.values().sum();
        let law = |n: usize| {
            let count = n as f64;
            RowLaw::new(n, variance / (1.0 - 1.0 / count)).entropy / count.ln()
        };
        let step = self.rows.len().div_ceil(COUNTS).max(1);
        let mut sum = 0.0;
        let counts: Vec<(&usize, &usize)> = self.rows.iter().collect();
        for part in counts.chunks(step) {
            let share: usize = part.iter().map(|(_, rows)| **rows).sum();
            sum += law(*part[part.len() / 2].0) * share as f64;
        }
        sum / rows.max(1) as f64
    }

    /// Variance of the logits within rows, and the mean of `H/ln n`, of a head.
    ///
    /// New queries and keys are independent: then a logit's variance within a row is `scale²·E|q|²·E|k − k̄|²/d_k`, here for
    /// the queries and keys that were seen, times `renewed`, the ratio of the squares of new standard deviations to the
    /// present ones. Over random relative turns of queries and keys it spreads by
    /// `d_k·√(2·a_q·a_k/((d_k − 1)(d_k + 2)))` of it, with `a` the share of `tr G²` in `(tr G)²` beyond an even one. Where
    /// places turn queries and keys, each row has a turn of its own, and is counted as one direction.
    pub fn expected(&self, h: usize, renewed: Option<f64>, turned: bool) -> (Reading, Reading) {
        let head = &self.heads[h];
        let (rows, width) = (head.rows.max(1.0), head.queries.len().isqrt());
        let (variance, entropy) = (head.variance / rows, head.entropy / rows);
        let Some(renewed) = renewed.filter(|_| self.plain && width > 1 && head.rows > 0.0) else {
            return (Reading::of(variance), Reading::of(entropy));
        };
        let k = width as f64;
        let spread = if turned {
            (1.0 - 1.0 / k) * head.keys.0 / head.keys.1.max(f64::MIN_POSITIVE)
        } else {
            anisotropy(&head.queries, width) * anisotropy(&head.pooled, width)
        };
        let spread = k * (2.0 * spread / ((k - 1.0) * (k + 2.0))).sqrt();
        let content = head.independent / rows * renewed;
        // Terms of places are added as they are.
        let terms = ((head.variance - head.content) / rows).max(0.0);
        // The entropy of a row of small variance falls by σ²/(2 ln n) from its largest; what is beyond that the law says of
        // the mean row.
        let heat = (head.independent_heat * renewed + head.terms_heat.max(0.0)) / rows;
        let law = if content + terms < SMALL { 1.0 - heat } else { self.entropy(content + terms) };
        let variance = Reading::of_squares(variance - terms, content, spread);
        (
            Reading { value: variance.value + terms, expected: Some(content + terms), ..variance },
            Reading::beside(entropy, law),
        )
    }
}

impl Head {
    fn add(&mut self, seen: &Attended<'_>, special: &[bool], h: usize) {
        let (law, packed) = (seen.law, seen.law.packed());
        let width = law.head_width;
        let served = law.heads + h / (law.heads / law.kv_heads);
        let part = |row: usize, head: usize| &seen.qkv[row * packed + head * width..][..width];
        for s in 0..seen.offsets.len() - 1 {
            let (start, n) = (seen.offsets[s], seen.offsets[s + 1] - seen.offsets[s]);
            // The keys' scatter around their mean, for rows that see all of them.
            let mut whole: Option<(f64, Vec<f64>)> = None;
            let scatter = |keys: &[usize]| {
                let (mut sum, mut squares) = (vec![0.0; width], 0.0);
                for &key in keys {
                    for (sum, v) in sum.iter_mut().zip(part(start + key, served)) {
                        let v = f64::from(*v);
                        *sum += v;
                        squares += v * v;
                    }
                }
                let count = keys.len() as f64;
                sum.iter_mut().for_each(|s| *s /= count);
                (squares / count - sum.iter().map(|s| s * s).sum::<f64>(), sum)
            };
            (seen.rows)((s, h), &mut |row| {
                let count = row.keys.len();
                if count < 2 {
                    return;
                }
                let around = if count == n {
                    whole.get_or_insert_with(|| scatter(row.keys)).0
                } else {
                    scatter(row.keys).0
                };
                let query = part(start + row.query, h);
                let size = query.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>();
                let independent = f64::from(law.scale).powi(2) * size * around / width as f64;
                self.independent += independent;
                self.independent_heat += independent / (2.0 * (count as f64).ln());
                add_products(&mut self.queries, query, &vec![0.0; width]);
                self.row(row.logits, row.content, row.keys, (start, row.query), special);
            });
            let all: Vec<usize> = (0..n).collect();
            let (_, mean) = whole.unwrap_or_else(|| scatter(&all));
            let mut gram = vec![0.0; width * width];
            (start..start + n).for_each(|row| add_products(&mut gram, part(row, served), &mean));
            let trace: f64 = gram.iter().step_by(width + 1).sum();
            self.keys = (self.keys.0 + trace * anisotropy(&gram, width), self.keys.1 + trace);
            self.pooled.iter_mut().zip(&gram).for_each(|(sum, g)| *sum += g);
        }
    }

    fn row(
        &mut self,
        logits: &[f32],
        content: &[f32],
        keys: &[usize],
        (start, query): (usize, usize),
        special: &[bool],
    ) {
        let n = logits.len() as f64;
        let variance = |row: &[f32]| {
            let mean = row.iter().map(|z| f64::from(*z)).sum::<f64>() / n;
            row.iter().map(|z| (f64::from(*z) - mean).powi(2)).sum::<f64>() / n
        };
        let top = logits.iter().fold(f64::NEG_INFINITY, |top, z| top.max(f64::from(*z)));
        let weights: Vec<f64> = logits.iter().map(|z| (f64::from(*z) - top).exp()).collect();
        let total: f64 = weights.iter().sum();
        let entropy = total.ln()
            - logits.iter().zip(&weights).map(|(z, w)| (f64::from(*z) - top) * w).sum::<f64>() / total;
        let own = variance(logits);
        self.rows += 1.0;
        self.variance += own;
        let plain = variance(content);
        self.content += plain;
        self.terms_heat += (own - plain) / (2.0 * n.ln());
        self.max = logits.iter().fold(self.max, |max, z| max.max(f64::from(z.abs())));
        self.entropy += entropy / n.ln();
        self.heat += own / (2.0 * n.ln());
        if keys[0] == 0 {
            self.first = (self.first.0 + weights[0] / total, self.first.1 + 1.0);
        }
        let is_special = |place: usize| special.get(start + place).copied().unwrap_or(false);
        if !special.is_empty() && !is_special(query) {
            let share =
                keys.iter().zip(&weights).filter(|(key, _)| is_special(**key)).map(|(_, w)| w).sum::<f64>();
            self.special = (self.special.0 + share / total, self.special.1 + 1.0);
        }
    }

    /// The mean over rows of `σ²/(2 ln n)`: below a half the softmax is liquid, above 1 frozen on few keys.
    pub fn heat(&self) -> f64 {
        self.heat / self.rows
    }

    /// The mean share of the weight on a sequence's first token.
    pub fn first(&self) -> f64 {
        self.first.0 / self.first.1
    }

    /// The mean share of the weight that ordinary tokens give to special ones.
    pub fn special(&self) -> f64 {
        self.special.0 / self.special.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;
    use xexp_kernels::attention::{Attention as Law, Mask, Queries};

    /// One draw of independent queries and keys: what is seen of it.
    fn drawn(draw: u64, mask: Mask) -> Attention {
        let law = Law { heads: 1, kv_heads: 1, head_width: 8, scale: 0.35, mask, queries: Queries::All };
        let offsets = [0, 6, 10];
        let mut stream = Seed(draw).stream("logits");
        let qkv: Vec<f32> = (0..10 * law.packed()).map(|_| 0.4 * stream.normal() as f32).collect();
        let rows: &xexp_backbones::Rows<'_> = &|of, visit| law.rows(&qkv, &offsets, None, of, visit);
        let seen = Attended { place: "a", law, qkv: &qkv, offsets: &offsets, plain: true, rows };
        let mut attention = Attention::new("a", 0, &seen);
        attention.add(&seen, &[false; 10]);
        attention
    }

    #[test]
    fn independent_queries_and_keys_have_the_expected_rows() {
        for mask in [Mask::Full, Mask::Causal] {
            let (mut ratio, mut entropy, draws) = (0.0, 0.0, 400);
            for draw in 0..draws {
                let (variance, seen) = drawn(draw, mask).expected(0, Some(1.0), false);
                ratio += variance.ratio().unwrap() / draws as f64;
                entropy += (seen.value - seen.expected.unwrap()) / draws as f64;
            }
            // A draw's ratio spreads by about a quarter, its entropy by 1e-3.
            assert!((ratio - 1.0).abs() < 0.06, "{mask:?}: {ratio}");
            assert!(entropy.abs() < 3e-4, "{mask:?}: {entropy}");
        }
    }

    #[test]
    fn a_head_that_sees_one_key_alone_has_collapsed() {
        let law =
            Law { heads: 1, kv_heads: 1, head_width: 2, scale: 1.0, mask: Mask::Full, queries: Queries::All };
        // The first key is far along all queries.
        let qkv = [1.0, 0.0, 50.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let offsets = [0, 3];
        let rows: &xexp_backbones::Rows<'_> = &|of, visit| law.rows(&qkv, &offsets, None, of, visit);
        let seen = Attended { place: "a", law, qkv: &qkv, offsets: &offsets, plain: true, rows };
        let mut attention = Attention::new("a", 0, &seen);
        attention.add(&seen, &[true, false, false]);
        let head = &attention.heads[0];
        assert!((head.first() - 1.0).abs() < 1e-9 && (head.special() - 1.0).abs() < 1e-9);
        // Logits 50, 0, 0: a variance of 50²·2/9.
        assert!((head.heat() - 2500.0 * 2.0 / 9.0 / (2.0 * 3f64.ln())).abs() < 1e-9);
        assert_eq!(head.max, 50.0);
        assert!(attention.expected(0, None, false).1.value < 1e-6);
    }
}
