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
        let factors = self.factors(grad_scale);
        w.par_chunks_mut(CHUNK)
            .zip(m.par_chunks_mut(CHUNK))
            .zip(v.par_chunks_mut(CHUNK))
            .zip(g.par_chunks(CHUNK))
            .for_each(|(((w, m), v), g)| chunk(w, m, v, g, &factors));
    }

    /// [`AdamW::update`], to the bit, of a table whose rows have neither moments nor a gradient where `live` is false: these
    /// decay, and their zeros are not touched. ε must not be 0.
    pub fn update_rows(
        &self,
        w: &mut [f32],
        (m, v): (&mut [f32], &mut [f32]),
        g: &[f32],
        live: &[bool],
        grad_scale: f32,
    ) {
        assert!(w.len() == g.len() && w.len() == m.len() && w.len() == v.len(), "adamw: lengths");
        let width = w.len() / live.len().max(1);
        assert_eq!(width * live.len(), w.len(), "adamw: rows");
        if w.is_empty() {
            return;
        }
        let factors = self.factors(grad_scale);
        let rows = (CHUNK / width).max(1);
        let size = rows * width;
        live.par_chunks(rows)
            .zip(w.par_chunks_mut(size))
            .zip(m.par_chunks_mut(size))
            .zip(v.par_chunks_mut(size))
            .zip(g.par_chunks(size))
            .for_each(|((((live, w), m), v), g)| {
                let mut done = 0;
                for run in live.chunk_by(|a, b| a == b) {
                    let at = done..done + run.len() * width;
                    done = at.end;
                    if run[0] {
                        chunk(&mut w[at.clone()], &mut m[at.clone()], &mut v[at.clone()], &g[at], &factors);
                    } else if factors.keep != 1.0 {
                        decay(&mut w[at], factors.keep);
                    }
                }
            });
    }

    fn factors(&self, grad_scale: f32) -> Factors {
        let correction1 = 1.0 - self.beta1.powf(self.step as f64);
        let correction2 = 1.0 - self.beta2.powf(self.step as f64);
        Factors {
            b1: self.beta1 as f32,
            b2: self.beta2 as f32,
            c1: (1.0 - self.beta1) as f32,
            c2: (1.0 - self.beta2) as f32,
            keep: (1.0 - self.lr * self.weight_decay) as f32,
            rate: (self.lr / correction1) as f32,
            root: (1.0 / correction2.sqrt()) as f32,
            eps: self.eps as f32,
            grad_scale,
        }
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
    /// What is left of a chunk without moments and gradient.
    fn decay(w: &mut [f32], keep: f32) = decayed;
}

#[inline(always)]
fn decayed(w: &mut [f32], keep: f32) {
    w.iter_mut().for_each(|w| *w *= keep);
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

    /// Rows come alive one after the other; some never, and some have no gradient any more.
    #[test]
    fn rows_without_moments_are_left_out_and_change_no_bit() {
        for (width, decay) in [(3, 0.1), (3, 0.0), (CHUNK / 2 + 1, 0.1)] {
            let (count, law) =
                (7, AdamW { lr: 1e-2, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: decay, step: 0 });
            let start: Vec<f32> = (0..count * width).map(|i| (i as f32 * 0.7).sin()).collect();
            let zeros = || vec![0f32; count * width];
            let (mut whole, mut some) =
                ((start.clone(), zeros(), zeros()), (start.clone(), zeros(), zeros()));
            let mut live = vec![false; count];
            for step in 1..=5u64 {
                let mut g = zeros();
                for row in [step as usize, 2] {
                    live[row] = true;
                    g[row * width..][..width].iter_mut().enumerate().for_each(|(i, g)| *g = (i as f32).cos());
                }
                let law = AdamW { step, ..law };
                law.update(&mut whole.0, &mut whole.1, &mut whole.2, &g, 0.5);
                law.update_rows(&mut some.0, (&mut some.1, &mut some.2), &g, &live, 0.5);
            }
            assert_eq!(live, [false, true, true, true, true, true, false]);
            assert!(whole == some, "{width}, {decay}");
            assert_eq!(some.0[1] == start[1], decay == 0.0);
        }
    }
}
