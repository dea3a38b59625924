//! How accuracy rises over a run.

/// Share of the best accuracy that counts as having learned.
pub const LEARNED: f64 = 0.9;

/// Steps after which accuracy is measured: 0, then each about `growth` times the last, and the end.
pub fn looks(total: u64, growth: f64) -> Vec<u64> {
    let next = |&step: &u64| Some(((step as f64 * growth) as u64).max(step + 1)).filter(|&next| next < total);
    std::iter::successors(Some(0), next).chain([total]).collect()
}

/// Test accuracy after some numbers of steps.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    points: Vec<(u64, f64)>,
}

impl Curve {
    /// Adds a point.
    pub fn push(&mut self, step: u64, accuracy: f64) {
        self.points.push((step, accuracy));
    }

    /// The best accuracy.
    pub fn best(&self) -> f64 {
        self.points.iter().map(|(_, accuracy)| *accuracy).fold(0.0, f64::max)
    }

    /// The last accuracy.
    pub fn last(&self) -> f64 {
        self.points.last().map_or(0.0, |(_, accuracy)| *accuracy)
    }

    /// The first step at which `level` is reached; one beyond the last where it never is.
    pub fn steps_to(&self, level: f64) -> u64 {
        let reached = self.points.iter().find(|(_, accuracy)| *accuracy >= level);
        reached.map_or_else(|| self.points.last().map_or(0, |(last, _)| last + 1), |(step, _)| *step)
    }

    /// Steps to [`LEARNED`] of its own best.
    pub fn steps_to_learn(&self) -> u64 {
        self.steps_to(LEARNED * self.best())
    }

    /// Logarithm of its steps over those of `other`, both to [`LEARNED`] of the better best.
    pub fn slowness(&self, other: &Curve) -> f64 {
        let level = LEARNED * self.best().max(other.best());
        let steps = |curve: &Curve| curve.steps_to(level).max(1) as f64;
        (steps(self) / steps(other)).ln()
    }
}

/// Share of rows whose largest logit is that of their label.
pub fn accuracy(logits: &[f32], labels: &[u32], classes: usize) -> f64 {
    let right = logits.chunks_exact(classes).zip(labels).filter(|(row, label)| {
        let best =
            row.iter().enumerate().fold(0, |best, (class, z)| if *z > row[best] { class } else { best });
        best == **label as usize
    });
    right.count() as f64 / labels.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_tells_when_it_has_learned() {
        let curve = |points: &[(u64, f64)]| Curve { points: points.to_vec() };
        let (fast, slow) = (curve(&[(0, 0.1), (4, 0.8), (8, 0.7)]), curve(&[(0, 0.1), (4, 0.3), (8, 0.73)]));
        assert_eq!((fast.best(), fast.steps_to_learn(), slow.steps_to_learn()), (0.8, 4, 8));
        assert!((slow.slowness(&fast) - 2f64.ln()).abs() < 1e-12);
        // Beyond the end: 9 steps over 4.
        assert!((curve(&[(0, 0.1), (8, 0.5)]).slowness(&fast) - 2.25f64.ln()).abs() < 1e-12);
        assert_eq!(looks(20, 1.5), [0, 1, 2, 3, 4, 6, 9, 13, 19, 20]);
        assert_eq!(looks(1, 1.5), [0, 1]);
        assert_eq!(accuracy(&[0.0, 1.0, 2.0, 1.0, 0.0, 0.0], &[1, 1, 0], 2), 2.0 / 3.0);
    }
}
