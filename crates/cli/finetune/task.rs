//! The flags of the task: what is to be said of an example, and how classes and labels count in the loss.

use std::str::FromStr;

use serde::{Serialize, Serializer};
use xexp_data::{Dataset, Labels, Task, nearest};
use xexp_train::{Counting, Sampling};

use super::Args;
use super::args::Strategy;
use super::data::Examples;
use crate::args::number;
use crate::failure::Failure;

/// What is to be said of an example, and how it counts.
#[derive(Debug, Clone, clap::Args, Serialize)]
#[command(next_help_heading = "Task")]
pub struct Tasks {
    /// What is said of an example: one class, the labels that apply, or a number. `auto` goes by the labels of the training
    /// data: lists, or a --label-separator, are several labels, numbers that are not all whole are values, all else, and every
    /// label of an image, is a class.
    #[arg(long, env = "XEXP_TASK", value_name = "TASK", default_value = "auto")]
    pub task: TaskFlag,
    /// What each class weighs in the training loss: none, balanced (the number of examples over that of the class and the
    /// number of classes), or NAME=W with a comma between, where other classes weigh 1; the mean is over the weights, as in
    /// PyTorch. Validation and test losses are not weighted.
    #[arg(long, env = "XEXP_CLASS_WEIGHTS", value_name = "WEIGHTS", default_value = "none")]
    pub class_weights: ClassWeights,
    /// How an epoch's examples are chosen: each once, or, as many, with replacement and every class as often as another.
    #[arg(long, env = "XEXP_SAMPLING", value_name = "SAMPLING", default_value = "uniform")]
    pub sampling: SamplingFlag,
    /// The part of each class label that is spread evenly over all classes in the training loss.
    #[arg(long, env = "XEXP_LABEL_SMOOTHING", value_name = "X", default_value = "0", value_parser = number::dropout)]
    pub label_smoothing: f64,
    /// The class that stands for what belongs to no other: its recall and precision, the accuracy on all others, and how well
    /// probabilities tell the two apart are reported too.
    #[arg(long, env = "XEXP_OUT_OF_SCOPE", value_name = "NAME")]
    pub out_of_scope: Option<String>,
}

/// A value of `--task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskFlag {
    /// What the labels look like.
    Auto,
    /// One class.
    SingleLabel,
    /// Several labels, one or none.
    MultiLabel,
    /// A number.
    Regression,
}

impl TaskFlag {
    /// The task, where one is said.
    pub fn said(self) -> Option<Task> {
        match self {
            TaskFlag::Auto => None,
            TaskFlag::SingleLabel => Some(Task::SingleLabel),
            TaskFlag::MultiLabel => Some(Task::MultiLabel),
            TaskFlag::Regression => Some(Task::Regression),
        }
    }
}

/// A value of `--sampling`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SamplingFlag {
    /// Each example once.
    Uniform,
    /// Every class as often as another.
    Balanced,
}

/// A value of `--class-weights`.
#[derive(Debug, Clone, PartialEq)]
pub enum ClassWeights {
    /// All classes count alike.
    None,
    /// Each class counts as much as another.
    Balanced,
    /// Weights by name.
    Named(Vec<(String, f64)>),
}

impl FromStr for ClassWeights {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pair = |pair: &str| -> Result<(String, f64), String> {
            let wrong = || format!("expected none, balanced, or NAME=W,…, found `{pair}`");
            let (name, weight) = pair.rsplit_once('=').ok_or_else(wrong)?;
            let weight = number::positive(weight).map_err(|error| format!("`{pair}`: {error}"))?;
            Ok((name.trim().to_string(), weight))
        };
        match text.trim() {
            "none" => Ok(ClassWeights::None),
            "balanced" => Ok(ClassWeights::Balanced),
            pairs => pairs.split(',').map(pair).collect::<Result<_, _>>().map(ClassWeights::Named),
        }
    }
}

impl Serialize for ClassWeights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let pair = |(name, weight): &(String, f64)| format!("{name}={weight}");
        match self {
            ClassWeights::None => serializer.serialize_str("none"),
            ClassWeights::Balanced => serializer.serialize_str("balanced"),
            ClassWeights::Named(pairs) => {
                serializer.serialize_str(&pairs.iter().map(pair).collect::<Vec<_>>().join(","))
            }
        }
    }
}

impl Tasks {
    /// The flags that are about classes and are not at their defaults.
    fn of_classes(&self) -> Option<&'static str> {
        [
            (self.class_weights != ClassWeights::None, "--class-weights"),
            (self.sampling != SamplingFlag::Uniform, "--sampling"),
            (self.label_smoothing > 0.0, "--label-smoothing"),
            (self.out_of_scope.is_some(), "--out-of-scope"),
        ]
        .into_iter()
        .find_map(|(given, flag)| given.then_some(flag))
    }

    /// Sees that the flags fit the strategy and each other.
    ///
    /// # Errors
    /// Flags that contradict each other.
    pub fn check(&self, args: &Args) -> Result<(), Failure> {
        let full_batch = matches!(args.training.strategy, Strategy::Probe | Strategy::LpFt);
        if self.sampling == SamplingFlag::Balanced && full_batch {
            let message = "--sampling balanced: a probe takes all examples in every pass";
            return Err(
                Failure::input(message).hint("give classes the same say with --class-weights balanced")
            );
        }
        if self.class_weights != ClassWeights::None && !args.augmentation.mixing().is_none() {
            return Err(Failure::input("--class-weights: mixed images have no one class").hint(
                "leave --mixup and --cutmix away, or draw classes equally often: --sampling balanced",
            ));
        }
        Ok(())
    }

    /// Sees that the flags fit the task that was found.
    ///
    /// # Errors
    /// Flags about classes where there are none.
    pub fn fit(&self, task: Task, args: &Args) -> Result<(), Failure> {
        if task == Task::SingleLabel {
            return Ok(());
        }
        let mixing = (!args.augmentation.mixing().is_none()).then_some("--mixup, --cutmix");
        match self.of_classes().or(mixing) {
            Some(flag) => {
                Err(Failure::input(format!("{flag}: the task is {task}, and an example has no one class"))
                    .hint("leave the flag away, or say --task single-label"))
            }
            None => Ok(()),
        }
    }

    /// Which task was taken and why, where the labels decided.
    pub fn reason(&self, data: &Dataset, separator: Option<char>) -> Option<String> {
        let why = match (self.task, data.task) {
            (TaskFlag::Auto, Task::MultiLabel) if separator.is_some() => "--label-separator is given",
            (TaskFlag::Auto, Task::MultiLabel) => "labels are lists",
            (TaskFlag::Auto, Task::Regression) => "labels are numbers, not all of them whole",
            (TaskFlag::Auto, Task::SingleLabel) => "an example has one label, a name or a whole number",
            _ => return None,
        };
        let (task, path) = (data.task, data.path.display());
        Some(format!("task: {task}, since in {path} {why} (--task says otherwise)"))
    }

    /// How classes and labels count in the loss.
    ///
    /// # Errors
    /// A weight for a class that there is not.
    pub fn counting(&self, examples: &Examples) -> Result<Counting, Failure> {
        let class_weights = match &self.class_weights {
            ClassWeights::None => None,
            ClassWeights::Balanced => Some(balanced(&examples.labels.counts(&examples.train.data)?)),
            ClassWeights::Named(pairs) => Some(named(pairs, &examples.labels)?),
        };
        Ok(Counting { class_weights, label_smoothing: self.label_smoothing })
    }

    /// The id and name of the class out of scope, if one is named.
    ///
    /// # Errors
    /// A class that there is not.
    pub fn out_of_scope(&self, labels: &Labels) -> Result<Option<(usize, String)>, Failure> {
        let found = |name: &String| Ok((known("--out-of-scope", name, labels)?, name.clone()));
        self.out_of_scope.as_ref().map(found).transpose()
    }

    /// How an epoch's examples are chosen.
    pub fn sampling(&self) -> Sampling {
        match self.sampling {
            SamplingFlag::Uniform => Sampling::Uniform,
            SamplingFlag::Balanced => Sampling::Balanced,
        }
    }

    /// What must be the same for a resumed run to be the same run, where it is not the default.
    pub fn identity(&self, task: Task) -> Option<serde_json::Value> {
        let (weights, sampling, smoothing) = (&self.class_weights, self.sampling, self.label_smoothing);
        let changed = Tasks { out_of_scope: None, ..self.clone() }.of_classes().is_some();
        (task != Task::SingleLabel || changed)
            .then(|| serde_json::json!([task.problem_type(), weights, sampling, smoothing]))
    }
}

/// `n / (C n_c)` over the classes that have examples; 1 of others, which no label names.
fn balanced(counts: &[u64]) -> Vec<f32> {
    let (total, classes) = (counts.iter().sum::<u64>(), counts.iter().filter(|count| **count > 0).count());
    let weight = |&count: &u64| match count {
        0 => 1.0,
        count => (total as f64 / (classes as f64 * count as f64)) as f32,
    };
    counts.iter().map(weight).collect()
}

fn named(pairs: &[(String, f64)], labels: &Labels) -> Result<Vec<f32>, Failure> {
    let mut weights = vec![1.0; labels.len()];
    for (name, weight) in pairs {
        weights[known("--class-weights", name, labels)?] = *weight as f32;
    }
    Ok(weights)
}

/// The id of a class that a flag names.
fn known(flag: &str, name: &str, labels: &Labels) -> Result<usize, Failure> {
    labels.id(name).ok_or_else(|| {
        let failure = Failure::input(format!("{flag}: no class `{name}`"));
        match nearest(name, labels.names().iter().map(String::as_str)) {
            Some(near) => failure.hint(format!("did you mean `{near}`?")),
            None => failure.hint(format!("the classes are {}", labels.names().join(", "))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn balanced_weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0]*6 + [1]*3 + [2]*1): n / (3 n_c).
        for (found, expected) in balanced(&[6, 3, 1]).iter().zip([10.0 / 18.0, 10.0 / 9.0, 10.0 / 3.0]) {
            assert!((f64::from(*found) - expected).abs() < 1e-6);
        }
        assert_eq!(balanced(&[2, 0, 2]), [1.0, 1.0, 1.0]);
    }

    #[test]
    fn weights_are_read_by_name_and_must_be_positive() {
        let labels = Labels::from_names(["a=b", "c"].map(String::from).to_vec()).unwrap();
        let read = |text: &str| text.parse::<ClassWeights>();
        let Ok(ClassWeights::Named(pairs)) = read("a=b=2.5") else { panic!() };
        assert_eq!(named(&pairs, &labels).unwrap(), [2.5, 1.0]);
        assert_eq!((read("none"), read("balanced")), (Ok(ClassWeights::None), Ok(ClassWeights::Balanced)));
        for wrong in ["", "c", "c=0", "c=-1", "c=x", "c=1,"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
        let Ok(ClassWeights::Named(pairs)) = read("d=1") else { panic!() };
        assert!(named(&pairs, &labels).unwrap_err().to_string().contains("`d`"));
    }
}
