//! Global response normalization and its gradients.
//!
//! `y = w · x · n + b + x` of each channel, where `n_c = g_c / (mean(g) + ε)` and `g_c` is the 2-norm of channel `c` over an
//! image. Source: Woo et al. 2023, §3.2, algorithm 1. Shapes: `x`, `y (images, places, width)`; `w`, `b (width)`; `norms
//! (images, width)` holds `g`.

use rayon::prelude::*;

/// Writes `y` and `norms`, of images of `places` rows.
pub fn forward(
    x: &[f32],
    (w, b): (&[f32], &[f32]),
    eps: f32,
    places: usize,
    y: &mut [f32],
    norms: &mut [f32],
) {
    let width = w.len();
    assert!(x.len() == y.len() && norms.len() * places == x.len(), "response norm: lengths");
    let of_image = places * width;
    let images = y.par_chunks_mut(of_image).zip(x.par_chunks(of_image)).zip(norms.par_chunks_mut(width));
    images.for_each(|((y, x), norms)| {
        norms.fill(0.0);
        for x in x.chunks_exact(width) {
            norms.iter_mut().zip(x).for_each(|(g, x)| *g += x * x);
        }
        norms.iter_mut().for_each(|g| *g = g.sqrt());
        let mean = mean(norms) + eps;
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            for c in 0..width {
                y[c] = w[c] * (x[c] * (norms[c] / mean)) + b[c] + x[c];
            }
        }
    });
}

/// Turns `d`, the gradient of `y`, into that of `x`, and adds to `dw` and `db` where they are wanted (both or neither). Where
/// a channel is 0 everywhere, its norm has gradient 0, as in PyTorch.
pub fn backward(
    d: &mut [f32],
    (x, norms): (&[f32], &[f32]),
    w: &[f32],
    eps: f32,
    places: usize,
    params: Option<(&mut [f32], &mut [f32])>,
) {
    let width = w.len();
    assert!(x.len() == d.len() && norms.len() * places == x.len(), "response norm: lengths");
    let of_image = places * width;
    let parts: Vec<(Vec<f32>, Vec<f32>)> = d
        .par_chunks_mut(of_image)
        .zip(x.par_chunks(of_image))
        .zip(norms.par_chunks(width))
        .map(|((d, x), norms)| {
            let (mut sums, mut products) = (vec![0f32; width], vec![0f32; width]);
            for (d, x) in d.chunks_exact(width).zip(x.chunks_exact(width)) {
                for c in 0..width {
                    sums[c] += d[c];
                    products[c] += d[c] * x[c];
                }
            }
            let mean = mean(norms) + eps;
            // dn = w · Σ dy · x, and through n = g / (mean + ε): dg = dn / (mean + ε) − Σ dn · g / ((mean + ε)² · width).
            let dn: Vec<f32> = products.iter().zip(w).map(|(p, w)| p * w).collect();
            let through: f32 = dn.iter().zip(norms).map(|(dn, g)| dn * g).sum();
            let through = through / (mean * mean * width as f32);
            let slope: Vec<f32> = dn
                .iter()
                .zip(norms)
                .map(|(dn, &g)| if g > 0.0 { (dn / mean - through) / g } else { 0.0 })
                .collect();
            let factor: Vec<f32> = norms.iter().zip(w).map(|(g, w)| w * (g / mean) + 1.0).collect();
            for (d, x) in d.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
                for c in 0..width {
                    d[c] = factor[c] * d[c] + slope[c] * x[c];
                }
            }
            products.iter_mut().zip(norms).for_each(|(p, g)| *p *= g / mean);
            (products, sums)
        })
        .collect();
    if let Some((dw, db)) = params {
        for (products, sums) in parts {
            crate::add(dw, &products);
            crate::add(db, &sums);
        }
    }
}

fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len() as f32
}
