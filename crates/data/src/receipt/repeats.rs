//! Texts that stand more than once: duplicates, contradictions, leaks.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::SplitInput;
use crate::error::shortened;
use crate::example::Example;

/// Examples shown of each kind; all are counted.
const SHOWN: usize = 5;
/// Characters shown of a text.
const LENGTH: usize = 80;

/// What two examples have in common when they are the same: texts in which only white space and case differ, images
/// of the same bytes.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Text(String, Option<String>),
    Image([u8; 32]),
}

impl Key {
    fn of(example: &Example) -> Self {
        if let Some(image) = &example.image {
            return Key::Image(image.sha256);
        }
        let plain = |text: &str| {
            let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
            words.join(" ")
        };
        Key::Text(plain(&example.text), example.pair.as_deref().map(plain))
    }
}

/// Examples whose text stands further up already.
pub(super) fn duplicates(examples: &[Example]) -> u64 {
    let mut seen = HashMap::new();
    examples.iter().filter(|example| seen.insert(Key::of(example), ()).is_some()).count() as u64
}

/// Texts that stand in one split with different labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflicts {
    /// Distinct texts with more than one label.
    pub count: u64,
    /// The first of them, at most five.
    pub examples: Vec<Conflict>,
}

/// A text with two labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conflict {
    /// The text's beginning.
    pub text: String,
    /// Line on which it first stands.
    pub line: u64,
    /// The label there.
    pub label: String,
    /// Line on which it first stands with another label.
    pub other_line: u64,
    /// That label.
    pub other_label: String,
}

impl Conflicts {
    pub(super) fn of(examples: &[Example]) -> Self {
        let mut first: HashMap<Key, (&Example, bool)> = HashMap::new();
        let mut conflicts = Conflicts { count: 0, examples: Vec::new() };
        for example in examples {
            let (before, known) = first.entry(Key::of(example)).or_insert((example, false));
            if let (false, Some(label), Some(other_label)) = (*known, &before.label, &example.label)
                && label != other_label
            {
                *known = true;
                conflicts.count += 1;
                if conflicts.examples.len() < SHOWN {
                    conflicts.examples.push(Conflict {
                        text: shortened(&before.text, LENGTH),
                        line: before.line,
                        label: label.to_string(),
                        other_line: example.line,
                        other_label: other_label.to_string(),
                    });
                }
            }
        }
        conflicts
    }
}

/// Texts of one split that also stand in another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leak {
    /// The split that comes first, such as `train`.
    pub from: String,
    /// The split that should be new to a model that has seen the first, such as `test`.
    pub to: String,
    /// Examples of `to` whose text stands in `from`.
    pub rows: u64,
    /// Their share of all examples of `to`.
    pub share: f64,
    /// The first of them, at most five.
    pub examples: Vec<LeakedText>,
}

/// A text that stands in two splits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeakedText {
    /// The text's beginning.
    pub text: String,
    /// Line of its first place in the split that comes first.
    pub from_line: u64,
    /// Line in the other split.
    pub to_line: u64,
}

impl Leak {
    /// What `to` shares with `from`; none when nothing.
    pub(super) fn between(from: &SplitInput, to: &SplitInput) -> Option<Self> {
        let mut lines: HashMap<Key, u64> = HashMap::new();
        for example in &from.data.examples {
            lines.entry(Key::of(example)).or_insert(example.line);
        }
        let shared: Vec<(u64, &Example)> = to
            .data
            .examples
            .iter()
            .filter_map(|example| lines.get(&Key::of(example)).map(|&line| (line, example)))
            .collect();
        if shared.is_empty() {
            return None;
        }
        let shown = |&(from_line, example): &(u64, &Example)| LeakedText {
            text: shortened(&example.text, LENGTH),
            from_line,
            to_line: example.line,
        };
        Some(Leak {
            from: from.name.into(),
            to: to.name.into(),
            rows: shared.len() as u64,
            share: shared.len() as f64 / to.data.examples.len() as f64,
            examples: shared.iter().take(SHOWN).map(shown).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::tests::dataset;

    #[test]
    fn white_space_and_case_do_not_make_a_text_new_but_the_second_text_does() {
        let mut data =
            dataset("a.csv", &[("Ärger  im\tHaus", "1"), (" ärger im haus\n", "1"), ("ärgerimhaus", "1")]);
        assert_eq!(duplicates(&data.examples), 1);
        data.examples[0].pair = Some("x".into());
        data.examples[1].pair = Some("y".into());
        assert_eq!(duplicates(&data.examples), 0);
        data.examples[1].pair = Some(" X".into());
        assert_eq!(duplicates(&data.examples), 1);
    }

    #[test]
    fn a_text_with_three_labels_is_one_conflict() {
        let rows = [("a", "1"), ("b", "1"), ("A", "2"), ("a ", "3"), ("b", "1")];
        let conflicts = Conflicts::of(&dataset("a.csv", &rows).examples);
        assert_eq!(conflicts.count, 1);
        let found = &conflicts.examples[0];
        assert_eq!((found.line, found.other_line, found.other_label.as_str()), (1, 3, "2"));
    }

    #[test]
    fn all_leaks_are_counted_and_five_shown() {
        let texts: Vec<String> = (0..9).map(|i| format!("text {i}")).collect();
        let rows: Vec<(&str, &str)> = texts.iter().map(|text| (text.as_str(), "1")).collect();
        let (train, test) = (dataset("a.csv", &rows), dataset("b.csv", &rows[1..8]));
        let split = |name, data| SplitInput { name, data, encoded: None };
        let leak = Leak::between(&split("train", &train), &split("test", &test)).unwrap();
        assert_eq!((leak.rows, leak.share, leak.examples.len()), (7, 1.0, 5));
        assert_eq!((leak.examples[0].from_line, leak.examples[0].to_line), (2, 1));
        let other = dataset("c.csv", &[("new", "1")]);
        assert_eq!(Leak::between(&split("train", &train), &split("test", &other)), None);
    }
}
