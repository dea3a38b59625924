//! `xexp finetune --push`: to a Hub on loopback through the program.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hub::server::pushes::WRITER;
use crate::hub::server::{Fault, Server};
use crate::program::{Outcome, outcome};
use crate::support::stage::{Stage, sha256};

/// What of a run with a tokenizer goes up.
const UPLOADED: [&str; 8] = [
    "README.md",
    "config.json",
    "head.json",
    "labels.tsv",
    "metrics.csv",
    "model.safetensors",
    "results.json",
    "tokenizer.json",
];
const COMMIT: &str = "POST /api/models/org/fine/commit/main";

/// A short fine-tuning that is pushed, with nobody's token but the server's.
fn push(stage: &Stage, server: &Server, output: &str, more: &[&str]) -> Command {
    let mut words = vec!["--max-steps", "3"];
    if !more.contains(&"--push") {
        words.extend(["--push", "org/fine"]);
    }
    words.extend(more);
    let mut command = stage.finetune(output, &words);
    command.env("HF_ENDPOINT", &server.endpoint).env("HF_HOME", stage.path("hf")).env("HF_TOKEN", WRITER);
    for name in ["TRANSFORMERS_OFFLINE", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_TOKEN_PATH"] {
        command.env_remove(name);
    }
    command
}

/// The same for a run that has finished.
fn again(stage: &Stage, server: &Server, output: &str, more: &[&str]) -> Command {
    push(stage, server, output, &[&["--resume"], more].concat())
}

fn ended(command: &mut Command, code: i32, expected: &[&str]) -> Outcome {
    let outcome = outcome(command);
    let shown = format!("{}{}", outcome.stdout, outcome.stderr);
    assert_eq!(outcome.code, Some(code), "{shown}");
    for text in expected {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(!shown.contains(WRITER), "the token is shown: {shown}");
    outcome
}

/// Sees that the server has the run's files, byte by byte, and no others.
fn assert_there(stage: &Stage, server: &Server, output: &str, id: &str) -> BTreeMap<String, Vec<u8>> {
    let held = server.held(id).unwrap();
    let mut names: BTreeSet<&str> = held.files.keys().map(String::as_str).collect();
    names.remove(".gitattributes");
    let companions = ["tokenizer_config.json", "vocab.txt", "special_tokens_map.json"];
    let there = |name: &&str| stage.path(&format!("{output}/{name}")).is_file();
    let expected: BTreeSet<&str> = UPLOADED.into_iter().chain(companions).filter(there).collect();
    assert_eq!(names, expected);
    for name in names {
        let here = std::fs::read(stage.path(&format!("{output}/{name}"))).unwrap();
        assert_eq!(held.files[name], here, "{name}");
    }
    held.files
}

#[test]
fn a_finished_model_goes_up_and_the_record_names_the_commit() {
    let stage = Stage::new();
    let server = Server::start();
    let run = ended(
        &mut push(&stage, &server, "out", &["--quiet=false"]),
        0,
        &["a new repository, which only its owners see", "org/fine/settings"],
    );
    let files = assert_there(&stage, &server, "out", "org/fine");
    let held = server.held("org/fine").unwrap();
    assert!(held.private);
    let url = format!("{}/org/fine/commit/{}", server.endpoint, held.commit);
    assert_eq!(run.stdout.lines().last().unwrap(), format!("pushed to org/fine: {url}"));
    let record = stage.json("out/run.json");
    assert_eq!(
        record["push"],
        json!({ "repository": "org/fine", "branch": "main", "commit": held.commit, "url": url })
    );
    assert_eq!(stage.hash("out"), sha256(&stage.path("out/model.safetensors")));
    // The card names the Hub's place, and nothing of what goes up names a folder of this machine or the token.
    let card = String::from_utf8(files["README.md"].clone()).unwrap();
    assert!(card.contains("model=\"org/fine\"") && card.contains("\n# fine\n"), "{card}");
    assert!(card.contains("pipeline_tag: text-classification") && !card.contains("base_model"), "{card}");
    let folder = stage.path("").display().to_string();
    for (name, content) in &files {
        let text = String::from_utf8_lossy(content);
        assert!(!text.contains(&folder) && !text.contains(WRITER), "{name}");
    }
    assert!(!stage.text("out/run.json").contains(WRITER));
}

#[test]
fn the_result_on_stdout_stays_one_object() {
    let stage = Stage::new();
    let server = Server::start();
    let more = ["--format", "json", "--quiet=false"];
    let first = ended(&mut push(&stage, &server, "out", &more), 0, &["pushed to org/fine"]);
    assert_eq!(first.stdout, stage.text("out/results.json"));
    let second = ended(&mut again(&stage, &server, "out", &more), 0, &["has this model already"]);
    assert_eq!(second.stdout, stage.text("out/results.json"));
    assert_eq!(server.count(COMMIT), 1);
}

#[test]
fn what_keeps_a_push_away_ends_it_before_anything_is_done() {
    let stage = Stage::new();
    let server = Server::start();
    let at = |more: &[&str]| push(&stage, &server, "out", more);
    ended(&mut at(&["--push", "a b"]), 2, &["--push a b", "names no repository", "ORG/NAME@BRANCH"]);
    let commit = format!("org/fine@{}", "0".repeat(40));
    ended(&mut at(&["--push", &commit]), 2, &["a commit never changes; give a branch"]);
    ended(
        &mut at(&["--offline"]),
        4,
        &["the network is switched off (--offline)", "hint: leave --push away"],
    );
    ended(at(&[]).env("HF_HUB_OFFLINE", "1"), 4, &["(HF_HUB_OFFLINE)"]);
    ended(at(&[]).env("TRANSFORMERS_OFFLINE", "1"), 4, &["(TRANSFORMERS_OFFLINE)"]);
    let hint = ["there is no token", "HF_TOKEN", "settings/tokens", "write permission"];
    ended(at(&[]).env_remove("HF_TOKEN"), 4, &hint);
    ended(at(&[]).env("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"), 4, &hint);
    assert!(server.seen().is_empty(), "nothing was asked");

    let wrong = ended(at(&[]).env("HF_TOKEN", "hf_wrong"), 4, &["the token from HF_TOKEN is not valid"]);
    assert!(!wrong.stderr.contains("hf_wrong"), "{}", wrong.stderr);
    ended(&mut at(&["--push", "other/fine"]), 4, &["the token is of me, who is in org", "me/NAME"]);
    server.set_account(json!({ "name": "me", "auth": { "accessToken": { "role": "read" } } }));
    ended(&mut at(&["--push", "me/fine"]), 4, &["may only read", "write permission"]);
    assert!(server.seen().iter().all(|seen| seen.line == "GET /api/whoami-v2"), "nothing else was asked");
    assert!(!stage.path("out").exists() && !stage.path("hf").exists(), "nothing was written");
}

#[test]
fn a_push_that_fails_leaves_the_model_whole_and_says_how_to_go_on() {
    let stage = Stage::new();
    let server = Server::start();
    for (status, expected) in [(403, "not allowed for the token (403)"), (400, "refused (400)")] {
        let output = format!("out-{status}");
        server.fail(COMMIT, [Fault::status(status)]);
        let hint = format!(
            "hint: the model is whole in {output}; to upload it: xexp finetune --resume --output {output} --push org/fine"
        );
        let failed = ended(&mut push(&stage, &server, &output, &[]), 4, &[expected, &hint]);
        assert!(failed.stdout.contains("best weights of step"), "the results were told: {}", failed.stdout);
        assert_eq!(stage.hash(&output), sha256(&stage.path(&format!("{output}/model.safetensors"))));
        assert_eq!(stage.json(&format!("{output}/run.json")).get("push"), None);
        assert!(server.held("org/fine").unwrap().files.keys().eq([".gitattributes"]));
        // The model is one that the program opens.
        let words = ["evaluate", "--model", &output, "--data", "test.csv", "--device", "cpu", "--quiet"];
        let evaluated = outcome(&mut stage.command(&words));
        assert_eq!(evaluated.code, Some(0), "{}", evaluated.stderr);
    }
    // The command of the hint: nothing is trained, and no model or data are looked at.
    let weights = stage.hash("out-403");
    std::fs::remove_dir_all(stage.path("model")).unwrap();
    std::fs::remove_file(stage.path("train.csv")).unwrap();
    ended(&mut again(&stage, &server, "out-403", &[]), 0, &["pushed to org/fine: http", "/org/fine/commit/"]);
    assert_there(&stage, &server, "out-403", "org/fine");
    assert_eq!(stage.hash("out-403"), weights);
    assert_eq!(stage.json("out-403/run.json")["push"]["repository"], json!("org/fine"));
}

#[test]
fn a_run_that_was_not_to_be_pushed_can_be_pushed_later() {
    let stage = Stage::new();
    let server = Server::start();
    let train = stage.path("train.csv").display().to_string();
    stage.finetuned("out", &["--max-steps", "3", "--train", &train]);
    let before = stage.text("out/README.md");
    assert!(before.contains("model=\"out\"") && before.contains(&train), "{before}");
    ended(&mut again(&stage, &server, "out", &["--push", "fine@absent"]), 0, &["pushed to me/fine@absent"]);
    let files = assert_there(&stage, &server, "out", "me/fine");
    let card = String::from_utf8(files["README.md"].clone()).unwrap();
    assert!(
        card.contains("model=\"me/fine\", revision=\"absent\"") && card.contains("--train train.csv"),
        "{card}"
    );
    assert!(!card.contains(&train), "{card}");
    ended(&mut stage.finetune("out", &["--resume"]), 2, &["has finished"]);

    std::fs::remove_file(stage.path("out/model.safetensors")).unwrap();
    ended(&mut again(&stage, &server, "out", &[]), 2, &["--push: out has no model.safetensors"]);
}

#[test]
fn a_model_of_the_hub_is_named_as_the_base_and_its_folders_are_not() {
    let stage = Stage::new();
    let config = stage.json("model/config.json");
    let mut config = config.as_object().unwrap().clone();
    config.insert("_name_or_path".to_owned(), json!("/home/somebody/bert"));
    std::fs::write(stage.path("model/config.json"), Value::Object(config).to_string()).unwrap();
    let server = crate::hub::held(&stage, &[]);
    ended(&mut push(&stage, &server, "out", &["--model", "org/tiny"]), 0, &[]);
    let files = assert_there(&stage, &server, "out", "org/fine");
    let card = String::from_utf8(files["README.md"].clone()).unwrap();
    assert!(card.contains("\nbase_model: \"org/tiny\"\n"), "{card}");
    assert!(!String::from_utf8_lossy(&files["config.json"]).contains("somebody"));
}

#[test]
fn a_signal_while_uploading_exits_with_75_and_the_upload_can_be_gone_on_with() {
    let stage = Stage::new();
    let server = Server::start();
    server.fail(COMMIT, [Fault::Status(429, vec![("Retry-After", "60".to_owned())])]);
    let mut command = push(&stage, &server, "out", &["--quiet=false"]);
    let began = Instant::now();
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while server.count(COMMIT) == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "no commit was asked for");
        std::thread::sleep(Duration::from_millis(20));
    }
    let asked = Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(75), "{stderr}");
    assert!(asked.elapsed() < Duration::from_secs(30), "the pause was waited for");
    assert!(stderr.contains("interrupted while uploading: the model is whole in out"), "{stderr}");
    ended(&mut again(&stage, &server, "out", &[]), 0, &["pushed to org/fine"]);
    assert_there(&stage, &server, "out", "org/fine");
}
