//! Bad input of every kind: the right exit code, a message that says what and where, and nothing written.

use serde_json::{Value, json};

use crate::program::{Outcome, outcome};
use crate::support::sentences::{TOPICS, csv, sentences};
use crate::support::stage::{Stage, TRAIN, listing};
use crate::support::tiny_bert::{Tensor, TinyBert, safetensors};

/// Runs what must fail: with this code, these words on stderr, a hint, and no output folder.
fn refused(stage: &Stage, more: &[&str], code: i32, needles: &[&str]) -> Outcome {
    let outcome = outcome(&mut stage.finetune("out", more));
    assert_eq!(outcome.code, Some(code), "{more:?}: {}", outcome.stderr);
    assert_eq!(outcome.stdout, "", "{more:?}");
    assert!(outcome.stderr.starts_with("error: "), "{more:?}: {}", outcome.stderr);
    for needle in needles {
        assert!(outcome.stderr.contains(needle), "{more:?}: expected {needle:?} in {}", outcome.stderr);
    }
    assert!(!stage.path("out").exists(), "{more:?}: something was written");
    outcome
}

/// Two good rows of each topic, and a header: rows 2 to 9.
fn good() -> String {
    csv(&sentences("good", 2 * TOPICS.len()))
}

#[test]
fn a_data_file_with_a_fault_is_refused_with_its_line() {
    let stage = Stage::new();
    let good = good();
    let with = |row: &str| format!("{good}{row}\n");
    let cases: [(&str, Vec<u8>, &[&str]); 14] = [
        (
            "ragged.csv",
            with("one,two,three").into(),
            &["ragged.csv:10", "expected 2 fields, found 3", "hint: "],
        ),
        ("short.csv", with("lonely").into(), &["short.csv:10", "expected 2 fields, found 1"]),
        (
            "empty.csv",
            with("\"  \",music").into(),
            &["empty.csv:10", "`text` holds no text", "--on-bad-row skip"],
        ),
        ("nolabel.csv", with("a song,").into(), &["nolabel.csv:10", "`label` holds no label"]),
        ("quote.csv", with("\"a song,music").into(), &["quote.csv:10", "never closed"]),
        (
            "utf8.csv",
            [good.as_bytes(), b"caf\xe9 song,music\n"].concat(),
            &["utf8.csv:10", "UTF-8", "0xe9", "iconv"],
        ),
        ("utf16.csv", b"\xff\xfet\0e\0".into(), &["utf16.csv", "UTF-16", "iconv"]),
        ("one.csv", "text,label\na song,music\nthe song,music\n".into(), &["two classes", "music", "hint: "]),
        ("header.csv", "text,label\n".into(), &["header.csv", "rows"]),
        ("nothing.csv", "".into(), &["nothing.csv"]),
        (
            "columns.csv",
            "words,topic\na song,music\n".into(),
            &["no column for the text", "words", "--text-column"],
        ),
        (
            "bad.jsonl",
            "{\"text\": \"a\", \"label\": \"b\"}\n{\"text\": \"a\"".into(),
            &["bad.jsonl:2", "hint: "],
        ),
        (
            "number.jsonl",
            "{\"text\": 7, \"label\": \"b\"}\n".into(),
            &["number.jsonl:1", "`text` holds a number"],
        ),
        ("what.xyz", good.clone().into(), &["what.xyz", ".csv", "--data-format"]),
    ];
    for (name, content, needles) in cases {
        std::fs::write(stage.path(name), content).unwrap();
        refused(&stage, &["--train", name], 2, needles);
    }
}

#[test]
fn a_file_or_column_that_is_not_there_brings_the_nearest_name() {
    let stage = Stage::new();
    refused(&stage, &["--train", "trian.csv"], 2, &["trian.csv: no such file", "did you mean train.csv"]);
    refused(&stage, &["--model", "modle"], 2, &["modle: no such folder", "did you mean model"]);
    refused(
        &stage,
        &["--text-column", "txt"],
        2,
        &["`txt`", "`text`, `label`", "did you mean --text-column text"],
    );
    refused(&stage, &["--label-column", "lable"], 2, &["`lable`", "did you mean --label-column label"]);
}

#[test]
fn a_label_that_training_lacks_is_refused_unless_it_is_admitted() {
    let stage = Stage::new();
    let odd = "text,label\nthe rain,weather\nred and blue,colours\n";
    std::fs::write(stage.path("odd.csv"), odd).unwrap();
    for flag in ["--valid", "--test"] {
        let needles = ["odd.csv:3", "`colours`", "--unseen-labels union"];
        refused(&stage, &[flag, "odd.csv"], 2, &needles);
    }
    stage.finetuned("out", &["--test", "odd.csv", "--unseen-labels", "union", "--max-steps", "1"]);
    assert_eq!(stage.json("out/config.json")["id2label"]["0"], "colours");
}

#[test]
fn bad_rows_that_may_be_skipped_are_counted() {
    let stage = Stage::new();
    let rows = stage.text("train.csv");
    std::fs::write(stage.path("some.csv"), format!("{rows},music\none,two,three\na song,\n")).unwrap();
    stage.finetuned("out", &["--train", "some.csv", "--on-bad-row", "skip", "--max-steps", "1"]);
    let receipt = stage.json("out/data.json");
    let train = &receipt["splits"][0];
    let lines: Vec<&Value> = train["bad_rows"].as_array().unwrap().iter().map(|row| &row["line"]).collect();
    let first = TRAIN + 2;
    assert_eq!(lines, [&json!(first), &json!(first + 1), &json!(first + 2)]);
    assert_eq!(train["rows_read"], TRAIN + 3);
    stage.finetuned("clean", &["--max-steps", "1"]);
    assert_eq!(stage.hash("out"), stage.hash("clean"), "the good rows are the same");
}

/// Rewrites a file of the stage's model.
fn rewrite(stage: &Stage, name: &str, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let path = stage.path("model").join(name);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(path, change(bytes)).unwrap();
}

fn with_field(field: &str, value: Value) -> Vec<u8> {
    let mut config = TinyBert::default().config();
    config[field] = value;
    config.to_string().into()
}

/// The tiny model's weights with one tensor changed.
fn with_tensor(name: &str, change: impl Fn(&mut Tensor)) -> Vec<u8> {
    let mut weights = TinyBert::default().weights();
    change(weights.iter_mut().find(|tensor| tensor.name == name).unwrap());
    safetensors(&weights)
}

#[test]
fn a_checkpoint_with_a_fault_is_refused_with_its_file_and_tensor() {
    const UP: &str = "encoder.layer.1.intermediate.dense.weight";
    let weights = || TinyBert::default().weights();
    let lacking: Vec<Tensor> = weights().into_iter().filter(|tensor| tensor.name != UP).collect();
    let whole = safetensors(&weights());
    let mut header = whole.clone();
    header[40] ^= 0x80;
    let turned = with_tensor(UP, |tensor| tensor.shape.reverse());
    let nan = with_tensor(UP, |tensor| tensor.values[7] = f32::NAN);
    let infinite = with_tensor(UP, |tensor| tensor.values[7] = f32::INFINITY);
    let cases: [(&str, Vec<u8>, &[&str]); 14] = [
        (
            "model.safetensors",
            whole[..whole.len() - 100].into(),
            &["model.safetensors", "safetensors file", "hint: "],
        ),
        ("model.safetensors", whole[..20].into(), &["model.safetensors", "safetensors file"]),
        ("model.safetensors", vec![], &["model.safetensors", "empty"]),
        ("model.safetensors", header, &["model.safetensors", "safetensors file"]),
        ("model.safetensors", vec![0xff; 64], &["model.safetensors", "safetensors file"]),
        ("model.safetensors", turned, &[UP, "expected shape [64, 32], found [32, 64]", "hint: "]),
        ("model.safetensors", safetensors(&lacking), &["lacks 1 tensor", UP]),
        ("model.safetensors", nan, &[UP, "NaN"]),
        ("model.safetensors", infinite, &[UP, "infinite"]),
        ("config.json", b"{ \"model_type\": ".into(), &["config.json", "not JSON"]),
        ("config.json", with_field("model_type", json!("mamba")), &["config.json", "\"mamba\"", "bert"]),
        (
            "config.json",
            with_field("num_attention_heads", json!(5)),
            &["num_attention_heads", "hidden_size = 32"],
        ),
        ("config.json", with_field("hidden_size", json!("wide")), &["hidden_size", "\"wide\""]),
        ("tokenizer.json", b"[]".into(), &["tokenizer.json", "hint: "]),
    ];
    for (name, content, needles) in cases {
        let stage = Stage::new();
        rewrite(&stage, name, |_| content);
        refused(&stage, &[], 2, needles);
    }
}

#[test]
fn a_model_folder_that_is_not_whole_is_refused() {
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let stage = Stage::new();
        std::fs::remove_file(stage.path("model").join(name)).unwrap();
        refused(&stage, &[], 2, &[name, "missing", "hint: "]);
    }
    let stage = Stage::new();
    let weights = stage.path("model/model.safetensors");
    std::fs::rename(weights, stage.path("model/pytorch_model.bin")).unwrap();
    refused(&stage, &[], 2, &["pytorch_model.bin", "pickle", "safe_serialization=True"]);
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model_has_rows_is_refused() {
    let stage = Stage::new();
    rewrite(&stage, "config.json", |_| with_field("vocab_size", json!(150)));
    let shorter = with_tensor("embeddings.word_embeddings.weight", |tensor| {
        tensor.values.truncate(150 * tensor.shape[1]);
        tensor.shape[0] = 150;
    });
    rewrite(&stage, "model.safetensors", |_| shorter);
    refused(&stage, &[], 2, &["token", "150", "tokenizer.json and config.json", "hint: "]);
}

#[test]
fn lengths_beyond_the_model_and_below_a_token_are_refused() {
    let stage = Stage::new();
    refused(&stage, &["--max-length", "65"], 2, &["--max-length 65", "at most 64", "hint: "]);
    refused(&stage, &["--max-length", "2"], 2, &["at least 3", "hint: "]);
}

#[test]
fn too_few_rows_for_a_split_are_refused() {
    let stage = Stage::new();
    let few = "text,label\na song,music\nthe rain,weather\n";
    std::fs::write(stage.path("few.csv"), few).unwrap();
    refused(&stage, &["--train", "few.csv"], 2, &["2 rows", "--valid"]);
}

#[test]
fn what_the_machine_cannot_do_is_refused_with_3() {
    let stage = Stage::new();
    refused(&stage, &["--device", "cuda"], 3, &["CUDA", "hint: "]);
    // Below a file no folder can be made, not even by root.
    refused(&stage, &["--output", "train.csv/out"], 3, &["train.csv/out", "cannot write", "hint: "]);
}

#[test]
fn a_folder_that_is_not_empty_is_written_over_only_when_told_so() {
    let stage = Stage::new();
    stage.finetuned("full", &["--max-steps", "1"]);
    let (before, hash) = (listing(&stage.path("full")), stage.hash("full"));
    let outcome = outcome(&mut stage.finetune("full", &["--max-steps", "2"]));
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    for needle in ["full", "not empty", "--overwrite"] {
        assert!(outcome.stderr.contains(needle), "{}", outcome.stderr);
    }
    assert_eq!((listing(&stage.path("full")), stage.hash("full")), (before.clone(), hash.clone()));
    stage.finetuned("full", &["--max-steps", "2", "--overwrite"]);
    assert_eq!(listing(&stage.path("full")), before);
    assert_ne!(stage.hash("full"), hash);
}

/// The same command under a limit on the size of files, in the shell's blocks of 512 or 1,024 bytes.
fn limited(command: &std::process::Command, blocks: u32) -> Outcome {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &format!("ulimit -f {blocks} && exec \"$0\" \"$@\"")]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.current_dir(command.get_current_dir().unwrap());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    outcome(&mut shell)
}

#[test]
fn a_disk_without_room_ends_the_run_with_3_and_leaves_no_half_files() {
    let stage = Stage::new();
    // The weights have 110 kB, everything else fits.
    let outcome = limited(&stage.finetune("out", &[]), 64);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    for needle in ["error: ", "room", "model.safetensors", "hint: "] {
        assert!(outcome.stderr.contains(needle), "{needle}: {}", outcome.stderr);
    }
    let left = listing(&stage.path("out"));
    let unfinished = |name: &&String| name.starts_with('.') || name.starts_with("checkpoint-");
    assert_eq!(left.iter().find(unfinished), None, "{left:?}");
    assert!(!left.iter().any(|name| name == "model.safetensors" || name == "results.json"), "{left:?}");
}

#[test]
fn a_run_that_fails_leaves_an_older_model_whole() {
    let stage = Stage::new();
    stage.finetuned("out", &["--max-steps", "1"]);
    let old = std::fs::read(stage.path("out/model.safetensors")).unwrap();
    let outcome = limited(&stage.finetune("out", &["--overwrite"]), 64);
    assert_eq!(outcome.code, Some(3), "{}", outcome.stderr);
    assert!(std::fs::read(stage.path("out/model.safetensors")).unwrap() == old);
}

#[test]
fn a_loss_that_is_no_number_stops_the_run_with_its_step() {
    let stage = Stage::new();
    let outcome = outcome(&mut stage.finetune("out", &["--lr", "1e30", "--warmup", "0"]));
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    for needle in ["error: step ", "--lr", "hint: "] {
        assert!(outcome.stderr.contains(needle), "{needle}: {}", outcome.stderr);
    }
    assert!(!stage.path("out/model.safetensors").exists());
}
