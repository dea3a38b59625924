//! Batch normalization of columns, by the batch's statistics or by fixed ones, and its gradients.
//!
//! `y = (x − mean) / √(var + ε) · w + b` of each column, cut off to a [`Range`]. Source: Ioffe and Szegedy 2015, algorithm 1,
//! and §3 for the gradients. Shapes: `x`, `y (rows, width)`; everything else `(width)`.

use crate::Activation;
use rayon::prelude::*;

/// Rows a task takes; fixed, because the order of the sums follows from it.
const ROWS: usize = 256;
/// Columns that a pass should have at least: narrow matrices are read several rows at a time.
const COLUMNS: usize = 64;

/// Mean and variance of columns.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The means.
    pub mean: Vec<f32>,
    /// The variances, with divisor `rows`.
    pub variance: Vec<f32>,
}

impl Moments {
    /// Those of a batch, by parts that are joined in order and in double precision.
    ///
    /// Source: Chan, Golub and LeVeque 1983, eq. 2.1.
    pub fn of(x: &[f32], width: usize) -> Self {
        let parts: Vec<(usize, Vec<f32>, Vec<f32>)> = x
            .par_chunks(width * ROWS)
            .map(|x| {
                let rows = x.len() / width;
                let mut mean = column_sum(x, width, |_, v| v);
                mean.iter_mut().for_each(|v| *v /= rows as f32);
                let around = tiled(&mean);
                let squares = column_sum(x, width, |c, v| (v - around[c]) * (v - around[c]));
                (rows, mean, squares)
            })
            .collect();
        let (mut count, mut mean, mut squares) = (0.0, vec![0f64; width], vec![0f64; width]);
        for (rows, part_mean, part_squares) in parts {
            let rows = rows as f64;
            for c in 0..width {
                let apart = f64::from(part_mean[c]) - mean[c];
                mean[c] += apart * rows / (count + rows);
                squares[c] += f64::from(part_squares[c]) + apart * apart * count * rows / (count + rows);
            }
            count += rows;
        }
        let variance = squares.iter().map(|s| (s / count) as f32).collect();
        Moments { mean: mean.iter().map(|m| *m as f32).collect(), variance }
    }

    /// `w / √(var + ε)`.
    fn scale(&self, w: &[f32], eps: f32) -> Vec<f32> {
        w.iter().zip(self.root(eps)).map(|(w, r)| w * r).collect()
    }

    /// `1 / √(var + ε)`.
    fn root(&self, eps: f32) -> Vec<f32> {
        self.variance.iter().map(|v| 1.0 / (v + eps).sqrt()).collect()
    }
}

/// Where `y` is cut off: the nonlinearity that usually follows costs no pass of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The least value.
    pub low: f32,
    /// The largest one.
    pub high: f32,
}

impl Range {
    /// All numbers: `y` as it is.
    pub const ALL: Range = Range { low: f32::NEG_INFINITY, high: f32::INFINITY };

    /// The range to which a nonlinearity cuts off, if that is all that it does.
    pub fn of(activation: Activation) -> Option<Self> {
        match activation {
            Activation::Relu => Some(Range { low: 0.0, ..Range::ALL }),
            Activation::Relu6 => Some(Range { low: 0.0, high: 6.0 }),
            _ => None,
        }
    }

    /// The gradient in front of the cut at a value, from that behind it; 0 at the ends, as in PyTorch.
    #[inline(always)]
    fn slope(self, value: f32, d: f32) -> f32 {
        if value > self.low && value < self.high { d } else { 0.0 }
    }
}

/// A norm's constants in a pass.
#[derive(Clone, Copy)]
pub struct Norm<'a> {
    /// The statistics that it goes by.
    pub moments: &'a Moments,
    /// Gain of each column.
    pub w: &'a [f32],
    /// Offset of each column.
    pub b: &'a [f32],
    /// `ε`.
    pub eps: f32,
    /// Where the result is cut off.
    pub range: Range,
}

/// [`Norm`] by columns as they are read: mean, `w / √(var + ε)`, `b`.
struct Columns {
    mean: Vec<f32>,
    scale: Vec<f32>,
    b: Vec<f32>,
}

impl Columns {
    fn of(norm: &Norm<'_>) -> Self {
        let scale = norm.moments.scale(norm.w, norm.eps);
        Columns { mean: tiled(&norm.moments.mean), scale: tiled(&scale), b: tiled(norm.b) }
    }

    fn iter(&self) -> impl Iterator<Item = (f32, f32, f32)> {
        let columns = self.mean.iter().zip(&self.scale).zip(&self.b);
        columns.map(|((mean, scale), b)| (*mean, *scale, *b))
    }
}

/// Writes `y`.
pub fn forward(x: &[f32], norm: &Norm<'_>, y: &mut [f32]) {
    let width = norm.w.len();
    assert!(x.len() == y.len() && norm.moments.mean.len() == width, "batch norm: lengths");
    let (columns, Range { low, high }) = (Columns::of(norm), norm.range);
    let wide = columns.mean.len();
    y.par_chunks_mut(width * ROWS).zip(x.par_chunks(width * ROWS)).for_each(|(y, x)| {
        for (y, x) in y.chunks_mut(wide).zip(x.chunks(wide)) {
            for ((y, x), (mean, scale, b)) in y.iter_mut().zip(x).zip(columns.iter()) {
                *y = ((x - mean) * scale + b).clamp(low, high);
            }
        }
    });
}

/// What a batch's statistics are to the backward pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// They are functions of the batch.
    OfBatch,
    /// They are constants.
    Fixed,
}

/// Turns `d`, the gradient of `y`, into that of `x`, and adds to `dw` and `db` where they are wanted (both or neither).
pub fn backward(
    d: &mut [f32],
    x: &[f32],
    (norm, statistics): (&Norm<'_>, Statistics),
    params: Option<(&mut [f32], &mut [f32])>,
) {
    let width = norm.w.len();
    assert!(x.len() == d.len() && norm.moments.mean.len() == width, "batch norm: lengths");
    let (columns, range) = (Columns::of(norm), norm.range);
    let (root, wide) = (norm.moments.root(norm.eps), columns.mean.len());
    let of_batch = statistics == Statistics::OfBatch;
    let (mut sums, mut products) = (vec![0f32; width], vec![0f32; width]);
    if of_batch || params.is_some() {
        let parts: Vec<(Vec<f32>, Vec<f32>)> = d
            .par_chunks(width * ROWS)
            .zip(x.par_chunks(width * ROWS))
            .map(|(d, x)| {
                let (mut sums, mut products) = (vec![0f32; wide], vec![0f32; wide]);
                for (d, x) in d.chunks(wide).zip(x.chunks(wide)) {
                    let totals = sums.iter_mut().zip(&mut products).zip(columns.iter());
                    for ((d, x), ((sum, product), (mean, scale, b))) in d.iter().zip(x).zip(totals) {
                        let d = range.slope((x - mean) * scale + b, *d);
                        *sum += d;
                        *product += d * (x - mean);
                    }
                }
                (folded(&sums, width), folded(&products, width))
            })
            .collect();
        for (sum, product) in parts {
            crate::add(&mut sums, &sum);
            crate::add(&mut products, &product);
        }
        products.iter_mut().zip(&root).for_each(|(p, r)| *p *= r);
    }
    if let Some((dw, db)) = params {
        crate::add(dw, &products);
        crate::add(db, &sums);
    }
    let share = if of_batch { width as f32 / x.len() as f32 } else { 0.0 };
    // dx = scale · (dy − mean(dy) − x̂ · mean(dy · x̂)), the last two of which are 0 for fixed statistics.
    let constant: Vec<f32> = sums.iter().map(|s| s * share).collect();
    let linear: Vec<f32> = products.iter().zip(&root).map(|(p, r)| p * r * share).collect();
    let (constant, linear) = (tiled(&constant), tiled(&linear));
    d.par_chunks_mut(width * ROWS).zip(x.par_chunks(width * ROWS)).for_each(|(d, x)| {
        for (d, x) in d.chunks_mut(wide).zip(x.chunks(wide)) {
            let columns = columns.iter().zip(constant.iter().zip(&linear));
            for ((d, x), ((mean, scale, b), (constant, linear))) in d.iter_mut().zip(x).zip(columns) {
                let inner = range.slope((x - mean) * scale + b, *d);
                *d = scale * (inner - constant - (x - mean) * linear);
            }
        }
    });
}

/// Sums over the rows of `f(column of `[`tiled`]`, value)`.
#[inline(always)]
fn column_sum(x: &[f32], width: usize, f: impl Fn(usize, f32) -> f32) -> Vec<f32> {
    let wide = width * repeats(width);
    let mut sums = vec![0f32; wide];
    for row in x.chunks(wide) {
        sums.iter_mut().zip(row).enumerate().for_each(|(c, (sum, v))| *sum += f(c, *v));
    }
    folded(&sums, width)
}

fn repeats(width: usize) -> usize {
    (COLUMNS / width.max(1)).max(1)
}

/// Values of columns, repeated for the rows that are read at a time.
fn tiled(columns: &[f32]) -> Vec<f32> {
    columns.repeat(repeats(columns.len()))
}

/// Sums of columns from those of the rows that were read at a time.
fn folded(sums: &[f32], width: usize) -> Vec<f32> {
    let mut folded = vec![0f32; width];
    sums.chunks(width).for_each(|row| folded.iter_mut().zip(row).for_each(|(s, v)| *s += v));
    folded
}
