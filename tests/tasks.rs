//! Tasks beside one class for an example: values, several labels; and how classes count.

use serde_json::{Value, json};

use crate::program::{Outcome, outcome};
use crate::resume::{caught, killed_in};
use crate::support::sentences::{Sentence, TOPICS, sentences};
use crate::support::stage::{Stage, TEST, TRAIN};

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// The value of a topic.
fn value(label: &str) -> f64 {
    0.5 + TOPICS.iter().position(|(name, _)| *name == label).unwrap() as f64
}

/// A stage with the sentences' values in `values.csv` and `values-test.csv`.
fn valued() -> Stage {
    let stage = Stage::new();
    for (file, name, count) in [("values.csv", "train", TRAIN), ("values-test.csv", "test", TEST)] {
        let row = |s: &Sentence| format!("{},{}\n", quoted(&s.text), value(s.label));
        let rows: String = sentences(name, count).iter().map(row).collect();
        std::fs::write(stage.path(file), format!("text,score\n{rows}")).unwrap();
    }
    stage
}

const VALUES: [&str; 4] = ["--train", "values.csv", "--label-column", "score"];

/// Two sentences in one text, with the topics of both, as a list; every fifth text has no topic at all.
fn several(name: &str, count: usize) -> Vec<(String, Vec<&'static str>)> {
    let all = sentences(name, 3 * count);
    let text = |pair: &[Sentence], i: usize| {
        if i.is_multiple_of(5) {
            return ("the one and the other".to_string(), vec![]);
        }
        let second = &pair[1 + i % 2];
        let mut labels = vec![pair[0].label, second.label];
        labels.dedup();
        (format!("{} {}", pair[0].text, second.text), labels)
    };
    all.chunks(3).enumerate().map(|(i, chunk)| text(chunk, i)).collect()
}

/// A stage with such texts in `many.jsonl`, the same in `many.csv` with bars, and others in `many-test.jsonl`.
fn labelled() -> Stage {
    let stage = Stage::new();
    for (file, name, count) in [("many", "train", TRAIN), ("many-test", "test", TEST)] {
        let rows = several(name, count);
        let line =
            |(text, labels): &(String, Vec<&str>)| json!({"text": text, "label": labels}).to_string() + "\n";
        let row = |(text, labels): &(String, Vec<&str>)| format!("{},{}\n", quoted(text), labels.join("|"));
        std::fs::write(stage.path(&format!("{file}.jsonl")), rows.iter().map(line).collect::<String>())
            .unwrap();
        let rows = rows.iter().map(row).collect::<String>();
        std::fs::write(stage.path(&format!("{file}.csv")), format!("text,label\n{rows}")).unwrap();
    }
    stage
}

fn run(stage: &Stage, arguments: &[&str]) -> Outcome {
    let outcome = outcome(&mut stage.command(arguments));
    assert_eq!(outcome.code, Some(0), "{arguments:?}: {}", outcome.stderr);
    outcome
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value}"))
}

fn refused(stage: &Stage, more: &[&str], needles: &[&str]) {
    let outcome = outcome(&mut stage.finetune("refused", more));
    assert_eq!(outcome.code, Some(2), "{more:?}: {}", outcome.stderr);
    for needle in needles {
        assert!(outcome.stderr.contains(needle), "{more:?}: expected {needle:?} in {}", outcome.stderr);
    }
    assert!(!stage.path("refused").exists(), "{more:?}");
}

#[test]
fn numbers_with_fractions_are_values_that_are_learned_saved_and_predicted() {
    let stage = valued();
    let more = [&VALUES[..], &["--test", "values-test.csv", "--epochs", "12", "--quiet=false"]].concat();
    let told = stage.finetuned("out", &more).stderr;
    assert!(told.contains("task: regression") && told.contains("--task says otherwise"), "{told}");
    let results = stage.json("out/results.json");
    assert_eq!(results["task"], "regression");
    for split in ["valid", "test"] {
        let scores = &results[split];
        // Guessing at random among 80 examples gives a correlation of 0.45 once in 30,000 times.
        assert!(number(&scores["pearson"]) > 0.45 && number(&scores["spearman"]) > 0.45, "{scores}");
        assert!((number(&scores["rmse"]).powi(2) - number(&scores["loss"])).abs() < 1e-9);
        assert!(scores.get("accuracy").is_none() && scores.get("confusion").is_none(), "{scores}");
    }
    assert!(results.get("calibration").is_none() && results.get("thresholds").is_none());
    // Values 0.5 to 3.5 in equal shares: a variance of 5/4.
    let variance = number(&results["head"]["value_variance"]);
    assert!((variance - 1.25).abs() < 0.1 && results["head"].get("ln_classes").is_none(), "{variance}");
    let config = stage.json("out/config.json");
    assert_eq!(
        (&config["problem_type"], &config["id2label"]),
        (&json!("regression"), &json!({"0": "LABEL_0"}))
    );

    let input = ["predict", "--model", "out", "--input", "values-test.csv", "--quiet"];
    let predicted = lines(&run(&stage, &input).stdout);
    let (mut square, mut largest) = (0.0, 0.0f64);
    for (line, sentence) in predicted.iter().zip(sentences("test", TEST)) {
        assert_eq!(line["value"], line["logits"][0]);
        square += (number(&line["value"]) - value(sentence.label)).powi(2) / TEST as f64;
        largest = largest.max((number(&line["value"]) - value(sentence.label)).abs());
    }
    // Squares of f32 differences.
    assert!((square - number(&results["test"]["loss"])).abs() < 1e-6, "{square}");
    let evaluate = [
        "evaluate",
        "--model",
        "out",
        "--data",
        "values-test.csv",
        "--label-column",
        "score",
        "--format",
        "json",
        "--quiet",
    ];
    assert_eq!(serde_json::from_str::<Value>(&run(&stage, &evaluate).stdout).unwrap(), results["test"]);

    let page = stage.text("out/report.html");
    assert!(page.contains("Predicted against true values") && page.contains("The largest residuals"));
    assert!(!page.contains("Calibration") && !page.contains("Truth by prediction"));
    assert!(page.contains(&format!("{largest:.3}")) || page.contains(&format!("{:.3}", -largest)));
    let card = stage.text("out/README.md");
    assert!(card.contains("Pearson") && !card.contains("Per class"), "{card}");
    for (flag, more) in [("--temperature", "2"), ("--threshold", "0.3")] {
        let outcome = outcome(&mut stage.command(&[&input[..], &[flag, more]].concat()));
        assert_eq!(outcome.code, Some(2));
        assert!(outcome.stderr.contains(flag) && outcome.stderr.contains("regression"), "{}", outcome.stderr);
    }
}

#[test]
fn every_strategy_learns_values() {
    let stage = valued();
    for strategy in ["probe", "lp-ft", "lora"] {
        let more = [&VALUES[..], &["--strategy", strategy, "--epochs", "12"]].concat();
        stage.finetuned(strategy, &more);
        let valid = &stage.json(&format!("{strategy}/results.json"))["valid"];
        // The values' own mean square is 5.25.
        assert!(number(&valid["loss"]) < 2.5 && number(&valid["pearson"]) > 0.2, "{strategy}: {valid}");
    }
}

#[test]
fn best_weights_are_those_of_the_highest_correlation() {
    let stage = valued();
    stage.finetuned("out", &[&VALUES[..], &["--epochs", "6"]].concat());
    let metrics = stage.text("out/metrics.csv");
    let header: Vec<&str> = metrics.lines().next().unwrap().split(',').collect();
    let column = header.iter().position(|name| *name == "valid_pearson").unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        Some((fields[column].parse::<f64>().ok()?, fields[0].parse::<u64>().unwrap()))
    };
    let best = metrics.lines().skip(1).filter_map(row).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    let results = stage.json("out/results.json");
    assert_eq!(results["best_step"], best.1, "{metrics}");
    assert!((number(&results["valid"]["pearson"]) - best.0).abs() < 1e-9);
}

#[test]
fn several_labels_are_learned_with_thresholds_of_their_own() {
    let stage = labelled();
    let more = ["--train", "many.jsonl", "--test", "many-test.jsonl", "--epochs", "8", "--quiet=false"];
    let told = stage.finetuned("out", &more).stderr;
    assert!(told.contains("task: multi-label") && told.contains("labels are lists"), "{told}");
    let results = stage.json("out/results.json");
    assert_eq!(results["task"], "multi_label_classification");
    let test = &results["test"];
    // Saying every label of every text has a micro F1 of 0.57: a text has 1.6 of 4 labels.
    assert!(number(&test["micro_f1"]) > 0.65, "{test}");
    for figure in ["micro_f1", "macro_f1", "subset_accuracy", "hamming_loss"] {
        assert!(test[figure].is_number() && test["tuned"][figure].is_number(), "{figure}");
    }
    let valid = &results["valid"];
    assert!(
        number(&valid["tuned"]["macro_f1"]) >= number(&valid["macro_f1"]),
        "tuned on these very examples"
    );
    assert!(results.get("calibration").is_none() && test.get("confusion").is_none());
    assert!((number(&results["head"]["ln_two"]) - 2f64.ln()).abs() < 1e-12);
    let thresholds = stage.json("out/thresholds.json");
    assert_eq!(thresholds, results["thresholds"]);
    assert_eq!(stage.json("out/config.json")["problem_type"], "multi_label_classification");

    // By hand from the logits: what is said at 0.5 and at the thresholds, and the share of texts that are right as a whole.
    let truth = several("test", TEST);
    for (threshold, figure) in
        [("0.5", &test["subset_accuracy"]), ("fitted", &test["tuned"]["subset_accuracy"])]
    {
        let input =
            ["predict", "--model", "out", "--input", "many-test.jsonl", "--quiet", "--threshold", threshold];
        let predicted = lines(&run(&stage, &input).stdout);
        let mut right = 0;
        for (line, (_, labels)) in predicted.iter().zip(&truth) {
            let said: Vec<&str> = TOPICS
                .iter()
                .enumerate()
                .filter(|(id, (name, _))| {
                    let p = 1.0 / (1.0 + (-number(&line["logits"][*id])).exp());
                    // Logits are printed to the last bit of f32.
                    assert!((p - number(&line["scores"][*name])).abs() < 1e-6);
                    p >= if threshold == "0.5" { 0.5 } else { number(&thresholds[*name]) }
                })
                .map(|(_, (name, _))| *name)
                .collect();
            assert_eq!(line["labels"], json!(said));
            let mut labels = labels.clone();
            labels.sort_unstable();
            right += usize::from(labels == said);
        }
        assert!((right as f64 / TEST as f64 - number(figure)).abs() < 1e-12, "{threshold}: {right}");
    }
    let evaluate = ["evaluate", "--model", "out", "--data", "many-test.jsonl", "--format", "json", "--quiet"];
    assert_eq!(serde_json::from_str::<Value>(&run(&stage, &evaluate).stdout).unwrap(), *test);
    let page = stage.text("out/report.html");
    assert!(
        page.contains("By label") && page.contains("The largest losses") && !page.contains("Calibration")
    );

    // The same rows with a character between the labels make the same model.
    let csv = ["--train", "many.csv", "--label-separator", "|", "--epochs", "8"];
    stage.finetuned("bars", &csv);
    assert_eq!(stage.hash("bars"), stage.hash("out"));
    stage.finetuned("probe", &["--train", "many.jsonl", "--strategy", "probe"]);
    assert!(number(&stage.json("probe/results.json")["valid"]["average_precision"]) > 0.4);
}

#[test]
fn of_two_classes_the_f1_of_the_second_is_told() {
    let stage = Stage::new();
    let row = |s: &Sentence| format!("{},{}\n", quoted(&s.text), u8::from(s.label == "music"));
    let rows: String = sentences("train", TRAIN).iter().map(row).collect();
    std::fs::write(stage.path("two.csv"), format!("text,label\n{rows}")).unwrap();
    stage.finetuned("out", &["--train", "two.csv"]);
    let valid = &stage.json("out/results.json")["valid"];
    assert_eq!(
        (&valid["positive_class"], &valid["f1_positive"]),
        (&json!("1"), &valid["per_class"][1]["f1"])
    );
}

#[test]
fn weights_smoothing_and_sampling_change_the_run_and_weights_of_one_do_not() {
    let stage = Stage::new();
    let hash = |name: &str, more: &[&str]| {
        stage.finetuned(name, &[&["--max-steps", "4"], more].concat());
        stage.hash(name)
    };
    let plain = hash("plain", &[]);
    let others = [
        hash("weighted", &["--class-weights", "food=3,music=0.5"]),
        hash("smooth", &["--label-smoothing", "0.2"]),
        hash("sampled", &["--sampling", "balanced"]),
    ];
    let mut all = others.to_vec();
    all.push(plain.clone());
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 4);
    // Four equally frequent classes: balanced weights are 1 but for the last rows that the split took.
    let equal = hash("equal", &["--class-weights", "food=2,music=2,travel=2,weather=2"]);
    let scores = |name: &str| number(&stage.json(&format!("{name}/results.json"))["valid"]["loss"]);
    assert!((scores("equal") - scores("plain")).abs() < 1e-4, "a common factor cancels");
    assert_ne!(equal, others[0]);
    for (name, strategy) in [("probe", "probe"), ("weighted-probe", "probe")] {
        let weights = if name == "probe" { "none" } else { "food=9" };
        stage.finetuned(name, &["--strategy", strategy, "--epochs", "40", "--class-weights", weights]);
    }
    let recall =
        |name: &str| number(&stage.json(&format!("{name}/results.json"))["valid"]["per_class"][0]["recall"]);
    assert!(recall("weighted-probe") >= recall("probe"));
    assert_ne!(stage.hash("weighted-probe"), stage.hash("probe"));
}

#[test]
fn a_balanced_run_that_is_killed_ends_as_one_that_was_not() {
    let stage = Stage::new();
    let long =
        ["--epochs", "25", "--checkpoint-every", "3", "--sampling", "balanced", "--class-weights", "food=2"];
    let child = caught(stage.finetune("out", &long), &stage.path("out"), 4);
    killed_in(&stage.path("out"), child);
    let other =
        outcome(&mut stage.finetune("out", &["--epochs", "25", "--checkpoint-every", "3", "--resume"]));
    assert_eq!(other.code, Some(2), "another sampling is another run");
    stage.finetuned("out", &[&long[..], &["--resume"]].concat());
    stage.finetuned("whole", &long);
    assert_eq!(stage.hash("out"), stage.hash("whole"));
}

#[test]
fn labels_that_do_not_fit_the_task_are_refused_with_their_line() {
    let stage = labelled();
    let write = |name: &str, text: &str| std::fs::write(stage.path(name), text).unwrap();
    write("words.csv", "text,label\na song,1.5\nthe rain,good\n");
    write("nan.csv", "text,label\na song,1.5\nthe rain,nan\n");
    write("gap.csv", "text,label\na song,1.5\nthe rain,\n");
    for (file, needles) in [
        ("words.csv", ["words.csv:3", "\"good\"", "finite number"]),
        ("nan.csv", ["nan.csv:3", "\"nan\"", "finite number"]),
        ("gap.csv", ["gap.csv:3", "holds no label", "hint: "]),
    ] {
        refused(&stage, &["--train", file, "--task", "regression"], &needles);
    }
    write("null.jsonl", "{\"text\":\"a\",\"label\":[\"x\",\"y\"]}\n{\"text\":\"b\",\"label\":null}\n");
    write("mixed.jsonl", "{\"text\":\"a\",\"label\":[\"x\",\"y\"]}\n{\"text\":\"b\",\"label\":\"x\"}\n");
    write("twice.jsonl", "{\"text\":\"a\",\"label\":[\"x\",\"x\"]}\n");
    write("few.jsonl", "{\"text\":\"a\",\"label\":[\"x\"]}\n{\"text\":\"b\",\"label\":[]}\n");
    refused(&stage, &["--train", "null.jsonl"], &["null.jsonl:2", "holds no label"]);
    refused(&stage, &["--train", "mixed.jsonl"], &["mixed.jsonl:2", "expected a list", "--label-separator"]);
    refused(&stage, &["--train", "twice.jsonl"], &["twice.jsonl:1", "`x` twice"]);
    refused(&stage, &["--train", "few.jsonl"], &["few.jsonl", "at least two labels", "`x`"]);
    refused(
        &stage,
        &["--train", "many.csv", "--task", "multi-label"],
        &["expected a list", "--label-separator"],
    );
    refused(&stage, &["--train", "many.jsonl", "--task", "single-label"], &["many.jsonl:1", "holds a list"]);
}

#[test]
fn flags_about_classes_are_refused_where_they_mean_nothing() {
    let stage = labelled();
    let many = ["--train", "many.jsonl"];
    for (flag, value) in
        [("--class-weights", "balanced"), ("--sampling", "balanced"), ("--label-smoothing", "0.1")]
    {
        refused(&stage, &[&many[..], &[flag, value]].concat(), &[flag, "multi-label", "hint: "]);
    }
    refused(&stage, &["--class-weights", "musik=2"], &["no class `musik`", "did you mean `music`"]);
    refused(&stage, &["--class-weights", "music=-2"], &["--class-weights", "above 0"]);
    refused(
        &stage,
        &["--sampling", "balanced", "--strategy", "probe"],
        &["--sampling balanced", "--class-weights balanced"],
    );
}

#[test]
fn a_class_out_of_scope_has_scores_of_its_own() {
    let stage = Stage::new();
    let more = ["--test", "test.csv", "--out-of-scope", "weather"];
    stage.finetuned("out", &more);
    let test = &stage.json("out/results.json")["test"];
    let (outside, class) = (&test["out_of_scope"], &test["per_class"][3]);
    assert_eq!((&outside["class"], &class["label"]), (&json!("weather"), &json!("weather")));
    assert_eq!((&outside["recall"], &outside["precision"]), (&class["recall"], &class["precision"]));
    // The confusion's last row is the class; the others' diagonal is what is right in scope.
    let count = |row: usize, column: usize| test["confusion"][row][column].as_u64().unwrap();
    let right: u64 = (0..3).map(|class| count(class, class)).sum();
    let all: u64 = (0..3).flat_map(|row| (0..4).map(move |column| count(row, column))).sum();
    assert!((number(&outside["in_scope_accuracy"]) - right as f64 / all as f64).abs() < 1e-12);
    assert!((0.5..=1.0).contains(&number(&outside["auroc"])), "{outside}");
    stage.finetuned("without", &["--test", "test.csv"]);
    assert_eq!(stage.hash("out"), stage.hash("without"));
    refused(&stage, &["--out-of-scope", "oos"], &["--out-of-scope", "no class `oos`"]);
}
