//! Faults of pushes: outlived by a repetition, or the right error; never a half commit or two.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use xexp_hub::{Error, Event};

use crate::server::Fault;
use crate::support::pushing::{FIRST, Pushing, STEPS, TO};

/// The whole line of a step, for the weights, which are the first content to be sent.
fn line(scene: &Pushing, step: usize) -> String {
    let oid = scene.oid("model.safetensors");
    match STEPS[step] {
        start @ "PUT /put/" if step == 4 => format!("{start}{oid}?signature=1"),
        start @ "POST /complete/" => format!("{start}{oid}?signature=1"),
        start @ "POST /verify/" => format!("{start}{oid}"),
        line => line.to_owned(),
    }
}

/// A scene for a step: that of parts where the step is of parts.
fn scene(step: usize) -> Pushing {
    let scene = Pushing::new();
    if step == 5 {
        scene.server.set_parts(90_000);
    }
    scene
}

#[test]
fn passing_faults_are_outlived_at_every_request() {
    let faults = [
        Fault::status(500),
        Fault::status(503),
        Fault::status(408),
        Fault::status(429),
        Fault::Silence,
        Fault::DeafAfter(1),
        Fault::Lost,
        Fault::DoneBut(500),
    ];
    std::thread::scope(|scope| {
        for fault in faults {
            scope.spawn(move || {
                for step in 0..STEPS.len() {
                    let scene = scene(step);
                    let line = line(&scene, step);
                    scene.server.fail(&line, [fault.clone(), fault.clone()]);
                    let mut created = 0;
                    let pushed = scene.push_watched(TO, &AtomicBool::new(false), &mut |event| {
                        created += usize::from(matches!(event, Event::Created { .. }));
                    });
                    let pushed = pushed.unwrap_or_else(|error| panic!("{line}, {fault:?}: {error}"));
                    assert_eq!(created, 1, "{line}, {fault:?}");
                    scene.assert_there(&pushed);
                    assert!(!pushed.unchanged, "{line}, {fault:?}");
                    assert!(scene.server.held(TO).unwrap().private, "{line}, {fault:?}");
                }
            });
        }
    });
}

#[test]
fn lasting_faults_end_in_their_error_and_nothing_is_committed() {
    type Expected = fn(&Error) -> bool;
    let faults: [(Fault, Expected); 4] = [
        (Fault::status(500), |error| matches!(error, Error::Server { status: 500, .. })),
        (Fault::status(429), |error| matches!(error, Error::RateLimited { .. })),
        (Fault::Silence, |error| matches!(error, Error::Broken { .. } | Error::Cut { .. })),
        (Fault::status(400), |error| matches!(error, Error::Refused { status: 400, .. })),
    ];
    std::thread::scope(|scope| {
        for (fault, expected) in faults {
            scope.spawn(move || {
                for step in [1, 2, 3, 7] {
                    let scene = scene(step);
                    let line = line(&scene, step);
                    scene.server.fail(&line, vec![fault.clone(); 50]);
                    let error = scene.push().unwrap_err();
                    assert!(expected(&error), "{line}, {fault:?}: {error}");
                    assert!(!error.is_environment() && !error.is_input(), "the network is at fault: {error}");
                    let tries = if error.is_transient() { 4 } else { 1 };
                    assert_eq!(scene.seen(STEPS[step]).len(), tries, "{line}, {fault:?}");
                    if let Some(held) = scene.server.held(TO) {
                        assert!(held.files.keys().eq([".gitattributes"]), "{line}, {fault:?}");
                    }
                    scene.assert_whole();
                }
            });
        }
    });
}

#[test]
fn refusals_in_the_middle_are_final_and_say_what_the_token_needs() {
    for step in [1, 2, 3, 6, 7] {
        for status in [401, 403] {
            let scene = scene(step);
            scene.server.fail(&line(&scene, step), vec![Fault::status(status); 3]);
            let error = scene.push().unwrap_err();
            match status {
                401 => assert!(matches!(error, Error::Token { .. }), "{step}: {error}"),
                _ => assert!(matches!(error, Error::Forbidden { .. }), "{step}: {error}"),
            }
            assert!(error.hint().unwrap().contains("write permission"), "{error}");
            assert!(!error.is_environment() && !error.is_input(), "{error}");
            assert_eq!(scene.seen(STEPS[step]).len(), 1);
            scene.assert_whole();
        }
    }
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    for fault in [Fault::Lost, Fault::DoneBut(500), Fault::DoneBut(502)] {
        let scene = Pushing::new().held();
        scene.server.fail(STEPS[7], [fault.clone()]);
        let pushed = scene.push().unwrap();
        scene.assert_there(&pushed);
        assert_eq!(scene.commits(), 1, "{fault:?}");
        assert!(!pushed.unchanged, "it was our commit");
        assert_eq!(pushed.url, format!("{}/{TO}/commit/{}", scene.server.endpoint, pushed.commit));
        assert_eq!(scene.seen("PUT ").len(), 2, "nothing was uploaded again");
    }
}

#[test]
fn somebody_elses_commit_in_between_stays() {
    let scene = Pushing::new().held();
    scene.server.fail(STEPS[7], [Fault::Overtaken("theirs.txt")]);
    let pushed = scene.push().unwrap();
    scene.assert_there(&pushed);
    let held = scene.server.held(TO).unwrap();
    assert_eq!(
        (held.files["theirs.txt"].as_slice(), held.files["old.txt"].as_slice()),
        (&b"theirs"[..], &b"old"[..])
    );
    assert_eq!(scene.commits(), 2, "the first was refused");

    let scene = Pushing::new().held();
    scene.server.fail(STEPS[7], vec![Fault::status(412); 9]);
    assert!(matches!(scene.push().unwrap_err(), Error::Moved { status: 412, .. }));
    assert_eq!(scene.server.held(TO).unwrap().commit, FIRST);
}

#[test]
fn a_cut_upload_is_begun_again_and_a_part_is_not() {
    let scene = Pushing::new();
    let oid = scene.oid("model.safetensors");
    scene.server.fail(&format!("PUT /put/{oid}?signature=1"), [Fault::DeafAfter(100_000)]);
    scene.server.fail(&format!("PUT /put/{oid}?signature=2"), [Fault::DeafAfter(200_000)]);
    scene.assert_there(&scene.push().unwrap());
    assert_eq!(scene.seen(&format!("PUT /put/{oid}")).len(), 3);

    let scene = Pushing::new();
    scene.server.set_parts(90_000);
    scene
        .server
        .fail(&format!("PUT /part/{oid}/3?signature=1"), [Fault::DeafAfter(50_000), Fault::status(500)]);
    scene.assert_there(&scene.push().unwrap());
    let count = |number: usize| scene.seen(&format!("PUT /part/{oid}/{number}?")).len();
    assert_eq!([1, 2, 3, 4].map(count), [1, 1, 3, 1]);
}

#[test]
fn an_address_whose_signature_has_run_out_is_asked_for_again() {
    for (parts, path) in [(None, "put/OID"), (Some(90_000), "part/OID/2")] {
        let scene = Pushing::new();
        if let Some(size) = parts {
            scene.server.set_parts(size);
        }
        let path = path.replace("OID", &scene.oid("model.safetensors"));
        scene.server.fail(&format!("PUT /{path}?signature=1"), vec![Fault::status(403); 9]);
        scene.assert_there(&scene.push().unwrap());
        assert_eq!(scene.seen(&format!("PUT /{path}?signature=1")).len(), 1);
        assert_eq!(scene.seen(&format!("PUT /{path}?signature=2")).len(), 1);
    }
}

#[test]
fn a_storage_that_never_takes_anything_ends_it_with_the_address_but_no_signature() {
    let scene = Pushing::new();
    let oid = scene.oid("model.safetensors");
    for signature in 1..9 {
        scene.server.fail(&format!("PUT /put/{oid}?signature={signature}"), [Fault::status(403)]);
    }
    let error = scene.push().unwrap_err();
    assert!(matches!(error, Error::Server { status: 403, .. }), "{error}");
    assert!(error.to_string().contains(&oid) && !error.to_string().contains("signature"), "{error}");
    assert_eq!(scene.seen(&format!("PUT /put/{oid}")).len(), 4);
}

#[test]
fn a_server_that_neither_reads_nor_answers_is_not_waited_for_long() {
    let scene = Pushing::new();
    let line = line(&scene, 3);
    scene.server.fail(&line, [Fault::Stall(0, Duration::from_secs(5))]);
    let began = Instant::now();
    scene.assert_there(&scene.push().unwrap());
    // Six times the half second for a file's next piece.
    assert!(began.elapsed() >= Duration::from_secs(3) && began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_pause_that_the_server_asks_for_is_kept_unless_a_signal_comes() {
    let scene = Pushing::new();
    scene.server.fail(STEPS[2], [Fault::Status(429, vec![("Retry-After", "1".to_owned())])]);
    let began = Instant::now();
    scene.assert_there(&scene.push().unwrap());
    assert!(began.elapsed() >= Duration::from_secs(1));

    let scene = Pushing::new();
    scene.server.fail(STEPS[2], [Fault::Status(429, vec![("Retry-After", "2".to_owned())])]);
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let error = scene.push_watched(TO, &stop, &mut |event| {
        if let Event::Waiting { .. } = event {
            stop.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    });
    assert!(matches!(error.unwrap_err(), Error::Stopped));
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_repository_that_is_another_now_is_followed_to() {
    let scene = Pushing::new().held();
    let moved = format!("{}/api/models/{TO}/commit/main?renamed", scene.server.endpoint);
    scene.server.fail(STEPS[7], [Fault::Moved(moved)]);
    scene.assert_there(&scene.push().unwrap());
}
