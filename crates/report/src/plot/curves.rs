//! Predictions as lines, measurements as points with intervals.

use super::axis::Axis;
use super::frame::{Frame, LEGEND_LINE, WIDTH, colour, legend, legend_height};
use super::svg::{Anchor, Canvas, Svg};

/// What a line stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The exact theory: a solid line.
    Theory,
    /// A bound of the exact theory: a thin solid line.
    Bound,
    /// A wrong formula that must be refuted: a dashed line.
    Control,
    /// What the document says: a dotted line.
    Document,
}

/// A measured value with its interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Place to the right.
    pub x: f64,
    /// What was measured.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
}

/// A line with the measurements that belong to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Name in the legend.
    pub name: String,
    /// Colour: curves of the same number have the same.
    pub colour: usize,
    /// What the line stands for.
    pub kind: Kind,
    /// The line's points, from left to right.
    pub line: Vec<(f64, f64)>,
    /// What was measured.
    pub marks: Vec<Mark>,
}

/// Predictions and measurements against a common axis.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveChart {
    /// Heading of the chart.
    pub title: String,
    /// What runs to the right.
    pub x_label: String,
    /// What runs upwards.
    pub y_label: String,
    /// Powers of ten to the right.
    pub log_x: bool,
    /// Powers of ten upwards.
    pub log_y: bool,
    /// The lines.
    pub curves: Vec<Curve>,
}

impl CurveChart {
    /// The chart. What has no place on an axis, such as 0 among powers of ten, is left out and counted in the legend.
    pub fn svg(&self) -> Svg {
        let axis = |log: bool, values: Vec<f64>| {
            let values = values.into_iter();
            if log { Axis::powers_over(values) } else { Axis::over(values) }
        };
        let points: Vec<(f64, f64)> = self.curves.iter().flat_map(every).collect();
        let x_axis = axis(self.log_x, points.iter().map(|point| point.0).collect());
        let y_axis = axis(self.log_y, points.iter().map(|point| point.1).collect());
        let texts: Vec<String> = self.curves.iter().map(|curve| entry(curve, &x_axis, &y_axis)).collect();
        let entries = legend(&texts);
        let frame = Frame::below(legend_height(&entries), x_axis, y_axis);
        let mut canvas = Canvas::new(&self.title, WIDTH, frame.height());
        frame.draw(&mut canvas, &self.x_label, &self.y_label);
        if !points.iter().any(|point| frame.holds(*point)) {
            frame.note(&mut canvas, "nothing to show");
        }
        for curve in &self.curves {
            draw_line(&mut canvas, &frame, curve);
        }
        for curve in &self.curves {
            draw_marks(&mut canvas, &frame, curve);
        }
        for (curve, entry) in self.curves.iter().zip(&entries) {
            let y = 36.0 + LEGEND_LINE * entry.line;
            if !curve.line.is_empty() {
                canvas.line((entry.x, y), (entry.x + 22.0, y), &stroke(curve));
            }
            if !curve.marks.is_empty() {
                canvas.circle((entry.x + 11.0, y), 3.0, &fill(curve));
            }
            canvas.label(entry.x + 28.0, y + 4.0, 11.0, Anchor::Start, &entry.text);
        }
        canvas.finish()
    }
}

/// All points that the axes should hold. Intervals may be cut.
fn every(curve: &Curve) -> Vec<(f64, f64)> {
    let marks = curve.marks.iter().flat_map(|mark| [(mark.x, mark.value), (mark.x, mark.high)]);
    curve.line.iter().copied().chain(marks).collect()
}

fn entry(curve: &Curve, x: &Axis, y: &Axis) -> String {
    let mut text = match curve.kind {
        Kind::Theory => curve.name.clone(),
        Kind::Bound => format!("{} (bound)", curve.name),
        Kind::Control => format!("{} (wrong formula)", curve.name),
        Kind::Document => format!("{} (the document)", curve.name),
    };
    let marks = curve.marks.iter().map(|mark| (mark.x, mark.value));
    let hidden = curve.line.iter().copied().chain(marks).filter(|p| !x.holds(p.0) || !y.holds(p.1)).count();
    if hidden > 0 {
        text.push_str(&format!(" ({hidden} off the axes)"));
    }
    text
}

fn stroke(curve: &Curve) -> String {
    let dash = match curve.kind {
        Kind::Theory | Kind::Bound => "none",
        Kind::Control => "7 4",
        Kind::Document => "2 3",
    };
    let width = if curve.kind == Kind::Bound { 0.9 } else { 1.8 };
    format!(r#"stroke="{}" stroke-width="{width}" stroke-dasharray="{dash}""#, colour(curve.colour))
}

fn fill(curve: &Curve) -> String {
    format!(r#"fill="{}""#, colour(curve.colour))
}

fn draw_line(canvas: &mut Canvas, frame: &Frame, curve: &Curve) {
    for run in curve.line.split(|point| !frame.holds(*point)) {
        let run: Vec<(f64, f64)> = run.iter().map(|point| frame.at(*point)).collect();
        match run.as_slice() {
            [] => {}
            // A line of one point is still to be seen.
            [(x, y)] => canvas.line((x - 9.0, *y), (x + 9.0, *y), &stroke(curve)),
            run => canvas.path(run, &stroke(curve)),
        }
    }
}

fn draw_marks(canvas: &mut Canvas, frame: &Frame, curve: &Curve) {
    let whisker = format!(r#"stroke="{}" stroke-width="1.2""#, colour(curve.colour));
    for mark in curve.marks.iter().filter(|mark| frame.holds((mark.x, mark.value))) {
        let (x, y) = frame.at((mark.x, mark.value));
        let end =
            |value: f64| Some(value).filter(|v| frame.holds((mark.x, *v))).map(|v| frame.at((mark.x, v)).1);
        // An end below a logarithmic axis is drawn down to the axis' own end.
        let low = end(mark.low).unwrap_or_else(|| frame.bottom()).min(frame.bottom());
        let high = end(mark.high).unwrap_or(y);
        canvas.line((x, low), (x, high), &whisker);
        for y in [low, high] {
            canvas.line((x - 3.0, y), (x + 3.0, y), &whisker);
        }
        let Mark { x: at, value, low, high } = mark;
        let tooltip = format!("{}: at {at}, measured {value:.5e} [{low:.5e}, {high:.5e}]", curve.name);
        canvas.dot((x, y), 3.0, &fill(curve), &tooltip);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(log: bool) -> String {
        let curve = |kind, values: &[f64], marks: &[f64]| Curve {
            name: "gain".into(),
            colour: 0,
            kind,
            line: values.iter().enumerate().map(|(i, y)| (i as f64 + 1.0, *y)).collect(),
            marks: marks
                .iter()
                .enumerate()
                .map(|(i, v)| Mark { x: i as f64 + 1.0, value: *v, low: v - 0.5, high: v + 0.5 })
                .collect(),
        };
        let curves = vec![
            curve(Kind::Theory, &[1.0, 10.0, 100.0], &[1.0, 10.0, 100.0]),
            curve(Kind::Control, &[2.0, 0.0, 2.0], &[]),
            curve(Kind::Document, &[3.0], &[]),
        ];
        let word = || "word".to_owned();
        CurveChart { title: word(), x_label: word(), y_label: word(), log_x: false, log_y: log, curves }
            .svg()
            .as_str()
            .to_owned()
    }

    #[test]
    fn measured_points_have_intervals_and_wrong_formulas_are_dashed() {
        let svg = chart(false);
        assert_eq!(svg.matches("<title>gain: at").count(), 3, "{svg}");
        assert_eq!(svg.matches("stroke-dasharray=\"7 4\"").count(), 2, "line and legend: {svg}");
        assert!(svg.contains("gain (wrong formula)<") && svg.contains("gain (the document)<"), "{svg}");
    }

    #[test]
    fn zero_among_powers_of_ten_is_left_out_and_counted() {
        let svg = chart(true);
        assert!(svg.contains("gain (wrong formula) (1 off the axes)"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
