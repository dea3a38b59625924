//! What several seeds come to.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;
use xexp_report::{Block, Cell, Estimate, Page, Section, Table};

use crate::failure::Failure;
use crate::predictions;

/// Digits of a score.
const DIGITS: u8 = 4;
/// The scores that choose among seeds on the validation examples, as among epochs, with their signs: the first that all have.
const CHOOSING: [(&str, f64); 3] = [("macro_f1", 1.0), ("pearson", 1.0), ("loss", -1.0)];

/// A finished run.
pub struct Finished {
    seed: u64,
    results: Value,
    /// What it says of every example, if that is always the same.
    collapsed: Option<String>,
}

/// What several seeds come to.
#[derive(Debug, Serialize)]
pub struct Summary {
    task: String,
    strategy: String,
    seeds: Vec<u64>,
    /// Of the validation examples, by score.
    valid: BTreeMap<String, Spread>,
    /// Of the test examples, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<BTreeMap<String, Spread>>,
    /// The seed whose model is the best on the validation examples.
    best_seed: u64,
    /// By which score.
    best_by: &'static str,
    /// Seeds whose model says the same of every example, and what.
    collapsed: BTreeMap<u64, String>,
    /// Training time of all.
    seconds: f64,
    /// Of each seed, in their order.
    weights_sha256: Vec<String>,
}

/// A score over the seeds.
#[derive(Debug, Serialize)]
pub struct Spread {
    mean: f64,
    /// Sample standard deviation.
    sd: f64,
    /// 95 % interval of the mean, by Student's t.
    low: f64,
    high: f64,
    /// Of each seed.
    values: Vec<f64>,
}

impl Finished {
    /// Reads what a run has left in its folder.
    ///
    /// # Errors
    /// A file that is missing or not what a run writes.
    pub fn read(seed: u64, folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("results.json");
        let refuse = || {
            Failure::input(format!("{}: expected the results of a run", path.display()))
                .hint("remove the folder, and --resume makes the run anew")
        };
        let text = std::fs::read_to_string(&path).map_err(|error| refuse().because(&error))?;
        let results = serde_json::from_str(&text).map_err(|error| refuse().because(&error))?;
        let said = predictions::column(folder, "prediction")?;
        let collapsed = said.first().filter(|first| said.iter().all(|other| other == *first)).cloned();
        Ok(Finished { seed, results, collapsed })
    }

    /// The scores of a part that are numbers.
    fn scores(&self, part: &str) -> BTreeMap<&str, f64> {
        let fields = self.results[part].as_object().into_iter().flatten();
        fields.filter_map(|(name, value)| Some((name.as_str(), value.as_f64()?))).collect()
    }

    fn word(&self, name: &str) -> String {
        self.results[name].as_str().unwrap_or_default().to_string()
    }
}

impl Summary {
    /// Of at least two runs.
    ///
    /// # Errors
    /// Runs without a score that chooses.
    pub fn new(runs: Vec<Finished>) -> Result<Self, Failure> {
        let lacks = || Failure::input("--seeds: the runs have no score that all of them share");
        let first = runs.first().ok_or_else(lacks)?;
        let (best_by, best) =
            CHOOSING.iter().find_map(|(by, sign)| Some((*by, best(&runs, by, *sign)?))).ok_or_else(lacks)?;
        Ok(Summary {
            task: first.word("task"),
            strategy: first.word("strategy"),
            seeds: runs.iter().map(|run| run.seed).collect(),
            valid: spreads(&runs, "valid")?,
            test: first.results.get("test").map(|_| spreads(&runs, "test")).transpose()?,
            best_seed: best,
            best_by,
            collapsed: runs.iter().filter_map(|run| Some((run.seed, run.collapsed.clone()?))).collect(),
            seconds: runs.iter().filter_map(|run| run.results["seconds"].as_f64()).sum(),
            weights_sha256: runs.iter().map(|run| run.word("weights_sha256")).collect(),
        })
    }

    fn parts(&self) -> impl Iterator<Item = (&'static str, &BTreeMap<String, Spread>)> {
        [("valid", Some(&self.valid)), ("test", self.test.as_ref())]
            .into_iter()
            .filter_map(|(name, part)| Some((name, part?)))
    }

    /// A row a score.
    fn table(&self) -> Result<Table, Failure> {
        let mut table =
            Table::new(["part", "score", "mean", "sd", "95 % interval of the mean", "least", "greatest"]);
        for (part, scores) in self.parts() {
            for (name, spread) in scores {
                let digits = usize::from(DIGITS);
                let ends = |pick: fn(f64, f64) -> f64| {
                    spread.values.iter().copied().reduce(pick).unwrap_or(f64::NAN)
                };
                table.push([
                    part.into(),
                    name.as_str().into(),
                    Cell::decimals(spread.mean, DIGITS),
                    Cell::decimals(spread.sd, DIGITS),
                    format!("{:.digits$} to {:.digits$}", spread.low, spread.high).into(),
                    Cell::decimals(ends(f64::min), DIGITS),
                    Cell::decimals(ends(f64::max), DIGITS),
                ])?;
            }
        }
        Ok(table)
    }

    /// A row a seed.
    fn by_seed(&self) -> Result<Table, Failure> {
        let names =
            self.parts().flat_map(|(part, scores)| scores.keys().map(move |name| format!("{part}_{name}")));
        let columns = ["seed", "collapsed", "weights_sha256"].map(str::to_string);
        let mut table = Table::new(columns.into_iter().chain(names));
        for (index, (&seed, hash)) in self.seeds.iter().zip(&self.weights_sha256).enumerate() {
            let collapsed = self.collapsed.get(&seed).map_or(Cell::Empty, |label| label.as_str().into());
            let values = self.parts().flat_map(|(_, scores)| scores.values());
            let values = values.map(|spread| Cell::decimals(spread.values[index], DIGITS));
            table.push([seed.into(), collapsed, hash.as_str().into()].into_iter().chain(values))?;
        }
        Ok(table)
    }

    /// What is to be said beside the numbers.
    fn notes(&self, output: &Path) -> Vec<String> {
        let mut notes = vec![format!(
            "{} runs that differ in their seed alone: order, dropout, head, and the split where the validation examples are a part of the \
             training data. The interval is that of the mean over seeds, by Student's t; the examples are the same.",
            self.seeds.len()
        )];
        for (seed, label) in &self.collapsed {
            notes.push(format!(
                "seed {seed} collapsed: it answers {label} to every example. A smaller learning rate, a longer warm-up or more \
                 epochs help (Mosbach et al. 2021)."
            ));
        }
        notes.push(format!(
            "best by {} on the validation examples: seed {}, in {}",
            self.best_by,
            self.best_seed,
            output.join(format!("seed-{}", self.best_seed)).display()
        ));
        notes
    }

    /// What is printed at the end.
    ///
    /// # Errors
    /// None in practice: the tables are well formed.
    pub fn text(&self, output: &Path) -> Result<String, Failure> {
        Ok(format!("{}\n{}\n", self.table()?.markdown(), self.notes(output).join("\n")))
    }

    /// The files beside `results.json`: names and contents.
    ///
    /// # Errors
    /// None in practice: the tables are well formed.
    pub fn files(&self, output: &Path) -> Result<[(&'static str, String); 4], Failure> {
        let table = self.table()?;
        let mut blocks: Vec<Block> = self.notes(output).into_iter().map(Block::Text).collect();
        blocks.insert(0, Block::Table(String::new(), table.clone()));
        let seeds = vec![Block::Table(String::new(), self.by_seed()?)];
        let page = Page {
            title: format!("{} seeds", self.seeds.len()),
            summary: format!("{}, strategy {}", self.task.replace('_', " "), self.strategy),
            sections: vec![
                Section { heading: "Results".to_string(), blocks },
                Section { heading: "Seeds".to_string(), blocks: seeds },
            ],
        };
        Ok([
            ("seeds.csv", self.by_seed()?.csv()),
            ("results.md", table.markdown()),
            ("results.tex", table.latex()),
            ("report.html", page.html()),
        ])
    }
}

/// The seed of the highest score times `sign`; of equal ones the first.
fn best(runs: &[Finished], by: &str, sign: f64) -> Option<u64> {
    let scored = runs.iter().map(|run| Some((run.seed, sign * run.scores("valid").get(by)?)));
    let scored: Vec<(u64, f64)> = scored.collect::<Option<_>>()?;
    let first = *scored.first()?;
    Some(scored.into_iter().fold(first, |best, run| if run.1 > best.1 { run } else { best }).0)
}

/// Each score that all runs have.
fn spreads(runs: &[Finished], part: &str) -> Result<BTreeMap<String, Spread>, Failure> {
    let all: Vec<BTreeMap<&str, f64>> = runs.iter().map(|run| run.scores(part)).collect();
    let mut spreads = BTreeMap::new();
    for name in all.first().into_iter().flat_map(BTreeMap::keys) {
        let values: Option<Vec<f64>> = all.iter().map(|scores| scores.get(name).copied()).collect();
        let Some(values) = values else { continue };
        let Estimate { mean, low, high, .. } = Estimate::from_draws(&values)?;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let sd = (squares / (values.len() - 1) as f64).sqrt();
        spreads.insert((*name).to_string(), Spread { mean, sd, low, high, values });
    }
    Ok(spreads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(seed: u64, macro_f1: f64, collapsed: Option<&str>) -> Finished {
        let valid = json!({ "macro_f1": macro_f1, "intervals": {}, "loss": 0.5 });
        let results = json!({ "task": "t", "strategy": "full", "seconds": 2.0, "valid": valid, "weights_sha256": "ab" });
        Finished { seed, results, collapsed: collapsed.map(str::to_string) }
    }

    #[test]
    fn means_and_intervals_are_those_of_student() {
        let summary =
            Summary::new(vec![run(1, 0.1, None), run(2, 0.2, Some("no")), run(3, 0.3, None)]).unwrap();
        let spread = &summary.valid["macro_f1"];
        // Three values a tenth apart: s = 0.1, t(0.975, 2) = 4.302653, half a width of t·s/√3.
        let half = 4.302_652_73 * 0.1 / 3f64.sqrt();
        for (found, expected) in
            [(spread.mean, 0.2), (spread.sd, 0.1), (spread.low, 0.2 - half), (spread.high, 0.2 + half)]
        {
            assert!((found - expected).abs() < 1e-7, "{found}, {expected}");
        }
        assert_eq!((summary.best_seed, summary.best_by, summary.seconds), (3, "macro_f1", 6.0));
        assert_eq!(summary.valid.keys().collect::<Vec<_>>(), ["loss", "macro_f1"]);
        let text = summary.text(Path::new("out")).unwrap();
        assert!(text.contains("seed 2 collapsed: it answers no"), "{text}");
        assert!(text.contains("| valid | macro_f1 | 0.2000 | 0.1000 |"), "{text}");
        let [(_, seeds), ..] = summary.files(Path::new("out")).unwrap();
        assert!(seeds.contains("\n2,no,ab,"), "{seeds}");
    }

    #[test]
    fn of_equal_seeds_the_first_is_the_best() {
        let best = |scores: [f64; 3]| {
            let runs = scores.iter().enumerate().map(|(i, &score)| run(i as u64, score, None));
            Summary::new(runs.collect()).unwrap().best_seed
        };
        assert_eq!([best([0.2, 0.3, 0.3]), best([0.3, 0.3, 0.1]), best([0.1, 0.1, 0.2])], [1, 0, 2]);
    }

    #[test]
    fn where_a_seed_has_no_score_the_loss_decides() {
        let loss = |seed: u64, loss: f64, pearson: Option<f64>| {
            let valid = json!({ "pearson": pearson, "loss": loss });
            Finished { seed, results: json!({ "task": "regression", "valid": valid }), collapsed: None }
        };
        let summary = Summary::new(vec![loss(1, 0.3, Some(0.9)), loss(2, 0.2, None)]).unwrap();
        assert_eq!((summary.best_seed, summary.best_by), (2, "loss"));
    }
}
