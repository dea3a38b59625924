//! `/openapi.json`: the routes as OpenAPI 3.1 has them. A test holds it against what is accepted and answered.

use serde_json::{Value, json};

use super::service::Info;

/// The description, for the model that is served.
pub fn description(info: &Info) -> Value {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": format!("xexp serve: {}", info.model),
            "version": info.version,
            "description": format!("A classifier of {}s in {} classes.", info.inputs, info.labels.len()),
        },
        "paths": {
            "/predict": { "post": predict(info) },
            "/health": { "get": plain("Whether the model is loaded.", answer("It is.", "Health")) },
            "/info": { "get": plain("The model, its labels and limits.", answer("They.", "Info")) },
            "/metrics": { "get": plain("Counters in Prometheus' text format.", text("They.", "text/plain")) },
            "/openapi.json": { "get": plain("This description.", text("It.", "application/json")) },
            "/docs": { "get": plain("The same for people.", text("A page.", "text/html")) },
        },
        "components": { "schemas": schemas(info) },
    })
}

fn predict(info: &Info) -> Value {
    let mut post = json!({
        "summary": "Labels with scores, one for each input, in their order.",
        "responses": {
            "200": answer("The predictions.", "Predictions"),
            "400": answer("The body is not what its type says.", "Refusal"),
            "408": answer("The body did not come in time.", "Refusal"),
            "413": answer("More bytes or inputs than are taken.", "Refusal"),
            "415": answer("Another content type than the model's inputs have.", "Refusal"),
            "422": answer("A field, a value, a text or an image that cannot be meant.", "Refusal"),
            "500": answer("A defect of the model or of the program.", "Refusal"),
            "503": answer("No room or no time now; Retry-After says when to ask again.", "Refusal"),
        },
    });
    if info.inputs == "text" {
        let content = json!({ "application/json": { "schema": reference("Request") } });
        post["requestBody"] = json!({ "required": true, "content": content });
        return post;
    }
    let file = json!({ "schema": {} });
    let content = json!({ "image/jpeg": file, "image/png": file, "image/webp": file });
    post["requestBody"] = json!({ "required": true, "content": content });
    post["parameters"] = json!([
        { "name": "top_k", "in": "query", "schema": top_k(info) },
        { "name": "logits", "in": "query", "schema": { "type": "boolean" } },
    ]);
    post
}

fn schemas(info: &Info) -> Value {
    let mut schemas = json!({
        "Predictions": object(json!({
            "predictions": { "type": "array", "items": reference("Prediction"), "minItems": 1 },
        }), &["predictions"]),
        "Prediction": prediction(info),
        "Score": object(json!({ "label": label(info), "score": share() }), &["label", "score"]),
        "Refusal": object(json!({
            "error": { "type": "string", "description": "What was expected and what was found." },
            "hint": { "type": "string", "description": "What to do next." },
        }), &["error", "hint"]),
        "Health": object(json!({ "status": { "enum": ["ready"] } }), &["status"]),
        "Info": facts(),
    });
    if info.inputs == "text" {
        let string = json!({ "type": "string", "minLength": 1 });
        schemas["Pair"] = object(
            json!({ "text": string, "pair": { "type": ["string", "null"], "minLength": 1 } }),
            &["text"],
        );
        schemas["Text"] = json!({ "anyOf": [string, reference("Pair")] });
        let most = info.limits.max_inputs;
        let several = json!({ "type": "array", "items": reference("Text"), "minItems": 1, "maxItems": most });
        let cut =
            "Cuts longer texts instead of refusing them; the server's own setting where it is left out.";
        schemas["Request"] = object(
            json!({
                "inputs": { "anyOf": [reference("Text"), several] },
                "top_k": top_k(info),
                "logits": { "type": "boolean", "default": false },
                "truncate": { "type": ["boolean", "null"], "default": info.truncate, "description": cut },
            }),
            &["inputs"],
        );
    }
    schemas
}

fn prediction(info: &Info) -> Value {
    let classes = info.labels.len();
    let mut fields = json!({
        "label": label(info),
        "score": share(),
        "scores": { "type": "array", "items": reference("Score"), "description": "The top_k likeliest, in order." },
        "logits": {
            "type": "array", "items": { "type": "number" }, "minItems": classes, "maxItems": classes,
            "description": "In the order of labels in /info.",
        },
    });
    if info.inputs != "text" {
        return object(fields, &["label", "score"]);
    }
    fields["tokens"] =
        json!({ "type": "integer", "minimum": 1, "description": "Tokens that were computed." });
    fields["truncated"] = json!({ "type": "boolean", "description": "Whether the text had more." });
    object(fields, &["label", "score", "tokens", "truncated"])
}

fn facts() -> Value {
    let count = json!({ "type": "integer", "minimum": 1 });
    let limits = ["max_body", "max_inputs", "queue", "max_batch_tokens", "timeout"];
    let each = limits.iter().map(|name| (name.to_string(), count.clone())).collect();
    let fields = json!({
        "model": { "type": "string" },
        "family": { "type": "string" },
        "inputs": { "enum": ["text", "image"] },
        "labels": { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        "temperature": { "type": "number", "exclusiveMinimum": 0 },
        "precision": { "enum": ["f32", "bf16"] },
        "truncate": { "type": "boolean" },
        "max_length": { "type": ["integer", "null"], "minimum": 1 },
        "limits": object(Value::Object(each), &limits),
        "weights_sha256": { "type": "string", "minLength": 64, "maxLength": 64 },
        "version": { "type": "string" },
    });
    let names: Vec<&str> = fields.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    object(fields.clone(), &names)
}

fn label(info: &Info) -> Value {
    json!({ "enum": info.labels })
}

fn share() -> Value {
    json!({ "type": "number", "minimum": 0, "maximum": 1 })
}

fn top_k(info: &Info) -> Value {
    json!({ "type": ["integer", "null"], "minimum": 1, "maximum": info.labels.len() })
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn answer(what: &str, schema: &str) -> Value {
    json!({ "description": what, "content": { "application/json": { "schema": reference(schema) } } })
}

fn text(what: &str, kind: &str) -> Value {
    json!({ "description": what, "content": { kind: {} } })
}

/// A route without a body.
fn plain(summary: &str, good: Value) -> Value {
    let early = answer("The model is still being loaded.", "Refusal");
    json!({ "summary": summary, "responses": { "200": good, "503": early } })
}
