//! The figures that rows ask for, and one for the others.

use super::super::{Figure, Judgement, Recorded, Rule};
use crate::plot::{Curve, CurveChart, Forest, Kind, Mark, Ratio, Svg};

/// File name of the plot of all rows without a figure.
const RATIOS: &str = "measured-over-predicted";
/// Rows of one such plot; more would not be read.
const MOST: usize = 60;

/// Every plot with its file name.
pub(super) fn all(recorded: &Recorded) -> Vec<(String, Svg)> {
    let mut plots = vec![];
    for figure in &recorded.manifest.figures {
        let named = figure.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let curves = curves(figure, &recorded.judged);
        // A name that is no plain file name comes from no run of ours.
        if named && !figure.name.is_empty() && !curves.is_empty() {
            let chart = CurveChart {
                title: figure.title.clone(),
                x_label: figure.x_label.clone(),
                y_label: figure.y_label.clone(),
                log_x: figure.log_x,
                log_y: figure.log_y,
                curves,
            };
            plots.push((figure.name.clone(), chart.svg()));
        }
    }
    let ratios: Vec<Ratio> = recorded.judged.iter().filter_map(ratio).collect();
    for (part, rows) in ratios.chunks(MOST).enumerate() {
        let name = if part == 0 { RATIOS.to_owned() } else { format!("{RATIOS}-{}", part + 1) };
        let forest = Forest { title: "Measured over predicted".into(), rows: rows.to_vec() };
        plots.push((name, forest.svg()));
    }
    plots
}

/// The lines of a figure: a series' theory with its measurements, its wrong formula, and what the document says where
/// that is another value.
fn curves(figure: &Figure, judged: &[Judgement]) -> Vec<Curve> {
    let mut names: Vec<&str> = vec![];
    let mut curves: Vec<Curve> = vec![];
    for judgement in judged {
        let Some(point) = judgement.row.point.as_ref().filter(|point| point.figure == figure.name) else {
            continue;
        };
        let colour = names.iter().position(|name| *name == point.series).unwrap_or_else(|| {
            names.push(&point.series);
            names.len() - 1
        });
        let row = &judgement.row;
        if !row.control {
            let estimate = &judgement.measured.estimate;
            let (value, low, high) = (judgement.measured.value, estimate.low, estimate.high);
            let mark = Mark { x: point.x, value, low, high };
            curve(&mut curves, (&point.series, colour, Kind::Theory)).marks.push(mark);
        }
        if let Some(rule) = row.predicted {
            let kind = match rule {
                _ if row.control => Kind::Control,
                Rule::Near { .. } => Kind::Theory,
                Rule::AtMost { .. } | Rule::AtLeast { .. } => Kind::Bound,
            };
            curve_point(&mut curves, (&point.series, colour, kind), (point.x, rule.value()));
        }
        if let Some(says) =
            row.claim.as_ref().map(|claim| claim.says).filter(|says| differs(*says, row.predicted))
        {
            curve_point(&mut curves, (&point.series, colour, Kind::Document), (point.x, says.value()));
        }
    }
    for curve in &mut curves {
        curve.line.sort_by(|a, b| a.0.total_cmp(&b.0));
        curve.marks.sort_by(|a, b| a.x.total_cmp(&b.x));
    }
    curves
}

fn curve<'a>(curves: &'a mut Vec<Curve>, (name, colour, kind): (&str, usize, Kind)) -> &'a mut Curve {
    let place =
        curves.iter().position(|curve| curve.name == name && curve.kind == kind).unwrap_or_else(|| {
            curves.push(Curve { name: name.to_owned(), colour, kind, line: vec![], marks: vec![] });
            curves.len() - 1
        });
    &mut curves[place]
}

fn curve_point(curves: &mut Vec<Curve>, of: (&str, usize, Kind), point: (f64, f64)) {
    curve(curves, of).line.push(point);
}

/// Whether the document says another value than the theory.
fn differs(says: Rule, predicted: Option<Rule>) -> bool {
    let far = |rule: Rule| {
        let apart = (says.value() - rule.value()).abs();
        says.sign() != rule.sign() || apart > 0.01 * says.value().abs().max(rule.value().abs())
    };
    predicted.is_none_or(far)
}

/// A row that stands in no figure, if it predicts a value other than 0.
fn ratio(judgement: &Judgement) -> Option<Ratio> {
    let row = &judgement.row;
    let Some(Rule::Near { value, tolerance }) = row.predicted else { return None };
    if row.point.is_some() || row.control || value == 0.0 {
        return None;
    }
    let estimate = &judgement.measured.estimate;
    let (a, b) = (estimate.low / value, estimate.high / value);
    let ratio = Ratio {
        name: row.row.clone(),
        value: judgement.measured.value / value,
        low: a.min(b),
        high: a.max(b),
        tolerance: tolerance / value.abs(),
    };
    [ratio.value, ratio.low, ratio.high, ratio.tolerance].iter().all(|x| x.is_finite()).then_some(ratio)
}
