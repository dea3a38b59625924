//! Squared error and its gradient.

/// Adds `Σ (predicted − value)² · weight` to the returned sum and writes `slope = 2 · weight · (predicted − value)`; all
/// `(examples,)`.
///
/// `weight` is one over the number of examples of the whole optimiser step, as in
/// [`cross_entropy`](crate::cross_entropy::forward_backward).
pub fn forward_backward(predicted: &[f32], values: &[f32], weight: f64, slope: &mut [f32]) -> f64 {
    let mut loss = 0f64;
    for ((&z, &y), d) in predicted.iter().zip(values).zip(slope) {
        let apart = f64::from(z) - f64::from(y);
        loss += apart * apart * weight;
        *d = (2.0 * weight * apart) as f32;
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_and_slope_are_those_of_pytorch() {
        // torch.nn.functional.mse_loss(z, y) and its gradient, z = [1.5, -2.0, 0.25], y = [2.0, -2.5, 4.0].
        let mut slope = [0.0; 3];
        let loss = forward_backward(&[1.5, -2.0, 0.25], &[2.0, -2.5, 4.0], 1.0 / 3.0, &mut slope);
        assert!((loss - 4.854_166_666_666_667).abs() < 1e-12, "{loss}");
        for (found, expected) in slope.iter().zip([-0.333_333_34, 0.333_333_34, -2.5f32]) {
            assert!((found - expected).abs() < 1e-6, "{slope:?}");
        }
    }

    #[test]
    fn the_slope_is_the_central_difference() {
        let (z, y) = ([3.0f32, -0.5, 100.0], [2.5f32, 4.0, 99.0]);
        let (mut slope, mut scrap) = ([0.0; 3], [0.0; 3]);
        forward_backward(&z, &y, 0.25, &mut slope);
        for i in 0..3 {
            // Powers of two: exact in f32, and central differences are exact for a square.
            let mut at = |step: f32| {
                let mut moved = z;
                moved[i] += step;
                forward_backward(&moved, &y, 0.25, &mut scrap)
            };
            let expected = (at(0.125) - at(-0.125)) / 0.25;
            assert!((expected - f64::from(slope[i])).abs() < 1e-6, "{i}");
        }
    }
}
