//! AdamW, one pass over the parameters.

use crate::reduce::CHUNK;
use crate::wide::widest;
use rayon::prelude::*;

/// The constants of one update.
#[derive(Clone, Copy, Debug)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Number of this update, from 1: corrects the moments' bias.
    pub step: u64,
}

impl AdamW {
    /// Updates parameters `w` and moments `m`, `v` by the gradient `g · grad_scale`.
    ///
    /// `grad_scale` carries clipping, so that gradients need no pass of their own.
    /// Source: Loshchilov and Hutter 2019, algorithm 2; the order of operations is PyTorch's.
    pub fn update(&self, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], grad_scale: f32) {
        assert!(w.len() == g.len() && w.len() == m.len() && w.len() == v.len(), "adamw: lengths");
        let correction1 = 1.0 - self.beta1.powf(self.step as f64);
        let correction2 = 1.0 - self.beta2.powf(self.step as f64);
        let factors = Factors {
            b1: self.beta1 as f32,
            b2: self.beta2 as f32,
            c1: (1.0 - self.beta1) as f32,
            c2: (1.0 - self.beta2) as f32,
            keep: (1.0 - self.lr * self.weight_decay) as f32,
            rate: (self.lr / correction1) as f32,
            root: (1.0 / correction2.sqrt()) as f32,
            eps: self.eps as f32,
            grad_scale,
        };
        w.par_chunks_mut(CHUNK)
            .zip(m.par_chunks_mut(CHUNK))
            .zip(v.par_chunks_mut(CHUNK))
            .zip(g.par_chunks(CHUNK))
            .for_each(|(((w, m), v), g)| chunk(w, m, v, g, &factors));
    }
}

/// What all elements of an update have in common.
struct Factors {
    b1: f32,
    b2: f32,
    c1: f32,
    c2: f32,
    keep: f32,
    rate: f32,
    root: f32,
    eps: f32,
    grad_scale: f32,
}

widest! {
    /// A chunk of [`AdamW::update`].
    fn chunk(w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], factors: &Factors) = elements;
}

#[inline(always)]
fn elements(w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32], f: &Factors) {
    for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
        let g = g * f.grad_scale;
        *m = f.b1 * *m + f.c1 * g;
        *v = f.b2 * *v + f.c2 * g * g;
        *w = *w * f.keep - f.rate * *m / (v.sqrt() * f.root + f.eps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Algorithm 2 of the paper, in double precision, one number at a time.
    #[test]
    fn ten_updates_follow_the_paper() {
        let (lr, b1, b2, eps, decay) = (1e-2, 0.9, 0.999, 1e-8, 0.1);
        let mut w32 = vec![1.0f32, -0.5, 0.0, 3.0];
        let (mut m32, mut v32) = (vec![0.0; 4], vec![0.0; 4]);
        let mut w: Vec<f64> = w32.iter().map(|&v| f64::from(v)).collect();
        let (mut m, mut v) = (vec![0f64; 4], vec![0f64; 4]);
        for t in 1..=10u64 {
            let g: Vec<f32> = (0..4).map(|i| ((t as f32) * 0.7 + i as f32).sin()).collect();
            AdamW { lr, beta1: b1, beta2: b2, eps, weight_decay: decay, step: t }
                .update(&mut w32, &mut m32, &mut v32, &g, 0.5);
            for i in 0..4 {
                let g = f64::from(g[i]) * 0.5;
                m[i] = b1 * m[i] + (1.0 - b1) * g;
                v[i] = b2 * v[i] + (1.0 - b2) * g * g;
                let (mh, vh) = (m[i] / (1.0 - b1.powi(t as i32)), v[i] / (1.0 - b2.powi(t as i32)));
                w[i] -= lr * (mh / (vh.sqrt() + eps) + decay * w[i]);
            }
        }
        // Ten roundings of values up to 3.
        assert!(w32.iter().zip(&w).all(|(a, b)| (f64::from(*a) - b).abs() < 3e-6), "{w32:?} {w:?}");
    }
}
