//! `xexp check` finds whatever was changed.

use super::{json, place, ran, text};
use crate::program::xexp;

#[test]
fn the_check_finds_whatever_was_changed() {
    let (_folder, out) = place();
    ran(&out, &[]);
    let check = || xexp(&["check", out.parent().unwrap().to_str().unwrap()]);
    let sound = check();
    assert_eq!(sound.code, Some(0), "{}", sound.stderr);
    assert!(
        sound.stdout.contains("conv-fan") && sound.stdout.contains("9 rows as recorded"),
        "{}",
        sound.stdout
    );

    let digit = |text: &str| text.replacen(".9", ".8", 1);
    let hash = |text: &str| {
        let at = text.rfind("\": \"").unwrap() + 4;
        let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
        format!("{}{other}{}", &text[..at], &text[at + 1..])
    };
    type Change<'a> = (&'a str, &'a dyn Fn(&str) -> String, &'a str);
    let changes: [Change<'_>; 8] = [
        ("measured.csv", &digit, "measured.csv"),
        ("verdicts.csv", &digit, "verdicts.csv:"),
        (
            "verdicts.csv",
            &|text| text.replacen("confirmed", "inconclusive", 1),
            "verdicts.csv:2: expected `conv-fan,",
        ),
        (
            "predicted.csv",
            &|text| text.replacen(",1.0,", ",1.00001,", 1),
            "c32-c32-k3/forward: predicted: expected 1.0, found 1.00001",
        ),
        ("manifest.toml", &|text| text.replacen("k²", "k", 1), "manifest.toml:"),
        ("run.json", &hash, "sha256: expected"),
        ("run.json", &|text| text.replacen("\"side\": 12", "\"side\": 13", 1), "manifest.toml:"),
        ("run.json", &|text| text.replacen("finished\",", "measuring\",", 1), "expected finished"),
    ];
    for (name, change, needle) in changes {
        let before = text(&out.join(name));
        let after = change(&before);
        assert_ne!(before, after, "{name}: {needle}");
        std::fs::write(out.join(name), after).unwrap();
        let found = check();
        assert_eq!(found.code, Some(1), "{name}: {needle}: {}{}", found.stdout, found.stderr);
        assert!(found.stderr.contains(needle), "{name}: {needle}: {}", found.stderr);
        std::fs::write(out.join(name), before).unwrap();
    }
    // The manifest above a recorded folder is the same.
    let above = out.parent().unwrap().join("manifest.toml");
    std::fs::copy(out.join("manifest.toml"), &above).unwrap();
    assert_eq!(check().code, Some(0));
    std::fs::write(&above, "seed = 42\n").unwrap();
    assert_eq!(check().code, Some(1));
    std::fs::remove_file(&above).unwrap();
    assert_eq!(json(&xexp(&["check", out.to_str().unwrap(), "--format", "json"]).stdout)["ok"], true);

    for nothing in [out.join("plots"), out.join("none")] {
        assert_eq!(xexp(&["check", nothing.to_str().unwrap()]).code, Some(2));
    }
}
