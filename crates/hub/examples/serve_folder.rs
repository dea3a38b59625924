//! Serves a folder as a model of the Hub, on loopback, for checks against Python's tools:
//! `serve_folder ORG/NAME COMMIT FOLDER` prints its address and ends with its input.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a tool of tests")]

use std::collections::BTreeMap;

/// The Hub on loopback.
#[allow(dead_code, reason = "faults are for the tests")]
#[path = "../tests/suite/server/mod.rs"]
mod server;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [id, commit, folder] = arguments.as_slice() else { panic!("expected ORG/NAME COMMIT FOLDER") };
    let files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    let server = server::Server::start();
    server.hold(id, commit, files);
    println!("{}", server.endpoint);
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
}
