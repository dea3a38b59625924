//! Full-batch descent of a last layer on fixed features, in f64.

use super::spectrum::times;

/// Bisections of a threshold: to 1/8192 of it.
const BISECTIONS: usize = 13;

/// Largest rate at which heavy ball, `v ← β v − η C e`, `e ← e + v`, does not diverge on the quadratic of curvature `C`;
/// plain gradient descent at momentum 0. Found by doubling a rate that is surely stable and bisecting, without the
/// eigenvalue. It diverges if the gradient has grown over the second half of the steps, and not by rounding alone.
pub(crate) fn heavy_ball_limit(curvature: &[f64], start: &[f64], momentum: f64, steps: usize) -> f64 {
    let n = start.len();
    let trace: f64 = curvature.iter().step_by(n + 1).sum();
    let diverges = |rate: f64| {
        let (mut error, mut velocity, mut gradient) = (start.to_vec(), vec![0.0; n], vec![0.0; n]);
        let (mut first, mut halfway) = (0.0, f64::INFINITY);
        for step in 0..=steps {
            times(curvature, &error, &mut gradient);
            if step == 0 || step == steps / 2 {
                let square: f64 = gradient.iter().map(|g| g * g).sum();
                if step == 0 { first = square } else { halfway = square }
            }
            for ((e, v), g) in error.iter_mut().zip(&mut velocity).zip(&gradient) {
                *v = momentum * *v - rate * g;
                *e += *v;
            }
        }
        // What is not a number has diverged as well.
        let last: f64 = gradient.iter().map(|g| g * g).sum();
        last.is_nan() || (last > halfway && last > 1e-20 * first)
    };
    // The trace is at least the largest eigenvalue.
    let mut low = 1.0 / trace;
    let mut high = 2.0 * low;
    while high.is_finite() && !diverges(high) {
        (low, high) = (high, 2.0 * high);
    }
    for _ in 0..BISECTIONS {
        let middle = 0.5 * (low + high);
        if diverges(middle) { high = middle } else { low = middle }
    }
    0.5 * (low + high)
}

/// A softmax head on fixed features, and the classes.
pub(crate) struct Softmax<'a> {
    features: Vec<f64>,
    labels: &'a [u32],
    classes: usize,
}

/// What a descent came to.
pub(crate) struct Descent {
    /// Steps that raised the loss.
    pub(crate) raised: usize,
    /// Highest loss after a step.
    pub(crate) worst: f64,
    /// Loss at the end.
    pub(crate) last: f64,
}

impl<'a> Softmax<'a> {
    /// On `features (examples, width)`.
    pub(crate) fn new(features: &[f32], labels: &'a [u32], classes: usize) -> Softmax<'a> {
        Softmax { features: features.iter().map(|v| f64::from(*v)).collect(), labels, classes }
    }

    fn width(&self) -> usize {
        self.features.len() / self.labels.len()
    }

    /// Mean cross-entropy and its gradient at `weights (classes, width)`.
    pub(crate) fn slope(&self, weights: &[f64]) -> (f64, Vec<f64>) {
        let (width, share) = (self.width(), 1.0 / self.labels.len() as f64);
        let (mut loss, mut gradient) = (0.0, vec![0.0; weights.len()]);
        let mut z = vec![0.0; self.classes];
        for (phi, label) in self.features.chunks_exact(width).zip(self.labels) {
            times(weights, phi, &mut z);
            let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let own = z[*label as usize];
            z.iter_mut().for_each(|z| *z = libm::exp(*z - top));
            let total: f64 = z.iter().sum();
            loss += share * (libm::log(total) + top - own);
            for (class, (line, z)) in gradient.chunks_exact_mut(width).zip(&z).enumerate() {
                let residual = share * (z / total - f64::from(u8::from(class == *label as usize)));
                line.iter_mut().zip(phi).for_each(|(g, x)| *g += residual * x);
            }
        }
        (loss, gradient)
    }

    /// Gradient descent from zero.
    pub(crate) fn descend(&self, rate: f64, steps: usize) -> Descent {
        let mut weights = vec![0.0; self.classes * self.width()];
        let (mut last, mut gradient) = self.slope(&weights);
        let (mut raised, mut worst) = (0, f64::NEG_INFINITY);
        for _ in 0..steps {
            weights.iter_mut().zip(&gradient).for_each(|(w, g)| *w -= rate * g);
            let (loss, next) = self.slope(&weights);
            // Steps below rounding may go either way.
            raised += usize::from(loss > last + 1e-12);
            worst = worst.max(loss);
            (last, gradient) = (loss, next);
        }
        Descent { raised, worst, last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_on_a_diagonal_are_those_of_its_largest_entry() {
        let (curvature, start) = ([3.0, 0.0, 0.0, 0.5], [1.0, 1.0]);
        assert!((heavy_ball_limit(&curvature, &start, 0.0, 400) * 3.0 / 2.0 - 1.0).abs() < 1e-3);
        // 2 (1 + β)/λ. Source: Polyak 1964, theorem 9.
        assert!((heavy_ball_limit(&curvature, &start, 0.5, 400) * 3.0 / 3.0 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn rounding_at_the_end_of_a_fast_descent_is_no_divergence() {
        let (curvature, start) = ([1.0, 0.0, 0.0, 1.0 + 1e-3], [1.0, -0.3]);
        assert!((heavy_ball_limit(&curvature, &start, 0.0, 400) * 1.001 / 2.0 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_softmax_gradient_is_the_slope_of_its_loss() {
        let features: Vec<f32> = (0..12).map(|i| (i as f32 * 0.7).sin()).collect();
        let labels = [0, 2, 1, 2];
        let head = Softmax::new(&features, &labels, 3);
        let weights: Vec<f64> = (0..9).map(|i| (f64::from(i) * 1.3).cos()).collect();
        let gradient = head.slope(&weights).1;
        for i in 0..9 {
            let at = |by: f64| {
                let mut moved = weights.clone();
                moved[i] += by;
                head.slope(&moved).0
            };
            assert!(((at(1e-5) - at(-1e-5)) / 2e-5 - gradient[i]).abs() < 1e-9);
        }
        assert!((head.slope(&[0.0; 9]).0 - 3f64.ln()).abs() < 1e-12);
    }
}
