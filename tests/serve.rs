//! `xexp serve`, asked over plain sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::outcome;
use crate::support::sentences::{TOPICS, sentences};
use crate::support::stage::{Stage, TEST};

/// A server that goes away with it.
struct Server {
    child: Child,
    address: String,
}

/// An answer: status, headers, body.
struct Answer {
    status: u16,
    headers: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

impl Server {
    /// Of the model in `out/`, once it is ready.
    fn start(stage: &Stage, more: &[&str]) -> Self {
        let base = ["serve", "--model", "out", "--port", "0", "--device", "cpu", "--quiet"];
        let mut command = stage.command(&[&base, more].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on http://").expect("the address").to_owned();
        let server = Server { child, address };
        for _ in 0..600 {
            if server.get("/health").status == 200 {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("not ready after half a minute");
    }

    /// Sends bytes as they are; reads until the server hangs up.
    fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut text = Vec::new();
        stream.read_to_end(&mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, headers: headers.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.raw(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    }

    fn post(&self, kind: &str, body: &[u8]) -> Answer {
        let head = format!(
            "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        self.raw(&[head.as_bytes(), body].concat())
    }

    fn predict(&self, body: &Value) -> Answer {
        self.post("application/json", body.to_string().as_bytes())
    }

    /// Asks it to stop, and gives its exit code.
    fn stopped(mut self) -> Option<i32> {
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trained() -> Stage {
    let stage = Stage::new();
    stage.finetuned("out", &["--epochs", "2"]);
    stage
}

/// `xexp predict` on texts, one object each.
fn predicted(stage: &Stage, texts: &[&str]) -> Vec<Value> {
    let rows: String = texts.iter().map(|text| json!({ "text": text }).to_string() + "\n").collect();
    std::fs::write(stage.path("texts.jsonl"), rows).unwrap();
    let arguments = ["predict", "--model", "out", "--input", "texts.jsonl", "--quiet"];
    let outcome = outcome(&mut stage.command(&arguments));
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    outcome.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn answers_are_those_of_predict_alone_to_the_bit_and_together_to_rounding() {
    let stage = trained();
    let server = Server::start(&stage, &[]);
    let texts: Vec<String> = sentences("test", TEST).into_iter().map(|s| s.text).take(20).collect();
    for text in &texts[..3] {
        let answer = server.predict(&json!({ "inputs": text, "logits": true }));
        assert_eq!(answer.status, 200, "{}", answer.body);
        let (found, expected) = (answer.json()["predictions"][0].clone(), &predicted(&stage, &[text])[0]);
        for field in ["label", "score", "logits"] {
            assert_eq!(found[field], expected[field], "{text}");
        }
        assert_eq!(found["truncated"], false);
    }
    let all: Vec<&str> = texts.iter().map(String::as_str).collect();
    let answer = server.predict(&json!({ "inputs": all, "logits": true, "top_k": TOPICS.len() })).json();
    let found = answer["predictions"].as_array().unwrap();
    let expected = predicted(&stage, &all);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found["label"], expected["label"]);
        for (a, b) in found["logits"].as_array().unwrap().iter().zip(expected["logits"].as_array().unwrap()) {
            // Thirty roundings of 6e-8 on logits of a few, in another order.
            assert!((a.as_f64().unwrap() - b.as_f64().unwrap()).abs() < 1e-5, "{a} and {b}");
        }
        let scores = found["scores"].as_array().unwrap();
        let of = |score: &Value| score["score"].as_f64().unwrap();
        assert_eq!((scores.len(), &scores[0]["label"]), (TOPICS.len(), &found["label"]));
        assert!(scores.windows(2).all(|pair| of(&pair[0]) >= of(&pair[1])), "{scores:?}");
        assert!((scores.iter().map(of).sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let info = server.get("/info").json();
    assert_eq!(info["weights_sha256"], stage.hash("out"));
    assert_eq!(info["labels"].as_array().unwrap().len(), TOPICS.len());
    let metrics = server.get("/metrics").body;
    assert!(metrics.contains("xexp_requests_total{route=\"/predict\",status=\"200\"} 4\n"), "{metrics}");
    assert!(metrics.contains("xexp_inputs_total 23\n"), "{metrics}");
    assert_eq!(server.stopped(), Some(0));
}

#[test]
fn what_cannot_be_meant_is_refused_in_json_and_changes_nothing() {
    let stage = trained();
    let limits = ["--max-body", "2000", "--max-inputs", "3", "--max-length", "8", "--timeout", "1"];
    let server = Server::start(&stage, &limits);
    let good = json!({ "inputs": "play a song", "logits": true });
    let before = server.predict(&good).body;
    let nested = [vec![b'['; 900], vec![b']'; 900]].concat();
    let long = json!({ "inputs": "song ".repeat(20) });
    let (json_type, text) = ("application/json", long.to_string());
    let cases: [(&str, &[u8], u16); 12] = [
        (json_type, b"", 400),
        (json_type, b"{\"inputs\": ", 400),
        (json_type, b"{\"inputs\": \"\xff\xfe\"}", 400),
        (json_type, &nested, 422),
        (json_type, br#"{"inputs": 3}"#, 422),
        (json_type, br#"{"inputs": []}"#, 422),
        (json_type, br#"{"inputs": "a", "topk": 1}"#, 422),
        (json_type, br#"{"inputs": "a", "top_k": 0}"#, 422),
        (json_type, br#"{"inputs": ["a", "b", "c", "d"]}"#, 413),
        (json_type, &[b' '; 2001], 413),
        (json_type, text.as_bytes(), 422),
        ("text/plain", br#"{"inputs": "a"}"#, 415),
    ];
    let refused = |answer: &Answer, status: u16, what: &str| {
        assert_eq!(answer.status, status, "{what}: {}", answer.body);
        let body = answer.json();
        for field in ["error", "hint"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{what}: {body}");
        }
    };
    for (kind, body, status) in cases {
        refused(&server.post(kind, body), status, &String::from_utf8_lossy(body));
    }
    refused(&server.get("/nowhere"), 404, "a path");
    let method = server.get("/predict");
    refused(&method, 405, "a method");
    assert!(method.headers.contains("\r\nallow: post"), "{}", method.headers);
    // Headers that promise a body which never comes; headers that never end.
    let slow = "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    refused(&server.raw(slow.as_bytes()), 408, "a slow body");
    assert_eq!(server.raw(b"POST /predict HTTP/1.1\r\nHost: x\r\n").body, "", "hung up on");
    assert_eq!(server.raw(b"\x16\x03\x01 what is no HTTP\r\n\r\n").status, 400);
    let cut = server.predict(&json!({ "inputs": "song ".repeat(20), "truncate": true })).json();
    assert_eq!(
        (&cut["predictions"][0]["tokens"], &cut["predictions"][0]["truncated"]),
        (&json!(8), &json!(true))
    );
    assert_eq!(server.predict(&good).body, before);
    assert_eq!(server.stopped(), Some(0));
}

#[test]
fn the_description_names_every_field_of_the_answers() {
    let stage = trained();
    let server = Server::start(&stage, &[]);
    let description = server.get("/openapi.json").json();
    assert_eq!(description["openapi"], "3.1.0");
    let asked =
        json!({ "inputs": ["play a song", { "text": "rain", "pair": "again" }], "logits": true, "top_k": 1 });
    let answer = server.predict(&asked).json();
    let refusal = server.predict(&json!({ "inputs": [] })).json();
    let schema = |name: &str| description["components"]["schemas"][name].clone();
    for (name, value) in [
        ("Predictions", &answer),
        ("Prediction", &answer["predictions"][1]),
        ("Score", &answer["predictions"][0]["scores"][0]),
        ("Refusal", &refusal),
        ("Info", &server.get("/info").json()),
        ("Health", &server.get("/health").json()),
        ("Request", &asked),
        ("Pair", &asked["inputs"][1]),
    ] {
        let schema = schema(name);
        assert_eq!(schema["additionalProperties"], false, "{name}");
        for (field, value) in value.as_object().unwrap() {
            let declared = &schema["properties"][field];
            assert!(declared.is_object(), "{name} lacks {field}");
            let kind = match value {
                Value::Null => "null",
                Value::Bool(_) => "boolean",
                Value::Number(number) if number.is_f64() => "number",
                Value::Number(_) => "integer",
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Object(_) => "object",
            };
            let known = declared["type"].as_str().into_iter();
            let known: Vec<&str> = known
                .chain(declared["type"].as_array().into_iter().flatten().filter_map(Value::as_str))
                .collect();
            let fits =
                known.is_empty() || known.contains(&kind) || (kind == "integer" && known == ["number"]);
            assert!(fits, "{name}.{field}: {kind} is none of {known:?}");
        }
        for field in schema["required"].as_array().unwrap() {
            assert!(!value[field.as_str().unwrap()].is_null(), "{name}.{field} is promised");
        }
    }
    let docs = server.get("/docs");
    assert!(docs.status == 200 && docs.body.contains(">Ask</h2>") && docs.body.contains("inputs"));
    assert!(!docs.body.contains("<script"));
}

#[test]
fn a_port_that_is_taken_is_the_environments_fault() {
    let stage = trained();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let outcome = outcome(&mut stage.command(&["serve", "--model", "out", "--port", &port, "--quiet"]));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(3), ""), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("--port") && outcome.stderr.contains("\nhint: "), "{}", outcome.stderr);
}
