//! Measures experiments and prints their verdicts: `measure ID|all [key=json …] [--full]`.
#![allow(clippy::print_stdout)]

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use candle_core::Device;
use xexp_experiments::EXPERIMENTS;
use xexp_experiments::bench::Bench;
use xexp_init::Seed;
use xexp_report::lab::{Judgement, judge};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let id = words.first().map_or("all", String::as_str);
    let stop = AtomicBool::new(false);
    let bench = Bench { seed: Seed(42), device: &Device::Cpu, draws: None, stop: &stop };
    for entry in EXPERIMENTS.iter().filter(|entry| entry.about.id == id || id == "all" && entry.document) {
        let began = Instant::now();
        let full = words.iter().any(|word| word == "--full");
        let mut parameters = if full { (entry.full)()? } else { (entry.usual)()? };
        for (key, value) in words.iter().filter_map(|word| word.split_once('=')) {
            parameters[key] = serde_json::from_str(value)?;
        }
        let opened = (entry.open)(parameters)?;
        let mut all: Vec<Judgement> = vec![];
        for (setup, planned) in opened.plan()?.iter().enumerate() {
            all.extend(judge(&planned.rows, &bench.measure(&*opened, setup, planned)?)?);
        }
        println!("# {} {:.1} s", entry.about.id, began.elapsed().as_secs_f64());
        for j in &all {
            let m = &j.measured;
            println!(
                "{}{} | {} | {} ± {} | {:.6} [{:.6}, {:.6}] n={} needs {:?} | {} | claim {}{}",
                if j.fails() { "!! " } else { "" },
                j.row.row,
                j.row.quantity,
                j.row.predicted.map_or(String::new(), |r| format!("{} {:.6}", r.sign(), r.value())),
                j.row.predicted.map_or(String::new(), |r| format!("{:.6}", r.tolerance())),
                m.value,
                m.estimate.low,
                m.estimate.high,
                m.estimate.draws,
                m.needs,
                j.verdict.map_or("-", |v| v.name()),
                j.claim.map_or("-", |v| v.name()),
                if j.row.control { " (control)" } else { "" },
            );
        }
        for (claim, outcome) in Judgement::outcomes(&all) {
            println!("  claim: {claim}: {}", outcome.name());
        }
    }
    Ok(())
}
