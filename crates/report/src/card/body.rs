//! The card and its body.

use super::front_matter::quoted;
use crate::table::{Digits, Table, escape_markdown};
use crate::{Cell, Result};

/// Everything that the card of a fine-tuned classifier says.
#[derive(Clone, Debug)]
pub struct Card {
    /// What is classified.
    pub task: Task,
    /// Name of the model: the heading, and its name in `model-index`.
    pub name: String,
    /// Where transformers has no class for the whole model: what opens it, a sentence a line, in place of the call.
    pub opened_by: Option<Vec<String>>,
    /// Of an adapter in PEFT's format: what `from_pretrained` is given for the model that it belongs to.
    pub adapter_of: Option<String>,
    /// What `from_pretrained` is given: the folder, or the Hub id once pushed.
    pub location: String,
    /// The branch that `from_pretrained` is given, once pushed to another than `main`.
    pub revision: Option<String>,
    /// Hub id (`org/name`) of the checkpoint that was fine-tuned; none when it came from a local folder, for
    /// the Hub refuses a `base_model` that it does not know.
    pub base_model: Option<String>,
    /// The data set of the results; none when it has no name that others know.
    pub evaluation: Option<Evaluation>,
    /// The results for `model-index`.
    pub metrics: Vec<Metric>,
    /// The results as people read them, with their intervals.
    pub results: Table,
    /// A row a class or label; none of values.
    pub per_class: Option<Table>,
    /// How the head began.
    pub head: HeadNumbers,
    /// Settings of the run, in the order to be shown.
    pub hyper_parameters: Vec<(String, String)>,
    /// Sentences about the data: sources, counts, truncation, leaks.
    pub data_notes: Vec<String>,
    /// The shell command that made the model.
    pub command: String,
    /// Programs and their versions.
    pub versions: Vec<(String, String)>,
}

/// What a classifier reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Texts.
    Text,
    /// Images.
    Image,
}

impl Task {
    /// The Hub's and transformers' name for the task.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Task::Text => "text-classification",
            Task::Image => "image-classification",
        }
    }

    /// Its name for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Task::Text => "Text Classification",
            Task::Image => "Image Classification",
        }
    }

    /// transformers' class that finds the model's.
    fn class(self) -> &'static str {
        match self {
            Task::Text => "AutoModelForSequenceClassification",
            Task::Image => "AutoModelForImageClassification",
        }
    }

    fn model(self) -> &'static str {
        match self {
            Task::Text => "A text classifier",
            Task::Image => "An image classifier",
        }
    }
}

/// A published data set, named so that the Hub can compare results on it.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// Its name for people.
    pub name: String,
    /// Its id on the Hub, as `stanfordnlp/sst2`.
    pub id: String,
    /// Its configuration, where it has more than one.
    pub config: Option<String>,
    /// The split that the results are from.
    pub split: String,
}

/// One result with the Hub's name for its kind.
#[derive(Clone, Debug)]
pub struct Metric {
    /// Name for people, as `Macro F1`.
    pub name: String,
    /// The Hub's id, as `accuracy`, `f1`, `matthews_correlation`.
    pub kind: String,
    /// The result.
    pub value: f64,
}

/// How the head began, as in `results.json`.
#[derive(Clone, Debug)]
pub struct HeadNumbers {
    /// Name of the initialisation.
    pub init: String,
    /// Standard deviation of its weights.
    pub std: f64,
    /// Variance of the logits that theory gives for the measured features.
    pub predicted_logit_variance: f64,
    /// Variance of the logits as measured before training.
    pub measured_logit_variance: f64,
    /// Loss before training.
    pub initial_loss: f64,
    /// Loss of a head that knows nothing, and what it is.
    pub uninformed: (String, f64),
}

impl Card {
    /// The card as Markdown with YAML front matter.
    ///
    /// `model-index` is left out unless the data set is published and every metric is a finite number: the Hub
    /// refuses a partial one.
    ///
    /// Source: Hugging Face Hub documentation, "Model Cards", and `huggingface_hub/repocard_data.py`.
    ///
    /// # Errors
    /// None in practice: a row of the card's own tables would have to be of the wrong width.
    pub fn markdown(&self) -> Result<String> {
        let mut out = self.front_matter();
        let name = escape_markdown(&self.name);
        let base = match &self.base_model {
            Some(id) => format!("[{}](https://huggingface.co/{})", escape_markdown(id), url_path(id)),
            None => "a local checkpoint".into(),
        };
        let data = match &self.evaluation {
            Some(data) => format!(" and evaluated on {}", escape_markdown(&data.name)),
            None => String::new(),
        };
        out.push_str(&format!(
            "\n# {name}\n\n{}, fine-tuned with xexp from {base}{data}.\n",
            self.task.model()
        ));
        out.push_str(&format!("\n## Results\n\n{}", self.results.markdown()));
        if let Some(per_class) = &self.per_class {
            out.push_str(&format!("\n### Per class\n\n{}", per_class.markdown()));
        }
        out.push_str(&format!(
            "\n## Head\n\nThe head was new. This is how it began:\n\n{}",
            self.head.table()?.markdown()
        ));
        let usage = match &self.opened_by {
            Some(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
            None => fenced("python", &self.usage()),
        };
        out.push_str(&format!("\n## Use\n\n{usage}"));
        out.push_str(&format!("\n## Training\n\n{}", pairs("setting", &self.hyper_parameters)?.markdown()));
        if !self.data_notes.is_empty() {
            out.push_str("\n## Data\n\n");
            for note in &self.data_notes {
                out.push_str(&format!("- {}\n", escape_markdown(note)));
            }
        }
        out.push_str(&format!("\n## Reproduce\n\n{}", fenced("sh", &self.command)));
        out.push_str(&format!("\n{}", pairs("program", &self.versions)?.markdown()));
        Ok(out)
    }

    fn usage(&self) -> String {
        if let Some(base) = &self.adapter_of {
            let class = self.task.class();
            return [
                "from peft import PeftModel".to_string(),
                format!("from transformers import AutoConfig, {class}"),
                place(&self.location, self.revision.as_deref()),
                "config = AutoConfig.from_pretrained(adapter, revision=revision)".to_string(),
                format!("model = {class}.from_pretrained({}, config=config)", quoted(base)),
                "model = PeftModel.from_pretrained(model, adapter, revision=revision)".to_string(),
            ]
            .join("\n");
        }
        let call = call(self.task.tag(), &self.location, self.revision.as_deref());
        format!("from transformers import pipeline\n{call}")
    }

    /// A card that this program wrote, for a model that is at another place by now: its call of transformers names the new
    /// one. A card without such a call stays as it is.
    pub fn relocated(markdown: &str, location: &str, revision: Option<&str>) -> String {
        let line = |line: &str| {
            if line.starts_with(PLACE) {
                return Some(place(location, revision));
            }
            let tag = line.strip_prefix(CALL)?.strip_prefix('"')?.split_once("\", model=")?.0;
            Some(call(tag, location, revision))
        };
        let lines = markdown.split('\n').map(|text| line(text).unwrap_or_else(|| text.to_owned()));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// How the line with an adapter's place begins.
const PLACE: &str = "adapter, revision = ";

fn place(location: &str, revision: Option<&str>) -> String {
    format!("{PLACE}{}, {}", quoted(location), quoted(revision.unwrap_or("main")))
}

/// How the call of transformers begins.
const CALL: &str = "classify = pipeline(";

fn call(tag: &str, location: &str, revision: Option<&str>) -> String {
    let revision = revision.map_or_else(String::new, |name| format!(", revision={}", quoted(name)));
    format!("{CALL}\"{tag}\", model={}{revision})", quoted(location))
}

impl HeadNumbers {
    fn table(&self) -> Result<Table> {
        let mut table = Table::new(["quantity", "value"]);
        table.push(["initialisation".into(), Cell::from(self.init.as_str())])?;
        for (name, value) in [
            ("standard deviation of the weights", self.std),
            ("logit variance, predicted", self.predicted_logit_variance),
            ("logit variance, measured", self.measured_logit_variance),
            ("loss before training", self.initial_loss),
            (&self.uninformed.0, self.uninformed.1),
        ] {
            table.push([name.into(), Cell::Number(value, Digits::Significant(4))])?;
        }
        Ok(table)
    }
}

fn pairs(what: &str, pairs: &[(String, String)]) -> Result<Table> {
    let mut table = Table::new([what, "value"]);
    for (name, value) in pairs {
        table.push([Cell::from(name.as_str()), Cell::from(value.as_str())])?;
    }
    Ok(table)
}

/// A code block whose fence is longer than any run of backticks inside (CommonMark 4.5).
fn fenced(language: &str, code: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in code.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat((longest + 1).max(3));
    format!("{fence}{language}\n{code}\n{fence}\n")
}

/// A Hub id as part of an address: anything that could end the link is percent-encoded.
fn url_path(id: &str) -> String {
    let mut out = String::new();
    for byte in id.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'/' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A card with everything in it.
    pub(in super::super) fn card() -> Card {
        let mut results = Table::new(["metric", "value", "95 % interval"]);
        results.push(["accuracy".into(), Cell::decimals(0.9871, 4), "0.979 to 0.994".into()]).unwrap();
        let mut per_class = Table::new(["class", "F1"]);
        per_class.push(["Add|To".into(), Cell::decimals(0.98, 3)]).unwrap();
        Card {
            task: Task::Text,
            name: "snips: \"best\"".into(),
            opened_by: None,
            adapter_of: None,
            location: "runs/snips".into(),
            revision: None,
            base_model: Some("sentence-transformers/all-MiniLM-L6-v2".into()),
            evaluation: Some(Evaluation {
                name: "SNIPS".into(),
                id: "snips_built_in_intents".into(),
                config: None,
                split: "validation".into(),
            }),
            metrics: vec![
                Metric { name: "Accuracy".into(), kind: "accuracy".into(), value: 0.9871 },
                Metric { name: "Macro F1".into(), kind: "f1".into(), value: 1e-7 },
                Metric { name: "Micro F1".into(), kind: "f1".into(), value: 1.0 },
            ],
            results,
            per_class: Some(per_class),
            head: HeadNumbers {
                init: "xavier".into(),
                std: 0.0715,
                predicted_logit_variance: 0.12345678,
                measured_logit_variance: 0.1229,
                initial_loss: 1.99,
                uninformed: ("ln C, the loss of equal logits".into(), 1.9459101),
            },
            hyper_parameters: vec![("lr".into(), "5e-5".into())],
            data_notes: vec!["412 of 5000 texts are longer than 256 tokens".into()],
            command: "xexp finetune --train 'a.csv'".into(),
            versions: vec![("xexp".into(), "0.1.0".into())],
        }
    }

    #[test]
    fn the_body_tells_how_the_head_began_and_how_to_use_it() {
        let text = card().markdown().unwrap();
        for part in [
            "[sentence-transformers/all-MiniLM-L6-v2](https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2)",
            "| logit variance, predicted | 0.1235 |",
            "| logit variance, measured | 0.1229 |",
            "| Add\\|To | 0.980 |",
            "```python\nfrom transformers import pipeline\nclassify = pipeline(\"text-classification\", model=\"runs/snips\")\n```",
            "```sh\nxexp finetune --train 'a.csv'\n```",
            "- 412 of 5000 texts",
        ] {
            assert!(text.contains(part), "{part} is missing from\n{text}");
        }
    }

    #[test]
    fn a_card_follows_its_model() {
        let text = card().markdown().unwrap();
        let pushed = Card { location: "org/snips".into(), revision: Some("dev".into()), ..card() };
        let pushed = pushed.markdown().unwrap();
        assert!(
            pushed.contains(
                "classify = pipeline(\"text-classification\", model=\"org/snips\", revision=\"dev\")"
            )
        );
        assert_eq!(Card::relocated(&text, "org/snips", Some("dev")), pushed);
        assert_eq!(Card::relocated(&pushed, "runs/snips", None), text);
        assert_eq!(Card::relocated("# mine\r\n", "org/snips", None), "# mine\r\n");
    }

    #[test]
    fn a_fence_outlasts_the_backticks_inside() {
        assert_eq!(fenced("sh", "echo ```"), "````sh\necho ```\n````\n");
    }

    #[test]
    fn a_base_model_cannot_break_out_of_its_link() {
        let text = Card { base_model: Some("a/b) [x](http://y".into()), ..card() }.markdown().unwrap();
        assert!(
            text.contains(r"[a/b) \[x\](http://y](https://huggingface.co/a/b%29%20%5Bx%5D%28http%3A//y)"),
            "{text}"
        );
    }
}
