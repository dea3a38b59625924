//! Splits of data sets, from the branch on which the Hub keeps them in Parquet.

use std::collections::BTreeMap;

use xexp_hub::{Environment, Error, Hub, Kind, Repository, Result, Split};

use crate::server::Fault;
use crate::support::{COMMIT, Scene, patience};

/// A scene with a data set of these files, each with its own name as content.
fn scene(files: &[&str]) -> Scene {
    let scene = Scene::new();
    let files: BTreeMap<String, Vec<u8>> =
        files.iter().map(|name| ((*name).to_owned(), name.as_bytes().to_vec())).collect();
    scene.server.hold("datasets/org/data", COMMIT, files);
    scene
}

fn fetch(scene: &Scene, configuration: Option<&str>, split: &str, offline: bool) -> Result<Split> {
    let offline = offline.then_some("--offline");
    let environment = Environment { offline, ..scene.environment.clone() };
    let repository = Repository::parse(Kind::Dataset, "org/data")?;
    Hub::with_patience(environment, patience())?.split(&repository, configuration, &[split], &mut |_| ())
}

/// The last two folders and the name of each file, and its content.
fn names(split: &Split) -> Vec<String> {
    split.files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect()
}

const TWO: [&str; 4] =
    ["default/train/0000.parquet", "default/train/0001.parquet", "default/test/0000.parquet", "README.md"];

#[test]
fn a_split_is_its_files_in_order() {
    let scene = scene(&TWO);
    let train = fetch(&scene, None, "train", false).unwrap();
    assert_eq!(names(&train), TWO[..2]);
    assert_eq!((train.commit.as_str(), train.configuration.as_str()), (COMMIT, "default"));
    assert_eq!(scene.server.count("GET /api/datasets/org/data/revision/refs%2Fconvert%2Fparquet"), 1);
    let before = scene.server.seen().len();
    assert_eq!(names(&fetch(&scene, None, "train", true).unwrap()), TWO[..2]);
    let missing = fetch(&scene, None, "test", true).unwrap_err().to_string();
    assert!(missing.contains("lacks split test of default (it has train)"), "{missing}");
    assert_eq!(scene.server.seen().len(), before);
}

#[test]
fn a_configuration_is_chosen_only_where_there_is_no_doubt() {
    let one = scene(&["plain/train/0000.parquet"]);
    assert_eq!(fetch(&one, None, "train", false).unwrap().configuration, "plain");
    let several = scene(&["cola/train/0000.parquet", "sst2/train/0000.parquet"]);
    let error = fetch(&several, None, "train", false).unwrap_err().to_string();
    assert_eq!(error, "data set org/data has no configuration default; it has cola, sst2");
    assert_eq!(names(&fetch(&several, Some("sst2"), "train", false).unwrap()), ["sst2/train/0000.parquet"]);
    let error = fetch(&several, Some("cola"), "dev", false).unwrap_err().to_string();
    assert_eq!(error, "data set org/data has no split dev of cola; it has train");
}

#[test]
fn a_split_of_which_a_part_came_is_no_split() {
    let scene = scene(&TWO);
    fetch(&scene, None, "test", false).unwrap();
    let line = format!("HEAD /datasets/org/data/resolve/{COMMIT}/{}", TWO[0]);
    scene.server.fail(&line, [Fault::status(403)]);
    assert!(matches!(fetch(&scene, None, "train", false).unwrap_err(), Error::Gated { .. }));
    let error = fetch(&scene, None, "train", true).unwrap_err().to_string();
    assert!(error.contains("the cache lacks default/train/0000.parquet"), "{error}");
}

#[test]
fn files_with_the_split_in_their_names_are_a_split_too() {
    let files = [
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/val-00000-of-00001.parquet",
    ];
    let scene = scene(&files);
    assert_eq!(names(&fetch(&scene, None, "train", false).unwrap()), files[..2]);
    assert_eq!(names(&fetch(&scene, None, "train", true).unwrap()), files[..2]);
    let repository = Repository::parse(Kind::Dataset, "org/data").unwrap();
    let hub = Hub::with_patience(scene.environment.clone(), patience()).unwrap();
    let found = hub.split(&repository, None, &["validation", "val"], &mut |_| ()).unwrap();
    assert_eq!((found.name.as_str(), names(&found)), ("val", vec![files[2].to_owned()]));
    let error = hub.split(&repository, None, &["test", "testing"], &mut |_| ()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "data set org/data has no split test or testing of default; it has train, val"
    );
    // A shard of two whose other one was removed from the cache.
    std::fs::remove_file(&fetch(&scene, None, "train", true).unwrap().files[0]).unwrap();
    let error = fetch(&scene, None, "train", true).unwrap_err().to_string();
    assert!(error.contains("lacks a file of train-00000-of-00002"), "{error}");
}
