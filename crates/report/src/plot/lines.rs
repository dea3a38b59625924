//! Line charts: losses and scores by step.

use super::axis::{Axis, drawable};
use super::svg::{Anchor, Canvas, Svg, shortened, text_width};

const WIDTH: f64 = 680.0;
const PLOT_HEIGHT: f64 = 280.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 20.0;
const LEGEND_LINE: f64 = 18.0;

/// Colours that stay apart under the common kinds of colour blindness, legible on light and on dark; without
/// the palette's black and yellow.
///
/// Source: Okabe & Ito 2008, "Color universal design".
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// The second round of colours is dashed, the third dotted, and so on.
const DASHES: [&str; 3] = ["none", "7 4", "2 3"];

/// Values of one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Name in the legend.
    pub name: String,
    /// `(x, y)` in the order in which they are joined. A point that is not a finite number breaks the line and
    /// is counted in the legend.
    pub points: Vec<(f64, f64)>,
}

/// Quantities against a common axis.
#[derive(Clone, Debug, PartialEq)]
pub struct LineChart {
    /// Heading of the chart.
    pub title: String,
    /// What runs to the right.
    pub x_label: String,
    /// What runs upwards.
    pub y_label: String,
    /// The lines.
    pub series: Vec<Series>,
}

impl LineChart {
    /// The chart.
    pub fn svg(&self) -> Svg {
        let legend = self.legend();
        let lines = legend.last().map_or(0.0, |entry| entry.line + 1.0);
        let top = 36.0 + LEGEND_LINE * lines;
        let (right, bottom) = (WIDTH - RIGHT, top + PLOT_HEIGHT);
        let mut canvas = Canvas::new(&self.title, WIDTH, bottom + 52.0);

        let points = || self.series.iter().flat_map(|series| &series.points).filter(|point| shown(point));
        let x_axis = Axis::over(points().map(|point| point.0));
        let y_axis = Axis::over(points().map(|point| point.1));
        let x = |value| LEFT + x_axis.share(value) * (right - LEFT);
        let y = |value| bottom - y_axis.share(value) * PLOT_HEIGHT;

        let grid = r#"stroke="currentColor" stroke-opacity="0.15""#;
        for (value, label) in x_axis.ticks() {
            canvas.line((x(value), top), (x(value), bottom), grid);
            canvas.label(x(value), bottom + 17.0, 11.0, Anchor::Middle, &label);
        }
        for (value, label) in y_axis.ticks() {
            canvas.line((LEFT, y(value)), (right, y(value)), grid);
            canvas.label(LEFT - 7.0, y(value) + 4.0, 11.0, Anchor::End, &label);
        }
        let frame = r#"stroke="currentColor""#;
        canvas.line((LEFT, top), (LEFT, bottom), frame);
        canvas.line((LEFT, bottom), (right, bottom), frame);
        canvas.label((LEFT + right) / 2.0, bottom + 40.0, 12.0, Anchor::Middle, &self.x_label);
        canvas.upward(18.0, (top + bottom) / 2.0, 12.0, Anchor::Middle, &self.y_label);
        if points().next().is_none() {
            canvas.label((LEFT + right) / 2.0, (top + bottom) / 2.0, 12.0, Anchor::Middle, "nothing to show");
        }

        for (i, series) in self.series.iter().enumerate() {
            let style = stroke(i);
            for run in series.points.split(|point| !shown(point)) {
                let run: Vec<(f64, f64)> = run.iter().map(|point| (x(point.0), y(point.1))).collect();
                match run.as_slice() {
                    [] => {}
                    [lonely] => canvas.circle(*lonely, 2.5, &format!(r#"fill="{}""#, colour(i))),
                    run => canvas.path(run, &style),
                }
            }
        }
        for (i, entry) in legend.iter().enumerate() {
            let y = 40.0 + LEGEND_LINE * entry.line;
            canvas.line((entry.x, y - 4.0), (entry.x + 22.0, y - 4.0), &stroke(i));
            canvas.label(entry.x + 28.0, y, 11.0, Anchor::Start, &entry.text);
        }
        canvas.finish()
    }

    /// The legend's entries, set in as many lines as they need.
    fn legend(&self) -> Vec<Entry> {
        let (mut x, mut line) = (LEFT, 0.0);
        let mut entries = Vec::with_capacity(self.series.len());
        for series in &self.series {
            let hidden = series.points.iter().filter(|point| !shown(point)).count();
            let mut text = series.name.clone();
            if hidden > 0 {
                text.push_str(&format!(" ({hidden} not finite)"));
            }
            let text = shortened(&text, 11.0, WIDTH - LEFT - RIGHT - 28.0);
            let width = 28.0 + text_width(&text, 11.0) + 16.0;
            if x > LEFT && x + width > WIDTH - RIGHT {
                (x, line) = (LEFT, line + 1.0);
            }
            entries.push(Entry { x, line, text });
            x += width;
        }
        entries
    }
}

struct Entry {
    x: f64,
    line: f64,
    text: String,
}

fn shown(point: &(f64, f64)) -> bool {
    drawable(point.0) && drawable(point.1)
}

fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

fn stroke(i: usize) -> String {
    let dash = DASHES[i / COLOURS.len() % DASHES.len()];
    format!(r#"stroke="{}" stroke-width="1.8" stroke-dasharray="{dash}""#, colour(i))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(series: Vec<Series>) -> String {
        let (title, x_label, y_label) = ("Loss".into(), "step".into(), "nats".into());
        LineChart { title, x_label, y_label, series }.svg().as_str().to_owned()
    }

    fn series(name: &str, values: &[f64]) -> Series {
        Series { name: name.into(), points: values.iter().enumerate().map(|(i, y)| (i as f64, *y)).collect() }
    }

    #[test]
    fn points_lie_where_the_axes_say() {
        // x from 0 to 10 over 72..660, y from 0 to 1 over 280 pixels below the legend's one line (54..334).
        let svg = chart(vec![Series { name: "a".into(), points: vec![(0.0, 0.0), (5.0, 0.5), (10.0, 1.0)] }]);
        assert!(svg.contains(r#"<polyline points="72,334 366,194 660,54""#), "{svg}");
    }

    #[test]
    fn a_value_that_is_not_finite_breaks_the_line_and_is_counted() {
        let svg = chart(vec![series("loss", &[1.0, 2.0, f64::NAN, 3.0, f64::INFINITY, 2.0, 1.0])]);
        assert_eq!(svg.matches("<polyline").count(), 2, "{svg}");
        assert_eq!(svg.matches("<circle").count(), 1, "{svg}");
        assert!(svg.contains("loss (2 not finite)"), "{svg}");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn an_empty_chart_says_so() {
        assert!(chart(vec![]).contains("nothing to show"));
        assert!(chart(vec![series("a", &[])]).contains("nothing to show"));
    }

    #[test]
    fn a_long_legend_is_set_in_lines_inside_the_chart() {
        let many: Vec<Series> = (0..20).map(|i| series(&format!("series number {i}"), &[0.0, 1.0])).collect();
        let chart =
            LineChart { title: String::new(), x_label: String::new(), y_label: String::new(), series: many };
        let legend = chart.legend();
        assert!(legend.last().unwrap().line >= 3.0);
        assert!(legend.iter().all(|entry| entry.x + 28.0 + text_width(&entry.text, 11.0) <= WIDTH));
    }

    #[test]
    fn no_two_of_eighteen_lines_look_alike() {
        let mut styles: Vec<String> = (0..18).map(stroke).collect();
        styles.sort();
        styles.dedup();
        assert_eq!(styles.len(), 18);
    }

    #[test]
    fn names_are_escaped() {
        assert!(!chart(vec![series("<b>&", &[1.0])]).contains("<b>"));
    }
}
