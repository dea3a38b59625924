//! Second moment of the logits, and how much of it tells samples apart.

use crate::error::{Result, demand};

/// Moments of the features that a head reads, over samples and averaged over the features.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features {
    /// Number of features `d`.
    pub width: usize,
    /// Mean over features of `E[φⱼ²]`.
    pub second_moment: f64,
    /// Mean over features of `Var φⱼ`, each feature's variance over samples about its own mean.
    pub variance: f64,
}

/// Second moment of a head's logits over weights and samples, and its two parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogitVariance {
    /// `E[z²] = d · Var(w) · E[φ²]`: the sum of the two parts.
    pub total: f64,
    /// `d · Var(w) · Var φ`: what varies from sample to sample.
    pub between_samples: f64,
    /// `d · Var(w) · E[φ]²`: the same for every sample, a constant preference for some classes.
    pub class_bias: f64,
}

impl Features {
    /// Prediction for a head whose weights are independent of zero mean and standard deviation `weight_std`.
    ///
    /// It holds for an orthogonal head as well, whose rows have the length that `weight_std` says and every direction
    /// alike. A bias of zero adds nothing.
    ///
    /// # Errors
    /// A moment is negative or not finite, the variance exceeds the second moment, or `weight_std` is negative or not
    /// finite.
    ///
    /// Source: `E[(Σ wⱼ φⱼ)²] = Var(w) Σ E[φⱼ²]`, with `E[φⱼ²] = Var φⱼ + E[φⱼ]²`.
    pub fn logit_variance(&self, weight_std: f64) -> Result<LogitVariance> {
        self.check()?;
        demand(
            "weight std",
            weight_std,
            weight_std >= 0.0 && weight_std.is_finite(),
            "a finite number, zero or more",
        )?;
        let scale = self.width as f64 * weight_std * weight_std;
        Ok(LogitVariance {
            total: scale * self.second_moment,
            between_samples: scale * self.variance,
            class_bias: scale * (self.second_moment - self.variance),
        })
    }

    /// Standard deviation of the weights at which the logits' second moment is `target`: `√(target / (d · E[φ²]))`.
    ///
    /// # Errors
    /// As for [`Features::logit_variance`]; also if `target` is negative or not finite, or the features are all zero.
    ///
    /// Source: [`Features::logit_variance`], solved for the standard deviation.
    pub fn weight_std_for(&self, target: f64) -> Result<f64> {
        self.check()?;
        demand(
            "target logit variance",
            target,
            target >= 0.0 && target.is_finite(),
            "a finite number, zero or more",
        )?;
        let found = self.second_moment;
        demand("second moment of the features", found, found > 0.0, "a positive number, to scale logits by")?;
        Ok((target / (self.width as f64 * self.second_moment)).sqrt())
    }

    fn check(&self) -> Result<()> {
        let Self { width, second_moment, variance } = *self;
        demand("width", width as f64, width > 0, "at least 1")?;
        let valid = second_moment >= 0.0 && second_moment.is_finite();
        demand("second moment of the features", second_moment, valid, "a finite number, zero or more")?;
        // Measured moments may cross by rounding when the mean is zero.
        let valid = variance >= 0.0 && variance <= second_moment * (1.0 + 1e-9);
        demand("variance of the features", variance, valid, "a number between 0 and the second moment")
    }
}

#[cfg(test)]
mod tests {
    use core::f64::consts::PI;

    use super::*;
    use crate::{Activation, Init, Layer, Seed};

    #[test]
    fn xavier_heads_on_unit_features_have_the_published_variance() {
        // 2d/(d + K) at d = 768: 1.995, 1.974 and 0.869 for 2, 10 and 1000 classes.
        let features = Features { width: 768, second_moment: 1.0, variance: 1.0 };
        for (classes, expected) in [(2, 1.994_805), (10, 1.974_293), (1000, 0.868_778)] {
            let layer = Layer::Linear { input: 768, output: classes };
            let found = features.logit_variance(Init::xavier_normal().std(&layer).unwrap()).unwrap();
            assert!((found.total - expected).abs() < 1e-6);
            assert_eq!((found.between_samples, found.class_bias), (found.total, 0.0));
        }
    }

    #[test]
    fn half_normal_features_spend_two_thirds_on_a_constant_class_bias() {
        // φ = |z|: E[φ²] = 1, Var φ = 1 − 2/π.
        let features = Features { width: 100, second_moment: 1.0, variance: 1.0 - 2.0 / PI };
        let found = features.logit_variance(0.1).unwrap();
        assert!((found.total - 1.0).abs() < 1e-12 && (found.class_bias - 2.0 / PI).abs() < 1e-12);
        assert!((found.between_samples + found.class_bias - found.total).abs() < 1e-15);
    }

    #[test]
    fn drawn_heads_have_the_predicted_variance_and_its_split() {
        // Fixed ReLU features with means; 3 000 heads of 4 classes. Moments are measured on those very features, so
        // that the expectation over heads is exact, and the only error is that of the draws.
        let (width, samples, classes, draws) = (24, 40, 4, 3_000);
        let mut stream = Seed(81).stream("features");
        let phi: Vec<Vec<f64>> = (0..samples)
            .map(|_| (0..width).map(|_| Activation::Relu.apply(0.5 + stream.normal())).collect())
            .collect();
        let mean_of = |value: &dyn Fn(usize) -> f64| (0..width).map(value).sum::<f64>() / width as f64;
        let mean = |j: usize| phi.iter().map(|row| row[j]).sum::<f64>() / samples as f64;
        let second = |j: usize| phi.iter().map(|row| row[j] * row[j]).sum::<f64>() / samples as f64;
        let features = Features {
            width,
            second_moment: mean_of(&second),
            variance: mean_of(&|j| second(j) - mean(j) * mean(j)),
        };
        let layer = Layer::Linear { input: width, output: classes };
        for init in [Init::xavier_uniform(), Init::lecun(), Init::Orthogonal { gain: 1.0 }] {
            let predicted = features.logit_variance(init.std(&layer).unwrap()).unwrap();
            let mut stream = Seed(82).stream("heads");
            let (mut total, mut between) = (Vec::new(), Vec::new());
            for _ in 0..draws {
                let w = init.fill(&layer, &mut stream).unwrap();
                let (mut square, mut spread) = (0.0, 0.0);
                for row in w.chunks_exact(width) {
                    let z = phi
                        .iter()
                        .map(|phi| phi.iter().zip(row).map(|(x, w)| x * f64::from(*w)).sum::<f64>());
                    let z: Vec<f64> = z.collect();
                    let mean = z.iter().sum::<f64>() / samples as f64;
                    square += z.iter().map(|z| z * z).sum::<f64>() / (samples * classes) as f64;
                    spread += z.iter().map(|z| (z - mean).powi(2)).sum::<f64>() / (samples * classes) as f64;
                }
                total.push(square);
                between.push(spread);
            }
            for (values, expected) in [(total, predicted.total), (between, predicted.between_samples)] {
                let mean = values.iter().sum::<f64>() / f64::from(draws);
                let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(draws);
                let margin = 5.0 * (variance / f64::from(draws)).sqrt();
                assert!(
                    margin < 0.1 * expected && (mean - expected).abs() < margin,
                    "{init:?}: {mean} ± {margin}"
                );
            }
        }
    }

    #[test]
    fn the_calibrated_std_reaches_its_target() {
        let features = Features { width: 384, second_moment: 0.37, variance: 0.1 };
        let std = features.weight_std_for(0.1).unwrap();
        assert!((features.logit_variance(std).unwrap().total - 0.1).abs() < 1e-15);
        assert_eq!(features.weight_std_for(0.0), Ok(0.0));
    }

    #[test]
    fn impossible_moments_are_refused() {
        let good = Features { width: 4, second_moment: 1.0, variance: 0.5 };
        for bad in [
            Features { width: 0, ..good },
            Features { second_moment: -1.0, ..good },
            Features { second_moment: f64::NAN, ..good },
            Features { variance: 1.1, ..good },
            Features { variance: f64::NAN, ..good },
        ] {
            assert!(bad.logit_variance(1.0).is_err(), "{bad:?}");
        }
        assert!(good.logit_variance(-1.0).is_err() && good.weight_std_for(f64::INFINITY).is_err());
        assert!(Features { second_moment: 0.0, variance: 0.0, ..good }.weight_std_for(0.1).is_err());
    }
}
