//! Layer normalization and its gradients.
//!
//! `y = (x − mean) / √(var + ε) · w + b` over the last dimension, `var` with divisor `width`.
//! Source: Ba, Kiros and Hinton 2016, eq. 4. Shapes: `x`, `y (rows, width)`; `w`, `b (width)`;
//! `stats (rows, 2)` holds each row's mean and `1/√(var + ε)`.

use crate::reduce::lane_sum;
use crate::wide::widest;
use rayon::prelude::*;

/// Rows a task takes; fixed, because the order of the parameter gradients' sums follows from it.
const ROWS: usize = 64;

/// Writes `y` and `stats`.
pub fn forward(x: &[f32], w: &[f32], b: &[f32], eps: f32, y: &mut [f32], stats: &mut [f32]) {
    let width = w.len();
    assert!(x.len() == y.len() && stats.len() * width == 2 * x.len(), "layer norm: lengths");
    let rows =
        x.par_chunks(width * ROWS).zip(y.par_chunks_mut(width * ROWS)).zip(stats.par_chunks_mut(2 * ROWS));
    rows.for_each(|((x, y), stats)| some_rows(x, y, stats, (w, b), eps));
}

widest! {
    /// Some rows of [`forward`].
    fn some_rows(x: &[f32], y: &mut [f32], stats: &mut [f32], params: (&[f32], &[f32]), eps: f32) = normalized;
    /// Some rows of [`backward`]; `part` holds the sums for `dw` and `db`, or is empty.
    fn some_gradients(dx: &mut [f32], dy: &[f32], x: &[f32], stats: &[f32], w: &[f32], part: &mut [f32]) = slopes;
}

#[inline(always)]
fn normalized(x: &[f32], y: &mut [f32], stats: &mut [f32], (w, b): (&[f32], &[f32]), eps: f32) {
    let width = w.len();
    let (x, y) = (x.chunks_exact(width), y.chunks_exact_mut(width));
    for ((x, y), stats) in x.zip(y).zip(stats.chunks_exact_mut(2)) {
        let mean = lane_sum(x, |_, v| v) / width as f32;
        let var = lane_sum(x, |_, v| (v - mean) * (v - mean)) / width as f32;
        let rstd = 1.0 / (var + eps).sqrt();
        stats.copy_from_slice(&[mean, rstd]);
        for (y, ((x, w), b)) in y.iter_mut().zip(x.iter().zip(w).zip(b)) {
            *y = (x - mean) * rstd * w + b;
        }
    }
}

#[inline(always)]
fn slopes(dx: &mut [f32], dy: &[f32], x: &[f32], stats: &[f32], w: &[f32], part: &mut [f32]) {
    let width = w.len();
    let (dw, db) = part.split_at_mut(part.len() / 2);
    let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width));
    for (((dx, dy), x), stats) in rows.zip(stats.chunks_exact(2)) {
        let (mean, rstd) = (stats[0], stats[1]);
        let c1 = lane_sum(dy, |j, g| g * w[j]) / width as f32;
        let c2 = lane_sum(dy, |j, g| g * w[j] * (x[j] - mean) * rstd) / width as f32;
        for (dx, ((dy, x), w)) in dx.iter_mut().zip(dy.iter().zip(x).zip(w)) {
            *dx = (dy * w - c1 - (x - mean) * rstd * c2) * rstd;
        }
        // Nothing where the sums are not wanted.
        for ((dw, db), (dy, x)) in dw.iter_mut().zip(db.iter_mut()).zip(dy.iter().zip(x)) {
            *dw += dy * (x - mean) * rstd;
            *db += dy;
        }
    }
}

/// Writes `dx`, and adds to `dw` and `db` where they are wanted (both or neither).
pub fn backward(
    dy: &[f32],
    x: &[f32],
    w: &[f32],
    stats: &[f32],
    dx: &mut [f32],
    params: Option<(&mut [f32], &mut [f32])>,
) {
    let width = w.len();
    assert!(
        x.len() == dy.len() && x.len() == dx.len() && stats.len() * width == 2 * x.len(),
        "layer norm: lengths"
    );
    let wanted = params.is_some();
    let parts: Vec<Vec<f32>> = dx
        .par_chunks_mut(width * ROWS)
        .zip(dy.par_chunks(width * ROWS))
        .zip(x.par_chunks(width * ROWS))
        .zip(stats.par_chunks(2 * ROWS))
        .map(|(((dx, dy), x), stats)| {
            let mut part = vec![0f32; if wanted { 2 * width } else { 0 }];
            some_gradients(dx, dy, x, stats, w, &mut part);
            part
        })
        .collect();
    if let Some((dw, db)) = params {
        for part in parts {
            dw.iter_mut().zip(&part[..width]).for_each(|(s, v)| *s += v);
            db.iter_mut().zip(&part[width..]).for_each(|(s, v)| *s += v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{D, Device, Tensor, Var};

    #[test]
    fn forward_and_gradients_are_those_of_the_composed_form() {
        let (rows, width, eps) = (130, 20, 1e-5);
        let wave = |n: usize, k: f32| (0..n).map(|i| (i as f32 * k + 0.3).sin() * 2.0).collect::<Vec<f32>>();
        let (x, w, b, dy) =
            (wave(rows * width, 0.7), wave(width, 0.9), wave(width, 1.3), wave(rows * width, 0.23));
        let cpu = Device::Cpu;
        let tx = Var::from_vec(x.clone(), (rows, width), &cpu).unwrap();
        let (tw, tb) = (Var::from_slice(&w, width, &cpu).unwrap(), Var::from_slice(&b, width, &cpu).unwrap());
        // Composed from operations whose gradients candle has right; its own fused LayerNorm has none.
        let centred = tx.broadcast_sub(&tx.mean_keepdim(D::Minus1).unwrap()).unwrap();
        let var = centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
        let normed = centred.broadcast_div(&(var + f64::from(eps)).unwrap().sqrt().unwrap()).unwrap();
        let ty = normed.broadcast_mul(&tw).unwrap().broadcast_add(&tb).unwrap();
        let weight = Tensor::from_slice(&dy, (rows, width), &cpu).unwrap();
        let grads = (&ty * weight).unwrap().sum_all().unwrap().backward().unwrap();

        let (mut y, mut stats) = (vec![0.0; x.len()], vec![0.0; 2 * rows]);
        forward(&x, &w, &b, eps, &mut y, &mut stats);
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; width], vec![0.0; width]);
        backward(&dy, &x, &w, &stats, &mut dx, Some((&mut dw, &mut db)));
        // 130 rows of values of size two: the sums' rounding is about 130 · 4 · 2⁻²⁴ = 3e-5.
        for (ours, theirs) in [
            (&y, ty.clone()),
            (&dx, grads.get(&tx).unwrap().clone()),
            (&dw, grads.get(&tw).unwrap().clone()),
            (&db, grads.get(&tb).unwrap().clone()),
        ] {
            let theirs = theirs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        let mut alone = vec![0.0; x.len()];
        backward(&dy, &x, &w, &stats, &mut alone, None);
        assert_eq!(alone, dx);
    }
}
