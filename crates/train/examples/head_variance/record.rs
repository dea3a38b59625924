//! The tables that stay.

use crate::Result;
use crate::law::Law;
use crate::manifest::Manifest;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;
use xexp_heads::Moments;
use xexp_report::{Cell, Estimate, Table, Verdict, atomic};

const QUANTITY: &str = "second moment of the logits";

/// Writes `predicted.csv` and returns its hash. `concentration` is that of the features, from which follows how far
/// single draws scatter.
pub fn predicted(folder: &Path, laws: &[Law], concentration: f64) -> Result<String> {
    std::fs::create_dir_all(folder)?;
    let mut table =
        Table::new(["row", "quantity", "weight_std", "predicted", "tolerance", "relative_sd_of_a_draw"]);
    for law in laws {
        // Independent normal rows: Var(mean of z²) = 2 Var(w)² tr S² / C.
        let scatter = (2.0 * concentration / law.classes as f64).sqrt();
        table.push([
            law.name.as_str().into(),
            QUANTITY.into(),
            number(law.std),
            number(law.predicted),
            number(law.tolerance),
            number(scatter),
        ])?;
    }
    let text = table.csv();
    atomic::write(folder.join("predicted.csv"), &text)?;
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes what was measured and judged; whether every verdict is as it must be.
pub fn results(
    folder: &Path,
    manifest: &Manifest,
    laws: &[Law],
    measured: &[Estimate],
    moments: &Moments,
    hash: &str,
) -> Result<bool> {
    let mut numbers = Table::new(["row", "quantity", "mean", "median", "low", "high", "draws"]);
    let mut verdicts = Table::new([
        "experiment",
        "row",
        "quantity",
        "unit",
        "predicted",
        "measured",
        "low",
        "high",
        "draws",
        "tolerance",
        "verdict",
        "control",
        "claim",
        "claim_verdict",
    ]);
    let mut short = Table::new(["row", "predicted", "measured", "95 % interval", "verdict", "control"]);
    let mut as_expected = true;
    for (law, found) in laws.iter().zip(measured) {
        let verdict = found.verdict(law.predicted, law.tolerance)?;
        as_expected &= verdict == if law.control { Verdict::Refuted } else { Verdict::Confirmed };
        let claim_verdict = match law.claim {
            Some(claim) => found.verdict(claim, manifest.tolerance * claim)?.name(),
            None => "",
        };
        let ends = [found.low, found.high].map(number);
        let [low, high] = ends.clone();
        numbers.push([
            law.name.as_str().into(),
            QUANTITY.into(),
            number(found.mean),
            number(found.median),
            low.clone(),
            high.clone(),
            found.draws.into(),
        ])?;
        verdicts.push([
            manifest.id.as_str().into(),
            law.name.as_str().into(),
            QUANTITY.into(),
            "1".into(),
            number(law.predicted),
            number(found.mean),
            low,
            high,
            found.draws.into(),
            number(law.tolerance),
            verdict.name().into(),
            law.control.into(),
            law.claim.map_or(Cell::Empty, number),
            claim_verdict.into(),
        ])?;
        let interval = ends.map(|end| end.text()).join(" to ");
        short.push([
            law.name.as_str().into(),
            number(law.predicted),
            number(found.mean),
            interval.into(),
            verdict.name().into(),
            law.control.into(),
        ])?;
    }
    atomic::write(folder.join("measured.csv"), numbers.csv())?;
    atomic::write(folder.join("verdicts.csv"), verdicts.csv())?;
    atomic::write(folder.join("table.md"), short.markdown())?;
    let run = serde_json::json!({
        "date": said_by("date", &["-u", "+%F"])?,
        "machine": said_by("uname", &["-sm"])?,
        "processor": processor(),
        "predicted_sha256": hash,
        "features": moments,
        "as_expected": as_expected,
    });
    atomic::write(folder.join("run.json"), serde_json::to_string_pretty(&run)? + "\n")?;
    eprint!("{}", short.markdown());
    Ok(as_expected)
}

/// Five digits for people; the CSV keeps all.
fn number(value: f64) -> Cell {
    Cell::significant(value, 5)
}

fn said_by(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program).args(arguments).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// Name of the processor where the system tells it.
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_string())
}
