//! The YAML front matter of a card.

use super::{Card, Evaluation};

impl Card {
    /// The lines between `---` that the Hub reads.
    pub(super) fn front_matter(&self) -> String {
        let library = match (&self.adapter_of, &self.opened_by) {
            (Some(_), _) => "library_name: peft\n",
            (None, None) => "library_name: transformers\n",
            (None, Some(_)) => "",
        };
        let mut out = format!("---\n{library}");
        if let Some(base) = &self.base_model {
            out.push_str(&format!("base_model: {}\n", quoted(base)));
        }
        out.push_str(&format!("pipeline_tag: {}\ntags:\n- xexp\n", self.task.tag()));
        if let Some(data) = &self.evaluation {
            out.push_str(&format!("datasets:\n- {}\n", quoted(&data.id)));
        }
        if !self.metrics.is_empty() {
            out.push_str("metrics:\n");
            let mut seen: Vec<&str> = Vec::new();
            for metric in &self.metrics {
                if !seen.contains(&metric.kind.as_str()) {
                    seen.push(&metric.kind);
                    out.push_str(&format!("- {}\n", quoted(&metric.kind)));
                }
            }
        }
        if let Some(data) = &self.evaluation {
            self.model_index(&mut out, data);
        }
        out.push_str("---\n");
        out
    }

    fn model_index(&self, out: &mut String, data: &Evaluation) {
        if self.metrics.is_empty() || self.metrics.iter().any(|metric| !metric.value.is_finite()) {
            return;
        }
        out.push_str(&format!("model-index:\n- name: {}\n  results:\n  - task:\n", quoted(&self.name)));
        let (title, tag) = (self.task.title(), self.task.tag());
        out.push_str(&format!("      name: {title}\n      type: {tag}\n    dataset:\n"));
        out.push_str(&format!("      name: {}\n      type: {}\n", quoted(&data.name), quoted(&data.id)));
        if let Some(config) = &data.config {
            out.push_str(&format!("      config: {}\n", quoted(config)));
        }
        out.push_str(&format!("      split: {}\n    metrics:\n", quoted(&data.split)));
        for metric in &self.metrics {
            // `{}` never uses an exponent; YAML 1.1 would read `1e-7` as a string.
            out.push_str(&format!(
                "    - name: {}\n      type: {}\n      value: {}\n",
                quoted(&metric.name),
                quoted(&metric.kind),
                metric.value
            ));
        }
    }
}

/// `text` in double quotes, with escapes that YAML (1.2.2, §5.7) and Python read the same way.
///
/// Quoted, it is never taken for a number, a date or `no`. Whatever is not plainly printable is escaped, because
/// YAML refuses control characters and folds some Unicode line breaks.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0'..='\u{1f}'
            | '\u{7f}'..='\u{a0}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{feff}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            '\u{10000}'.. => out.push_str(&format!("\\U{:08x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::super::Task;
    use super::super::body::tests::card;
    use super::*;

    #[test]
    fn the_front_matter_is_complete() {
        let expected = r#"---
library_name: transformers
base_model: "sentence-transformers/all-MiniLM-L6-v2"
pipeline_tag: text-classification
tags:
- xexp
datasets:
- "snips_built_in_intents"
metrics:
- "accuracy"
- "f1"
model-index:
- name: "snips: \"best\""
  results:
  - task:
      name: Text Classification
      type: text-classification
    dataset:
      name: "SNIPS"
      type: "snips_built_in_intents"
      split: "validation"
    metrics:
    - name: "Accuracy"
      type: "accuracy"
      value: 0.9871
    - name: "Macro F1"
      type: "f1"
      value: 0.0000001
    - name: "Micro F1"
      type: "f1"
      value: 1
---
"#;
        assert_eq!(card().front_matter(), expected);
    }

    #[test]
    fn a_card_of_an_image_model_has_its_own_task() {
        let text = Card { task: Task::Image, ..card() }.front_matter();
        assert_eq!(text.matches("image-classification").count(), 2, "{text}");
        assert!(!text.to_lowercase().contains("text"), "{text}");
    }

    #[test]
    fn a_partial_model_index_is_left_out() {
        let unnamed = Card { evaluation: None, base_model: None, ..card() }.front_matter();
        let mut diverged = card();
        diverged.metrics[1].value = f64::NAN;
        let empty = Card { metrics: Vec::new(), ..card() }.front_matter();
        for text in [unnamed.clone(), diverged.front_matter(), empty] {
            assert!(!text.contains("model-index"), "{text}");
        }
        assert!(!unnamed.contains("base_model") && !unnamed.contains("datasets"));
    }

    #[test]
    fn quoted_text_is_one_plain_line() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\nd""#);
        assert_eq!(quoted("\u{0}\u{85}\u{2028}é😀"), "\"\\u0000\\u0085\\u2028é\\U0001f600\"");
    }
}
