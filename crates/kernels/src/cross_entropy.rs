//! Softmax cross-entropy and its gradient with respect to the logits.

/// Adds `Σ_rows −ln softmax(logits)[label] · weight` to the returned sum and writes
/// `dlogits = weight · (softmax − onehot)`; `logits`, `dlogits (rows, classes)`.
///
/// `weight` is one over the number of examples of the whole optimiser step, so that gradients accumulated over
/// micro-batches of different sizes are those of one large batch. Labels must lie below `classes`.
pub fn forward_backward(logits: &[f32], labels: &[u32], weight: f64, dlogits: &mut [f32]) -> f64 {
    let classes = logits.len() / labels.len().max(1);
    let mut loss = 0f64;
    for ((z, d), &label) in logits.chunks_exact(classes).zip(dlogits.chunks_exact_mut(classes)).zip(labels) {
        let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = z.iter().map(|&v| f64::from(v - max).exp()).sum();
        loss += (sum.ln() - f64::from(z[label as usize] - max)) * weight;
        for (c, (d, &v)) in d.iter_mut().zip(z).enumerate() {
            let p = f64::from(v - max).exp() / sum;
            *d = (weight * (p - f64::from(u8::from(c == label as usize)))) as f32;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_logits_cost_ln_classes() {
        let mut d = vec![0.0; 12];
        let loss = forward_backward(&[0.0; 12], &[0, 3, 2], 1.0 / 3.0, &mut d);
        assert!((loss - 4f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn gradient_is_the_central_difference_of_the_loss_even_for_huge_logits() {
        let z = vec![1.5f32, -2.0, 0.25, 300.0, 299.0, -40.0];
        let labels = [2, 1];
        let (mut d, mut scrap) = (vec![0.0; 6], vec![0.0; 6]);
        let loss = forward_backward(&z, &labels, 0.5, &mut d);
        assert!(loss.is_finite());
        for i in 0..6 {
            // A power of two, so that z ± h is exact in f32 even at 300.
            let h = 1.0 / 128.0;
            let mut at = |s: f32| {
                let mut z = z.clone();
                z[i] += s * h;
                forward_backward(&z, &labels, 0.5, &mut scrap)
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(h));
            // Truncation h²/6 · |third derivative| ≤ 1e-5 · 0.1.
            assert!((slope - f64::from(d[i])).abs() < 3e-6, "{i}: {slope} against {}", d[i]);
        }
    }
}
