//! Line charts: losses and scores by step.

use super::axis::{Axis, drawable};
use super::frame::{Entry, Frame, LEGEND_LINE, WIDTH, colour, legend, legend_height, stroke};
use super::svg::{Anchor, Canvas, Svg};

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
        let entries = self.legend();
        let points = || self.series.iter().flat_map(|series| &series.points).filter(|point| shown(point));
        let x_axis = Axis::over(points().map(|point| point.0));
        let y_axis = Axis::over(points().map(|point| point.1));
        let frame = Frame::below(legend_height(&entries), x_axis, y_axis);
        let mut canvas = Canvas::new(&self.title, WIDTH, frame.height());
        frame.draw(&mut canvas, &self.x_label, &self.y_label);
        if points().next().is_none() {
            frame.note(&mut canvas, "nothing to show");
        }

        for (i, series) in self.series.iter().enumerate() {
            let style = stroke(i);
            for run in series.points.split(|point| !shown(point)) {
                let run: Vec<(f64, f64)> = run.iter().map(|point| frame.at(*point)).collect();
                match run.as_slice() {
                    [] => {}
                    [lonely] => canvas.circle(*lonely, 2.5, &format!(r#"fill="{}""#, colour(i))),
                    run => canvas.path(run, &style),
                }
            }
        }
        for (i, entry) in entries.iter().enumerate() {
            let y = 40.0 + LEGEND_LINE * entry.line;
            canvas.line((entry.x, y - 4.0), (entry.x + 22.0, y - 4.0), &stroke(i));
            canvas.label(entry.x + 28.0, y, 11.0, Anchor::Start, &entry.text);
        }
        canvas.finish()
    }

    /// The legend's entries, set in as many lines as they need.
    fn legend(&self) -> Vec<Entry> {
        let text = |series: &Series| {
            let hidden = series.points.iter().filter(|point| !shown(point)).count();
            match hidden {
                0 => series.name.clone(),
                hidden => format!("{} ({hidden} not finite)", series.name),
            }
        };
        legend(&self.series.iter().map(text).collect::<Vec<_>>())
    }
}

fn shown(point: &(f64, f64)) -> bool {
    drawable(point.0) && drawable(point.1)
}

#[cfg(test)]
mod tests {
    use super::super::svg::text_width;
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
