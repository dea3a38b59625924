//! `--config`: what wins over what, and mistakes with their line.

use tempfile::NamedTempFile;

use crate::program::{Outcome, command, outcome};

/// Runs `finetune` with a config file, variables and flags.
fn finetune(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> Outcome {
    let file = NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    let arguments = [&["finetune", "--config", path], flags].concat();
    outcome(command(&arguments).envs(variables.iter().copied()))
}

/// The model that a run looked for: a missing one is the first thing that the program complains of.
fn model(text: &str, variables: &[(&str, &str)], flags: &[&str]) -> String {
    let outcome = finetune(text, variables, flags);
    assert_eq!(outcome.code, Some(2), "{}", outcome.stderr);
    let name = outcome.stderr.strip_prefix("error: --model ").and_then(|rest| rest.split(':').next());
    name.unwrap_or_else(|| panic!("{}", outcome.stderr)).to_owned()
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let text = "model = 'no-file'\n";
    let variable = [("XEXP_MODEL", "no-variable")];
    let flag = ["--model", "no-flag"];
    assert_eq!(model(text, &[], &[]), "no-file");
    assert_eq!(model(text, &variable, &[]), "no-variable");
    assert_eq!(model(text, &[], &flag), "no-flag");
    assert_eq!(model(text, &variable, &flag), "no-flag");
}

#[test]
fn a_switch_of_the_file_can_be_switched_off() {
    let clash = "exclude each other";
    let text = "overwrite = true\nresume = true\n";
    assert!(finetune(text, &[], &[]).stderr.contains(clash));
    assert!(!finetune(text, &[], &["--resume=false"]).stderr.contains(clash));
    assert!(!finetune(text, &[("XEXP_OVERWRITE", "0")], &[]).stderr.contains(clash));
}

#[test]
fn the_file_can_be_named_by_the_environment() {
    let file = NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "model = 'no-file'\n").unwrap();
    let outcome = outcome(command(&["finetune"]).env("XEXP_CONFIG", file.path()));
    assert!(outcome.stderr.starts_with("error: --model no-file:"), "{}", outcome.stderr);
}

#[test]
fn an_unknown_key_exits_with_2_its_line_and_a_hint() {
    let outcome = finetune("# a run\nepochs = 2\nbacth-size = 8\n", &[], &[]);
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains(".toml:3:1: unknown key `bacth-size`"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("hint: did you mean `batch_size`?"), "{}", outcome.stderr);
}

#[test]
fn a_wrong_value_exits_with_2_and_its_line_even_where_a_flag_would_win() {
    for (text, expected) in [
        ("epochs = 'many'", ".toml:1:1: epochs: "),
        ("seed = 1\nquiet = 'yes'", ".toml:2:1: quiet: expected true or false, found a string"),
        ("epochs = 1\nepochs = 2", ".toml:2:"),
        ("epochs 1", ".toml:1:"),
    ] {
        let outcome = finetune(text, &[], &["--epochs", "3"]);
        assert_eq!(outcome.code, Some(2), "{text}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(expected), "{text}: {}", outcome.stderr);
    }
}

#[test]
fn a_missing_file_exits_with_2() {
    let outcome = outcome(&mut command(&["finetune", "--config", "no-such.toml"]));
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("--config no-such.toml: cannot read the file"), "{}", outcome.stderr);
}

#[test]
fn what_a_command_line_comes_to_is_shown_with_its_origins_and_reads_back() {
    let file = NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(file.path(), "epochs = 7\nlr = '3e-4'\nseed = 5\ncolumns = ['text', 'label']\n").unwrap();
    let path = file.path().to_str().unwrap();
    let show = |more: &[&str]| {
        let arguments = [&["config", "show", "--origin", "finetune"], more].concat();
        let outcome = outcome(command(&arguments).env("XEXP_SEED", "6"));
        assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        outcome.stdout
    };
    let shown = show(&["--config", path, "--warmup", "0.25", "--quiet", "--train=a, \"b\".csv"]);
    for line in [
        "epochs = 7  # file",
        "lr = \"3e-4\"  # file",
        "seed = 6  # environment: XEXP_SEED",
        "columns = [\"text\", \"label\"]  # file",
        "warmup = 0.25  # flag",
        "quiet = true  # flag",
        "resume = false  # default",
        "batch_size = 32  # default",
        "train = 'a, \"b\".csv'  # flag",
        "# valid is not set",
    ] {
        assert!(shown.lines().any(|found| found == line), "{line}: {shown}");
    }
    assert!(!shown.contains("\nconfig"), "the file does not hold its own name: {shown}");
    // What is shown says the same again, now all from a file.
    let again = NamedTempFile::with_suffix(".toml").unwrap();
    std::fs::write(again.path(), &shown).unwrap();
    let values = |text: &str| toml::from_str::<toml::Table>(text).unwrap();
    assert_eq!(values(&show(&["--config", again.path().to_str().unwrap()])), values(&shown));
}

#[test]
fn the_schema_has_every_key_and_no_other() {
    let schema = outcome(&mut command(&["config", "schema", "finetune"]));
    assert_eq!((schema.code, schema.stderr.as_str()), (Some(0), ""));
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    assert_eq!(schema["additionalProperties"], false);
    let properties = schema["properties"].as_object().unwrap();
    let shown = outcome(&mut command(&["config", "show", "finetune"])).stdout;
    let mut keys: Vec<&str> =
        shown.lines().map(|line| line.trim_start_matches("# ").split(' ').next().unwrap()).collect();
    let mut found: Vec<&str> = properties.keys().map(String::as_str).collect();
    keys.sort_unstable();
    found.sort_unstable();
    assert_eq!(keys, found);
    assert_eq!(properties["quiet"]["type"], "boolean");
    assert_eq!(properties["batch_size"]["default"], "32");
    assert!(properties["schedule"]["enum"].as_array().unwrap().iter().any(|name| name == "cosine"));
    assert!(properties.values().all(|property| property["description"].is_string()));
}

#[test]
fn a_command_without_a_config_file_is_refused() {
    for arguments in [&["config", "show", "doctor"][..], &["config", "schema", "finetun"]] {
        let refused = outcome(&mut command(arguments));
        assert_eq!(refused.code, Some(2));
        let message = refused.stderr;
        assert!(message.contains("that takes --config") && message.contains("finetune"), "{message}");
    }
}
