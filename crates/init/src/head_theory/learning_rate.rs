//! The learning rate at which a softmax head cannot diverge.

use crate::error::{Result, demand};

/// Largest learning rate at which full-batch gradient descent on a softmax head is guaranteed to lower the loss at every
/// step: `4 / λ_max(C)`, with `C = E[φ φᵀ]` the features' second-moment matrix (with a constant 1 among the features
/// if the head has a bias), for the mean cross-entropy over examples.
///
/// The Hessian in the weights is at most `½ (I − 11ᵀ/K) ⊗ C`, hence its largest eigenvalue at most `λ_max(C) / 2`, and
/// gradient descent descends below 2 over that. Features with a mean pay for it: `λ_max(C)` is about `d μ²` then.
///
/// # Errors
/// `lambda_max` is not positive and finite.
///
/// Source: Böhning 1992, "Multinomial logistic regression algorithm", lemma 1.
pub fn guaranteed_learning_rate(lambda_max: f64) -> Result<f64> {
    demand(
        "largest eigenvalue",
        lambda_max,
        lambda_max > 0.0 && lambda_max.is_finite(),
        "a positive number",
    )?;
    Ok(4.0 / lambda_max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    /// Mean cross-entropy and its gradient for the head `w`, `(classes, width)`.
    fn loss(w: &[[f64; 3]], features: &[[f64; 3]], labels: &[usize]) -> (f64, Vec<[f64; 3]>) {
        let (mut loss, mut gradient) = (0.0, vec![[0.0; 3]; w.len()]);
        for (phi, label) in features.iter().zip(labels) {
            let z: Vec<f64> = w.iter().map(|row| row.iter().zip(phi).map(|(w, x)| w * x).sum()).collect();
            let total: f64 = z.iter().map(|z| z.exp()).sum();
            loss += (total.ln() - z[*label]) / features.len() as f64;
            for (class, row) in gradient.iter_mut().enumerate() {
                let residual = z[class].exp() / total - if class == *label { 1.0 } else { 0.0 };
                row.iter_mut().zip(phi).for_each(|(g, x)| *g += residual * x / features.len() as f64);
            }
        }
        (loss, gradient)
    }

    #[test]
    fn gradient_descent_at_the_limit_descends_at_every_step() {
        let mut stream = Seed(71).stream("descent");
        let features: Vec<[f64; 3]> = (0..60).map(|_| [0; 3].map(|_| 1.0 + stream.normal())).collect();
        let labels: Vec<usize> = (0..60).map(|_| stream.below(4) as usize).collect();
        // λ_max(C) by power iteration; C is symmetric with a dominant mean direction, so it converges fast.
        let mut v = [1.0; 3];
        let mut lambda = 0.0;
        for _ in 0..200 {
            let mut next = [0.0; 3];
            for phi in &features {
                let along: f64 = phi.iter().zip(&v).map(|(x, v)| x * v).sum();
                next.iter_mut().zip(phi).for_each(|(n, x)| *n += along * x / features.len() as f64);
            }
            lambda = next.iter().map(|x| x * x).sum::<f64>().sqrt();
            v = next.map(|x| x / lambda);
        }
        let rate = guaranteed_learning_rate(lambda).unwrap();
        let mut w = vec![[0.0; 3]; 4];
        w.iter_mut().flatten().for_each(|w| *w = 3.0 * stream.normal());
        let (mut before, mut gradient) = loss(&w, &features, &labels);
        for _ in 0..300 {
            w.iter_mut().flatten().zip(gradient.iter().flatten()).for_each(|(w, g)| *w -= rate * g);
            let (after, next) = loss(&w, &features, &labels);
            // Near the minimum, steps below rounding of the loss may go either way.
            assert!(after <= before + 1e-12, "{before} → {after}");
            (before, gradient) = (after, next);
        }
        assert!(guaranteed_learning_rate(0.0).is_err() && guaranteed_learning_rate(f64::NAN).is_err());
    }
}
