//! `--model ORG/NAME`, `--train hub:ORG/NAME`: from a Hub on loopback through the program.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::json;

use crate::program::{Outcome, outcome};
use crate::support::stage::Stage;

/// The Hub on loopback.
#[allow(dead_code, reason = "most faults are for the tests of the crate itself")]
#[path = "../crates/hub/tests/suite/server/mod.rs"]
pub mod server;

use server::{Fault, Server};

const ID: &str = "org/tiny";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A server with the stage's model.
pub fn held(stage: &Stage, but: &[&str]) -> Server {
    let server = Server::start();
    let files: BTreeMap<String, Vec<u8>> = std::fs::read_dir(stage.path("model"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| !but.contains(&name.as_str()))
        .collect();
    server.hold(ID, COMMIT, files);
    server
}

/// A short fine-tuning of a model of the server's, with a cache in the stage.
fn finetune(stage: &Stage, endpoint: &str, output: &str, more: &[&str]) -> Command {
    let more = [&["--model", ID, "--max-steps", "3"][..], more].concat();
    let mut command = stage.finetune(output, &more);
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", stage.path("hf"));
    for name in ["TRANSFORMERS_OFFLINE", "HUGGINGFACE_HUB_CACHE"] {
        command.env_remove(name);
    }
    command
}

fn refused(command: &mut Command, code: i32, expected: &[&str]) -> Outcome {
    let outcome = outcome(command);
    assert_eq!(outcome.code, Some(code), "{}", outcome.stderr);
    for text in expected {
        assert!(outcome.stderr.contains(text), "{text}: {}", outcome.stderr);
    }
    outcome
}

#[test]
fn a_model_of_the_hub_trains_as_its_folder_does_and_the_record_names_its_commit() {
    let stage = Stage::new();
    let server = held(&stage, &[]);
    let run = |output: &str, more: &[&str]| {
        let outcome = outcome(&mut finetune(&stage, &server.endpoint, output, more));
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    };
    run("online", &[]);
    let model = stage.json("online/run.json")["inputs"]["model"].clone();
    assert_eq!(model["commit"], json!(COMMIT));
    assert_eq!(model["path"], json!(format!("{ID}@{COMMIT}")));
    stage.finetuned("local", &["--max-steps", "3"]);
    assert_eq!(stage.json("local/run.json")["inputs"]["model"].get("commit"), None);
    assert_eq!(stage.hash("online"), stage.hash("local"));

    let before = server.seen().len();
    run("offline", &["--offline"]);
    assert_eq!(stage.hash("offline"), stage.hash("online"));
    assert_eq!(server.seen().len(), before, "a warm cache needs no connection");
}

#[test]
fn what_the_hub_refuses_ends_with_4_and_a_hint() {
    let stage = Stage::new();
    let server = held(&stage, &[]);
    let at = |more: &[&str]| finetune(&stage, &server.endpoint, "out", more);
    refused(&mut at(&["--offline"]), 4, &["not in the cache", "(--offline)", "hint: run once without"]);
    refused(at(&[]).env("HF_HUB_OFFLINE", "1"), 4, &["(HF_HUB_OFFLINE)"]);
    assert!(server.seen().is_empty(), "nothing was asked");

    let api = format!("GET /api/models/{ID}/revision/main");
    server.fail(&api, [Fault::code(401, "RepoNotFound"), Fault::status(403)]);
    refused(&mut at(&[]), 4, &["no such repository, or a private one", "hint: ", "HF_TOKEN"]);
    refused(&mut at(&[]), 4, &["access is restricted", "ask for access"]);
    let absent = format!("{ID}@absent");
    let mut command = stage.finetune("out", &["--model", &absent]);
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", stage.path("hf"));
    refused(&mut command, 4, &["org/tiny@absent: no such revision"]);
    refused(at(&[]).env("HF_HUB_ETAG_TIMEOUT", "soon"), 2, &["HF_HUB_ETAG_TIMEOUT=soon"]);
    assert!(!stage.path("out").exists() && !stage.path("hf").exists(), "nothing was written");
}

#[test]
fn a_pickle_is_the_users_to_convert() {
    let stage = Stage::new();
    std::fs::write(stage.path("model/pytorch_model.bin"), "pickle").unwrap();
    let server = held(&stage, &["model.safetensors"]);
    let mut command = finetune(&stage, &server.endpoint, "out", &[]);
    refused(&mut command, 2, &["pytorch_model.bin, a pickle", "hint: convert it once", "save_pretrained"]);
}

#[test]
fn a_folder_of_nearly_this_name_is_told_from_the_hub() {
    let stage = Stage::new();
    let server = held(&stage, &[]);
    std::fs::create_dir_all(stage.path("org/tinny")).unwrap();
    let mut command = finetune(&stage, &server.endpoint, "out", &[]);
    refused(&mut command, 2, &["no such folder", "did you mean org/tinny?", "--model hub:org/tiny"]);
    assert!(server.seen().is_empty());
    let mut command = stage.finetune("out", &["--model", "hub:org/tiny", "--max-steps", "1"]);
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", stage.path("hf"));
    assert_eq!(outcome(&mut command).code, Some(0));
}

/// The files of a data set on the server: sentences of the stage in Parquet, and a test split that keeps its labels back.
fn held_data(server: &Server, but: &[&str]) {
    let file = |name: &str| {
        let path = format!("{}/crates/data/tests/parquet/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(path).unwrap()
    };
    let files = [
        ("default/train/0000.parquet", file("train-00000-of-00002.parquet")),
        ("default/train/0001.parquet", file("train-00001-of-00002.parquet")),
        ("default/validation/0000.parquet", file("train-00001-of-00002.parquet")),
        ("default/test/0000.parquet", file("hidden.parquet")),
    ];
    let held =
        files.into_iter().filter(|(name, _)| !but.contains(name)).map(|(name, f)| (name.to_owned(), f));
    server.hold("datasets/org/data", DATA_COMMIT, held.collect());
}

const DATA_COMMIT: &str = "89abcdef0123456789abcdef0123456789abcdef";

#[test]
fn a_data_set_of_the_hub_trains_with_its_own_splits_and_class_ids() {
    let stage = Stage::new();
    let server = Server::start();
    held_data(&server, &[]);
    let run = |name: &str, output: &str, more: &[&str]| {
        let more = [&["--train", name, "--max-steps", "2"][..], more].concat();
        let mut command = stage.finetune(output, &more);
        command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", stage.path("hf"));
        let outcome = outcome(&mut command);
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    };
    run("hub:org/data", "out", &[]);
    let receipt = stage.json("out/data.json");
    let rows: Vec<(&str, u64)> = receipt["splits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|split| (split["path"].as_str().unwrap(), split["rows_used"].as_u64().unwrap()))
        .collect();
    let path = |split: &str| format!("hub:org/data/{split}@{DATA_COMMIT}");
    assert_eq!(rows, [(path("train").as_str(), 7), (path("validation").as_str(), 3)]);
    let inputs = stage.json("out/run.json")["inputs"].clone();
    assert_eq!(
        (&inputs["train"]["commit"], &inputs["valid"]["commit"]),
        (&json!(DATA_COMMIT), &json!(DATA_COMMIT))
    );
    let labels = stage.json("out/config.json")["id2label"].clone();
    assert_eq!(labels, json!({ "0": "neutral", "1": "angry", "2": "glad" }));

    // The plain name, and without any connection.
    let before = server.seen().len();
    run("org/data", "offline", &["--offline"]);
    assert_eq!(stage.hash("offline"), stage.hash("out"));
    assert_eq!(server.seen().len(), before);
}

#[test]
fn what_a_data_set_does_not_have_is_refused_with_what_it_has() {
    let stage = Stage::new();
    let server = Server::start();
    held_data(&server, &["default/validation/0000.parquet"]);
    let at = |name: &str, code: i32, expected: &[&str]| {
        let mut command = stage.finetune("out", &["--train", name]);
        command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", stage.path("hf"));
        refused(&mut command, code, expected);
    };
    at(
        "hub:org/data/dev",
        4,
        &["no split dev of default; it has test, train", "hub:ORG/NAME:CONFIGURATION/SPLIT"],
    );
    at("hub:org/data:sst2", 4, &["no configuration sst2; it has default"]);
    at("hub:org/absent", 4, &["data set org/absent: no such repository"]);
    at("hub:org/data@absent", 4, &["no such revision"]);
    at("hub:a b", 2, &["--train hub:a b", "hub:ORG/NAME:CONFIGURATION/SPLIT@REVISION"]);
    at("hub:org/data/test", 2, &["every class id is -1"]);
    assert!(!stage.path("out").exists());
}
