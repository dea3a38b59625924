//! The label table.

use std::collections::BTreeMap;
use std::path::Path;

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::example::Example;
use crate::label::Label;
use crate::nearest::nearest;
use crate::order::natural_order;
use crate::task::Task;

/// The name of the one output of a regression, transformers' own.
const VALUE: &str = "LABEL_0";

/// The classes by name; a class's id is its place. Where several labels may apply, the labels likewise; a regression has one
/// output, whose name says nothing.
///
/// Built once, from the training data, in natural order ([`natural_order`]: `2` before `10`, `file2` before `file10`).
/// All other data is mapped *by name*, so that no file's own order, and no class that a file lacks, can shift an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    task: Task,
    names: Vec<String>,
    ids: BTreeMap<String, usize>,
}

impl Labels {
    /// The classes that the training data declare, in that order ([`Dataset::class_names`]), then all others that occur
    /// in natural order; those of `others` too: pass here only what is admitted
    /// to bring classes that training lacks (`--unseen-labels union`).
    ///
    /// # Errors
    /// [`Error::OneClass`] when all training rows have one class, [`Error::FewLabels`] when there are fewer than two labels,
    /// [`Error::Unlabelled`] when a row has none, [`Error::OtherTask`] for `others` of another task.
    pub fn from_training(train: &Dataset, others: &[&Dataset]) -> Result<Self> {
        let task = train.task;
        if task == Task::Regression {
            return Labels::of(task, vec![VALUE.into()]);
        }
        let mut names: Vec<String> = Vec::new();
        let declared = train.class_names.clone().unwrap_or_default();
        for (index, data) in std::iter::once(&train).chain(others).enumerate() {
            for example in &data.examples {
                names.extend_from_slice(of_task(data, example, task)?);
            }
            names.sort_by(|a, b| natural_order(a, b));
            names.dedup();
            if index == 0 && names.len() < 2 {
                let (path, rows) = (train.path.clone(), train.examples.len());
                return Err(match (task, names.pop()) {
                    (Task::SingleLabel, Some(label)) => Error::OneClass { path, label, rows },
                    (_, found) => Error::FewLabels { path, found: found.into_iter().collect() },
                });
            }
        }
        names.retain(|name| !declared.contains(name));
        Labels::of(task, [declared, names].concat())
    }

    /// The classes in the order given, as a saved model's config has them.
    ///
    /// # Errors
    /// [`Error::ClassNames`] for fewer than two names, one that stands twice, is empty, or holds a tab or line break.
    pub fn from_names(names: Vec<String>) -> Result<Self> {
        Labels::of(Task::SingleLabel, names)
    }

    /// The same of another task; a regression has one name.
    ///
    /// # Errors
    /// As [`Labels::from_names`].
    pub fn of(task: Task, names: Vec<String>) -> Result<Self> {
        let wrong = |problem| Err(Error::ClassNames { problem });
        let mut ids = BTreeMap::new();
        for (id, name) in names.iter().enumerate() {
            if name.trim().is_empty() || name.contains(['\t', '\n', '\r']) {
                return wrong(format!(
                    "expected a name without tabs and line breaks for id {id}, found {name:?}"
                ));
            }
            if let Some(first) = ids.insert(name.clone(), id) {
                return wrong(format!("`{name}` stands for the ids {first} and {id}"));
            }
        }
        match (task, names.len()) {
            (Task::Regression, 1) | (Task::SingleLabel | Task::MultiLabel, 2..) => {
                Ok(Labels { task, names, ids })
            }
            (Task::Regression, found) => wrong(format!("expected one output of a regression, found {found}")),
            (_, found) => wrong(format!("expected at least two, found {found}")),
        }
    }

    /// The same classes in the order of `base`, a base model's own class names, when those are the same set: then a
    /// pretrained head keeps its meaning, and users find the ids they know. None when the sets differ.
    pub fn in_order_of(&self, base: &[String]) -> Option<Self> {
        let same = base.len() == self.len() && base.iter().all(|name| self.ids.contains_key(name));
        if same { Labels::of(self.task, base.to_vec()).ok() } else { None }
    }

    /// The task that they are for.
    pub fn task(&self) -> Task {
        self.task
    }

    /// Number of classes.
    #[allow(clippy::len_without_is_empty, reason = "a table has at least two classes")]
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// The names, in the order of their ids.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Name of the class `id`.
    pub fn name(&self, id: usize) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// Id of the class `name`.
    pub fn id(&self, name: &str) -> Option<usize> {
        self.ids.get(name).copied()
    }

    /// The class ids of all examples of `data`, in its order.
    ///
    /// # Errors
    /// [`Error::UnseenLabel`] for a label that the table lacks, [`Error::Unlabelled`] for an example without one,
    /// [`Error::OtherTask`] for labels of another task.
    pub fn ids(&self, data: &Dataset) -> Result<Vec<usize>> {
        let id = |example| {
            let names = of_task(data, example, Task::SingleLabel)?;
            names
                .first()
                .map_or_else(|| Err(unlabelled(data, example.line)), |name| self.known(data, example, name))
        };
        data.examples.iter().map(id).collect()
    }

    /// The ids of the labels that apply to each example of `data`, in its order.
    ///
    /// # Errors
    /// As [`Labels::ids`].
    pub fn sets(&self, data: &Dataset) -> Result<Vec<Vec<usize>>> {
        let set = |example| {
            let names = of_task(data, example, Task::MultiLabel)?;
            names.iter().map(|name| self.known(data, example, name)).collect()
        };
        data.examples.iter().map(set).collect()
    }

    /// The value of each example of `data`, in its order.
    ///
    /// # Errors
    /// As [`Labels::ids`].
    pub fn values(&self, data: &Dataset) -> Result<Vec<f64>> {
        let value = |example: &Example| match &example.label {
            Some(Label::Value(value)) => Ok(*value),
            Some(_) => Err(other_task(data, Task::Regression)),
            None => Err(unlabelled(data, example.line)),
        };
        data.examples.iter().map(value).collect()
    }

    /// Sees that all labels of `data` are of the table.
    ///
    /// # Errors
    /// As [`Labels::ids`].
    pub fn check(&self, data: &Dataset) -> Result<()> {
        self.counts(data).map(|_| ())
    }

    /// What a split keeps the shares of: the classes, by their ids; of other tasks all examples are alike.
    ///
    /// # Errors
    /// As [`Labels::ids`].
    pub fn strata(&self, data: &Dataset) -> Result<Vec<usize>> {
        match self.task {
            Task::SingleLabel => self.ids(data),
            Task::MultiLabel | Task::Regression => Ok(vec![0; data.examples.len()]),
        }
    }

    fn known(&self, data: &Dataset, example: &Example, label: &str) -> Result<usize> {
        self.id(label).ok_or_else(|| Error::UnseenLabel {
            path: data.path.clone(),
            line: example.line,
            label: label.into(),
            nearest: nearest(label, self.names.iter().map(String::as_str)).map(Into::into),
        })
    }

    /// How many examples of `data` each class or label has, in the order of the ids; of a regression all.
    ///
    /// # Errors
    /// As [`Labels::ids`].
    pub fn counts(&self, data: &Dataset) -> Result<Vec<u64>> {
        let ids = match self.task {
            Task::SingleLabel => self.ids(data)?,
            Task::MultiLabel => self.sets(data)?.concat(),
            Task::Regression => vec![0; self.values(data)?.len()],
        };
        let mut counts = vec![0; self.len()];
        ids.into_iter().for_each(|id| counts[id] += 1);
        Ok(counts)
    }

    /// The table as the text of a `labels.tsv`: `id`, `label`, and `count`, the examples of each class in `train`.
    ///
    /// # Errors
    /// As [`Labels::ids`].
    pub fn to_tsv(&self, train: &Dataset) -> Result<String> {
        let mut text = String::from("id\tlabel\tcount\n");
        for ((id, name), count) in self.names.iter().enumerate().zip(self.counts(train)?) {
            text.push_str(&format!("{id}\t{name}\t{count}\n"));
        }
        Ok(text)
    }

    /// Reads back what [`Labels::to_tsv`] wrote; `path` is named in errors. The counts may be absent.
    ///
    /// # Errors
    /// [`Error::LabelTable`] for a line of another form, and as [`Labels::from_names`].
    pub fn from_tsv(path: &Path, text: &str) -> Result<Self> {
        let mut names = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let fields: Vec<&str> = line.split('\t').collect();
            let expected = index.checked_sub(1).map(|id| id.to_string());
            match (expected, fields.as_slice()) {
                (None, ["id", "label"] | ["id", "label", "count"]) => {}
                (Some(expected), [id, name] | [id, name, _]) if *id == expected => names.push((*name).into()),
                _ => {
                    return Err(Error::LabelTable { path: path.into(), line: index + 1, found: line.into() });
                }
            }
        }
        Labels::from_names(names)
    }
}

/// The names that an example has under a task of names.
fn of_task<'a>(data: &Dataset, example: &'a Example, task: Task) -> Result<&'a [String]> {
    match (&example.label, task) {
        (Some(Label::Class(name)), Task::SingleLabel) => Ok(std::slice::from_ref(name)),
        (Some(Label::Labels(names)), Task::MultiLabel) => Ok(names),
        (Some(_), task) => Err(other_task(data, task)),
        (None, _) => Err(unlabelled(data, example.line)),
    }
}

fn other_task(data: &Dataset, expected: Task) -> Error {
    Error::OtherTask { path: data.path.clone(), expected, found: data.task }
}

fn unlabelled(data: &Dataset, line: u64) -> Error {
    Error::Unlabelled { path: data.path.clone(), line }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::Example;
    use crate::receipt::tests::dataset;

    fn labelled(labels: &[&str]) -> Dataset {
        let rows: Vec<(String, &str)> =
            labels.iter().enumerate().map(|(i, &label)| (format!("text {i}"), label)).collect();
        dataset("train.csv", &rows.iter().map(|(text, label)| (text.as_str(), *label)).collect::<Vec<_>>())
    }

    #[test]
    fn table_is_in_natural_order_whatever_the_order_of_rows() {
        for rows in [["10", "9", "1", "9"], ["9", "1", "10", "10"]] {
            let labels = Labels::from_training(&labelled(&rows), &[]).unwrap();
            assert_eq!(labels.names(), ["1", "9", "10"]);
            assert_eq!((labels.id("10"), labels.name(1), labels.id("2")), (Some(2), Some("9"), None));
        }
    }

    #[test]
    fn one_class_is_refused_even_when_other_data_has_more() {
        let (train, valid) = (labelled(&["a", "a"]), labelled(&["b"]));
        for others in [&[][..], &[&valid]] {
            let error = Labels::from_training(&train, others).unwrap_err();
            assert!(matches!(&error, Error::OneClass { label, rows: 2, .. } if label == "a"), "{error}");
        }
    }

    #[test]
    fn unseen_label_is_named_with_its_line_and_nearest_and_union_admits_it() {
        let (train, valid) = (labelled(&["joy", "anger"]), labelled(&["anger", "angr"]));
        let labels = Labels::from_training(&train, &[]).unwrap();
        let error = labels.ids(&valid).unwrap_err();
        assert_eq!(error.to_string(), "train.csv:2: the label `angr` does not occur in the training data");
        let hint = error.hint().unwrap();
        assert!(hint.contains("`anger`") && hint.contains("--unseen-labels union"), "{hint}");
        let labels = Labels::from_training(&train, &[&valid]).unwrap();
        assert_eq!(labels.names(), ["anger", "angr", "joy"]);
        assert_eq!(labels.ids(&valid).unwrap(), [0, 1]);
    }

    #[test]
    fn order_of_a_base_model_is_adopted_only_for_the_same_set() {
        let labels = Labels::from_training(&labelled(&["a", "b", "c"]), &[]).unwrap();
        let base = ["c", "a", "b"].map(String::from);
        assert_eq!(labels.in_order_of(&base).unwrap().names(), base);
        assert_eq!(labels.in_order_of(&base[..2]), None);
        assert_eq!(labels.in_order_of(&["LABEL_0", "LABEL_1", "LABEL_2"].map(String::from)), None);
        assert_eq!(labels.in_order_of(&["a", "a", "b"].map(String::from)), None);
    }

    #[test]
    fn table_reads_back_from_its_file() {
        let train = labelled(&["x y", "#", "x y"]);
        let labels = Labels::from_training(&train, &[]).unwrap();
        let text = labels.to_tsv(&train).unwrap();
        assert_eq!(text, "id\tlabel\tcount\n0\t#\t1\n1\tx y\t2\n");
        let path = Path::new("labels.tsv");
        assert_eq!(Labels::from_tsv(path, &text).unwrap(), labels);
        assert_eq!(Labels::from_tsv(path, "id\tlabel\r\n0\t#\r\n1\tx y\r\n").unwrap(), labels);
        for wrong in
            ["", "0\ta\n1\tb\n", "id\tlabel\n1\ta\n0\tb\n", "id\tlabel\n0\n", "id\tlabel\n0\ta\n1\ta\n"]
        {
            assert!(Labels::from_tsv(path, wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn data_without_labels_has_no_table() {
        let mut data = labelled(&["a", "b"]);
        data.examples.push(Example { label: None, line: 9, ..data.examples[0].clone() });
        let error = Labels::from_training(&data, &[]).unwrap_err();
        assert!(matches!(error, Error::Unlabelled { line: 9, .. }), "{error}");
    }

    #[test]
    fn several_labels_and_values_have_tables_of_their_own() {
        let mut train = labelled(&["", "", ""]);
        train.task = Task::MultiLabel;
        for (example, names) in train.examples.iter_mut().zip([&["b", "a"][..], &[], &["a"]]) {
            example.label = Some(Label::Labels(names.iter().map(|name| name.to_string()).collect()));
        }
        let labels = Labels::from_training(&train, &[]).unwrap();
        assert_eq!((labels.names(), labels.task()), (&["a", "b"].map(String::from)[..], Task::MultiLabel));
        assert_eq!(labels.sets(&train).unwrap(), [vec![1, 0], vec![], vec![0]]);
        assert_eq!(labels.counts(&train).unwrap(), [2, 1]);
        assert!(matches!(labels.values(&train), Err(Error::OtherTask { .. })));
        train.examples[0].label = Some(Label::Labels(vec!["a".into()]));
        assert!(
            matches!(Labels::from_training(&train, &[]), Err(Error::FewLabels { found, .. }) if found == ["a"])
        );

        let mut train = labelled(&["", ""]);
        train.task = Task::Regression;
        for (example, value) in train.examples.iter_mut().zip([0.5, -2.0]) {
            example.label = Some(Label::Value(value));
        }
        let labels = Labels::from_training(&train, &[]).unwrap();
        assert_eq!((labels.names(), labels.counts(&train).unwrap()), (&["LABEL_0".to_string()][..], vec![2]));
        assert_eq!(labels.values(&train).unwrap(), [0.5, -2.0]);
        assert_eq!(labels.to_tsv(&train).unwrap(), "id\tlabel\tcount\n0\tLABEL_0\t2\n");
        assert!(matches!(labels.ids(&train), Err(Error::OtherTask { .. })));
    }
}
