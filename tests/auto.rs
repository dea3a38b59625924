//! `--head-init auto`, `--head-bias prior` and `--lr auto`: what is chosen, and that measuring changes nothing.

use std::collections::BTreeMap;

use crate::program::outcome;
use crate::resume::{caught, killed_in};
use crate::support::stage::{Stage, TRAIN, listing};

/// Training data of which most rows of two topics are gone, beside a validation file: all rows train, and the plan sees all.
fn lopsided(stage: &Stage) -> BTreeMap<String, f64> {
    let text = stage.text("train.csv");
    let rare = |row: &str| row.ends_with(",food") || row.ends_with(",music");
    let rows = text.lines().enumerate().filter(|(index, row)| !rare(row) || index % 12 < 4);
    let rows: Vec<&str> = rows.map(|(_, row)| row).collect();
    std::fs::write(stage.path("lopsided.csv"), rows.join("\n") + "\n").unwrap();
    let mut counts = BTreeMap::new();
    for row in &rows[1..] {
        *counts.entry(row.rsplit(',').next().unwrap().to_owned()).or_insert(0.0) += 1.0;
    }
    counts
}

#[test]
fn a_head_of_zeros_with_the_priors_begins_at_the_entropy_of_the_labels() {
    let stage = Stage::new();
    let counts = lopsided(&stage);
    let total: f64 = counts.values().sum();
    assert!(counts.len() == 4 && total < 200.0 && counts["food"] < 0.5 * counts["travel"], "{counts:?}");
    let entropy: f64 = counts.values().map(|n| -n / total * (n / total).ln()).sum();
    let data = ["--train", "lopsided.csv", "--valid", "test.csv", "--max-steps", "1"];
    for head in [&["--head-init", "zero", "--head-bias", "prior"][..], &["--head-init", "auto"]] {
        stage.finetuned("out", &[&data[..], head, &["--overwrite"]].concat());
        let plan = stage.json("out/head.json");
        // Logits of f32, a few units of 2⁻²⁴ around 1.
        for found in [&plan["initial_loss"], &plan["predicted"]["initial_loss"], &plan["label_entropy"]] {
            assert!((found.as_f64().unwrap() - entropy).abs() < 1e-6, "{found}, {entropy}");
        }
        assert!(entropy < 4f64.ln() - 0.02);
        assert_eq!(plan["init"], "zero");
        assert_eq!(plan["measured_logit_variance"], 0.0);
        assert_eq!(plan["reason"].is_string(), head[1] == "auto");
        assert_eq!(stage.json("out/results.json")["head"]["reason"], plan["reason"]);
    }
    assert!(stage.text("out/report.html").contains("chosen: a head of zeros"));
    // Nothing but the bias is another: without it the loss is that of equal logits.
    stage.finetuned(
        "out",
        &[&data[..], &["--head-init", "auto", "--head-bias", "zero", "--overwrite"]].concat(),
    );
    let loss = stage.json("out/head.json")["initial_loss"].as_f64().unwrap();
    assert!((loss - 4f64.ln()).abs() < 1e-6, "{loss}");
}

#[test]
fn what_is_trained_decides_on_the_head() {
    let stage = Stage::new();
    for (more, init) in [
        (&["--strategy", "probe"][..], "zero"),
        (&["--strategy", "lora"], "zero"),
        (&["--backbone", "random"], "calibrated"),
    ] {
        let flags = ["--head-init", "auto", "--epochs", "1", "--overwrite"];
        stage.finetuned("out", &[&flags[..], more].concat());
        assert_eq!(stage.json("out/head.json")["init"], init, "{more:?}");
    }
    let refused = outcome(&mut stage.finetune("no", &["--head-init", "auto", "--head-scale", "2"]));
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("--head-scale"), "{}", refused.stderr);
}

/// A run at a measured rate ends in the very weights of one that was given the number: weights, running statistics and streams
/// are as if nothing had been measured.
#[test]
fn a_measured_rate_is_a_number_like_another() {
    let stage = Stage::new();
    for more in [
        &["--head-init", "auto"][..],
        &["--head-init", "xavier", "--layer-decay", "0.7", "--gradual-unfreeze"],
        &["--strategy", "lora", "--lora-dropout", "0.1"],
        &["--strategy", "lp-ft", "--freeze", "1", "--ema", "0.9"],
    ] {
        let short = [&["--epochs", "2", "--overwrite"][..], more].concat();
        // A rate of the head's own goes before.
        let own = if more[1] == "lp-ft" { &["--head-lr", "1e-2"][..] } else { &[] };
        stage.finetuned("measured", &[&short[..], &["--lr", "auto"], own].concat());
        let results = stage.json("measured/results.json");
        let auto = &results["lr_auto"];
        let number = |name: &str| auto[name].as_f64().unwrap_or_else(|| panic!("{name}: {auto}"));
        assert!(number("lr") > 0.0 && number("estimate") > 0.0, "{auto}");
        assert!(auto["bound"].is_null() || number("bound") > number("lr"), "{auto}");
        assert_eq!((&results["lr"], &results["head_lr"]), (&auto["lr"], &auto["head_lr"]));
        assert_eq!(number("head_lr"), if own.is_empty() { number("lr") } else { 1e-2 });
        assert!(stage.text("measured/report.html").contains("own update"));
        let (lr, head_lr) = (number("lr").to_string(), number("head_lr").to_string());
        stage.finetuned("given", &[&short[..], &["--lr", &lr, "--head-lr", &head_lr]].concat());
        assert_eq!(stage.hash("given"), stage.hash("measured"), "{more:?}");
        assert!(!listing(&stage.path("given")).contains(&"lr_auto.json".to_owned()));
    }
    // The head of a probe: 4/λ, which is what it takes anyway.
    for (output, lr) in [("usual", &[][..]), ("auto", &["--lr", "auto"])] {
        let flags = ["--strategy", "probe", "--epochs", "30"];
        let mut command = stage.command(
            &[
                &["finetune", "--model=model", "--train=train.csv", "--quiet", "--output", output][..],
                &flags,
                lr,
            ]
            .concat(),
        );
        assert_eq!(outcome(&mut command).code, Some(0));
    }
    assert_eq!(stage.hash("usual"), stage.hash("auto"));
    let auto = stage.json("auto/results.json")["lr_auto"].clone();
    assert_eq!(auto["bound"], auto["head_lr"]);
    assert_eq!(auto["examples"], TRAIN - TRAIN / 10);
}

#[test]
fn a_killed_run_goes_on_at_the_rate_that_it_measured() {
    let stage = Stage::new();
    let flags = ["--strategy", "lp-ft", "--lr", "auto", "--head-init", "auto", "--epochs", "25", "--monitor"];
    let often = [&flags[..], &["--checkpoint-every", "3"]].concat();
    let child = caught(stage.finetune("out", &often), &stage.path("out"), 4);
    killed_in(&stage.path("out"), child);
    let kept = stage.text("out/lr_auto.json");
    // Not as another run, which takes nothing away from this one.
    let watched = stage.text("out/monitor.csv");
    let other = ["--strategy", "lp-ft", "--lr", "1e-3", "--head-init", "auto", "--epochs", "25", "--resume"];
    assert_eq!(outcome(&mut stage.finetune("out", &other)).code, Some(2));
    assert_eq!((stage.text("out/lr_auto.json"), stage.text("out/monitor.csv")), (kept.clone(), watched));
    // Not without the rates, and at none but these.
    std::fs::remove_file(stage.path("out/lr_auto.json")).unwrap();
    let refused = outcome(&mut stage.finetune("out", &[&often[..], &["--resume"]].concat()));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let other = kept.replace("\"lr\": ", "\"lr\": 1");
    assert_ne!(other, kept);
    std::fs::write(stage.path("out/lr_auto.json"), other).unwrap();
    let refused = outcome(&mut stage.finetune("out", &[&often[..], &["--resume"]].concat()));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    std::fs::write(stage.path("out/lr_auto.json"), &kept).unwrap();
    stage.finetuned("out", &[&often[..], &["--resume"]].concat());
    stage.finetuned("whole", &flags);
    assert_eq!(stage.text("whole/lr_auto.json"), kept);
    assert_eq!(stage.hash("out"), stage.hash("whole"));
    assert_eq!(stage.text("out/monitor.csv"), stage.text("whole/monitor.csv"));
    assert_eq!(stage.json("out/results.json")["warnings"], stage.json("whole/results.json")["warnings"]);
}

#[test]
fn a_monitor_sees_every_part_and_changes_no_bit() {
    let stage = Stage::new();
    let flags = ["--log-every", "5", "--ema", "0.9", "--layer-decay", "0.9"];
    stage.finetuned("alone", &flags);
    stage.finetuned("watched", &[&flags[..], &["--monitor"]].concat());
    assert_eq!(stage.hash("alone"), stage.hash("watched"));
    assert_eq!(stage.text("alone/metrics.csv"), stage.text("watched/metrics.csv"));
    assert!(stage.json("alone/results.json")["warnings"].is_null());
    assert!(stage.json("watched/results.json")["warnings"].is_array());
    // At a rate of 0.1 a step of AdamW moves any weights of about 1 or less by more than a hundredth.
    stage.finetuned("fast", &["--lr", "0.1", "--epochs", "2", "--log-every", "5", "--monitor"]);
    let warnings = stage.json("fast/results.json")["warnings"].to_string();
    assert!(warnings.contains("block 0: a step moves") && warnings.contains("--layer-decay"), "{warnings}");
    assert!(stage.text("fast/report.html").contains("block 0: a step moves"));
    let table = stage.text("watched/monitor.csv");
    let rows: Vec<Vec<&str>> = table.lines().skip(1).map(|row| row.split(',').collect()).collect();
    // 4 epochs of 14 steps: 11 logged ones of four parts each, and 4 evaluations.
    for part in ["embeddings", "block 0", "block 1", "head"] {
        assert_eq!(rows.iter().filter(|row| row[1] == part).count(), 11, "{part}: {table}");
    }
    // An evaluation is at the end of its epoch, whether that is a logged step or not.
    let evaluated: Vec<&str> = rows.iter().filter(|row| row[1] == "outputs").map(|row| row[0]).collect();
    assert_eq!(evaluated, ["14", "28", "42", "56"]);
    // The parts' gradients make up the whole one, which metrics.csv has.
    let metrics = stage.text("watched/metrics.csv");
    let row = metrics.lines().find(|row| row.starts_with("5,")).unwrap();
    let whole: f64 = row.split(',').nth(6).unwrap().parse().unwrap();
    let parts = rows.iter().filter(|row| row[0] == "5" && row[1] != "outputs");
    let square: f64 = parts.map(|row| row[2].parse::<f64>().unwrap().powi(2)).sum();
    assert!((square.sqrt() / whole - 1.0).abs() < 1e-6, "{square}, {whole}");
    let refused = outcome(&mut stage.finetune("no", &["--monitor", "--strategy", "probe"]));
    assert_eq!(refused.code, Some(2));
    // A rate that moves nothing leaves the bias, and with it every answer the commonest class; here it is one of four.
    lopsided(&stage);
    let still = ["--monitor", "--lr", "1e-9", "--head-init", "zero", "--head-bias", "prior", "--epochs", "1"];
    stage.finetuned("still", &[&still[..], &["--train", "lopsided.csv", "--valid", "test.csv"]].concat());
    let warnings = stage.json("still/results.json")["warnings"].to_string();
    assert!(
        warnings.contains("of every validation example") && warnings.contains("25 % have it"),
        "{warnings}"
    );
}
