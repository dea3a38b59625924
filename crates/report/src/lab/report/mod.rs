//! The report of an experiment, from its recorded tables alone.

mod claims;
mod index;
mod plots;
mod tables;

use super::{Account, ClaimAccount, Judgement, Recorded};
use crate::plot::Svg;
use crate::{Block, Page, Result, Section, Table};

pub use index::{Experiment, index, summary};

/// The report of one experiment: what the document's claims come to, what the exact theory's predictions do, the rows,
/// the plots, and how it was done.
///
/// # Errors
/// None in practice: the tables are well formed.
pub fn report(recorded: &Recorded) -> Result<Page> {
    let manifest = &recorded.manifest;
    let mut sections = vec![
        section("What the document says", claims::blocks(recorded)),
        section("What the exact theory predicts", theory(recorded)?),
        section("Wrong formulas that had to fail", controls(recorded)?),
    ];
    let plots = plots(recorded);
    if !plots.is_empty() {
        let mut blocks = vec![Block::Text(
            "Lines are predictions, made before anything was measured; points are measured, with their intervals. \
             The plots are also files, plots/*.svg; `xexp report` draws them again from the tables.".into(),
        )];
        blocks.extend(plots.into_iter().map(|(_, svg)| Block::Plot(svg)));
        sections.push(section("Plots", blocks));
    }
    sections.push(section("How it was measured", method(recorded)?));
    sections.push(section("The record", record(recorded)?));
    Ok(Page { title: manifest.title.clone(), summary: manifest.question.clone(), sections })
}

/// The plots of an experiment, by the names of their files without extension.
pub fn plots(recorded: &Recorded) -> Vec<(String, Svg)> {
    plots::all(recorded)
}

fn section(heading: &str, blocks: Vec<Block>) -> Section {
    Section { heading: heading.to_owned(), blocks }
}

fn theory(recorded: &Recorded) -> Result<Vec<Block>> {
    let account = Account::of(&recorded.judged);
    let mut blocks = vec![Block::Text(format!(
        "{account}. A prediction is confirmed if the whole interval of the measurement lies within its tolerance, refuted \
         if it lies outside, and inconclusive otherwise."
    ))];
    blocks.extend(undecided(&recorded.judged).map(Block::Text));
    let announced = |j: &&Judgement| j.row.announced.is_some();
    for judgement in recorded.judged.iter().filter(announced) {
        let reason = judgement.row.announced.as_deref().unwrap_or_default();
        blocks.push(Block::Text(format!("Announced beforehand for {}: {reason}", judgement.row.row)));
    }
    blocks.extend(tables::rows(&recorded.judged, |j| j.verdict.is_some() && !j.row.control)?);
    let measured = tables::rows(&recorded.judged, |j| j.verdict.is_none())?;
    if !measured.is_empty() {
        blocks.push(Block::Text("Measured without a prediction of the exact theory:".into()));
        blocks.extend(measured);
    }
    Ok(blocks)
}

/// The undecided rows, with the draws that would decide them.
fn undecided(judged: &[Judgement]) -> Option<String> {
    let open: Vec<String> = judged
        .iter()
        .filter_map(|judgement| {
            let name = &judgement.row.row;
            match judgement.measured.needs? {
                usize::MAX => Some(format!("{name} (no number of draws decides it)")),
                draws => Some(format!("{name} (about {draws} draws would)")),
            }
        })
        .collect();
    (!open.is_empty()).then(|| format!("Undecided within the draws that were made: {}.", open.join(", ")))
}

fn controls(recorded: &Recorded) -> Result<Vec<Block>> {
    let rows = tables::rows(&recorded.judged, |j| j.row.control)?;
    if rows.is_empty() {
        return Ok(vec![Block::Text("There are none.".into())]);
    }
    let text = "The same draws are held against formulas that are wrong. An experiment that does not refute them could not \
                tell right from wrong.";
    Ok([Block::Text(text.into())].into_iter().chain(rows).collect())
}

fn method(recorded: &Recorded) -> Result<Vec<Block>> {
    let manifest = &recorded.manifest;
    let mut blocks = vec![
        Block::Text(manifest.method.clone()),
        Block::Text(format!(
            "Source of the claim and of the exact form: {}.",
            manifest.source.trim_end_matches('.')
        )),
    ];
    let mut setups =
        Table::new(["set-up", "draws at which the data are looked at", "confidence of each interval"]);
    for setup in &manifest.setups {
        let looks: Vec<String> = setup.looks.counts().iter().map(usize::to_string).collect();
        let confidence = format!("{:.4}", setup.looks.confidence());
        setups.push([setup.name.as_str().into(), looks.join(", ").into(), confidence.into()])?;
    }
    let looks = "Draws are added until every row is decided, at looks fixed beforehand; with k looks each interval has \
                 confidence 1 − 0.05/k, so that all of them together err with at most 5 %.";
    blocks.extend([Block::Text(looks.into()), Block::Table("Set-ups".into(), setups)]);
    let mut reasons = Table::new(["why this tolerance", "rows"]);
    for argued in &manifest.tolerances {
        let first = argued.rows.iter().take(4).map(String::as_str).collect::<Vec<_>>().join(", ");
        let rest = argued.rows.len().saturating_sub(4);
        let rows = if rest > 0 { format!("{first} and {rest} more") } else { first };
        reasons.push([argued.reason.as_str().into(), rows.into()])?;
    }
    blocks.push(Block::Table("Tolerances, argued before the run".into(), reasons));
    blocks.push(Block::Text("Parameters:".into()));
    blocks.push(Block::Code(manifest.parameters.to_string()));
    Ok(blocks)
}

fn record(recorded: &Recorded) -> Result<Vec<Block>> {
    let run = &recorded.run;
    let mut facts = Table::new(["what", "value"]);
    let seconds = run.seconds.map_or_else(String::new, |seconds| format!("{seconds:.1} s"));
    for (what, value) in [
        ("experiment", run.experiment.clone()),
        ("seed", run.seed.to_string()),
        ("xexp", format!("{} ({})", run.version, run.machine.target)),
        ("device", run.device.clone()),
        ("processor", run.machine.cpu.clone().unwrap_or_default()),
        ("threads", run.machine.threads.to_string()),
        ("begun", run.started.clone()),
        ("ended", run.finished.clone().unwrap_or_default()),
        ("measuring took", seconds),
    ] {
        facts.push([what.into(), value.into()])?;
    }
    let mut hashes = Table::new(["file", "SHA-256"]);
    for (name, hash) in &run.sha256 {
        hashes.push([name.as_str().into(), hash.as_str().into()])?;
    }
    Ok(vec![
        Block::Text("This command makes the same tables again:".into()),
        Block::Code(run.command.clone()),
        Block::Table(String::new(), facts),
        Block::Table(
            "manifest.toml and predicted.csv were written and hashed before anything was measured.".into(),
            hashes,
        ),
    ])
}

/// How the claims of a recorded experiment came out.
pub(super) fn claims_of(recorded: &Recorded) -> Vec<ClaimAccount> {
    ClaimAccount::of(&recorded.judged)
}
