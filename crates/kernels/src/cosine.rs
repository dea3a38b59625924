//! Cosine distance of rows and its gradient.

use crate::sum_of_squares;

/// Adds `Σ_rows (1 − x·t/(‖x‖‖t‖)) · weight` to the returned sum and writes its gradient with respect to `x`:
/// `−weight (t̂ − c x̂)/‖x‖`, with `c` the cosine. Shapes: `x`, `t`, `dx (rows, width)`. A row of zeros has cosine 0
/// and no gradient.
pub fn forward_backward(x: &[f32], t: &[f32], width: usize, weight: f64, dx: &mut [f32]) -> f64 {
    assert!(x.len() == t.len() && x.len() == dx.len(), "cosine: lengths");
    let mut loss = 0.0;
    for ((x, t), dx) in x.chunks_exact(width).zip(t.chunks_exact(width)).zip(dx.chunks_exact_mut(width)) {
        let (norm_x, norm_t) = (sum_of_squares(x).sqrt(), sum_of_squares(t).sqrt());
        if norm_x == 0.0 || norm_t == 0.0 {
            dx.fill(0.0);
            loss += weight;
            continue;
        }
        let dot: f64 = x.iter().zip(t).map(|(x, t)| f64::from(*x) * f64::from(*t)).sum();
        let cosine = dot / (norm_x * norm_t);
        loss += weight * (1.0 - cosine);
        for ((dx, x), t) in dx.iter_mut().zip(x).zip(t) {
            let towards = f64::from(*t) / norm_t - cosine * f64::from(*x) / norm_x;
            *dx = (-weight * towards / norm_x) as f32;
        }
    }
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradient_is_the_central_difference_of_the_loss() {
        let x = [0.5f32, -1.0, 2.0, 0.25, 0.0, 0.0, 0.0, 0.0, 3.0, 1.0, -2.0, 0.5];
        let t = [1.0f32, 0.0, 1.5, -0.5, 1.0, 2.0, 3.0, 4.0, 3.0, 1.0, -2.0, 0.5];
        let (mut dx, mut scrap) = ([0.0; 12], [0.0; 12]);
        let loss = forward_backward(&x, &t, 4, 0.5, &mut dx);
        // By hand: row 0 has x·t = 3.375, ‖x‖² = 5.3125, ‖t‖² = 3.5; row 1 is zero; row 2 is its own target.
        let expected = 0.5 * (1.0 - 3.375 / (5.3125f64 * 3.5).sqrt()) + 0.5;
        assert!((loss - expected).abs() < 1e-9, "{loss}");
        for i in (0..4).chain(8..12) {
            let h = 1.0 / 256.0;
            let mut at = |step: f32| {
                let mut x = x;
                x[i] += step;
                forward_backward(&x, &t, 4, 0.5, &mut scrap)
            };
            let slope = (at(h) - at(-h)) / (2.0 * f64::from(h));
            // Truncation h²/6 times a third derivative of order one.
            assert!((slope - f64::from(dx[i])).abs() < 1e-5, "{i}: {slope} and {}", dx[i]);
        }
        assert_eq!(dx[4..8], [0.0; 4]);
    }
}
