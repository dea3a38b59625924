//! The cache without a network.

use std::net::TcpListener;

use xexp_hub::{Environment, Error};

use crate::support::{COMMIT, ID, Scene};

#[test]
fn a_warm_cache_needs_no_connection() {
    let scene = Scene::new();
    let fetched = scene.fetch().unwrap();
    let before = scene.server.seen().len();
    let found = scene.fetch_offline().unwrap();
    assert_eq!((found.folder, found.commit.as_str()), (fetched.folder, COMMIT));
    let offline = Environment { offline: Some("HF_HUB_OFFLINE"), ..scene.environment.clone() };
    scene.fetch_as(offline, &format!("{ID}@{COMMIT}")).unwrap();
    assert_eq!(scene.server.seen().len(), before);
}

#[test]
fn a_cold_cache_says_what_is_missing() {
    let scene = Scene::new();
    let error = scene.fetch_offline().unwrap_err();
    let message = error.to_string();
    assert!(
        message.starts_with("org/tiny: not in the cache, and the network is switched off (--offline)"),
        "{message}"
    );
    assert!(message.contains("models--org--tiny"), "{message}");
    assert!(error.hint().unwrap().contains("HF_HUB_OFFLINE"));
    assert!(scene.server.seen().is_empty());
    assert!(!scene.cache().exists(), "nothing is written");

    let snapshot = scene.fetch().unwrap();
    std::fs::remove_file(snapshot.folder.join("model.safetensors")).unwrap();
    let message = scene.fetch_offline().unwrap_err().to_string();
    assert!(message.contains("the cache lacks model.safetensors"), "{message}");
    let offline = Environment { offline: Some("--offline"), ..scene.environment.clone() };
    let message = scene.fetch_as(offline, &format!("{ID}@dev")).unwrap_err().to_string();
    assert!(message.starts_with("org/tiny@dev: not in the cache"), "{message}");
}

#[test]
fn a_content_that_somebody_removed_is_missing_offline_and_fetched_online() {
    let scene = Scene::new();
    scene.fetch().unwrap();
    std::fs::remove_file(scene.cache().join("blobs").join(&scene.storage_path()[1..])).unwrap();
    assert!(matches!(scene.fetch_offline().unwrap_err(), Error::Offline { .. }));
    scene.assert_whole(&scene.fetch().unwrap());
}

#[test]
fn without_a_connection_the_last_state_is_used_and_told() {
    let scene = Scene::new();
    // A port at which nobody listens.
    let endpoint = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let cut_off = Environment { endpoint, ..scene.environment.clone() };
    let error = scene.fetch_as(cut_off.clone(), ID).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
    assert!(error.hint().unwrap().contains("network"));
    scene.fetch().unwrap();
    let found = scene.fetch_as(cut_off, ID).unwrap();
    assert_eq!(found.commit, COMMIT);
    assert!(matches!(found.stale, Some(Error::Unreachable { .. })));
}
