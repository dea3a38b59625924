//! What is wrong, by rules that say where, with the number that shows it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::heads;
use crate::sheet::{Row, Sheet, Value, shown};

/// A rule: its name for `--fail-on`, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    /// What it finds.
    pub what: &'static str,
}

/// All rules.
pub const RULES: &[Rule] = &[
    Rule { name: "nan", what: "a weight with values that are no numbers or infinite" },
    Rule { name: "f16", what: "a weight or an activation beyond 65504, the largest number of binary16" },
    Rule { name: "dead", what: "a norm whose gains are all nearly 0: nothing comes through" },
    Rule { name: "scale", what: "a weight four times larger or smaller than its like in the other blocks" },
    Rule { name: "outlier", what: "a row, column, gain or channel fifty times the median one" },
    Rule {
        name: "frozen",
        what: "a block half of whose heads are frozen: σ²_row above 2 ln n, and not on a sink",
    },
    Rule { name: "uniform", what: "a block whose heads are all uniform where the others' are not" },
    Rule { name: "collapse", what: "tokens that have become one: cosine above 0.99" },
    Rule {
        name: "gradient",
        what: "gradients that differ a thousandfold between the first and the last block",
    },
];

/// Something wrong, and where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Finding {
    /// The rule's name.
    pub rule: &'static str,
    /// The block.
    pub layer: Option<usize>,
    /// The tensor's key, or the place's name.
    pub tensor: String,
    /// The number that shows it.
    pub value: f64,
    /// What it is held against.
    pub bound: f64,
    /// All of it in words.
    pub text: String,
}

/// What is wrong, and what is only seen behind something wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Findings {
    /// What is wrong, in the order of the model.
    pub faults: Vec<Finding>,
    /// What was measured behind a fault: it may be the fault's doing.
    pub behind: Vec<Finding>,
}

/// A name without its numbers: what the same weight is called in every block.
fn role(name: &str) -> String {
    let part = |part: &str| {
        if part.bytes().all(|b| b.is_ascii_digit()) { "*".to_string() } else { part.to_string() }
    };
    name.split('.').map(part).collect::<Vec<_>>().join(".")
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Applies the rules to what was measured.
pub fn find(sheets: &[Sheet], norms: &[String]) -> Findings {
    let sheet = |id: &str| sheets.iter().find(|sheet| sheet.id == id);
    let mut faults = sheet("weights").map(|sheet| of_weights(sheet, norms)).unwrap_or_default();
    // What lies outside the blocks is a stem, or a top if it is declared behind the blocks' weights.
    let weights = sheet("weights").map_or(&[][..], |sheet| &sheet.rows[..]);
    let stem = weights.iter().take_while(|row| row.layer.is_none()).map(|row| &row.name[..]);
    let places = sheet("stream").map_or(&[][..], |sheet| &sheet.rows[..]).iter().map(|row| &row.name[..]);
    let front: BTreeSet<&str> = stem.chain(places).collect();
    let depth = |finding: &Finding| match finding.layer {
        Some(layer) => layer as i64,
        None if front.contains(&finding.tensor[..]) => -1,
        None => i64::MAX,
    };
    let mut first = faults.iter().map(depth).min();
    let mut behind = vec![];
    let mut seen: Vec<Finding> = vec![];
    seen.extend(sheet("stream").map(of_stream).unwrap_or_default());
    seen.extend(sheet("heads").map(of_heads).unwrap_or_default());
    seen.extend(sheet("products").map(of_products).unwrap_or_default());
    seen.extend(sheet("gradients").map(of_gradients).unwrap_or_default());
    seen.sort_by_key(|finding| (finding.rule == "gradient", depth(finding)));
    for finding in seen {
        // A gradient has come through all blocks.
        let spoilt = finding.rule == "gradient" && !faults.is_empty();
        if spoilt || first.is_some_and(|first| first <= depth(&finding)) {
            behind.push(finding);
        } else {
            // What grows or dies in one block is found again in all that follow.
            if matches!(finding.rule, "outlier" | "collapse" | "f16") {
                first = Some(depth(&finding));
            }
            faults.push(finding);
        }
    }
    faults.sort_by_key(depth);
    Findings { faults, behind }
}

fn finding(rule: &'static str, row: &Row, value: f64, bound: f64, text: String) -> Finding {
    Finding { rule, layer: row.layer, tensor: row.name.clone(), value, bound, text }
}

fn of_weights(sheet: &Sheet, norms: &[String]) -> Vec<Finding> {
    let mut found = vec![];
    let mut by_role: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in &sheet.rows {
        by_role.entry(role(&row.name)).or_default().push(row);
    }
    let is_norm =
        |row: &Row| norms.iter().any(|name| name == &row.name || name.ends_with(&format!(".{}", row.name)));
    let gains =
        sheet.rows.iter().filter(|row| is_norm(row)).filter_map(|row| sheet.number(row, "max")).collect();
    let usual_gain = median(gains);
    let as_new = |row: &Row| matches!(sheet.get(row, "nearest"), Some(Value::Text(text)) if text.starts_with("as new"));
    for row in &sheet.rows {
        let number = |column| sheet.number(row, column);
        let bad = number("nan").unwrap_or(0.0) + number("inf").unwrap_or(0.0);
        if bad > 0.0 {
            found.push(finding("nan", row, bad, 0.0, format!("{bad} values are not finite")));
            continue;
        }
        let max = number("max").unwrap_or(0.0);
        if max > crate::headroom::F16 {
            let text = format!(
                "its largest value is {}, beyond the {:.0} of binary16",
                shown(max),
                crate::headroom::F16
            );
            found.push(finding("f16", row, max, crate::headroom::F16, text));
            continue;
        }
        if let Some(usual) = usual_gain.filter(|usual| is_norm(row) && !as_new(row) && max < 0.01 * usual) {
            let text = format!(
                "its largest gain is {}, where other norms have {usual:.2}: nothing comes through",
                shown(max)
            );
            found.push(finding("dead", row, max, 0.01 * usual, text));
            continue;
        }
        let like = by_role.get(&role(&row.name)).map_or(&[][..], |rows| &rows[..]);
        let others = |column: &str| median(like.iter().filter_map(|row| sheet.number(row, column)).collect());
        let matrix = number("fan_in").is_some();
        if let (Some(peak), Some(usual)) = (number("peak"), others("peak"))
            && peak > 50.0
            && !as_new(row)
            && (matrix || is_norm(row))
            && (like.len() < 3 || peak > 5.0 * usual)
        {
            let text = format!("its largest row, column or value is {peak:.0} times the median one");
            found.push(finding("outlier", row, peak, 50.0, text));
            continue;
        }
        if let (Some(std), Some(usual), true, true) = (number("std"), others("std"), like.len() > 2, matrix)
            && usual > 0.0
        {
            let ratio = std / usual;
            if !(0.25..=4.0).contains(&ratio) {
                let text = format!(
                    "its standard deviation {} is {} times that of its like in other blocks",
                    shown(std),
                    shown(ratio)
                );
                found.push(finding("scale", row, ratio, if ratio > 1.0 { 4.0 } else { 0.25 }, text));
                continue;
            }
        }
    }
    found
}

fn of_stream(sheet: &Sheet) -> Vec<Finding> {
    let mut found = vec![];
    let mut before: Option<&Row> = None;
    for row in &sheet.rows {
        let channel = sheet.number(row, "channel").unwrap_or(0.0);
        let earlier = before.and_then(|row| sheet.number(row, "channel")).unwrap_or(0.0);
        // Between stages the channels are others.
        if channel > 50.0 && earlier < channel / 4.0 && (row.layer.is_some() || before.is_none()) {
            let which = match sheet.get(row, "outliers") {
                Some(Value::Text(text)) => text.clone(),
                _ => String::new(),
            };
            let text = format!(
                "a channel of the stream is {channel:.0} times the median one, {earlier:.1} in front: {which}"
            );
            found.push(finding("outlier", row, channel, 50.0, text));
        }
        let (cosine, earlier) =
            (sheet.number(row, "cosine").unwrap_or(0.0), before.and_then(|row| sheet.number(row, "cosine")));
        let expected = sheet.reading(row, "cosine").and_then(|reading| reading.expected).unwrap_or(0.0);
        if cosine > 0.99 && expected < 0.97 && earlier.unwrap_or(0.0) <= 0.99 {
            let text = format!("the tokens of a sequence have become one: their mean cosine is {cosine:.4}");
            found.push(finding("collapse", row, cosine, 0.99, text));
        }
        let max = sheet.number(row, "max").unwrap_or(0.0);
        if max > crate::headroom::F16 {
            let text = format!(
                "the stream reaches {}, beyond the {:.0} of binary16",
                shown(max),
                crate::headroom::F16
            );
            found.push(finding("f16", row, max, crate::headroom::F16, text));
        }
        before = Some(row);
    }
    found
}

fn of_products(sheet: &Sheet) -> Vec<Finding> {
    let beyond = |row: &&Row| sheet.number(row, "max").is_some_and(|max| max > crate::headroom::F16);
    let one = |row: &Row| {
        let max = sheet.number(row, "max").unwrap_or(0.0);
        let text =
            format!("its results reach {}, beyond the {:.0} of binary16", shown(max), crate::headroom::F16);
        finding("f16", row, max, crate::headroom::F16, text)
    };
    sheet.rows.iter().filter(beyond).map(one).collect()
}

fn of_heads(sheet: &Sheet) -> Vec<Finding> {
    let mut blocks: BTreeMap<usize, Vec<&Row>> = BTreeMap::new();
    for row in &sheet.rows {
        blocks.entry(row.layer.unwrap_or(0)).or_default().push(row);
    }
    let mean = |rows: &[&Row], column: &str| {
        let values: Vec<f64> = rows.iter().filter_map(|row| sheet.number(row, column)).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    };
    let all: Vec<f64> = blocks.values().filter_map(|rows| mean(rows, "entropy")).collect();
    let usual = median(all).unwrap_or(1.0);
    let mut found = vec![];
    for rows in blocks.values() {
        let number = |row: &Row, column| sheet.number(row, column).unwrap_or(0.0);
        let frozen = |row: &&&Row| {
            let sink = number(row, "first").max(number(row, "special"));
            number(row, "heat") > 1.0 && sink < 0.5
        };
        let count = rows.iter().filter(frozen).count();
        if 2 * count >= rows.len() && count > 0 {
            let share = count as f64 / rows.len() as f64;
            let heat = mean(rows, "heat").unwrap_or(0.0);
            let text = format!(
                "{count} of {} heads are frozen: σ²_row/(2 ln n) is {heat:.2} in the mean, above 1 the softmax has few keys left",
                rows.len()
            );
            found.push(Finding { layer: rows[0].layer, ..finding("frozen", rows[0], share, 0.5, text) });
        }
        if let Some(entropy) = mean(rows, "entropy")
            && entropy > 1.0 - (1.0 - heads::UNIFORM) / 10.0
            && usual < heads::UNIFORM
        {
            let text = format!(
                "its heads attend to all keys alike: H/ln n is {entropy:.4}, {usual:.3} in the median block"
            );
            found.push(finding("uniform", rows[0], entropy, 0.999, text));
        }
    }
    found
}

fn of_gradients(sheet: &Sheet) -> Vec<Finding> {
    let (Some(first), Some(last)) = (sheet.rows.first(), sheet.rows.last()) else { return vec![] };
    // Without an expectation nothing says what is too much: batch norms at rest shrink gradients of new networks.
    let reading = sheet.reading(first, "stream_gradient");
    let Some(ratio) = reading.and_then(|reading| reading.ratio()) else { return vec![] };
    if (1e-3..=1e3).contains(&ratio) || sheet.rows.len() < 2 {
        return vec![];
    }
    let text = format!(
        "the stream's gradient here is {} times what is expected of that behind {}",
        shown(ratio),
        last.name
    );
    vec![finding("gradient", first, ratio, if ratio > 1.0 { 1e3 } else { 1e-3 }, text)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_weight_of_other_blocks_has_the_same_role() {
        assert_eq!(
            role("bert.encoder.layer.3.attention.self.query.weight"),
            role("bert.encoder.layer.11.attention.self.query.weight")
        );
        assert_ne!(role("h.1.attn.c_attn.weight"), role("h.1.attn.c_proj.weight"));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
    }
}
