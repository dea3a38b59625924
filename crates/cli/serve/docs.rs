//! `/docs`: how to ask, as one page without scripts and without a request to anywhere.

use serde_json::{Value, json};
use xexp_report::{Block, Cell, Page, Result, Section, Table};

use super::openapi;
use super::service::Info;

/// The page, for the model that is served.
///
/// # Errors
/// None in practice: rows have as many cells as their table has columns.
pub fn page(info: &Info) -> Result<String> {
    let description = openapi::description(info);
    let sections = vec![
        Section { heading: "Ask".into(), blocks: ask(info) },
        Section { heading: "Answers".into(), blocks: answers(info, &description)? },
        Section {
            heading: "Routes".into(),
            blocks: vec![Block::Table(String::new(), routes(&description)?)],
        },
        Section { heading: "Limits".into(), blocks: vec![Block::Table(String::new(), limits(info)?)] },
        Section { heading: "Labels".into(), blocks: vec![Block::Text(info.labels.join(", "))] },
    ];
    let summary = format!(
        "A {} classifier of {}s in {} classes, served by xexp {}. Weights: SHA-256 {}.",
        info.family,
        info.inputs,
        info.labels.len(),
        info.version,
        info.weights_sha256
    );
    Ok(Page { title: info.model.clone(), summary, sections }.html())
}

fn ask(info: &Info) -> Vec<Block> {
    if info.inputs == "image" {
        let shell =
            "curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' 'http://HOST:PORT/predict?top_k=3'";
        let text = "The body is one JPEG, PNG or WebP file. The query may ask for the top_k likeliest classes and for logits=true.";
        return vec![Block::Code(shell.into()), Block::Text(text.into())];
    }
    let shell =
        "curl -H 'Content-Type: application/json' -d '{\"inputs\": \"a text\"}' http://HOST:PORT/predict";
    let body = json!({
        "inputs": ["a text", { "text": "the first of two", "pair": "the second" }],
        "top_k": 1,
        "logits": true,
        "truncate": false,
    });
    let text = "inputs is a text, a pair, or a list of these. Of the rest nothing need be there: top_k asks for the scores of so \
                many classes, logits for the logits, truncate says whether a text with too many tokens is cut or refused.";
    vec![Block::Code(shell.into()), Block::Text(text.into()), Block::Code(pretty(&body))]
}

fn answers(info: &Info, description: &Value) -> Result<Vec<Block>> {
    let label = info.labels.first().map_or("", String::as_str);
    let mut one = json!({ "label": label, "score": 0.93 });
    if info.inputs == "text" {
        one["tokens"] = json!(4);
        one["truncated"] = json!(false);
    }
    let mut table = Table::new(["status", "when"]);
    let responses = description["paths"]["/predict"]["post"]["responses"].as_object().into_iter().flatten();
    for (status, response) in responses {
        let when = response["description"].as_str().unwrap_or_default();
        table.push([Cell::from(status.as_str()), Cell::from(when)])?;
    }
    let refusal = "Whatever is not 200 has a body with the fields error and hint.";
    Ok(vec![
        Block::Code(pretty(&json!({ "predictions": [one] }))),
        Block::Text(refusal.into()),
        Block::Table(String::new(), table),
    ])
}

fn routes(description: &Value) -> Result<Table> {
    let mut table = Table::new(["route", "gives"]);
    for (path, methods) in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let summary = operation["summary"].as_str().unwrap_or_default();
            table.push([Cell::from(format!("{} {path}", method.to_uppercase())), Cell::from(summary)])?;
        }
    }
    Ok(table)
}

fn limits(info: &Info) -> Result<Table> {
    let mut table = Table::new(["limit", "value"]);
    let length = info.max_length.map(|tokens| ("tokens of a text", tokens));
    let others = [
        ("bytes of a body", info.limits.max_body),
        ("inputs of a request", info.limits.max_inputs),
        ("inputs that wait", info.limits.queue),
        ("tokens computed at once", info.limits.max_batch_tokens),
        ("seconds for an answer", info.limits.timeout as usize),
    ];
    for (what, most) in length.into_iter().chain(others) {
        table.push([Cell::from(what), Cell::from(most.to_string())])?;
    }
    Ok(table)
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
