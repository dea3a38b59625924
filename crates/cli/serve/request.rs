//! What a request asks for: from a body to inputs, with nothing passed over.

use std::fmt;

use axum::body::Bytes;
use axum::http::StatusCode;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::refusal::Refusal;

/// A text, or a pair of texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text, or the first of two.
    pub text: String,
    /// The second of two.
    pub pair: Option<String>,
}

/// What is to be labelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inputs {
    /// Texts, at least one.
    Texts(Vec<Text>),
    /// The file of one image.
    Image(Bytes),
}

/// What the answer holds beside labels and scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wishes {
    /// So many classes with their scores, the likeliest first.
    pub top_k: Option<usize>,
    /// The logits.
    pub logits: bool,
    /// Longer texts are cut, or refused; where nothing is said, the server's flag decides.
    pub truncate: Option<bool>,
}

/// The body of a request for texts, as `/openapi.json` describes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    inputs: Texts,
    top_k: Option<usize>,
    #[serde(default)]
    logits: bool,
    truncate: Option<bool>,
}

/// One or several.
#[derive(Debug)]
struct Texts(Vec<Text>);

const BODY: &str = r#"send {"inputs": "a text"}; several: ["…", "…"]; a pair: {"text": "…", "pair": "…"}"#;

/// Reads a JSON body. At most `most` inputs and `classes` scores for each can be asked for.
///
/// # Errors
/// 400 for what is no JSON, 422 for JSON of another shape, 413 for too many inputs.
pub fn texts(bytes: &[u8], most: usize, classes: usize) -> Result<(Inputs, Wishes), Refusal> {
    // A derived reader would take the fields from a list as well.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Refusal::wrong("the body: expected an object with inputs, found a list", BODY));
    }
    let body: Body = serde_json::from_slice(bytes).map_err(|error| {
        let status = match error.classify() {
            Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            Category::Syntax | Category::Eof | Category::Io => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, format!("the body: {error}"), BODY)
    })?;
    let Texts(texts) = body.inputs;
    if texts.len() > most {
        let error = format!("expected at most {most} inputs, found {}", texts.len());
        return Err(Refusal::too_large(error, "send them in several requests"));
    }
    if texts.is_empty() {
        return Err(Refusal::wrong("inputs: expected at least one, found none", BODY));
    }
    for (index, text) in texts.iter().enumerate() {
        let blank = |part: &String| part.trim().is_empty();
        if blank(&text.text) || text.pair.as_ref().is_some_and(blank) {
            let error = format!("inputs[{index}]: expected a text, found an empty one");
            return Err(Refusal::wrong(error, "leave out what there is nothing to say of"));
        }
    }
    within(body.top_k, classes)?;
    let wishes = Wishes { top_k: body.top_k, logits: body.logits, truncate: body.truncate };
    Ok((Inputs::Texts(texts), wishes))
}

/// Reads the query of a request whose body is an image: `top_k=3&logits=true`.
///
/// # Errors
/// 422 for another name or a value that is none.
pub fn query(text: &str, classes: usize) -> Result<Wishes, Refusal> {
    let mut wishes = Wishes::default();
    for part in text.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let known = match name {
            "top_k" => value.parse().ok().map(|count| wishes.top_k = Some(count)),
            "logits" => value.parse().ok().map(|wanted| wishes.logits = wanted),
            _ => None,
        };
        known.ok_or_else(|| {
            let error = format!("expected top_k=N or logits=true in the query, found {part:?}");
            Refusal::wrong(error, "POST /predict?top_k=3&logits=true")
        })?;
    }
    within(wishes.top_k, classes)?;
    Ok(wishes)
}

/// Holds a number of classes against those that there are.
fn within(top_k: Option<usize>, classes: usize) -> Result<(), Refusal> {
    match top_k {
        Some(count) if count == 0 || count > classes => {
            let error = format!("top_k: expected 1 to {classes}, found {count}");
            Err(Refusal::wrong(error, "GET /info names the classes"))
        }
        _ => Ok(()),
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Texts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("inputs: a text, a pair, or a list of these")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                One.visit_str(text).map(|text| Texts(vec![text]))
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Texts, A::Error> {
                One.visit_map(map).map(|text| Texts(vec![text]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut texts = vec![];
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_any(OneOrMore)
    }
}

/// Reads a text, or a pair.
struct One;

impl<'de> Visitor<'de> for One {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a pair of texts")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text { text: text.to_string(), pair: None })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Text, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Pair {
            text: String,
            pair: Option<String>,
        }
        let Pair { text, pair } = Pair::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(Text { text, pair })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(One)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(body: &str) -> Result<(Inputs, Wishes), Refusal> {
        texts(body.as_bytes(), 3, 5)
    }

    #[test]
    fn a_text_a_pair_and_lists_of_both_are_inputs() {
        let text = |text: &str, pair: Option<&str>| Text { text: text.into(), pair: pair.map(Into::into) };
        for (body, expected) in [
            (r#"{"inputs": "a"}"#, vec![text("a", None)]),
            (r#"{"inputs": {"text": "a", "pair": "b"}}"#, vec![text("a", Some("b"))]),
            (r#"{"inputs": {"text": "a", "pair": null}}"#, vec![text("a", None)]),
            (r#"{"inputs": ["a", {"text": "b"}, "c"]}"#, ["a", "b", "c"].map(|t| text(t, None)).into()),
        ] {
            assert_eq!(parsed(body).unwrap(), (Inputs::Texts(expected), Wishes::default()), "{body}");
        }
        let (_, wishes) =
            parsed(r#"{"inputs": "a", "top_k": 5, "logits": true, "truncate": false}"#).unwrap();
        assert_eq!(wishes, Wishes { top_k: Some(5), logits: true, truncate: Some(false) });
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_status_and_place() {
        let nested = format!(r#"{{"inputs": {}1{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        for (body, status, word) in [
            ("", 400, "EOF"),
            ("{", 400, "EOF"),
            ("inputs=a", 400, "line 1 column 1"),
            (r#"{"inputs": "a"} x"#, 400, "trailing"),
            (r#"{"inputs": "\ud800"}"#, 400, "line 1"),
            (nested.as_str(), 422, "expected"),
            ("[]", 422, "inputs"),
            ("{}", 422, "missing field `inputs`"),
            (r#"{"inputs": 3}"#, 422, "integer `3`"),
            (r#"{"inputs": null}"#, 422, "null"),
            (r#"{"inputs": ["a", 3]}"#, 422, "integer `3`"),
            (r#"{"inputs": [["a"]]}"#, 422, "sequence"),
            (r#"{"inputs": {"pair": "b"}}"#, 422, "missing field `text`"),
            (r#"{"inputs": {"text": "a", "paar": "b"}}"#, 422, "unknown field `paar`"),
            (r#"{"inputs": "a", "topk": 3}"#, 422, "unknown field `topk`"),
            (r#"{"inputs": "a", "inputs": "b"}"#, 422, "duplicate field `inputs`"),
            (r#"{"inputs": "a", "top_k": 0}"#, 422, "expected 1 to 5"),
            (r#"{"inputs": "a", "top_k": 6}"#, 422, "found 6"),
            (r#"{"inputs": "a", "top_k": -1}"#, 422, "-1"),
            (r#"{"inputs": "a", "top_k": 1e99}"#, 422, "floating point"),
            (r#"{"inputs": "a", "logits": "yes"}"#, 422, "boolean"),
            (r#"{"inputs": []}"#, 422, "at least one"),
            (r#"{"inputs": ["a", " \n"]}"#, 422, "inputs[1]"),
            (r#"{"inputs": {"text": "a", "pair": ""}}"#, 422, "inputs[0]"),
            (r#"{"inputs": ["a", "b", "c", "d"]}"#, 413, "at most 3"),
        ] {
            let refusal = parsed(body).unwrap_err();
            let start: String = body.chars().take(60).collect();
            assert_eq!(refusal.status.as_u16(), status, "{start}: {refusal:?}");
            assert!(refusal.error.contains(word) && !refusal.hint.is_empty(), "{start}: {refusal:?}");
        }
        assert_eq!(texts(b"{\"inputs\": \"\xff\"}", 3, 5).unwrap_err().status.as_u16(), 400);
    }

    #[test]
    fn a_query_says_what_the_answer_holds() {
        let found = query("top_k=3&logits=true", 5).unwrap();
        assert_eq!(found, Wishes { top_k: Some(3), logits: true, truncate: None });
        assert_eq!(query("", 5).unwrap(), Wishes::default());
        for wrong in ["top_k=0", "top_k=6", "top_k", "logits=1", "truncate=true", "top_k=%33"] {
            assert_eq!(query(wrong, 5).unwrap_err().status.as_u16(), 422, "{wrong}");
        }
    }
}
