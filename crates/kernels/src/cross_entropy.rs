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

/// The same with a share of every class instead of a label: `targets (rows, classes)`, each row of the sum 1. Adds
/// `−Σ_c target_c ln softmax(logits)_c · weight` and writes `dlogits = weight · (softmax − target)`.
pub fn forward_backward_soft(
    logits: &[f32],
    targets: &[f32],
    classes: usize,
    weight: f64,
    dlogits: &mut [f32],
) -> f64 {
    of_rows(logits, targets, (classes, weight), dlogits, |_| 1.0)
}

/// The same with rows of any sum, as class weights make them: adds `−Σ_c target_c ln softmax(logits)_c · weight` and writes
/// `dlogits = weight · (Σ_c target_c · softmax − target)`.
pub fn forward_backward_weighted(
    logits: &[f32],
    targets: &[f32],
    classes: usize,
    weight: f64,
    dlogits: &mut [f32],
) -> f64 {
    let total = |targets: &[f32]| targets.iter().map(|&t| f64::from(t)).sum();
    of_rows(logits, targets, (classes, weight), dlogits, total)
}

fn of_rows(
    logits: &[f32],
    targets: &[f32],
    (classes, weight): (usize, f64),
    dlogits: &mut [f32],
    total: impl Fn(&[f32]) -> f64,
) -> f64 {
    let mut loss = 0f64;
    let rows = logits.chunks_exact(classes).zip(targets.chunks_exact(classes));
    for ((z, t), d) in rows.zip(dlogits.chunks_exact_mut(classes)) {
        let max = z.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let sum: f64 = z.iter().map(|&v| f64::from(v - max).exp()).sum();
        let total = total(t);
        for ((d, &v), &t) in d.iter_mut().zip(z).zip(t) {
            let (above, t) = (f64::from(v - max), f64::from(t));
            loss += t * (sum.ln() - above) * weight;
            *d = (weight * (total * (above.exp() / sum) - t)) as f32;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_classes_costs_the_weighted_mean_of_their_labels() {
        let z = [1.5f32, -2.0, 0.25, 300.0, 299.0, -40.0];
        let targets = [0.75, 0.25, 0.0, 0.0, 1.0, 0.0];
        let (mut soft, mut first, mut second) = (vec![0.0; 6], vec![0.0; 6], vec![0.0; 6]);
        let loss = forward_backward_soft(&z, &targets, 3, 0.5, &mut soft);
        let (a, b) =
            (forward_backward(&z, &[0, 1], 0.5, &mut first), forward_backward(&z, &[1, 1], 0.5, &mut second));
        // Linear in the targets: 3/4 of one and 1/4 of the other, whose second rows are the same.
        assert!((loss - (0.75 * a + 0.25 * b)).abs() < 1e-12);
        for ((d, a), b) in soft.iter().zip(&first).zip(&second) {
            assert!((d - (0.75 * a + 0.25 * b)).abs() < 1e-7);
        }
    }

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

    #[test]
    fn rows_of_any_sum_have_the_slope_of_their_loss() {
        let z = vec![1.5f32, -2.0, 0.25, 3.0, 2.0, -4.0];
        let targets = [0.5f32, 0.25, 1.5, 0.0, 2.0, 0.125];
        let (mut d, mut scrap) = (vec![0.0; 6], vec![0.0; 6]);
        forward_backward_weighted(&z, &targets, 3, 0.5, &mut d);
        for i in 0..6 {
            let h = 1.0 / 128.0;
            let mut at = |s: f32| {
                let mut z = z.clone();
                z[i] += s * h;
                forward_backward_weighted(&z, &targets, 3, 0.5, &mut scrap)
            };
            let slope = (at(1.0) - at(-1.0)) / (2.0 * f64::from(h));
            // Truncation h²/6 · |third derivative| ≤ 1e-5 · 0.1 · 2.25.
            assert!((slope - f64::from(d[i])).abs() < 6e-6, "{i}: {slope} against {}", d[i]);
        }
    }
}
