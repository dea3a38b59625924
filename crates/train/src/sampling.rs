//! Which examples an epoch is made of.

use crate::fit;
use crate::sample::Sample;
use xexp_backbones::Seed;

/// How the examples of an epoch are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Each once, in random order.
    #[default]
    Uniform,
    /// Drawn with replacement, every class as often as another, and within a class every example.
    Balanced,
}

impl Sampling {
    /// The examples of an epoch, as many as there are, from streams of their own: any epoch's can be had without the earlier
    /// ones. Examples without a class, as of another task, are one class.
    pub fn order(self, samples: &[Sample], seed: Seed, epoch: u64) -> Vec<usize> {
        if self == Sampling::Uniform || samples.is_empty() {
            return fit::order(seed, epoch, samples.len());
        }
        let class = |sample: &Sample| sample.target.class().unwrap_or(0) as usize;
        let mut classes = vec![vec![]; samples.iter().map(class).max().map_or(0, |last| last + 1)];
        samples.iter().enumerate().for_each(|(index, sample)| classes[class(sample)].push(index));
        classes.retain(|members| !members.is_empty());
        let mut stream = seed.stream(&format!("sampling/{epoch}"));
        let mut draw = || {
            let members = &classes[stream.below(classes.len() as u64) as usize];
            members[stream.below(members.len() as u64) as usize]
        };
        (0..samples.len()).map(|_| draw()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ninety examples of class 0, nine of class 2, one of class 5.
    fn samples() -> Vec<Sample> {
        let label = |index: usize| if index == 42 { 5 } else { 2 * u32::from(index.is_multiple_of(11)) };
        (0..100).map(|index| Sample::text(vec![1], vec![0], label(index))).collect()
    }

    #[test]
    fn classes_come_equally_often_and_so_do_examples_within_one() {
        let samples = samples();
        let mut counts = vec![0u32; 100];
        for epoch in 0..300 {
            let order = Sampling::Balanced.order(&samples, Seed(3), epoch);
            assert_eq!(order.len(), 100);
            assert_eq!(order, Sampling::Balanced.order(&samples, Seed(3), epoch));
            order.into_iter().for_each(|index| counts[index] += 1);
        }
        let of = |class: u32| {
            let members = counts.iter().zip(&samples).filter(|(_, s)| s.target.class() == Some(class));
            members.map(|(count, _)| *count).collect::<Vec<u32>>()
        };
        for class in [0, 2, 5] {
            let members = of(class);
            let total: u32 = members.iter().sum();
            // A binomial count of 30,000 at a third: six standard deviations are 490.
            assert!(total.abs_diff(10_000) < 490, "{class}: {total}");
            let mean = f64::from(total) / members.len() as f64;
            // Poisson counts of at least 100: six standard deviations.
            for count in members {
                assert!(
                    (f64::from(count) - mean).abs() < 6.0 * mean.sqrt() + 1.0,
                    "{class}: {count}, {mean}"
                );
            }
        }
        assert_ne!(
            Sampling::Balanced.order(&samples, Seed(3), 0),
            Sampling::Balanced.order(&samples, Seed(3), 1)
        );
    }

    #[test]
    fn without_balance_the_order_is_the_usual_one() {
        assert_eq!(Sampling::Uniform.order(&samples(), Seed(3), 7), fit::order(Seed(3), 7, 100));
    }
}
