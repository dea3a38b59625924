//! What a row says of its example, as found in the file and as a task understands it.

use std::fmt;

use crate::fault::RowFault;
use crate::task::Task;

/// What a row says of its example.
#[derive(Debug, Clone, PartialEq)]
pub enum Label {
    /// The name of its class, without surrounding white space.
    Class(String),
    /// The names of the labels that apply; may be none.
    Labels(Vec<String>),
    /// A finite number, also in single precision.
    Value(f64),
}

impl Label {
    /// The class's name; `None` of other tasks.
    pub fn class(&self) -> Option<&str> {
        match self {
            Label::Class(name) => Some(name),
            Label::Labels(_) | Label::Value(_) => None,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Class(name) => f.write_str(name),
            Label::Labels(names) => f.write_str(&names.join(", ")),
            Label::Value(value) => value.fmt(f),
        }
    }
}

/// The label of a row as its file has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Found {
    /// A text, or what is written as one: a whole number, true, false.
    Text(String),
    /// A list of such.
    List(Vec<String>),
    /// A number with a fraction.
    Real(f64),
}

/// The task that labels look like, as transformers has it: lists are labels of which several may apply; numbers that are not
/// all whole are values; all else is a class.
pub(crate) fn task_of<'a>(found: impl Iterator<Item = &'a Found> + Clone) -> Task {
    let number = |found: &Found| match found {
        Found::Text(text) => text.trim().parse::<f64>().ok().filter(|value| value.is_finite()),
        Found::Real(value) => Some(*value),
        Found::List(_) => None,
    };
    if found.clone().any(|found| matches!(found, Found::List(_))) {
        return Task::MultiLabel;
    }
    let numbers = || found.clone().map(number);
    let values = numbers().all(|value| value.is_some()) && numbers().flatten().any(|v| v.fract() != 0.0);
    if values { Task::Regression } else { Task::SingleLabel }
}

/// The label for a task; `separator` stands between the labels of a text.
pub(crate) fn label(
    found: Option<Found>,
    (task, separator): (Task, Option<char>),
    column: &str,
) -> Result<Label, RowFault> {
    match (task, found) {
        (Task::MultiLabel, Some(Found::Text(text))) => match separator {
            Some(_) if text.trim().is_empty() => Ok(Label::Labels(vec![])),
            Some(separator) => names(text.split(separator).map(str::to_string).collect(), column),
            None => Err(RowFault::NotAList { column: column.into(), found: text }),
        },
        (Task::MultiLabel, Some(Found::List(found))) => names(found, column),
        (Task::Regression, Some(Found::Text(text))) if !text.trim().is_empty() => {
            let value = text.trim().parse::<f64>().ok().filter(|value| fits(*value));
            value.map(Label::Value).ok_or(RowFault::NotANumber { column: column.into(), found: text })
        }
        (Task::Regression, Some(Found::Real(value))) if fits(value) => Ok(Label::Value(value)),
        (Task::Regression, Some(Found::Real(value))) => {
            Err(RowFault::NotANumber { column: column.into(), found: value.to_string() })
        }
        (Task::SingleLabel, Some(Found::Text(text))) => name(&text, column).map(Label::Class),
        (_, None | Some(Found::Text(_))) => Err(RowFault::NoLabel { column: column.into() }),
        (task, Some(other)) => Err(RowFault::Kind {
            field: column.into(),
            expected: match task {
                Task::SingleLabel => "a string, a whole number, true or false",
                Task::MultiLabel => "a list of labels",
                Task::Regression => "a number",
            },
            found: match other {
                Found::Real(value) => format!("the number {value}"),
                _ => "a list".into(),
            },
        }),
    }
}

/// Whether a value is a number that the model can learn.
fn fits(value: f64) -> bool {
    (value as f32).is_finite()
}

fn name(text: &str, column: &str) -> Result<String, RowFault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(RowFault::NoLabel { column: column.into() });
    }
    if text.contains(['\t', '\n', '\r']) {
        return Err(RowFault::BrokenLabel { column: column.into(), found: text.into() });
    }
    Ok(text.to_string())
}

fn names(found: Vec<String>, column: &str) -> Result<Label, RowFault> {
    let mut names: Vec<String> = Vec::with_capacity(found.len());
    for text in found {
        let name = name(&text, column)?;
        if names.contains(&name) {
            return Err(RowFault::RepeatedLabel { column: column.into(), found: name });
        }
        names.push(name);
    }
    Ok(Label::Labels(names))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<Found> {
        Some(Found::Text(text.into()))
    }

    fn list(names: &[&str]) -> Option<Found> {
        Some(Found::List(names.iter().map(|name| name.to_string()).collect()))
    }

    fn read(found: Option<Found>, task: Task, separator: Option<char>) -> Result<Label, RowFault> {
        label(found, (task, separator), "label")
    }

    #[test]
    fn the_task_follows_from_the_labels() {
        let of = |found: &[Found]| task_of(found.iter());
        let texts = |names: &[&str]| names.iter().map(|n| Found::Text(n.to_string())).collect::<Vec<_>>();
        assert_eq!(of(&texts(&["1.0", "2", "-3"])), Task::SingleLabel);
        assert_eq!(of(&texts(&["1.0", "2", "-3.5"])), Task::Regression);
        assert_eq!(of(&texts(&["1.5", "2", "nan"])), Task::SingleLabel);
        assert_eq!(of(&texts(&["1.5", "2", ""])), Task::SingleLabel);
        assert_eq!(of(&[Found::Real(0.5), Found::Text("1".into())]), Task::Regression);
        assert_eq!(of(&[Found::List(vec![]), Found::Text("1.5".into())]), Task::MultiLabel);
    }

    #[test]
    fn several_labels_come_as_a_list_or_with_a_separator_and_none_is_legal() {
        let labels = |names: &[&str]| Ok(Label::Labels(names.iter().map(|n| n.to_string()).collect()));
        assert_eq!(read(text(" a ;b c"), Task::MultiLabel, Some(';')), labels(&["a", "b c"]));
        assert_eq!(read(text("  "), Task::MultiLabel, Some(';')), labels(&[]));
        assert_eq!(read(list(&[]), Task::MultiLabel, None), labels(&[]));
        assert_eq!(read(list(&["b", " a"]), Task::MultiLabel, Some(';')), labels(&["b", "a"]));
        let fault = |found, separator| read(found, Task::MultiLabel, separator).unwrap_err();
        assert!(matches!(fault(text("a;b"), None), RowFault::NotAList { .. }));
        assert!(matches!(fault(text("a;"), Some(';')), RowFault::NoLabel { .. }));
        assert!(
            matches!(fault(list(&["a", "a "]), None), RowFault::RepeatedLabel { found, .. } if found == "a")
        );
        assert!(matches!(fault(None, None), RowFault::NoLabel { .. }));
    }

    #[test]
    fn a_value_is_a_finite_number() {
        for (found, value) in [(text(" 2.5"), 2.5), (text("-1e3"), -1e3), (Some(Found::Real(0.25)), 0.25)] {
            assert_eq!(read(found, Task::Regression, None), Ok(Label::Value(value)));
        }
        for found in ["nan", "inf", "good", "1e39", "1,5"] {
            let fault = read(text(found), Task::Regression, None).unwrap_err();
            assert!(matches!(fault, RowFault::NotANumber { .. }), "{found}");
        }
        let fault = read(Some(Found::Real(f64::NAN)), Task::Regression, None).unwrap_err();
        assert!(matches!(fault, RowFault::NotANumber { .. }));
        assert!(matches!(read(text(" "), Task::Regression, None), Err(RowFault::NoLabel { .. })));
        assert!(matches!(read(list(&["1"]), Task::Regression, None), Err(RowFault::Kind { .. })));
    }
}
