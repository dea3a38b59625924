//! Where a model or a data file lies on this machine.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use xexp_data::nearest;

/// The folder that `--model` names.
///
/// # Errors
/// The flag is missing, or there is no such folder.
pub fn model(given: Option<&str>) -> Result<PathBuf, Failure> {
    let Some(given) = given else {
        return Err(Failure::input("no model: this build has no bundled one to fall back on")
            .hint("give a folder in the Hugging Face layout: --model DIR"));
    };
    local("--model", given)?;
    let path = Path::new(given);
    if path.is_dir() {
        return Ok(path.to_path_buf());
    }
    if path.exists() {
        let folder = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
        return Err(Failure::input(format!("--model {given}: expected a folder, found a file"))
            .hint(format!("give the folder that holds config.json: --model {}", folder.display())));
    }
    let failure = Failure::input(format!("--model {given}: no such folder"));
    Err(match similar(path) {
        Some(near) => failure.hint(format!("did you mean {}?", near.display())),
        None if looks_like_hub_name(given) => failure.hint(format!(
            "xexp reads local folders; download it first: hf download {given} --local-dir DIR"
        )),
        None => failure,
    })
}

/// The file that `flag` names.
///
/// # Errors
/// There is no such file.
pub fn data(flag: &str, given: &str) -> Result<PathBuf, Failure> {
    local(flag, given)?;
    let path = Path::new(given);
    if path.is_file() {
        return Ok(path.to_path_buf());
    }
    if path.is_dir() {
        return Err(Failure::input(format!("{flag} {given}: expected a file, found a folder")));
    }
    // Pipes and devices are neither file nor folder, and can be read.
    if path.exists() {
        return Ok(path.to_path_buf());
    }
    let failure = Failure::input(format!("{flag} {given}: no such file"));
    Err(match similar(path) {
        Some(near) => failure.hint(format!("did you mean {}?", near.display())),
        None => failure,
    })
}

/// Refuses the kinds of place that this build cannot reach.
fn local(flag: &str, given: &str) -> Result<(), Failure> {
    for (prefix, what) in [("hub:", "download from the Hub"), ("bundled:", "bundle models or data")] {
        if given.starts_with(prefix) {
            return Err(Failure::input(format!("{flag} {given}: this build of xexp does not {what}"))
                .hint("give a path on this machine"));
        }
    }
    Ok(())
}

/// Whether a name is of the Hub's kind: `org/name` or `org/name@revision`.
fn looks_like_hub_name(given: &str) -> bool {
    let (name, _) = given.split_once('@').unwrap_or((given, ""));
    name.split('/').count() == 2 && name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// What lies in the same folder under nearly the same name.
fn similar(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let folder = path.parent().filter(|p| *p != Path::new("")).unwrap_or(Path::new("."));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| entry.ok()?.file_name().to_str().map(str::to_owned))
        .collect();
    names.sort();
    let near = nearest(name, names.iter().map(String::as_str))?;
    Some(path.with_file_name(OsStr::new(near)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_file_brings_the_one_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.csv"), "").unwrap();
        let wrong = folder.path().join("trian.csv");
        let failure = data("--train", wrong.to_str().unwrap()).unwrap_err().to_string();
        assert!(failure.contains("trian.csv: no such file"), "{failure}");
        assert!(failure.contains("hint: did you mean") && failure.contains("train.csv?"), "{failure}");
    }

    #[test]
    fn a_hub_name_is_told_from_a_path() {
        assert!(looks_like_hub_name("sentence-transformers/all-MiniLM-L6-v2"));
        assert!(looks_like_hub_name("org/name@main"));
        for path in ["name", "./name", "../a", "/a/b", "a/b/c"] {
            assert!(!looks_like_hub_name(path), "{path}");
        }
    }

    #[test]
    fn a_weights_file_in_place_of_its_folder_is_explained() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.safetensors");
        std::fs::write(&file, "").unwrap();
        let failure = model(file.to_str()).unwrap_err().to_string();
        assert!(failure.contains("expected a folder, found a file"), "{failure}");
    }
}
