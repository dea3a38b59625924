//! What is to be said of an example.

use std::fmt;

/// A kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// One class.
    SingleLabel,
    /// The labels that apply: several, one or none.
    MultiLabel,
    /// A number.
    Regression,
}

impl Task {
    /// transformers' name for it, `problem_type` in `config.json`.
    pub fn problem_type(self) -> &'static str {
        match self {
            Task::SingleLabel => "single_label_classification",
            Task::MultiLabel => "multi_label_classification",
            Task::Regression => "regression",
        }
    }

    /// The task of this name, if it is one's.
    pub fn from_problem_type(name: &str) -> Option<Self> {
        [Task::SingleLabel, Task::MultiLabel, Task::Regression]
            .into_iter()
            .find(|task| task.problem_type() == name)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Task::SingleLabel => "single-label",
            Task::MultiLabel => "multi-label",
            Task::Regression => "regression",
        })
    }
}
