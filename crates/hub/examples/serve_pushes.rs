//! Takes pushes on loopback, for checks against Python's tools: `serve_pushes ORG/NAME [BYTES]` prints its address; at the
//! end of its input it prints, as one object of JSON, the requests that came and the repository as it is then. With
//! `BYTES` large files come in parts of so many.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of tests")]

use serde_json::{Value, json};

/// The Hub on loopback.
#[allow(dead_code, reason = "faults are for the tests")]
#[path = "../tests/suite/server/mod.rs"]
mod server;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let server = server::Server::start();
    let id = match arguments.as_slice() {
        [id] => id,
        [id, part] => {
            server.set_parts(part.parse().unwrap());
            id
        }
        _ => panic!("expected ORG/NAME [BYTES]"),
    };
    println!("{}", server.endpoint);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    let request = |seen: &server::Seen| {
        let is_text = !seen.line.starts_with("PUT ");
        json!({
            "line": seen.line,
            "storage": seen.storage,
            "authorized": seen.headers.contains_key("authorization"),
            "content-type": seen.headers.get("content-type"),
            "accept": seen.headers.get("accept"),
            "body": if is_text { json!(String::from_utf8_lossy(&seen.body)) } else { Value::Null },
            "length": seen.body.len(),
            "sha256": server::sha256(&seen.body),
        })
    };
    let requests: Vec<Value> = server.seen().iter().map(request).collect();
    let held = server.held(id).map(|held| {
        let files = held.files.iter().map(|(name, content)| (name.clone(), json!(server::sha256(content))));
        json!({ "private": held.private, "files": files.collect::<serde_json::Map<_, _>>() })
    });
    println!("{}", json!({ "requests": requests, "held": held }));
}
