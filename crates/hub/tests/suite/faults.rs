//! Every fault ends in success after a repetition or in the right error, never in a half file.

use std::time::{Duration, Instant};

use xexp_hub::Error;

use crate::server::Fault;
use crate::support::{ID, Scene, files, listing};

/// The four requests that a model takes: about the revision, about a file, for a file, for its content.
fn lines(scene: &Scene) -> [String; 4] {
    [
        format!("GET /api/models/{ID}/revision/main"),
        format!("HEAD {}", scene.path("config.json")),
        format!("GET {}", scene.path("config.json")),
        format!("GET {}", scene.storage_path()),
    ]
}

fn retry(status: u16, seconds: u64) -> Fault {
    Fault::Status(status, vec![("Retry-After", seconds.to_string())])
}

#[test]
fn passing_faults_are_outlived_at_every_request() {
    let faults = [
        Fault::status(500),
        Fault::status(502),
        Fault::status(503),
        Fault::status(408),
        Fault::status(429),
        Fault::Silence,
        Fault::CutAfter(1),
        Fault::Stall(1, Duration::from_millis(800)),
    ];
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                for step in 0..4 {
                    let scene = Scene::new();
                    let line = &lines(&scene)[step];
                    scene.server.fail(line, [fault.clone(), fault.clone()]);
                    let snapshot = scene.fetch().unwrap_or_else(|error| panic!("{line}, {fault:?}: {error}"));
                    scene.assert_whole(&snapshot);
                    scene.assert_no_half_file();
                }
            });
        }
    });
}

#[test]
fn lasting_faults_end_in_their_error_and_leave_no_half_file() {
    type Expected = fn(&Error) -> bool;
    let faults: [(Fault, Expected); 4] = [
        (Fault::status(500), |error| matches!(error, Error::Server { status: 500, .. })),
        (Fault::status(429), |error| matches!(error, Error::RateLimited { .. })),
        (Fault::Silence, |error| matches!(error, Error::Cut { .. })),
        (Fault::Stall(0, Duration::from_millis(800)), |error| matches!(error, Error::Timeout { .. })),
    ];
    std::thread::scope(|scope| {
        for (fault, expected) in faults {
            scope.spawn(move || {
                for step in 0..4 {
                    let scene = Scene::new();
                    let line = &lines(&scene)[step];
                    // An answer to a HEAD has no body to stall in.
                    if step == 1 && matches!(fault, Fault::Stall(..)) {
                        continue;
                    }
                    scene.server.fail(line, vec![fault.clone(); 50]);
                    let error = scene.fetch().unwrap_err();
                    assert!(expected(&error), "{line}, {fault:?}: {error}");
                    assert!(!error.is_environment() && !error.is_input(), "the network is at fault: {error}");
                    assert_eq!(scene.server.count(line), 4, "{line}, {fault:?}");
                    scene.assert_no_half_file();
                    assert!(
                        !scene.cache().join("refs/main").exists(),
                        "the revision is not there as a whole"
                    );
                }
            });
        }
    });
}

#[test]
fn refusals_are_final_and_say_what_to_do() {
    type Case = (usize, Fault, fn(&Error) -> bool, &'static str);
    let cases: [Case; 9] = [
        (0, Fault::code(401, "RepoNotFound"), |e| matches!(e, Error::Repository { .. }), "HF_TOKEN"),
        (0, Fault::status(401), |e| matches!(e, Error::Repository { .. }), "HF_TOKEN"),
        (0, Fault::code(404, "RepoNotFound"), |e| matches!(e, Error::Repository { .. }), "check the name"),
        (0, Fault::status(404), |e| matches!(e, Error::Repository { .. }), "check the name"),
        (0, Fault::code(404, "RevisionNotFound"), |e| matches!(e, Error::Revision { .. }), "@REVISION"),
        (0, Fault::status(403), |e| matches!(e, Error::Gated { .. }), "ask for access"),
        (1, Fault::code(403, "GatedRepo"), |e| matches!(e, Error::Gated { .. }), "ask for access"),
        (1, Fault::code(401, "GatedRepo"), |e| matches!(e, Error::Gated { .. }), "org/tiny"),
        (1, Fault::code(404, "EntryNotFound"), |e| matches!(e, Error::File { .. }), "safetensors"),
    ];
    for (step, fault, expected, hint) in cases {
        let scene = Scene::new();
        let line = &lines(&scene)[step];
        scene.server.fail(line, vec![fault.clone(); 3]);
        let error = scene.fetch().unwrap_err();
        assert!(expected(&error), "{line}, {fault:?}: {error}");
        assert!(error.hint().unwrap().contains(hint), "{:?}", error.hint());
        assert_eq!(scene.server.count(line), 1, "{line}, {fault:?}");
        scene.assert_no_half_file();
    }
    let scene = Scene::new();
    let error = scene.fetch_as(scene.environment.clone(), "org/other").unwrap_err();
    assert_eq!(error.to_string(), "org/other: no such repository, or a private one (404)");
    let error = scene.fetch_as(scene.environment.clone(), "org/tiny@absent").unwrap_err();
    assert_eq!(error.to_string(), "org/tiny@absent: no such revision");
}

#[test]
fn the_pause_that_the_server_asks_for_is_kept() {
    let scene = Scene::new();
    let line = &lines(&scene)[0];
    scene.server.fail(line, [retry(429, 1)]);
    let began = Instant::now();
    scene.assert_whole(&scene.fetch().unwrap());
    assert!(began.elapsed() >= Duration::from_secs(1));

    // One that is longer than anyone would wait for ends it at once.
    scene.server.fail(line, [retry(429, 100_000)]);
    let began = Instant::now();
    let stale = scene.fetch().unwrap().stale.unwrap();
    assert_eq!(stale.to_string().split_once("(429)").unwrap().1, "; it asks to wait 100000 s");
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_cut_body_is_gone_on_with() {
    let scene = Scene::new();
    let line = format!("GET {}", scene.storage_path());
    scene.server.fail(&line, [Fault::CutAfter(70_000), Fault::CutAfter(50_000)]);
    scene.assert_whole(&scene.fetch().unwrap());
    let ranges: Vec<Option<String>> = scene
        .server
        .seen()
        .iter()
        .filter(|s| s.line == line)
        .map(|s| s.headers.get("range").cloned())
        .collect();
    assert_eq!(ranges, [None, Some("bytes=70000-".to_owned()), Some("bytes=120000-".to_owned())]);
}

#[test]
fn any_number_of_cuts_is_outlived_while_each_brings_something() {
    let scene = Scene::new();
    let line = format!("GET {}", scene.storage_path());
    scene.server.fail(&line, vec![Fault::CutAfter(20_000); 9]);
    scene.assert_whole(&scene.fetch().unwrap());
    assert_eq!(scene.server.count(&line), 10);
}

#[test]
fn a_later_run_goes_on_where_one_was_stopped() {
    let (scene, weights) = (Scene::new(), files()["model.safetensors"].clone());
    let blobs = scene.cache().join("blobs");
    std::fs::create_dir_all(&blobs).unwrap();
    let partial = blobs.join(format!("{}.incomplete", &scene.storage_path()[1..]));
    std::fs::write(&partial, &weights[..150_000]).unwrap();
    scene.assert_whole(&scene.fetch().unwrap());
    let last = scene.server.seen().pop().unwrap();
    assert_eq!(last.headers["range"], "bytes=150000-");
}

#[test]
fn a_partial_file_that_is_wrong_is_thrown_away() {
    for length in [1, 150_000, files()["model.safetensors"].len(), 300_000] {
        let scene = Scene::new();
        let blobs = scene.cache().join("blobs");
        std::fs::create_dir_all(&blobs).unwrap();
        let partial = blobs.join(format!("{}.incomplete", &scene.storage_path()[1..]));
        std::fs::write(&partial, vec![7; length]).unwrap();
        scene.assert_whole(&scene.fetch().unwrap());
    }
}

#[test]
fn a_server_that_knows_no_ranges_sends_everything_again() {
    let scene = Scene::new();
    let line = format!("GET {}", scene.storage_path());
    scene.server.fail(&line, [Fault::CutAfter(70_000), Fault::IgnoreRange]);
    scene.assert_whole(&scene.fetch().unwrap());
}

#[test]
fn a_wrong_checksum_is_fetched_again_once_and_never_kept() {
    for step in [2, 3] {
        let scene = Scene::new();
        let line = &lines(&scene)[step];
        scene.server.fail(line, [Fault::WrongByte]);
        scene.assert_whole(&scene.fetch().unwrap());

        let scene = Scene::new();
        let line = &lines(&scene)[step];
        scene.server.fail(line, vec![Fault::WrongByte; 9]);
        let error = scene.fetch().unwrap_err();
        assert!(matches!(error, Error::Checksum { .. }), "{error}");
        assert_eq!(scene.server.count(line), 2);
        scene.assert_no_half_file();
        let left = listing(&scene.cache().join("blobs"));
        assert!(left.iter().all(|path| path.extension().is_none()), "{left:?}");
    }
}

#[test]
fn a_slow_body_is_not_a_stalled_one() {
    let scene = Scene::new();
    let line = format!("GET {}", scene.storage_path());
    // Each pause is below the time-out of 500 ms, all of them together well above.
    scene.server.fail(&line, [Fault::Drip(8, Duration::from_millis(150))]);
    scene.assert_whole(&scene.fetch().unwrap());
    assert_eq!(scene.server.count(&line), 1);
}

#[test]
fn an_answer_of_something_else_is_told_from_the_hubs() {
    let scene = Scene::new();
    // A log-in page answers 200 with HTML.
    scene.server.fail(&lines(&scene)[0], [Fault::Status(200, vec![])]);
    let error = scene.fetch().unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
    assert!(error.hint().unwrap().contains("HF_ENDPOINT"));
}
