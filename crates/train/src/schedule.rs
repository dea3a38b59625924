//! Learning-rate schedules: a factor of the peak rate for each optimiser step.
//!
//! The factors are those of transformers, number for number. With a warm-up the first update has factor 0 there,
//! and so it has here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A schedule that cannot be.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// A share of warm-up steps that is no share.
    #[error("warm-up: expected a share of the steps from 0 to 1, found {found}")]
    Warmup {
        /// The share given.
        found: f64,
    },
    /// A name that no shape has.
    #[error("schedule: expected linear, cosine or constant, found `{found}`")]
    Shape {
        /// The name given.
        found: String,
    },
}

impl Error {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Warmup { .. } => {
                "give --warmup a number from 0 to 1, as 0.1 for a tenth of the steps".into()
            }
            Error::Shape { .. } => "give --schedule linear, cosine or constant".into(),
        })
    }

    /// Whether the machine refused to write; never so here.
    pub fn is_environment(&self) -> bool {
        false
    }
}

/// What the rate does after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Falls to 0 in a straight line.
    Linear,
    /// Falls to 0 along half a period of the cosine.
    Cosine,
    /// Stays.
    Constant,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Shape::Linear => "linear",
            Shape::Cosine => "cosine",
            Shape::Constant => "constant",
        })
    }
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(name: &str) -> Result<Shape, Error> {
        [Shape::Linear, Shape::Cosine, Shape::Constant]
            .into_iter()
            .find(|shape| shape.to_string() == name)
            .ok_or_else(|| Error::Shape { found: name.to_owned() })
    }
}

/// The learning rate over a run, as a share of its peak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// What the rate does after the warm-up.
    pub shape: Shape,
    /// Steps in which the rate rises from 0 to its peak.
    pub warmup: u64,
    /// Steps of the whole run.
    pub total: u64,
}

impl Schedule {
    /// The schedule of `total` steps of which the share `warmup` warms up, rounded up to whole steps.
    ///
    /// Source: transformers 5.23, `TrainingArguments.get_warmup_steps`.
    ///
    /// # Errors
    /// [`Error::Warmup`] unless `warmup` is from 0 to 1.
    pub fn new(shape: Shape, warmup: f64, total: u64) -> Result<Schedule, Error> {
        if !(0.0..=1.0).contains(&warmup) {
            return Err(Error::Warmup { found: warmup });
        }
        Ok(Schedule { shape, warmup: (total as f64 * warmup).ceil() as u64, total })
    }

    /// The factor of the update that comes after `step` updates.
    ///
    /// Source: transformers 5.23, `get_linear_schedule_with_warmup`, `get_cosine_schedule_with_warmup` (half a
    /// cycle), `get_constant_schedule_with_warmup`; past the end of the run, too.
    pub fn factor(&self, step: u64) -> f64 {
        let [step, warmup, total] = [step, self.warmup, self.total].map(|steps| steps as f64);
        if step < warmup {
            return step / warmup.max(1.0);
        }
        let falling = (total - warmup).max(1.0);
        match self.shape {
            Shape::Linear => ((total - step) / falling).max(0.0),
            Shape::Cosine => {
                (0.5 * (1.0 + (std::f64::consts::PI * ((step - warmup) / falling)).cos())).max(0.0)
            }
            Shape::Constant => 1.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Printed with transformers 5.23 by
    //   o = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    //   s = get_linear_schedule_with_warmup(o, 3, 11)   # and the others
    //   for _ in range(13): print(s.get_last_lr()[0]); o.step(); s.step()
    const THIRD: f64 = 0.3333333333333333;
    const TWO_THIRDS: f64 = 0.6666666666666666;

    fn follows(shape: Shape, warmup: u64, total: u64, expected: &[f64]) {
        let schedule = Schedule { shape, warmup, total };
        for (step, expected) in expected.iter().enumerate() {
            let found = schedule.factor(step as u64);
            // The cosine may differ in the last digit between mathematical libraries.
            assert!((found - expected).abs() < 1e-15, "{shape} {step}: expected {expected}, found {found}");
        }
    }

    #[test]
    fn linear_follows_transformers() {
        let expected = [0.0, THIRD, TWO_THIRDS, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0];
        follows(Shape::Linear, 3, 11, &expected);
        follows(Shape::Linear, 0, 4, &[1.0, 0.75, 0.5, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn linear_that_only_warms_up_follows_transformers() {
        let expected = [
            0.0,
            0.09090909090909091,
            0.18181818181818182,
            0.2727272727272727,
            0.36363636363636365,
            0.45454545454545453,
            0.5454545454545454,
            0.6363636363636364,
            0.7272727272727273,
            0.8181818181818182,
            0.9090909090909091,
            0.0,
            0.0,
        ];
        follows(Shape::Linear, 11, 11, &expected);
    }

    #[test]
    fn cosine_follows_transformers() {
        let expected = [
            0.0,
            THIRD,
            TWO_THIRDS,
            1.0,
            0.9619397662556434,
            0.8535533905932737,
            0.6913417161825449,
            0.5,
            0.30865828381745514,
            0.14644660940672627,
            0.03806023374435663,
            0.0,
            0.038060233744356575,
        ];
        follows(Shape::Cosine, 3, 11, &expected);
    }

    #[test]
    fn constant_follows_transformers() {
        follows(
            Shape::Constant,
            3,
            11,
            &[0.0, THIRD, TWO_THIRDS, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        );
    }

    #[test]
    fn warmup_steps_are_those_of_transformers() {
        // TrainingArguments(output_dir="x", warmup_steps=share).get_warmup_steps(total), transformers 5.23
        for (share, total, expected) in [
            (0.1, 70, 7),
            (0.1, 30, 3),
            (0.06, 50, 3),
            (0.1, 1, 1),
            (0.0, 9, 0),
            (0.1, 819, 82),
            (0.3, 11, 4),
            (0.55, 100, 56), // 55.00000000000001 in f64, rounded up there as here
        ] {
            let schedule = Schedule::new(Shape::Linear, share, total).unwrap();
            assert_eq!(schedule.warmup, expected, "{share} of {total}");
        }
    }

    #[test]
    fn a_share_beyond_the_whole_is_refused() {
        for share in [-0.1, 1.5, 100.0, f64::NAN] {
            assert!(matches!(Schedule::new(Shape::Linear, share, 10), Err(Error::Warmup { .. })));
        }
    }

    #[test]
    fn names_read_back() {
        for shape in [Shape::Linear, Shape::Cosine, Shape::Constant] {
            assert_eq!(shape.to_string().parse::<Shape>(), Ok(shape));
        }
        assert!(matches!("step".parse::<Shape>(), Err(Error::Shape { .. })));
    }

    #[test]
    fn no_factor_leaves_the_range_of_zero_to_one() {
        for shape in [Shape::Linear, Shape::Cosine, Shape::Constant] {
            for (warmup, total) in [(0, 0), (0, 1), (1, 1), (5, 3), (10, 100), (0, u64::MAX)] {
                let schedule = Schedule { shape, warmup, total };
                let steps = (0..200).chain([u64::MAX]);
                assert!(steps.map(|step| schedule.factor(step)).all(|factor| (0.0..=1.0).contains(&factor)));
            }
        }
    }
}
