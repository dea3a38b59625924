//! Classes given by a linear teacher, and the gradient of a head that knows nothing.

use core::f64::consts::{PI, SQRT_2};

use xexp_init::{Init, Layer};
use xexp_kernels::linear;

use super::small_net::{Examples, largest};
use crate::{Draw, Result};

/// Inputs `N(0, 1)` of `width`, whose class is the largest of `classes` noisy readings along orthonormal directions:
/// `argmax_k (t_k · x + noise · N(0, 1))`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Teacher {
    pub(crate) width: usize,
    pub(crate) classes: usize,
    pub(crate) noise: f64,
}

impl Teacher {
    /// One teacher's examples, for each of the purposes.
    pub(crate) fn examples<const N: usize>(
        &self,
        draw: &Draw<'_>,
        parts: [(&str, usize); N],
    ) -> Result<[Examples; N]> {
        let layer = Layer::Linear { input: self.width, output: self.classes };
        let directions = Init::Orthogonal { gain: 1.0 }.fill(&layer, &mut draw.stream("teacher"))?;
        Ok(parts.map(|(purpose, count)| {
            let mut stream = draw.stream(purpose);
            let inputs: Vec<f32> = (0..count * self.width).map(|_| stream.normal() as f32).collect();
            let mut readings = vec![0.0; count * self.classes];
            linear::forward(&inputs, &directions, None, &mut readings);
            readings.iter_mut().for_each(|r| *r += (self.noise * stream.normal()) as f32);
            let labels = readings.chunks_exact(self.classes).map(largest).collect();
            Examples { inputs, labels }
        }))
    }

    /// `‖E[y xᵀ]‖²` for one-hot `y`: what the classes have in common with the inputs, `m²/((K − 1)(1 + noise²))` with `m`
    /// the mean of the largest of `K` normals.
    ///
    /// By symmetry `E[x 1(y = k)]` has the component `m/K` along `t_k` and `−m/(K(K − 1))` along every other direction:
    /// the readings' sum says nothing about which is the largest.
    pub(crate) fn signal(&self) -> f64 {
        let k = self.classes as f64;
        mean_of_largest(self.classes).powi(2) / ((k - 1.0) * (1.0 + self.noise * self.noise))
    }

    /// Expected squared length of the mean over `count` examples of `(p − y) xᵀ`, where `p` is uniform: the gradient of a
    /// head's weights at zero.
    pub(crate) fn gradient_at_zero(&self, count: usize) -> f64 {
        let (k, n) = (self.classes as f64, count as f64);
        // |p − y|² is the same for every class.
        let each = (1.0 - 1.0 / k) * self.width as f64;
        self.signal() * (1.0 - 1.0 / n) + each / n
    }
}

/// Mean of the largest of `count` independent standard normals, `K ∫ z φ(z) Φ(z)^{K−1} dz`, by the trapezoid rule on an
/// analytic integrand.
pub(crate) fn mean_of_largest(count: usize) -> f64 {
    const STEP: f64 = 0.05;
    let term = |i: i32| {
        let z = STEP * f64::from(i);
        let below = 0.5 * libm::erfc(-z / SQRT_2);
        z * libm::exp(-0.5 * z * z) * below.powi(count as i32 - 1)
    };
    count as f64 * STEP * (-240..=240).map(term).sum::<f64>() / (2.0 * PI).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use xexp_init::Seed;

    #[test]
    fn the_largest_of_some_normals_is_as_in_tables() {
        // Tables of normal order statistics: 1/√π, 3/(2√π), 1.538753 for 10.
        assert!((mean_of_largest(2) - 1.0 / PI.sqrt()).abs() < 1e-12);
        assert!((mean_of_largest(3) - 1.5 / PI.sqrt()).abs() < 1e-12);
        assert!((mean_of_largest(10) - 1.538_752_7).abs() < 1e-6);
    }

    #[test]
    fn the_gradient_at_zero_is_that_of_drawn_examples() {
        let teacher = Teacher { width: 12, classes: 4, noise: 0.5 };
        let (count, draws) = (50, 300);
        let mut total = 0.0;
        for number in 0..draws {
            let draw = Draw::new(Seed(9), ("test", "teacher"), number, &Device::Cpu);
            let [part] = teacher.examples(&draw, [("x", count)]).unwrap();
            let mut sums = vec![0.0f64; 4 * 12];
            for (row, label) in part.inputs.chunks_exact(12).zip(&part.labels) {
                for (k, line) in sums.chunks_exact_mut(12).enumerate() {
                    let residual = 0.25 - f64::from(u8::from(k as u32 == *label));
                    line.iter_mut().zip(row).for_each(|(s, x)| *s += residual * f64::from(*x) / count as f64);
                }
            }
            total += sums.iter().map(|s| s * s).sum::<f64>();
        }
        // A draw spreads by about 0.2 of its mean: 300 draws by 0.012.
        assert!((total / draws as f64 / teacher.gradient_at_zero(count) - 1.0).abs() < 0.05);
    }
}
