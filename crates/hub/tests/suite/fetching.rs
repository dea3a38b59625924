//! Layout of the cache, revisions, tokens, shards.

use std::path::Path;

use xexp_hub::{Environment, Error, Event, Hub, Kind, Repository};

use crate::server::Fault;
use crate::support::{COMMIT, COMPANIONS, ID, Scene, files, patience};

#[test]
fn a_model_comes_in_the_layout_that_python_shares() {
    let scene = Scene::new();
    let snapshot = scene.fetch().unwrap();
    scene.assert_whole(&snapshot);
    let link = std::fs::read_link(snapshot.folder.join("1_Pooling/config.json")).unwrap();
    assert!(link.starts_with("../../../blobs"), "{}", link.display());
    assert!(!scene.server.seen().iter().any(|seen| seen.line.contains("pytorch_model.bin")));

    let before = scene.server.seen().len();
    scene.assert_whole(&scene.fetch().unwrap());
    assert_eq!(scene.server.seen().len(), before + 1, "what is there is not asked for again");
}

#[test]
fn progress_tells_names_sizes_and_bytes() {
    let scene = Scene::new();
    let (mut names, mut last) = (vec![], 0);
    let hub = Hub::with_patience(scene.environment.clone(), patience()).unwrap();
    let repository = Repository::parse(Kind::Model, ID).unwrap();
    hub.model(&repository, COMPANIONS, &mut |event| match event {
        Event::File { name, bytes } => names.push((name.to_owned(), bytes)),
        Event::Received { bytes } => last = bytes,
        _ => (),
    })
    .unwrap();
    let weights = files()["model.safetensors"].len() as u64;
    assert_eq!(names.last().unwrap(), &("model.safetensors".to_owned(), Some(weights)));
    assert_eq!((names.len(), last), (4, weights));
}

#[test]
fn a_commit_a_branch_and_a_pull_request_can_be_named() {
    let scene = Scene::new();
    for revision in [COMMIT, "dev", "refs/pr/7"] {
        let snapshot = scene.fetch_as(scene.environment.clone(), &format!("{ID}@{revision}")).unwrap();
        assert_eq!(snapshot.commit, COMMIT);
    }
    let noted = |revision: &str| std::fs::read_to_string(scene.cache().join("refs").join(revision)).ok();
    assert_eq!((noted("dev").unwrap(), noted("refs/pr/7").unwrap()), (COMMIT.to_owned(), COMMIT.to_owned()));
    assert_eq!((noted(COMMIT), noted("main")), (None, None));
}

#[test]
fn a_new_commit_shares_the_files_that_stayed() {
    let scene = Scene::new();
    scene.fetch().unwrap();
    let mut changed = files();
    changed.insert("config.json".to_owned(), b"{\"new\": 1}".to_vec());
    let next = "f".repeat(40);
    scene.server.hold(ID, &next, changed);
    let line = format!("GET {}", scene.storage_path());
    let before = scene.server.count(&line);
    let snapshot = scene.fetch().unwrap();
    assert_eq!(snapshot.commit, next);
    assert_eq!(std::fs::read(snapshot.folder.join("config.json")).unwrap(), b"{\"new\": 1}");
    assert!(snapshot.folder.join("model.safetensors").exists());
    assert_eq!(scene.server.count(&line), before, "the weights are the same content");
    assert!(
        scene.cache().join("snapshots").join(COMMIT).join("config.json").exists(),
        "the old commit stays"
    );
}

#[test]
fn shards_are_those_of_the_index() {
    let mut files = files();
    let weights = files.remove("model.safetensors").unwrap();
    let index = "{\"weight_map\": {\"a\": \"model-1.safetensors\", \"b\": \"model-2.safetensors\", \"c\": \"model-1.safetensors\"}}";
    files.insert("model.safetensors.index.json".to_owned(), index.into());
    for name in ["model-1.safetensors", "model-2.safetensors", "model-3.safetensors"] {
        files.insert(name.to_owned(), [weights.as_slice(), name.as_bytes()].concat());
    }
    let scene = Scene::of(files.clone());
    let snapshot = scene.fetch().unwrap();
    let there = |name: &str| snapshot.folder.join(name).exists();
    assert!(there("model-1.safetensors") && there("model-2.safetensors") && !there("model-3.safetensors"));

    files.remove("model-2.safetensors");
    let error = Scene::of(files).fetch().unwrap_err();
    assert!(matches!(&error, Error::File { file, .. } if file == "model-2.safetensors"), "{error}");
}

#[test]
fn a_pickle_is_never_fetched_and_the_way_out_is_one_line() {
    let mut files = files();
    files.remove("model.safetensors");
    let scene = Scene::of(files.clone());
    let error = scene.fetch().unwrap_err();
    assert!(matches!(&error, Error::Pickle { file, .. } if file == "pytorch_model.bin"), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("save_pretrained") && hint.contains(ID) && !hint.contains('\n'), "{hint}");
    assert!(error.is_input());
    assert_eq!(scene.server.seen().len(), 1, "only the list of files was asked for");

    files.remove("pytorch_model.bin");
    let error = Scene::of(files).fetch().unwrap_err();
    assert!(matches!(&error, Error::File { file, .. } if file == "model.safetensors"), "{error}");
    assert!(error.to_string().contains("it has 1_Pooling/config.json, README.md"), "{error}");
}

#[test]
fn a_token_is_for_the_hub_alone() {
    let scene = Scene::new();
    let token = |name: &str| (name == "HF_TOKEN").then(|| "hf_secret".to_owned());
    let environment =
        Environment { token: Environment::resolve(token).unwrap().token, ..scene.environment.clone() };
    scene.fetch_as(environment, ID).unwrap();
    for seen in scene.server.seen() {
        let expected = if seen.storage { None } else { Some("Bearer hf_secret") };
        assert_eq!(seen.headers.get("authorization").map(String::as_str), expected, "{}", seen.line);
    }
    assert!(scene.server.seen().iter().any(|seen| seen.storage));
}

#[test]
fn a_renamed_repository_is_followed() {
    let scene = Scene::new();
    let to = format!("/api/models/{ID}/revision/main");
    scene.server.fail("GET /api/models/old/tiny/revision/main", [Fault::Moved(to)]);
    let moved = |file: &str| {
        let path = format!("/old/tiny/resolve/{COMMIT}/{file}");
        for method in ["HEAD", "GET"] {
            scene.server.fail(&format!("{method} {path}"), [Fault::Moved(scene.path(file))]);
        }
    };
    files().keys().for_each(|file| moved(file));
    let snapshot = scene.fetch_as(scene.environment.clone(), "old/tiny").unwrap();
    assert!(snapshot.folder.join("model.safetensors").exists());
    assert!(snapshot.folder.parent().unwrap().parent().unwrap().ends_with(Path::new("models--old--tiny")));
}

#[test]
fn names_that_would_leave_the_cache_are_refused() {
    let mut evil = files();
    evil.insert("../evil".to_owned(), vec![]);
    let error = Scene::of(evil).fetch().unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");

    let mut evil = files();
    evil.remove("model.safetensors");
    let index = "{\"weight_map\": {\"a\": \"../../../evil.safetensors\"}}";
    evil.insert("model.safetensors.index.json".to_owned(), index.into());
    let error = Scene::of(evil).fetch().unwrap_err();
    assert!(matches!(error, Error::Index { .. }), "{error}");
}

#[test]
fn two_at_once_fetch_once() {
    let scene = Scene::new();
    std::thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| scene.fetch())).collect();
        runs.into_iter().for_each(|run| scene.assert_whole(&run.join().unwrap().unwrap()));
    });
    assert_eq!(scene.server.count(&format!("GET {}", scene.storage_path())), 1);
}

#[test]
fn without_links_the_cache_has_copies() {
    let scene = Scene::new();
    let environment = Environment { symlinks: false, ..scene.environment.clone() };
    let snapshot = scene.fetch_as(environment, ID).unwrap();
    scene.assert_whole(&snapshot);
    assert!(!snapshot.folder.join("config.json").is_symlink());
}
