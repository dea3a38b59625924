//! The report of an inspection, for a terminal and as pages.

use xexp_report::plot::{Grid, LineChart, Series};
use xexp_report::{Block, Cell, Finding as Shown, Mark, Page, Section, Table};

use crate::findings::Finding;
use crate::sheet::Sheet;
use crate::{Inspection, Result};

/// How a cell with an expectation is to be read.
const LEGEND: &str = "Numbers in parentheses: what new weights by the family's own initializer give, and by how many standard \
                      deviations over draws of such weights the measured number is off. No parentheses: no formula says.";

/// The same where two models stand beside each other.
const PAIRED: &str =
    "Numbers in parentheses: those of the first model; of the ranks of changes, what noise would give.";

/// What the parentheses hold.
fn legend(inspection: &Inspection) -> &'static str {
    if is_pair(inspection) { PAIRED } else { LEGEND }
}

/// Whether two models stand beside each other.
fn is_pair(inspection: &Inspection) -> bool {
    inspection.sheet("changes").is_some()
}

/// What a heat map shows of heads: column, heading, range.
const MAPS: &[(&str, &str, (f64, f64))] = &[
    ("entropy", "Entropy over ln of the visible keys", (0.0, 1.0)),
    ("heat", "Heat σ²/(2 ln n): frozen above 1", (0.0, 2.0)),
    ("first", "Share of the first token", (0.0, 1.0)),
    ("special", "Share of special tokens", (0.0, 1.0)),
];

/// What a chart shows by depth: sheet, heading, columns.
const CHARTS: &[(&str, &str, &[&str])] = &[
    ("stream", "Size of the stream by depth", &["rms", "rms_special"]),
    ("stream", "Likeness of tokens by depth", &["cosine", "cosine_centred"]),
    ("stream", "Effective rank by depth", &["rank"]),
    ("gradients", "Gradient of the stream over that behind the last block", &["stream_gradient"]),
];

/// Text for a terminal: facts, findings, advice, and the sheets' chief columns.
///
/// # Errors
/// None in practice: sheets' rows fit their columns.
pub fn text(inspection: &Inspection) -> Result<String> {
    let mut out = String::new();
    for (what, how) in &inspection.facts {
        out.push_str(&format!("{what}: {how}\n"));
    }
    let list = |out: &mut String, heading: &str, all: &[Finding]| {
        if all.is_empty() {
            return;
        }
        out.push_str(&format!("\n{heading}:\n"));
        for finding in all {
            let place = finding.layer.map_or(String::new(), |layer| format!(" block {layer},"));
            out.push_str(&format!("  {}:{place} {}: {}\n", finding.rule, finding.tensor, finding.text));
        }
    };
    if inspection.findings.faults.is_empty() {
        out.push_str("\nfindings: none\n");
    }
    list(&mut out, "findings", &inspection.findings.faults);
    list(&mut out, "measured behind these, and perhaps their doing", &inspection.findings.behind);
    if !inspection.advice.is_empty() {
        out.push_str("\nadvice:\n");
        for advice in &inspection.advice {
            let line =
                format!("  {}: {}\n    [{}; {}]\n", advice.about, advice.text, advice.formula, advice.source);
            out.push_str(&line);
        }
    }
    out.push_str(&format!("\n{}\n", legend(inspection)));
    for sheet in &inspection.sheets {
        out.push_str(&format!("\n{}\n\n{}", sheet.title, sheet.table(true)?.markdown()));
    }
    Ok(out)
}

/// The page: what stands in [`text`], with plots by depth and heat maps by layer and head.
///
/// # Errors
/// None in practice: sheets' rows fit their columns.
pub fn page(inspection: &Inspection, model: &str, command: &str) -> Result<Page> {
    let mut about = vec![Block::Code(command.to_string())];
    let facts = inspection.facts.iter().map(|(what, how)| format!("{what}: {how}")).collect::<Vec<_>>();
    about.push(Block::Code(facts.join("\n")));
    about.push(Block::Text(legend(inspection).into()));
    let mut sections = vec![
        Section { heading: "Findings".into(), blocks: findings(inspection) },
        Section { heading: "Advice".into(), blocks: vec![Block::Findings(advice(inspection))] },
    ];
    let plots = plots(inspection);
    if !plots.is_empty() {
        let said = Block::Text("Lines by depth, and shades by block and head; as files in plots/.".into());
        let blocks = std::iter::once(said).chain(plots).collect();
        sections.push(Section { heading: "By depth and head".into(), blocks });
    }
    // The weights, by far the longest, stand behind what they make.
    let (weights, others): (Vec<&Sheet>, Vec<&Sheet>) =
        inspection.sheets.iter().partition(|sheet| sheet.id == "weights");
    for sheet in others.into_iter().chain(weights) {
        sections.push(Section {
            heading: sheet.title.into(),
            blocks: vec![
                Block::Table(String::new(), sheet.table(false)?),
                Block::Table("The columns".into(), columns(sheet)?),
            ],
        });
    }
    sections.push(Section { heading: "How it was made".into(), blocks: about });
    let summary =
        "Every number stands beside what new weights of the family's own initializer would give.".to_string();
    Ok(Page { title: format!("{model}, inspected"), summary, sections })
}

/// What the columns of a sheet are.
fn columns(sheet: &Sheet) -> Result<Table> {
    let mut table = Table::new(["column", "what it is, and what is expected of it"]);
    for column in sheet.columns {
        table.push([Cell::from(column.name), Cell::from(column.what)])?;
    }
    Ok(table)
}

fn findings(inspection: &Inspection) -> Vec<Block> {
    let shown = |mark: Mark| {
        move |finding: &Finding| {
            let place = finding.layer.map_or(String::new(), |layer| format!("block {layer}, "));
            Shown {
                mark,
                word: finding.rule.into(),
                text: format!("{place}{}", finding.tensor),
                notes: vec![finding.text.clone()],
                link: None,
            }
        }
    };
    let faults = &inspection.findings.faults;
    let mut blocks = match faults.is_empty() {
        true => vec![Block::Text("Nothing that the rules know is wrong.".into())],
        false => vec![Block::Findings(faults.iter().map(shown(Mark::Bad)).collect())],
    };
    if !inspection.findings.behind.is_empty() {
        blocks.push(Block::Text("Measured behind these, and perhaps their doing:".into()));
        blocks.push(Block::Findings(inspection.findings.behind.iter().map(shown(Mark::Open)).collect()));
    }
    blocks
}

fn advice(inspection: &Inspection) -> Vec<Shown> {
    let shown = |advice: &crate::advice::Advice| Shown {
        mark: Mark::Good,
        word: advice.about.into(),
        text: advice.text.clone(),
        notes: vec![format!("{} ({})", advice.formula, advice.source)],
        link: None,
    };
    inspection.advice.iter().map(shown).collect()
}

/// Charts by depth, and heat maps by layer and head.
pub fn plots(inspection: &Inspection) -> Vec<Block> {
    let mut blocks = vec![];
    let other = if is_pair(inspection) { "the first model" } else { "expected of new weights" };
    for (id, title, columns) in CHARTS {
        let Some(sheet) = inspection.sheet(id) else { continue };
        let mut series = vec![];
        for column in *columns {
            let readings: Vec<(f64, crate::Reading)> = sheet
                .rows
                .iter()
                .enumerate()
                .filter_map(|(index, row)| Some((index as f64, sheet.reading(row, column)?)))
                .collect();
            let points = readings.iter().map(|(x, reading)| (*x, reading.value)).collect::<Vec<_>>();
            let expected: Vec<(f64, f64)> =
                readings.iter().filter_map(|(x, reading)| Some((*x, reading.expected?))).collect();
            if !points.is_empty() {
                series.push(Series { name: (*column).into(), points });
            }
            if !expected.is_empty() {
                series.push(Series { name: format!("{column}, {other}"), points: expected });
            }
        }
        if series.iter().any(|series| series.points.len() > 1) {
            let (x_label, y_label) = ("place along the depth".into(), columns[0].into());
            blocks.push(Block::Plot(LineChart { title: (*title).into(), x_label, y_label, series }.svg()));
        }
    }
    let Some(heads) = inspection.sheet("heads") else { return blocks };
    for (column, title, range) in MAPS {
        if let Some(grid) = grid(heads, column, title, *range) {
            blocks.push(Block::Plot(grid.svg()));
        }
    }
    let norms: Vec<f64> = heads.rows.iter().filter_map(|row| heads.number(row, "qk_norm")).collect();
    let most = norms.iter().copied().fold(0.0, f64::max);
    blocks.extend(grid(heads, "qk_norm", "‖W_Q W_Kᵀ‖/√d_k", (0.0, most)).map(|grid| Block::Plot(grid.svg())));
    blocks
}

fn grid(heads: &Sheet, column: &str, title: &str, range: (f64, f64)) -> Option<Grid> {
    let layers = heads.rows.iter().filter_map(|row| row.layer).max()?;
    let mut values = vec![vec![]; layers + 1];
    for row in &heads.rows {
        let (Some(layer), Some(head)) = (row.layer, row.head) else { continue };
        let line: &mut Vec<Option<f64>> = &mut values[layer];
        line.resize(line.len().max(head + 1), None);
        line[head] = heads.number(row, column);
    }
    let any = values.iter().flatten().any(Option::is_some);
    let (row_label, column_label) = ("block".to_string(), "head".to_string());
    any.then(|| Grid { title: title.into(), row_label, column_label, values, range })
}
