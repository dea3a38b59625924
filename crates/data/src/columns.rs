//! Which columns of a file are used, and for what.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::nearest::nearest;
use crate::source::Source;

/// Pairs of names that make a text pair when nothing is named.
const PAIRS: [(&str, &str); 3] =
    [("sentence1", "sentence2"), ("question1", "question2"), ("premise", "hypothesis")];

/// Names of a column that tells an example's id.
const IDS: [&str; 3] = ["id", "idx", "index"];

/// What a column is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The text.
    Text,
    /// The path of an image, or the image itself.
    Image,
    /// The second text of a pair.
    Pair,
    /// The label.
    Label,
}

impl Role {
    /// Names looked for, in this order, when no column is named. There are none for a pair: see [`Columns`].
    pub fn defaults(self) -> &'static [&'static str] {
        match self {
            Role::Text => &["text", "sentence", "sentence1", "question1", "premise", "utterance", "content"],
            Role::Image => {
                &["image", "path", "file", "file_name", "filename", "filepath", "image_path", "img"]
            }
            Role::Pair => &[],
            Role::Label => &["label", "labels", "label_name", "intent", "class", "category", "target"],
        }
    }

    /// The command-line flag that names the column.
    pub fn flag(self) -> &'static str {
        match self {
            Role::Text => "--text-column",
            Role::Image => "--image-column",
            Role::Pair => "--pair-column",
            Role::Label => "--label-column",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Text => "text",
            Role::Image => "image",
            Role::Pair => "second text",
            Role::Label => "label",
        })
    }
}

/// The names of the columns in use.
///
/// A named column must be there, letter by letter. Without a name:
/// - the **text** is the first there is of `text`, `sentence`, `sentence1`, `question1`, `premise`, `utterance`,
///   `content`; of images, `image`, `path`, `file`, `file_name`, `filename`, `filepath`, `image_path`, `img`;
/// - the **second text** is `sentence2` beside `sentence1`, `question2` beside `question1`, `hypothesis` beside
///   `premise`, and only when the text's column was found without a name too; otherwise there is none;
/// - the **label** is the first there is of `label`, `labels`, `label_name`, `intent`, `class`, `category`, `target`;
/// - the **id** is the first there is of `id`, `idx`, `index` that stands once and is not in use already; without one,
///   rows are numbered.
///
/// Where no column has exactly the name looked for, one that differs in the case of ASCII letters will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// Column of the text, or of the image.
    pub text: String,
    /// Column of the second text.
    pub pair: Option<String>,
    /// Column of the label; none when labels are not read.
    pub label: Option<String>,
    /// Column of the id.
    pub id: Option<String>,
}

impl Columns {
    /// Chooses out of `names`, the columns of a file in its order.
    pub(crate) fn choose(source: &Source, labelled: bool, names: &[String]) -> Result<Self> {
        let pick = |role: Role, wanted: &Option<String>| match wanted {
            Some(name) => named(source, role, name, names),
            None => role.defaults().iter().find_map(|name| found(name, names)).ok_or_else(|| {
                Error::NoDefaultColumn { path: source.path.clone(), role, found: names.to_vec() }
            }),
        };
        let first = if source.images { Role::Image } else { Role::Text };
        let text = pick(first, &source.text_column)?;
        let pair = match &source.pair_column {
            Some(name) => Some(named(source, Role::Pair, name, names)?),
            None if source.text_column.is_some() || source.images => None,
            None => PAIRS
                .iter()
                .find(|(first, _)| text.eq_ignore_ascii_case(first))
                .and_then(|(_, second)| found(second, names)),
        };
        let label = if labelled { Some(pick(Role::Label, &source.label_column)?) } else { None };

        let used = [(first, Some(&text)), (Role::Pair, pair.as_ref()), (Role::Label, label.as_ref())];
        for (index, (role, name)) in used.iter().enumerate() {
            let Some(name) = name else { continue };
            let times = names.iter().filter(|other| other == name).count();
            if times > 1 {
                let (path, name) = (source.path.clone(), name.to_string());
                return Err(Error::RepeatedColumn { path, role: *role, name, times });
            }
            if let Some((first, _)) = used[..index].iter().find(|(_, other)| *other == Some(*name)) {
                let (path, name) = (source.path.clone(), name.to_string());
                return Err(Error::SharedColumn { path, name, first: *first, second: *role });
            }
        }
        let id = IDS.iter().find_map(|name| found(name, names)).filter(|id| {
            names.iter().filter(|name| *name == id).count() == 1
                && used.iter().all(|(_, name)| *name != Some(id))
        });
        Ok(Columns { text, pair, label, id })
    }
}

fn named(source: &Source, role: Role, wanted: &str, names: &[String]) -> Result<String> {
    names.iter().find(|name| *name == wanted).cloned().ok_or_else(|| Error::NoColumn {
        path: source.path.clone(),
        role,
        wanted: wanted.into(),
        found: names.to_vec(),
        nearest: nearest(wanted, names.iter().map(String::as_str)).map(Into::into),
    })
}

fn found(wanted: &str, names: &[String]) -> Option<String> {
    let exactly = names.iter().find(|name| *name == wanted);
    exactly.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(wanted))).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(source: &Source, names: &[&str]) -> Result<Columns> {
        Columns::choose(source, true, &names.iter().map(|name| name.to_string()).collect::<Vec<_>>())
    }

    #[test]
    fn default_columns_are_found_in_the_documented_order() {
        let source = Source::new("a.csv");
        let columns = choose(&source, &["intent", "sentence", "text", "label", "id"]).unwrap();
        assert_eq!((columns.text.as_str(), columns.label.as_deref()), ("text", Some("label")));
        assert_eq!((columns.pair, columns.id.as_deref()), (None, Some("id")));
        let columns = choose(&source, &["Category", "Text"]).unwrap();
        assert_eq!((columns.text.as_str(), columns.label.as_deref()), ("Text", Some("Category")));
    }

    #[test]
    fn a_pair_is_guessed_only_when_the_text_is() {
        let names = ["sentence1", "sentence2", "label"];
        assert_eq!(choose(&Source::new("a.csv"), &names).unwrap().pair.as_deref(), Some("sentence2"));
        let source = Source { text_column: Some("sentence1".into()), ..Source::new("a.csv") };
        assert_eq!(choose(&source, &names).unwrap().pair, None);
        let source = Source { pair_column: Some("sentence2".into()), ..source };
        assert_eq!(choose(&source, &names).unwrap().pair.as_deref(), Some("sentence2"));
    }

    #[test]
    fn a_wrong_name_lists_the_columns_and_the_nearest() {
        let source = Source { text_column: Some("sentense".into()), ..Source::new("a.csv") };
        let error = choose(&source, &["sentence", "label"]).unwrap_err();
        assert_eq!(error.to_string(), "a.csv: no column `sentense` for the text; found `sentence`, `label`");
        assert_eq!(error.hint().unwrap(), "did you mean --text-column sentence?");
        let error = choose(&Source::new("a.csv"), &["gj04", "1", "", "Our friends"]).unwrap_err();
        assert!(error.to_string().contains("looked for `text`, `sentence`"), "{error}");
        assert!(error.hint().unwrap().contains("--columns a,b,c"));
    }

    #[test]
    fn unused_columns_may_repeat_but_used_ones_may_not() {
        let source = Source::new("a.csv");
        assert!(choose(&source, &["label", "text", "_", "_"]).is_ok());
        let error = choose(&source, &["label", "text", "text"]).unwrap_err();
        assert!(matches!(error, Error::RepeatedColumn { role: Role::Text, times: 2, .. }), "{error}");
        let source = Source { text_column: Some("label".into()), ..source };
        let error = choose(&source, &["label", "text"]).unwrap_err();
        assert!(
            matches!(error, Error::SharedColumn { first: Role::Text, second: Role::Label, .. }),
            "{error}"
        );
    }

    #[test]
    fn labels_are_not_looked_for_in_unlabelled_data() {
        let columns = Columns::choose(&Source::new("a.csv"), false, &["text".into()]).unwrap();
        assert_eq!(columns.label, None);
    }
}
