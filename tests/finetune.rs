//! `xexp finetune` from end to end: what it leaves behind, that it learns, and that it does so the same every time.

use serde_json::Value;

use crate::program::outcome;
use crate::support::sentences::{Sentence, TOPICS, sentences, write};
use crate::support::stage::{Stage, TEST, TRAIN, listing, sha256};

/// The part of the training rows that validates where nothing is said: a tenth.
const VALID: usize = TRAIN / 10;

fn number(value: &Value, path: &[&str]) -> f64 {
    let found = path.iter().fold(value, |value, key| &value[*key]);
    found.as_f64().unwrap_or_else(|| panic!("{path:?}: {found}"))
}

#[test]
fn a_run_leaves_all_that_is_promised_and_says_the_same_on_stdout() {
    let stage = Stage::new();
    let outcome = stage.finetuned("out", &["--test", "test.csv", "--format", "json"]);
    let files = listing(&stage.path("out"));
    for name in [
        "README.md",
        "config.json",
        "data.json",
        "head.json",
        "labels.tsv",
        "metrics.csv",
        "model.safetensors",
        "report.html",
        "results.md",
        "results.tex",
        "results.json",
        "run.json",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ] {
        assert!(files.contains(&name.to_owned()), "{name} is missing from {files:?}");
        assert!(!std::fs::read(stage.path("out").join(name)).unwrap().is_empty(), "{name} is empty");
    }
    let passing = files.iter().find(|name| name.starts_with('.') || name.starts_with("checkpoint-"));
    assert_eq!(passing, None, "a finished run leaves nothing that was there for a while only");

    let results = stage.json("out/results.json");
    assert_eq!(serde_json::from_str::<Value>(&outcome.stdout).unwrap(), results);
    assert_eq!(outcome.stderr, "", "--quiet shows errors only");
    for split in ["valid", "test"] {
        for score in ["accuracy", "macro_f1", "mcc", "loss", "ece"] {
            assert!(number(&results, &[split, score]).is_finite());
        }
    }
    for field in ["std", "predicted_logit_variance", "measured_logit_variance", "initial_loss"] {
        assert!(number(&results, &["head", field]) > 0.0, "{field}");
    }
    assert!((number(&results, &["head", "ln_classes"]) - 4f64.ln()).abs() < 1e-12);
    assert_eq!(results["head"]["init"], "xavier");
    // Glorot and Bengio 2010, eq. 12, for 32 inputs and 4 outputs.
    assert!((number(&results, &["head", "std"]) - (2.0f64 / 36.0).sqrt()).abs() < 1e-12);
    let train = TRAIN - VALID;
    assert_eq!(results["train_examples"], train);
    assert_eq!((&results["epochs"], &results["steps"]), (&4.into(), &(4 * train.div_ceil(16)).into()));
    assert_eq!((&results["device"], &results["seed"]), (&"cpu".into(), &42.into()));
    assert!(results["task"].is_string());
    assert!(number(&results, &["seconds"]) > 0.0 && number(&results, &["examples_per_second"]) > 0.0);
    assert_eq!(results["weights_sha256"], sha256(&stage.path("out/model.safetensors")));
}

#[test]
fn the_saved_configuration_is_the_base_models_with_the_classes_added() {
    let stage = Stage::new();
    stage.finetuned("out", &["--max-steps", "1"]);
    let (config, base) = (stage.json("out/config.json"), stage.json("model/config.json"));
    let topics = TOPICS.map(|(topic, _)| topic);
    let names = topics.iter().enumerate();
    let id2label: Value = names.clone().map(|(id, name)| (id.to_string(), Value::from(*name))).collect();
    let label2id: Value = names.clone().map(|(id, name)| ((*name).to_owned(), Value::from(id))).collect();
    assert_eq!((&config["id2label"], &config["label2id"]), (&id2label, &label2id));
    assert_eq!(config["architectures"], serde_json::json!(["BertForSequenceClassification"]));
    assert_eq!(config["problem_type"], "single_label_classification");
    for (field, value) in base.as_object().unwrap() {
        assert!(field == "architectures" || config[field] == *value, "{field}");
    }
    for file in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"] {
        assert_eq!(stage.text(&format!("out/{file}")), stage.text(&format!("model/{file}")), "{file}");
    }
    // What `from_pretrained` reads: the class's own names, and a note of the framework.
    let bytes = std::fs::read(stage.path("out/model.safetensors")).unwrap();
    let (_, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    for (name, shape) in [
        ("bert.embeddings.word_embeddings.weight", vec![201, 32]),
        ("bert.encoder.layer.1.attention.self.query.weight", vec![32, 32]),
        ("bert.pooler.dense.bias", vec![32]),
        ("classifier.weight", vec![4, 32]),
        ("classifier.bias", vec![4]),
    ] {
        assert_eq!(metadata.info(name).unwrap_or_else(|| panic!("{name}")).shape, shape, "{name}");
    }
    let labels = stage.text("out/labels.tsv");
    let rows: Vec<Vec<&str>> = labels.lines().skip(1).map(|row| row.split('\t').take(2).collect()).collect();
    let expected: Vec<Vec<String>> =
        names.map(|(id, name)| vec![id.to_string(), (*name).to_owned()]).collect();
    assert_eq!(rows, expected);
}

#[test]
fn a_run_learns() {
    let stage = Stage::new();
    stage.finetuned("out", &["--test", "test.csv"]);
    let results = stage.json("out/results.json");
    // Guessing among four topics hits 60 of 80 with probability below 1e-20; counting topic words hits more
    // than nine in ten.
    assert!(number(&results, &["test", "accuracy"]) >= 0.75, "{}", results["test"]);
    assert!(number(&results, &["test", "loss"]) < 0.9, "{}", results["test"]);

    let metrics = stage.text("out/metrics.csv");
    let mut lines = metrics.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let loss = |row: &Vec<&str>| row[column("loss")].parse::<f64>().unwrap();
    assert!(loss(rows.last().unwrap()) < 0.5 * loss(&rows[0]), "{metrics}");
    let scored = rows.iter().filter(|row| !row[column("valid_macro_f1")].is_empty()).count();
    assert_eq!(scored, 4, "one evaluation an epoch: {metrics}");
}

#[test]
fn the_seed_decides_every_bit_whatever_the_number_of_threads() {
    let stage = Stage::new();
    let run = |output: &str, seed: &str, threads: &str| {
        let mut command = stage.finetune(output, &["--epochs", "1", "--seed", seed]);
        let outcome = outcome(command.env("RAYON_NUM_THREADS", threads));
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
        (stage.hash(output), stage.text(&format!("{output}/metrics.csv")))
    };
    let first = run("first", "1", "2");
    assert_eq!(first, run("again", "1", "2"));
    assert_eq!(first, run("one", "1", "1"));
    assert_eq!(first, run("five", "1", "5"));
    let other = run("other", "2", "2");
    assert!(first.0 != other.0 && first.1 != other.1);
}

#[test]
fn the_same_rows_in_any_format_make_the_same_model() {
    let stage = Stage::new();
    for extension in ["tsv", "jsonl"] {
        write(&stage.path(&format!("train.{extension}")), &sentences("train", TRAIN));
    }
    let hash = |file: &str, more: &[&str]| {
        let output = file.replace('.', "-");
        stage.finetuned(&output, &[&["--max-steps", "3", "--train", file][..], more].concat());
        stage.hash(&output)
    };
    let csv = hash("train.csv", &[]);
    assert_eq!(csv, hash("train.tsv", &[]));
    assert_eq!(csv, hash("train.jsonl", &[]));
    // Without its header, and with names for the columns instead.
    let bare = stage.text("train.csv").split_once('\n').unwrap().1.to_owned();
    std::fs::write(stage.path("bare.txt"), bare).unwrap();
    assert_eq!(csv, hash("bare.txt", &["--columns", "text,label", "--data-format", "csv"]));
}

#[test]
fn micro_batches_make_the_run_of_one_large_batch_but_for_rounding() {
    let stage = Stage::new();
    let mut config = stage.json("model/config.json");
    for field in ["hidden_dropout_prob", "attention_probs_dropout_prob"] {
        config[field] = 0.into();
    }
    std::fs::write(stage.path("model/config.json"), config.to_string()).unwrap();
    let loss = |output: &str, batch: &str, accumulate: &str| {
        stage.finetuned(output, &["--epochs", "1", "--batch-size", batch, "--accumulate", accumulate]);
        number(&stage.json(&format!("{output}/results.json")), &["valid", "loss"])
    };
    let (whole, parts) = (loss("whole", "16", "1"), loss("parts", "3", "6"));
    assert!(whole != parts, "18 examples a step are not 16");
    let parts = loss("four", "4", "4");
    // Fourteen steps, in each of which Adam turns a gradient's rounding of 1e-7 into at most as much of a step
    // of 3e-3, except where a gradient is nothing but rounding.
    assert!((whole - parts).abs() < 1e-3, "{whole} and {parts}");
}

#[test]
fn a_probe_trains_the_head_and_nothing_else() {
    let stage = Stage::new();
    stage.finetuned("out", &["--strategy", "probe", "--test", "test.csv", "--epochs", "100"]);
    let results = stage.json("out/results.json");
    // Guessing hits 40 of 80 with probability 1e-6.
    assert!(number(&results, &["test", "accuracy"]) > 0.5, "{}", results["test"]);
    let read = |name: &str| std::fs::read(stage.path(name)).unwrap();
    let (before, after) = (read("model/model.safetensors"), read("out/model.safetensors"));
    let before = safetensors::SafeTensors::deserialize(&before).unwrap();
    let after = safetensors::SafeTensors::deserialize(&after).unwrap();
    assert_eq!(after.len(), before.len() + 2);
    for (name, tensor) in before.tensors() {
        let kept = after.tensor(&format!("bert.{name}")).unwrap();
        assert!(kept.data() == tensor.data(), "{name} has changed");
    }
}

#[test]
fn fine_tuning_after_a_probe_begins_with_the_head_that_the_probe_finds() {
    let stage = Stage::new();
    let usual = [
        "finetune",
        "--model=model",
        "--train=train.csv",
        "--batch-size=16",
        "--output=probe",
        "--strategy=probe",
        "--quiet=true",
    ];
    let probed = stage.command(&usual).output().unwrap();
    assert!(probed.status.success(), "{probed:?}");
    // Steps of this rate change no weight by more than 1e-10.
    let still = ["--strategy", "lp-ft", "--epochs", "1", "--lr", "1e-12", "--weight-decay", "0"];
    stage.finetuned("both", &still);
    let read = |name: &str| std::fs::read(stage.path(name)).unwrap();
    let (probe, both) = (read("probe/model.safetensors"), read("both/model.safetensors"));
    let probe = safetensors::SafeTensors::deserialize(&probe).unwrap();
    let both = safetensors::SafeTensors::deserialize(&both).unwrap();
    for (name, tensor) in probe.tensors() {
        let values = |tensor: &safetensors::tensor::TensorView<'_>| -> Vec<f32> {
            tensor.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
        };
        let (ours, theirs) = (values(&both.tensor(&name).unwrap()), values(&tensor));
        let apart = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart < 1e-6, "{name}: {apart}");
    }
    // A row a step: the probe's passes are not among them.
    let steps = number(&stage.json("both/results.json"), &["steps"]);
    let rows = String::from_utf8(read("both/metrics.csv")).unwrap().lines().count() as f64 - 1.0;
    assert!(rows <= steps && steps < 300.0, "{rows} rows, {steps} steps");
    // And goes on from there, backbone and all.
    stage.finetuned("on", &["--strategy", "lp-ft", "--epochs", "1", "--lr", "0.003"]);
    let on = read("on/model.safetensors");
    let on = safetensors::SafeTensors::deserialize(&on).unwrap();
    for name in ["classifier.weight", "bert.encoder.layer.0.attention.self.query.weight"] {
        assert!(on.tensor(name).unwrap().data() != both.tensor(name).unwrap().data(), "{name} has not moved");
    }
}

#[test]
fn every_head_starts_with_the_variance_it_was_asked_for() {
    let stage = Stage::new();
    for (init, std) in [
        ("he", Some((2.0f64 / 32.0).sqrt())),
        ("lecun", Some((1.0f64 / 32.0).sqrt())),
        ("normal:0.05", Some(0.05)),
        ("hf", Some(0.02)),
        // Orthonormal rows of 32 values have a mean square of 1/32.
        ("orthogonal", Some((1.0f64 / 32.0).sqrt())),
        ("calibrated", None),
    ] {
        let output = init.replace(':', "-");
        stage.finetuned(&output, &["--max-steps", "1", "--head-init", init]);
        let head = stage.json(&format!("{output}/results.json"))["head"].clone();
        assert_eq!(head["init"], init);
        let (found, predicted) = (number(&head, &["std"]), number(&head, &["predicted_logit_variance"]));
        match std {
            Some(std) => assert!((found - std).abs() < 1e-9, "{init}: {found}"),
            None => assert!((predicted - 0.1).abs() < 1e-6, "{init}: {predicted}"),
        }
        // One draw of 4 rows: a chi-squared law with 4 degrees of freedom at the least, which is within a factor
        // of 20 of its mean but in one of a thousand draws.
        let measured = number(&head, &["measured_logit_variance"]);
        assert!(
            measured > predicted / 20.0 && measured < 20.0 * predicted,
            "{init}: {measured}, {predicted}"
        );
        assert_eq!(stage.json(&format!("{output}/head.json"))["init"], init);
    }
    stage.finetuned("zero", &["--max-steps", "1", "--head-init", "zero"]);
    let head = stage.json("zero/results.json")["head"].clone();
    assert_eq!(number(&head, &["measured_logit_variance"]), 0.0);
    // Equal logits: the loss is ln 4 to the rounding of a sum.
    assert!((number(&head, &["initial_loss"]) - 4f64.ln()).abs() < 1e-12, "{head}");
    // A factor on the weights is its square on the variance.
    stage.finetuned("scaled", &["--max-steps", "1", "--head-init", "he", "--head-scale", "3"]);
    let variance =
        |output: &str| number(&stage.json(&format!("{output}/head.json")), &["measured_logit_variance"]);
    assert!((variance("scaled") / variance("he") - 9.0).abs() < 1e-4, "{}", variance("scaled"));
}

#[test]
fn a_test_set_changes_nothing_but_the_results() {
    let stage = Stage::new();
    stage.finetuned("without", &["--max-steps", "2"]);
    stage.finetuned("with", &["--max-steps", "2", "--test", "test.csv"]);
    assert_eq!(stage.hash("without"), stage.hash("with"));
    assert!(stage.json("without/results.json").get("test").is_none());
    assert_eq!(stage.json("with/results.json")["test"]["examples"], TEST);
}

#[test]
fn pairs_are_read_by_both_columns() {
    let stage = Stage::new();
    let row = |pair: &[Sentence]| {
        let texts = [&pair[0].text, &pair[1].text].map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
        format!("{},{}\n", texts.join(","), pair[0].label == pair[1].label)
    };
    let rows: String = sentences("pairs", 120).chunks(2).map(row).collect();
    // Topics take turns: neighbours never share one, so that some rows must be made to.
    let rows = rows.replacen(",false\n", ",true\n", 30);
    std::fs::write(stage.path("pairs.csv"), format!("sentence1,sentence2,label\n{rows}")).unwrap();
    let base = ["--train", "pairs.csv", "--max-steps", "2"];
    stage.finetuned("both", &base);
    stage.finetuned("first", &[&base[..], &["--text-column", "sentence1"]].concat());
    let columns = |output: &str| stage.json(&format!("{output}/data.json"))["splits"][0]["columns"].clone();
    assert_eq!(columns("both")["pair"], "sentence2");
    assert_eq!(columns("first")["pair"], Value::Null);
    assert_ne!(stage.hash("both"), stage.hash("first"));
}

#[test]
fn settings_mean_the_same_by_flag_file_and_environment() {
    let stage = Stage::new();
    stage.finetuned(
        "flags",
        &["--max-steps", "2", "--seed", "9", "--head-init", "lecun", "--schedule", "cosine"],
    );
    let file = "max-steps = 2\nseed = 9\nhead-init = 'lecun'\nschedule = 'cosine'\n";
    std::fs::write(stage.path("settings.toml"), file).unwrap();
    stage.finetuned("file", &["--config", "settings.toml"]);
    let mut command = stage.finetune("environment", &[]);
    let variables = [
        ("XEXP_MAX_STEPS", "2"),
        ("XEXP_SEED", "9"),
        ("XEXP_HEAD_INIT", "lecun"),
        ("XEXP_SCHEDULE", "cosine"),
    ];
    assert_eq!(outcome(command.envs(variables)).code, Some(0));
    assert_eq!(stage.hash("flags"), stage.hash("file"));
    assert_eq!(stage.hash("flags"), stage.hash("environment"));
}

#[test]
fn validation_data_of_its_own_and_a_limit_are_kept_to() {
    let stage = Stage::new();
    stage.finetuned("out", &["--max-steps", "2", "--valid", "test.csv", "--limit-train", "40"]);
    let results = stage.json("out/results.json");
    assert_eq!((&results["train_examples"], &results["valid"]["examples"]), (&40.into(), &TEST.into()));
    let classes = stage.json("out/data.json")["splits"][0]["classes"].clone();
    let counts: Vec<u64> = classes.as_array().unwrap().iter().map(|c| c["count"].as_u64().unwrap()).collect();
    assert_eq!(counts, [10; 4], "a stratified part of four equal classes");
}
