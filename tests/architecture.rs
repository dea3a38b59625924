//! The manifests and files, held against the design: who may use whom, how long, how safe.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use toml::{Table, Value};

/// The arrows: a crate of ours, and the crates of ours that it may use. The root package may use all.
const ARROWS: &[(&str, &[&str])] = &[
    ("init", &[]),
    ("bundled", &["init"]),
    ("kernels", &["init"]),
    ("report", &[]),
    ("hub", &[]),
    ("backbones", &["init", "kernels"]),
    ("heads", &["init", "kernels", "backbones"]),
    ("data", &["init"]),
    ("train", &["init", "kernels", "backbones", "heads", "data", "report"]),
    ("experiments", &["init", "bundled", "kernels", "report", "backbones", "heads", "data", "train"]),
    ("inspect", &["init", "kernels", "report", "backbones", "heads", "train", "experiments"]),
];

/// The most lines of a source file.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn manifest(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap()
}

/// The folders of the workspace's members under `crates/`, as the root manifest lists them.
fn members() -> BTreeSet<String> {
    let listed = manifest(&root())["workspace"]["members"].as_array().unwrap().clone();
    listed.iter().map(|path| path.as_str().unwrap().strip_prefix("crates/").unwrap().to_owned()).collect()
}

/// Our crates among all dependencies of a manifest, for tests and for targets too.
fn used(table: &Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        let Value::Table(inner) = value else { continue };
        if key.ends_with("dependencies") {
            found.extend(inner.keys().filter_map(|name| name.strip_prefix("xexp-")).map(str::to_owned));
        } else if key != "workspace" {
            found.extend(used(inner));
        }
    }
    found
}

/// The files that git tracks or would track, relative to the root.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is needed to list the files");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).unwrap();
    let files: Vec<PathBuf> =
        listed.split('\0').map(PathBuf::from).filter(|f| root().join(f).is_file()).collect();
    assert!(files.contains(&PathBuf::from("tests/architecture.rs")), "git lists other files: {files:?}");
    files
}

/// The tracked files with one of these extensions, with their text.
fn sources(extensions: &[&str]) -> BTreeMap<PathBuf, String> {
    let wanted = |file: &PathBuf| {
        file.extension().and_then(|e| e.to_str()).is_some_and(|extension| extensions.contains(&extension))
    };
    files()
        .into_iter()
        .filter(wanted)
        .map(|file| {
            let text = std::fs::read_to_string(root().join(&file)).unwrap();
            (file, text)
        })
        .collect()
}

/// The lines of a Rust file that are not comments and hold `word` as a word; a part of a hyphenated one is none.
fn lines_with<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = &'a str> {
    text.lines().filter(move |line| {
        let code = line.split("//").next().unwrap_or_default();
        code.split(|c: char| !c.is_alphanumeric() && !"_-".contains(c)).any(|token| token == word)
    })
}

#[test]
fn every_crate_uses_only_those_that_the_arrows_allow() {
    let known: BTreeSet<String> = ARROWS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(members(), known, "a new crate gets its arrows here and in the design");
    for (name, allowed) in ARROWS {
        let table = manifest(&root().join("crates").join(name));
        assert_eq!(table["package"]["name"].as_str(), Some(format!("xexp-{name}").as_str()));
        for other in used(&table) {
            assert!(allowed.contains(&other.as_str()), "crates/{name} must not use xexp-{other}");
        }
    }
}

#[test]
fn the_arrows_have_no_cycle() {
    // Each crate may use only crates that stand above it in the table.
    for (index, (name, allowed)) in ARROWS.iter().enumerate() {
        for other in *allowed {
            let above = ARROWS[..index].iter().any(|(earlier, _)| earlier == other);
            assert!(above, "{name} uses {other}, which does not stand above it");
        }
    }
}

#[test]
fn no_source_file_is_too_long() {
    for (file, text) in sources(&["rs", "py", "sh", "cu", "cuh"]) {
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{}: {lines} lines, the most is {LONGEST}", file.display());
    }
}

#[test]
fn no_file_is_named_after_nothing_in_particular() {
    for file in sources(&["rs", "py"]).keys() {
        let name = file.file_stem().unwrap().to_str().unwrap();
        let vague = ["utils", "util", "helpers", "helper", "common", "misc", "manager"].contains(&name);
        assert!(!vague, "{}: name the one idea in it", file.display());
    }
}

#[test]
fn unsafe_code_lives_in_kernels_and_in_one_place_of_backbones() {
    // Put together, so that this file does not find itself.
    let word = ["un", "safe"].concat();
    let mut mapped = Vec::new();
    for (file, text) in sources(&["rs"]) {
        if file.starts_with("crates/kernels") {
            continue;
        }
        for line in lines_with(&text, &word) {
            let place = format!("{}: {}", file.display(), line.trim());
            assert!(file.starts_with("crates/backbones"), "{place}");
            mapped.push(place);
        }
    }
    assert!(mapped.len() <= 1, "{mapped:#?}");
}

#[test]
fn whether_cuda_is_compiled_is_a_question_for_kernels() {
    let question = ["feature = ", "\"cuda\""].concat();
    for (file, text) in sources(&["rs"]) {
        let asked = text.contains(&question) && !file.starts_with("crates/kernels");
        assert!(!asked, "{} asks for the cuda feature", file.display());
    }
}

#[test]
fn the_readme_has_the_two_commands() {
    let text = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    for command in ["cargo test --release --workspace", "cargo run --release -- finetune"] {
        assert!(text.contains(command), "README.md lacks `{command}`");
    }
}
