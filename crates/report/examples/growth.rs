//! Charts of the table that `tests/bench/growth.py` records: time and memory along each of its axes.
//!
//! ```text
//! growth TABLE.csv FOLDER
//! ```
//! Writes `FOLDER/growth-AXIS.svg`. Both scales go by powers of ten, so that what grows in proportion lies on a line. The lines are
//! predictions of growth, not of size: time as the operations of the matrix products, memory above its constant part as the
//! axis's own variable, both through the last point.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use xexp_report::atomic;
use xexp_report::plot::{Curve, CurveChart, Kind, Mark};

type Result<T> = std::result::Result<T, Box<dyn Error>>;
/// A line of the table by its columns.
type Row = BTreeMap<String, String>;

/// Name of an axis, which is also its column; the chart's title; the label below.
const AXES: [(&str, &str, &str); 4] = [
    ("batch", "Growth with the batch: width 256, 4 layers", "sequences of 64 tokens"),
    ("depth", "Growth with the depth: 16 × 64 tokens, width 256", "layers"),
    ("width", "Growth with the width: 16 × 64 tokens, 4 layers", "width"),
    ("length", "Growth with the length: one sequence, width 128, 2 layers", "tokens"),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [table, folder] = arguments.as_slice() else { return Err("growth TABLE.csv FOLDER".into()) };
    let rows: Vec<Row> =
        csv::Reader::from_path(table)?.deserialize().collect::<std::result::Result<_, _>>()?;
    if let Some(row) = rows.iter().find(|row| !AXES.iter().any(|axis| field(row, "axis") == Ok(axis.0))) {
        return Err(format!("{table}: an axis that is not known here, {:?}", row.get("axis")).into());
    }
    for (axis, title, x_label) in AXES {
        let mut curves = vec![];
        for mode in ["step", "forward"] {
            let here = |row: &&Row| field(row, "axis") == Ok(axis) && field(row, "mode") == Ok(mode);
            let part: Vec<&Row> = rows.iter().filter(here).collect();
            if !part.is_empty() {
                let what = if mode == "step" { "a step" } else { "a forward pass" };
                curves.push(time(&part, axis, what, curves.len())?);
                curves.push(memory(&part, axis, what, curves.len())?);
            }
        }
        if curves.is_empty() {
            return Err(format!("{table}: no rows of the axis {axis:?}").into());
        }
        let chart = CurveChart {
            title: title.into(),
            x_label: x_label.into(),
            y_label: "ms, or MB above the constant part".into(),
            log_x: true,
            log_y: true,
            curves,
        };
        atomic::write(Path::new(folder).join(format!("growth-{axis}.svg")), chart.svg().as_str())?;
    }
    Ok(())
}

/// Milliseconds with the range of the rounds, beside the operations.
fn time(rows: &[&Row], axis: &str, what: &str, colour: usize) -> Result<Curve> {
    let mark = |row: &&Row| -> Result<Mark> {
        let (low, high) = (number(row, "ms_low")?, number(row, "ms_high")?);
        Ok(Mark { x: number(row, axis)?, value: number(row, "ms")?, low, high })
    };
    let marks = rows.iter().map(mark).collect::<Result<Vec<_>>>()?;
    let operations = rows.iter().map(|row| number(row, "gflop")).collect::<Result<Vec<_>>>()?;
    Ok(proportional(format!("ms of {what}; line: as the operations"), colour, marks, &operations))
}

/// Megabytes above the constant part, beside the axis's variable.
fn memory(rows: &[&Row], axis: &str, what: &str, colour: usize) -> Result<Curve> {
    let mark = |row: &&Row| -> Result<Mark> {
        let value = number(row, "mb")? - number(row, "mb_constant")?;
        Ok(Mark { x: number(row, axis)?, value, low: value, high: value })
    };
    let marks = rows.iter().map(mark).collect::<Result<Vec<_>>>()?;
    let variable: Vec<f64> = marks.iter().map(|mark| mark.x).collect();
    Ok(proportional(format!("MB of {what}; line: as the {axis}"), colour, marks, &variable))
}

/// Measurements with the line of what they should be in proportion to.
fn proportional(name: String, colour: usize, marks: Vec<Mark>, to: &[f64]) -> Curve {
    let factor = marks.last().zip(to.last()).map_or(0.0, |(mark, to)| mark.value / to);
    let line = marks.iter().zip(to).map(|(mark, to)| (mark.x, factor * to)).collect();
    Curve { name, colour, kind: Kind::Theory, line, marks }
}

fn field<'a>(row: &'a Row, column: &str) -> std::result::Result<&'a str, String> {
    row.get(column).map(String::as_str).ok_or_else(|| format!("the table has no column {column:?}"))
}

fn number(row: &Row, column: &str) -> Result<f64> {
    let text = field(row, column)?;
    text.parse().map_err(|_| format!("{column}: expected a number, found {text:?}").into())
}
