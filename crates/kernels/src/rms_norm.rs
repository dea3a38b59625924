//! Root-mean-square normalization and its gradients.
//!
//! `y = x / √(mean(x²) + ε) · w` over the last dimension: layer normalization without the mean and without a bias.
//! Source: Zhang and Sennrich 2019, eq. 4. Shapes: `x`, `y (rows, width)`; `w (width)`; `stats (rows)` holds each row's
//! `1/√(mean(x²) + ε)`.

use crate::reduce::lane_sum;
use rayon::prelude::*;

/// Rows a task takes; fixed, because the order of the gain's sums follows from it.
const ROWS: usize = 64;

/// Writes `y` and `stats`.
pub fn forward(x: &[f32], w: &[f32], eps: f32, y: &mut [f32], stats: &mut [f32]) {
    let width = w.len();
    assert!(x.len() == y.len() && stats.len() * width == x.len(), "rms norm: lengths");
    let rows = x.par_chunks(width * ROWS).zip(y.par_chunks_mut(width * ROWS)).zip(stats.par_chunks_mut(ROWS));
    rows.for_each(|((x, y), stats)| {
        let (x, y) = (x.chunks_exact(width), y.chunks_exact_mut(width));
        for ((x, y), inverse) in x.zip(y).zip(stats) {
            *inverse = 1.0 / (lane_sum(x, |_, v| v * v) / width as f32 + eps).sqrt();
            for j in 0..width {
                y[j] = x[j] * *inverse * w[j];
            }
        }
    });
}

/// Writes `dx`, and adds to `dw` where it is wanted.
///
/// With `g = dy · w`, `r` the row's entry of `stats` and `n = x r`: `dx = r (g − n mean(g n))`.
pub fn backward(dy: &[f32], x: &[f32], w: &[f32], stats: &[f32], dx: &mut [f32], dw: Option<&mut [f32]>) {
    let width = w.len();
    assert!(
        x.len() == dy.len() && x.len() == dx.len() && stats.len() * width == x.len(),
        "rms norm: lengths"
    );
    let wanted = dw.is_some();
    let parts: Vec<Vec<f32>> = dx
        .par_chunks_mut(width * ROWS)
        .zip(dy.par_chunks(width * ROWS))
        .zip(x.par_chunks(width * ROWS))
        .zip(stats.par_chunks(ROWS))
        .map(|(((dx, dy), x), stats)| {
            let mut part = vec![0f32; if wanted { width } else { 0 }];
            let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width));
            for (((dx, dy), x), &inverse) in rows.zip(stats) {
                let mean = lane_sum(dy, |j, g| g * w[j] * x[j] * inverse) / width as f32;
                for j in 0..width {
                    dx[j] = (dy[j] * w[j] - x[j] * inverse * mean) * inverse;
                }
                for (dw, (g, x)) in part.iter_mut().zip(dy.iter().zip(x)) {
                    *dw += g * x * inverse;
                }
            }
            part
        })
        .collect();
    if let Some(dw) = dw {
        for part in parts {
            dw.iter_mut().zip(part).for_each(|(s, v)| *s += v);
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
        let (x, w, dy) = (wave(rows * width, 0.7), wave(width, 0.9), wave(rows * width, 0.23));
        let cpu = Device::Cpu;
        let tx = Var::from_slice(&x, (rows, width), &cpu).unwrap();
        let tw = Var::from_slice(&w, width, &cpu).unwrap();
        let mean = tx.sqr().unwrap().mean_keepdim(D::Minus1).unwrap();
        let normed = tx.broadcast_div(&(mean + f64::from(eps)).unwrap().sqrt().unwrap()).unwrap();
        let ty = normed.broadcast_mul(&tw).unwrap();
        let weight = Tensor::from_slice(&dy, (rows, width), &cpu).unwrap();
        let grads = (&ty * weight).unwrap().sum_all().unwrap().backward().unwrap();

        let (mut y, mut stats) = (vec![0.0; x.len()], vec![0.0; rows]);
        forward(&x, &w, eps, &mut y, &mut stats);
        let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; width]);
        backward(&dy, &x, &w, &stats, &mut dx, Some(&mut dw));
        // 130 rows of values of size two: the sums' rounding is about 130 · 4 · 2⁻²⁴ = 3e-5.
        for (ours, theirs) in [(&y, &ty), (&dx, grads.get(&tx).unwrap()), (&dw, grads.get(&tw).unwrap())] {
            let theirs = theirs.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4));
        }
        let mut alone = vec![0.0; x.len()];
        backward(&dy, &x, &w, &stats, &mut alone, None);
        assert_eq!(alone, dx);
    }
}
