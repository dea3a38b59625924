//! `xexp finetune --seeds`.

use serde_json::{Value, json};

use crate::program::outcome;
use crate::support::stage::Stage;

const SHORT: [&str; 8] = ["--valid", "test.csv", "--epochs", "2", "--seed", "7", "--seeds", "3"];

#[test]
fn seeds_are_runs_of_their_own_and_their_scores_are_put_together() {
    let stage = Stage::new();
    let printed = stage.finetuned("all", &[&SHORT[..], &["--format", "json"]].concat()).stdout;
    let summary = stage.json("all/results.json");
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), summary);
    assert_eq!(summary["seeds"], json!([7, 8, 9]));
    for (index, seed) in [7, 8, 9].into_iter().enumerate() {
        let own = stage.json(&format!("all/seed-{seed}/results.json"));
        for score in ["accuracy", "macro_f1", "loss"] {
            assert_eq!(summary["valid"][score]["values"][index], own["valid"][score], "{score} of {seed}");
        }
        assert_eq!(summary["weights_sha256"][index], own["weights_sha256"]);
    }
    let best = summary["best_seed"].as_u64().unwrap();
    let f1 = |seed: u64| stage.json(&format!("all/seed-{seed}/results.json"))["valid"]["macro_f1"].as_f64();
    assert!((7..10).all(|seed| f1(seed) <= f1(best)));
    // The same seed alone.
    stage.finetuned("one", &["--valid", "test.csv", "--epochs", "2", "--seed", "8"]);
    assert_eq!(stage.hash("one"), stage.hash("all/seed-8"));
    assert_eq!(stage.text("all/seeds.csv").lines().count(), 4);
    assert!(stage.text("all/results.md").contains("| valid | macro_f1 |"));
    assert!(stage.text("all/results.tex").contains("tabular"));
    assert!(stage.text("all/report.html").contains("3 seeds"));
}

#[test]
fn finished_seeds_are_kept_and_others_settings_refused() {
    let stage = Stage::new();
    stage.finetuned("all", &SHORT);
    let whole = stage.json("all/results.json");
    std::fs::remove_file(stage.path("all/results.json")).unwrap();
    std::fs::remove_dir_all(stage.path("all/seed-9")).unwrap();
    // That this seed is not trained again is seen by what only a hand has written.
    let kept = stage.text("all/seed-7/results.json").replace("\"steps\": ", "\"steps\": 9");
    std::fs::write(stage.path("all/seed-7/results.json"), &kept).unwrap();

    let other = outcome(&mut stage.finetune("all", &[&SHORT[..], &["--resume", "--lr", "1e-3"]].concat()));
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("lr was 0.003 and is 0.001"), "{}", other.stderr);

    stage.finetuned("all", &[&SHORT[..], &["--resume"]].concat());
    assert_eq!(stage.text("all/seed-7/results.json"), kept);
    let resumed = stage.json("all/results.json");
    for name in ["valid", "weights_sha256", "best_seed"] {
        assert_eq!(resumed[name], whole[name], "{name}");
    }
}

#[test]
fn a_seed_that_answers_always_the_same_is_named() {
    let stage = Stage::new();
    // A rate that is zero in 32 bits: equal logits for ever, and the first class each time.
    let still = ["--head-init", "zero", "--lr", "1e-60", "--seeds", "2", "--epochs", "1"];
    let told = stage.finetuned("all", &still).stdout;
    let collapsed = stage.json("all/results.json")["collapsed"].clone();
    let names: Vec<&str> = collapsed.as_object().unwrap().values().filter_map(Value::as_str).collect();
    assert_eq!(names.len(), 2, "{collapsed}");
    assert!(told.contains(&format!("seed 42 collapsed: it answers {}", names[0])), "{told}");
}

#[test]
fn seeds_are_not_uploaded() {
    let stage = Stage::new();
    let refused = outcome(&mut stage.finetune("all", &["--seeds", "2", "--push", "me/it"]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--push"), "{}", refused.stderr);
}
