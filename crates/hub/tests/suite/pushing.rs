//! Models to the Hub: what the server has afterwards, and what is refused before.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use xexp_hub::{Environment, Error, Event, TokenSource};

use crate::server::Fault;
use crate::support::pushing::{FIRST, Pushing, STEPS, TO, noise};

#[test]
fn every_file_arrives_byte_by_byte_in_one_commit_of_a_private_repository() {
    let scene = Pushing::new();
    let mut events = vec![];
    let pushed = scene
        .push_watched(TO, &AtomicBool::new(false), &mut |event| match event {
            Event::Created { settings } => events.push(settings.to_owned()),
            Event::File { name, bytes } => events.push(format!("{name} {}", bytes.unwrap())),
            _ => {}
        })
        .unwrap();
    scene.assert_there(&pushed);
    assert!(!pushed.unchanged && pushed.ignored.is_empty());
    assert_eq!(pushed.url, format!("{}/{TO}/commit/{}", scene.server.endpoint, pushed.commit));
    assert!(scene.server.held(TO).unwrap().private);
    let settings = format!("{}/{TO}/settings", scene.server.endpoint);
    assert_eq!(events, [settings.as_str(), "model.safetensors 300000", "tokenizer.json 20000"]);
    assert_eq!(scene.commits(), 1);

    let created: Value = serde_json::from_slice(&scene.seen(STEPS[1])[0].body).unwrap();
    assert_eq!(created, json!({ "name": "fine", "organization": "org", "type": "model", "private": true }));
    // Large files go to the storage alone.
    let weights = scene.seen(&format!("PUT /put/{}", scene.oid("model.safetensors")));
    assert_eq!((weights.len(), weights[0].storage), (1, true));
    assert_eq!(weights[0].headers["x-for-storage"], "yes");
    let lines = String::from_utf8(scene.seen(STEPS[7])[0].body.clone()).unwrap();
    let keys: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|line| {
            format!("{} {}", line["key"].as_str().unwrap(), line["value"]["path"].as_str().unwrap_or(""))
        })
        .collect();
    assert_eq!(
        keys,
        [
            "header ",
            "file README.md",
            "file config.json",
            "file empty.txt",
            "file labels.tsv",
            "lfsFile model.safetensors",
            "lfsFile tokenizer.json"
        ]
    );
}

#[test]
fn a_repository_that_is_there_keeps_its_files_and_its_visibility() {
    let scene = Pushing::new().held();
    let pushed = scene.push().unwrap();
    scene.assert_there(&pushed);
    let held = scene.server.held(TO).unwrap();
    assert_eq!(held.files["old.txt"], b"old");
    assert!(!held.private);
    assert!(scene.seen(STEPS[1]).is_empty(), "nothing was to be made");
    // A race: it is made by somebody else after it was asked for.
    let scene = Pushing::new().held();
    scene.server.fail(STEPS[0], [Fault::code(404, "RepoNotFound")]);
    scene.assert_there(&scene.push().unwrap());
    assert_eq!(scene.seen(STEPS[1]).len(), 1);
}

#[test]
fn only_what_changed_is_committed_again() {
    let mut scene = Pushing::new();
    let first = scene.push().unwrap();
    let again = scene.push().unwrap();
    assert_eq!((again.commit.as_str(), again.unchanged, scene.commits()), (first.commit.as_str(), true, 1));
    assert_eq!(again.url, format!("{}/{TO}/commit/{}", scene.server.endpoint, first.commit));
    scene.change("labels.tsv", b"0\tgood\n");
    let third = scene.push().unwrap();
    scene.assert_there(&third);
    let body = String::from_utf8(scene.seen(STEPS[7])[1].body.clone()).unwrap();
    assert_eq!(body.lines().count(), 2, "{body}");
    assert_eq!(scene.seen("PUT ").len(), 2, "nothing was uploaded again");
}

#[test]
fn a_content_that_the_storage_has_is_not_sent() {
    let scene = Pushing::new();
    scene.server.store(&noise(300_000));
    scene.assert_there(&scene.push().unwrap());
    let sent: Vec<String> = scene.seen("PUT ").into_iter().map(|seen| seen.line).collect();
    assert_eq!(sent, [format!("PUT /put/{}?signature=1", scene.oid("tokenizer.json"))]);
}

#[test]
fn large_files_go_in_parts_where_the_server_says_so() {
    // 300000 bytes: three parts of 90000 and one of 30000; 20000: one part.
    let scene = Pushing::new();
    scene.server.set_parts(90_000);
    let mut furthest = vec![];
    let pushed = scene
        .push_watched(TO, &AtomicBool::new(false), &mut |event| {
            if let Event::Sent { bytes } = event {
                furthest.push(bytes);
            }
        })
        .unwrap();
    scene.assert_there(&pushed);
    assert_eq!(furthest.iter().max(), Some(&300_000));
    let lengths: Vec<usize> = scene.seen("PUT ").iter().map(|seen| seen.body.len()).collect();
    assert_eq!(lengths, [90_000, 90_000, 90_000, 30_000, 20_000]);
    assert_eq!(scene.seen("POST /complete/").len(), 2);
}

#[test]
fn a_branch_is_made_where_it_is_missing() {
    for held in [false, true] {
        let scene = if held { Pushing::new().held() } else { Pushing::new() };
        let pushed = scene.push_to(&format!("{TO}@absent")).unwrap();
        scene.assert_there(&pushed);
        assert_eq!(scene.seen("POST /api/models/org/fine/branch/absent").len(), 1);
        assert_eq!(scene.seen("POST /api/models/org/fine/commit/absent").len(), 1);
        let batch: Value = serde_json::from_slice(&scene.seen(STEPS[3])[0].body).unwrap();
        assert_eq!(batch["ref"], json!({ "name": "absent" }));
    }
}

#[test]
fn what_the_repositorys_gitignore_keeps_out_is_told() {
    let mut scene = Pushing::new();
    scene.server.ignore("labels.tsv");
    let pushed = scene.push().unwrap();
    assert_eq!(pushed.ignored, ["labels.tsv"]);
    assert!(!scene.server.held(TO).unwrap().files.contains_key("labels.tsv"));
    for (name, _) in scene.paths() {
        scene.server.ignore(&name);
    }
    scene.change("config.json", b"{}");
    assert!(matches!(scene.push().unwrap_err(), Error::AllIgnored { .. }));
}

#[test]
fn a_server_that_makes_a_private_repository_public_gets_no_file() {
    let scene = Pushing::new();
    scene.server.be_careless();
    let error = scene.push().unwrap_err();
    assert!(matches!(error, Error::Public { .. }), "{error}");
    assert!(error.hint().unwrap().contains(&format!("{TO}/settings")));
    assert!(scene.seen("PUT ").is_empty() && scene.commits() == 0);
}

#[test]
fn a_name_is_held_against_whose_token_it_is() {
    let scene = Pushing::new();
    assert_eq!(scene.may_push("org/fine").unwrap().id, "org/fine");
    assert_eq!(scene.may_push("Me/fine@dev").unwrap().id, "Me/fine");
    let own = scene.may_push("fine@dev").unwrap();
    assert_eq!((own.id.as_str(), own.revision.as_str()), ("me/fine", "dev"));
    let error = scene.may_push("other/fine").unwrap_err();
    assert_eq!(error.to_string(), "nothing can be pushed to other/fine: the token is of me, who is in org");
    assert!(error.hint().unwrap().contains("me/NAME"));
    assert!(!error.is_input() && !error.is_environment());
    assert!(
        scene.server.seen().iter().all(|seen| seen.line == "GET /api/whoami-v2"),
        "nothing else was asked"
    );

    scene.server.set_account(json!({ "type": "user", "name": "me" }));
    let message = scene.may_push("org/fine").unwrap_err().to_string();
    assert!(message.ends_with("the token is of me, who is in no organisation"), "{message}");
}

#[test]
fn a_role_is_judged_where_it_is_certain() {
    for (role, may) in [("read", false), ("write", true), ("fineGrained", true)] {
        let scene = Pushing::new();
        scene.server.set_account(json!({ "name": "me", "auth": { "accessToken": { "role": role } } }));
        match scene.may_push("me/fine") {
            Ok(_) => assert!(may, "{role}"),
            Err(error) => {
                assert!(!may && matches!(error, Error::ReadOnly { .. }), "{role}: {error}");
                assert!(error.to_string().contains("from HF_TOKEN"), "{error}");
                assert!(error.hint().unwrap().contains("write permission"));
            }
        }
    }
}

#[test]
fn without_network_or_token_nothing_is_asked() {
    let mut scene = Pushing::new();
    let environment = scene.environment.clone();
    scene.environment = Environment { offline: Some("HF_HUB_OFFLINE"), ..environment.clone() };
    let error = scene.may_push(TO).unwrap_err();
    assert_eq!(
        error.to_string(),
        "nothing can be pushed to org/fine: the network is switched off (HF_HUB_OFFLINE)"
    );
    scene.environment = Environment { token: TokenSource::Nowhere, ..environment };
    let error = scene.may_push(TO).unwrap_err();
    assert_eq!(error.to_string(), "nothing can be pushed to org/fine: there is no token");
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("HF_TOKEN") && hint.contains("settings/tokens") && hint.contains("write"),
        "{hint}"
    );
    assert!(scene.server.seen().is_empty());
}

#[test]
fn a_token_that_is_not_valid_is_told_by_its_place_and_never_shown() {
    let mut scene = Pushing::new();
    let endpoint = scene.server.endpoint.clone();
    scene.environment = Environment::resolve(|name| match name {
        "HOME" => Some("/nowhere".to_owned()),
        "HF_ENDPOINT" => Some(endpoint.clone()),
        "HF_TOKEN" => Some("hf_secret".to_owned()),
        _ => None,
    })
    .unwrap();
    for error in [scene.may_push(TO).unwrap_err(), scene.push().unwrap_err()] {
        let shown = format!("{error} {error:?} {:?}", error.hint());
        assert!(matches!(error, Error::Token { .. }), "{shown}");
        assert!(shown.contains("from HF_TOKEN is not valid") && !shown.contains("hf_secret"), "{shown}");
    }
}

#[test]
fn a_signal_ends_it_at_the_next_piece() {
    let scene = Pushing::new().held();
    let stop = AtomicBool::new(false);
    let error = scene
        .push_watched(TO, &stop, &mut |event| {
            if let Event::Sent { bytes: 1.. } = event {
                stop.store(true, Ordering::SeqCst);
            }
        })
        .unwrap_err();
    assert!(matches!(error, Error::Stopped), "{error}");
    assert_eq!(scene.server.held(TO).unwrap().commit, FIRST);
    assert_eq!(
        scene.server.held(TO).unwrap().files,
        BTreeMap::from([("old.txt".to_owned(), b"old".to_vec())])
    );
    scene.assert_whole();
    scene.assert_there(&scene.push().unwrap());
}
