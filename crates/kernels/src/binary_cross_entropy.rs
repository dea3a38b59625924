//! Binary cross-entropy of several independent labels, and its gradient with respect to the logits.

/// Adds `Σ [ln(1 + e^z) − t z] · weight / labels` to the returned sum and writes `dlogits = weight / labels · (σ(z) − t)`;
/// `logits`, `targets`, `dlogits (rows, labels)`, targets between 0 and 1.
///
/// `weight` is one over the number of rows of the whole optimiser step, so that the loss is the mean over all entries, as in
/// PyTorch's `BCEWithLogitsLoss`.
pub fn forward_backward(
    logits: &[f32],
    targets: &[f32],
    labels: usize,
    weight: f64,
    dlogits: &mut [f32],
) -> f64 {
    let share = weight / labels.max(1) as f64;
    let mut loss = 0f64;
    for ((&z, &t), d) in logits.iter().zip(targets).zip(dlogits) {
        let (z, t) = (f64::from(z), f64::from(t));
        loss += (softplus(z) - t * z) * share;
        *d = (share * (sigmoid(z) - t)) as f32;
    }
    loss
}

/// `ln(1 + e^z)`, which neither overflows nor loses small values.
pub fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

/// `1/(1 + e^−z)`.
pub fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 6] = [1.5, -2.0, 0.25, 40.0, -90.0, 0.0];
    const TARGETS: [f32; 6] = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0];

    const PYTORCH_LOSS: f64 = 21.93290464824409;
    const PYTORCH_SLOPE: [f64; 6] = [
        -0.030404253967726058,
        0.019867153670352924,
        -0.07297058318570032,
        0.16666666666666666,
        -0.16666666666666666,
        0.08333333333333333,
    ];

    #[test]
    fn the_loss_and_slope_are_those_of_pytorch() {
        // torch.nn.functional.binary_cross_entropy_with_logits(z.view(2, 3), t.view(2, 3)) in float64, and its gradient.
        let mut slope = [0.0; 6];
        let loss = forward_backward(&LOGITS, &TARGETS, 3, 0.5, &mut slope);
        assert!((loss - PYTORCH_LOSS).abs() < 1e-12, "{loss}");
        for (found, expected) in slope.iter().zip(PYTORCH_SLOPE) {
            assert!((f64::from(*found) - expected).abs() < 1e-8, "{slope:?}");
        }
    }

    #[test]
    fn the_slope_is_the_central_difference_even_for_huge_logits() {
        let (mut slope, mut scrap) = ([0.0; 6], [0.0; 6]);
        assert!(forward_backward(&LOGITS, &TARGETS, 3, 0.5, &mut slope).is_finite());
        for i in 0..6 {
            let h = 1.0 / 128.0;
            let mut at = |step: f32| {
                let mut moved = LOGITS;
                moved[i] += step * h;
                forward_backward(&moved, &TARGETS, 3, 0.5, &mut scrap)
            };
            let expected = (at(1.0) - at(-1.0)) / (2.0 * f64::from(h));
            // Truncation h²/6 · |third derivative| ≤ 1e-5 · 0.1.
            assert!((expected - f64::from(slope[i])).abs() < 3e-6, "{i}: {expected}");
        }
    }
}
