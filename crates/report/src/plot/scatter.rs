//! Points in a plane, with a line for what would be ideal.

use super::axis::{Axis, drawable};
use super::frame::{Frame, WIDTH, colour};
use super::svg::{Canvas, Svg};

/// Points, and a straight line that they would lie on at best.
#[derive(Clone, Debug)]
pub struct Scatter {
    /// Heading of the plot.
    pub title: String,
    /// What runs to the right.
    pub x_label: String,
    /// What runs upwards.
    pub y_label: String,
    /// The points; one that is not finite is left out.
    pub points: Vec<(f64, f64)>,
    /// The ideal `y` of an `x`.
    pub ideal: fn(f64) -> f64,
}

impl Scatter {
    /// The plot, a tooltip a point.
    pub fn svg(&self) -> Svg {
        let shown: Vec<(f64, f64)> =
            self.points.iter().copied().filter(|(x, y)| drawable(*x) && drawable(*y)).collect();
        let least = shown.iter().map(|p| p.0).fold(f64::INFINITY, f64::min);
        let most = shown.iter().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
        let ends = if least <= most { vec![least, most] } else { vec![] };
        let line: Vec<(f64, f64)> = ends.into_iter().map(|x| (x, (self.ideal)(x))).collect();
        let all = || shown.iter().chain(&line);
        let (x, y) = (Axis::over(all().map(|p| p.0)), Axis::over(all().map(|p| p.1)));
        let frame = Frame::below(0.0, x, y);
        let mut canvas = Canvas::new(&self.title, WIDTH, frame.height());
        frame.draw(&mut canvas, &self.x_label, &self.y_label);
        if shown.is_empty() {
            frame.note(&mut canvas, "nothing to show");
        }
        let line: Vec<(f64, f64)> = line.into_iter().map(|point| frame.at(point)).collect();
        if !line.is_empty() {
            canvas.path(&line, r#"stroke="currentColor" stroke-dasharray="4 4""#);
        }
        let style = format!(r#"fill="{}" fill-opacity="0.55""#, colour(0));
        for (x, y) in &shown {
            let tooltip = format!("{} {x:.4}, {} {y:.4}", self.x_label, self.y_label);
            canvas.dot(frame.at((*x, *y)), 2.5, &style, &tooltip);
        }
        canvas.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(points: &[(f64, f64)]) -> String {
        let (title, x_label, y_label) = ("Values".into(), "true".into(), "predicted".into());
        Scatter { title, x_label, y_label, points: points.to_vec(), ideal: |x| x }.svg().as_str().to_owned()
    }

    #[test]
    fn points_lie_where_the_axes_say_and_the_line_between_the_ends() {
        // Both axes from 0 to 10: 72..660 to the right, 316..36 upwards.
        let svg = svg(&[(0.0, 0.0), (10.0, 5.0), (5.0, 10.0), (f64::NAN, 1.0)]);
        assert!(svg.contains(r#"<circle cx="660" cy="176""#), "{svg}");
        assert!(svg.contains(r#"<polyline points="72,316 660,36""#), "{svg}");
        assert_eq!(svg.matches("<circle").count(), 3);
    }

    #[test]
    fn nothing_is_said_so() {
        assert!(svg(&[]).contains("nothing to show"));
    }
}
