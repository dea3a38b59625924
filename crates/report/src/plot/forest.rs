//! Measured over predicted, a line a row, with the band that the tolerance allows.

use super::axis::Axis;
use super::svg::{Anchor, Canvas, Svg, shortened, text_width};

const WIDTH: f64 = 760.0;
const LINE: f64 = 20.0;
const LONGEST_LABEL: f64 = 300.0;
const TOP: f64 = 44.0;
/// The axis reaches this many times the widest tolerance to either side of 1; what lies further is named at the end.
const REACH: f64 = 3.0;

/// One row of the plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Ratio {
    /// Name of the row.
    pub name: String,
    /// Measured over predicted.
    pub value: f64,
    /// Lower end of its interval.
    pub low: f64,
    /// Upper end of its interval.
    pub high: f64,
    /// Tolerance over predicted.
    pub tolerance: f64,
}

/// Ratios below each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Forest {
    /// Heading of the plot.
    pub title: String,
    /// The rows, from top to bottom.
    pub rows: Vec<Ratio>,
}

impl Forest {
    /// The plot.
    pub fn svg(&self) -> Svg {
        let label = |row: &Ratio| shortened(&row.name, 11.0, LONGEST_LABEL);
        let longest = self.rows.iter().map(|row| text_width(&label(row), 11.0)).fold(60.0, f64::max);
        let (left, right) = (20.0 + longest, WIDTH - 20.0);
        let bottom = TOP + LINE * self.rows.len().max(1) as f64;
        let mut canvas = Canvas::new(&self.title, WIDTH, bottom + 52.0);
        let widest = self.rows.iter().map(|row| row.tolerance).filter(|t| t.is_finite()).fold(1e-9, f64::max);
        let far = REACH * widest;
        let near = |value: f64| value.clamp(1.0 - far, 1.0 + far);
        let ends = self
            .rows
            .iter()
            .flat_map(|row| [1.0 - row.tolerance, 1.0 + row.tolerance, row.low, row.high].map(near));
        let axis = Axis::over(ends.chain([1.0]));
        let x = |value: f64| left + axis.share(near(value)) * (right - left);
        for (value, text) in axis.ticks() {
            let at = left + axis.share(value) * (right - left);
            canvas.line((at, TOP), (at, bottom), r#"stroke="currentColor" stroke-opacity="0.15""#);
            canvas.label(at, bottom + 17.0, 11.0, Anchor::Middle, &text);
        }
        let axis_style = r#"stroke="currentColor""#;
        canvas.line((left, bottom), (right, bottom), axis_style);
        let middle = (left + right) / 2.0;
        canvas.label(middle, bottom + 40.0, 12.0, Anchor::Middle, "measured / predicted; bars: tolerance");
        for (i, row) in self.rows.iter().enumerate() {
            let y = TOP + LINE * (i as f64 + 0.5);
            canvas.label(left - 8.0, y + 4.0, 11.0, Anchor::End, &label(row));
            let (from, to) = (x(1.0 - row.tolerance), x(1.0 + row.tolerance));
            let Ratio { value, low, high, tolerance, .. } = row;
            let tooltip = format!("{}: {value:.5} [{low:.5}, {high:.5}], 1 ± {tolerance:.5}", row.name);
            let band = r##"fill="#009e73" fill-opacity="0.25""##;
            canvas.bar((from, y - 6.0), (to - from, 12.0), band, &tooltip);
            let style = r##"stroke="#0072b2" stroke-width="1.6""##;
            canvas.line((x(*low), y), (x(*high), y), style);
            canvas.dot((x(*value), y), 3.0, r##"fill="#0072b2""##, &tooltip);
            if (value - 1.0).abs() > far {
                let (anchor, at) = if *value > 1.0 { (Anchor::End, -8.0) } else { (Anchor::Start, 8.0) };
                canvas.label(x(*value) + at, y + 4.0, 11.0, anchor, &format!("{value:.3}"));
            }
        }
        canvas.line((x(1.0), TOP), (x(1.0), bottom), axis_style);
        canvas.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_bands_and_what_lies_far_off_is_named() {
        let row = |name: &str, value: f64| Ratio {
            name: name.into(),
            value,
            low: value - 0.01,
            high: value + 0.01,
            tolerance: 0.03,
        };
        let forest = Forest { title: "T".into(), rows: vec![row("a<b", 1.001), row("far", 50.0)] };
        let svg = forest.svg();
        let svg = svg.as_str();
        assert_eq!(svg.matches("<rect").count(), 2, "{svg}");
        assert!(svg.contains(">50.000</text>") && svg.contains("a&lt;b"), "{svg}");
        assert!(!Forest { title: "T".into(), rows: vec![] }.svg().as_str().contains("NaN"));
    }
}
