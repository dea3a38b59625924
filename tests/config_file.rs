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
