//! Heat maps of counts: confusion matrices.

use super::svg::{Anchor, Canvas, Svg, shortened, text_width};
use crate::{Error, Result};

/// Room for the names of the rows and columns, in pixels.
const LONGEST_LABEL: f64 = 170.0;
/// The side of the square that the cells fill when there are many.
const FIELD: f64 = 640.0;

/// Counts of examples by true class (rows) and predicted class (columns).
///
/// A cell's shade is its share of its row, so that a rare class shows as clearly as a common one.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// Heading of the plot.
    pub title: String,
    /// Names of the classes, for rows and columns.
    pub labels: Vec<String>,
    /// `counts[truth][predicted]`, `(classes, classes)`.
    pub counts: Vec<Vec<u64>>,
}

impl HeatMap {
    /// The plot. Counts are printed where the cells have room; every count that is not zero has a tooltip.
    ///
    /// # Errors
    /// [`Error::Shape`] unless there are as many rows and columns of counts as labels.
    pub fn svg(&self) -> Result<Svg> {
        let classes = self.labels.len();
        let fits = |what, found| {
            if found == classes { Ok(()) } else { Err(Error::Shape { what, expected: classes, found }) }
        };
        fits("rows of the confusion matrix", self.counts.len())?;
        self.counts.iter().try_for_each(|row| fits("columns of the confusion matrix", row.len()))?;

        let cell = (FIELD / classes.max(1) as f64).clamp(4.0, 44.0);
        let font = (cell * 0.8).min(11.0);
        let named = cell >= 9.0;
        let longest = self.labels.iter().map(|label| text_width(label, font)).fold(0.0, f64::max);
        let room = if named { longest.min(LONGEST_LABEL) } else { 0.0 };
        let (left, top) = (40.0 + room, 56.0 + room);
        let side = cell * classes as f64;
        let mut canvas = Canvas::new(&self.title, (left + side + 20.0).max(320.0), top + side + 20.0);
        canvas.label(left + side / 2.0, 42.0, 12.0, Anchor::Middle, "predicted");
        canvas.upward(18.0, top + side / 2.0, 12.0, Anchor::Middle, "true");

        let at = |i: usize| i as f64 * cell;
        for (i, (label, row)) in self.labels.iter().zip(&self.counts).enumerate() {
            if named {
                let text = shortened(label, font, LONGEST_LABEL);
                let middle = at(i) + cell / 2.0 + font * 0.35;
                canvas.label(left - 5.0, top + middle, font, Anchor::End, &text);
                canvas.upward(left + middle, top - 5.0, font, Anchor::Start, &text);
            }
            let total: u128 = row.iter().map(|count| u128::from(*count)).sum();
            for (j, count) in row.iter().enumerate().filter(|(_, count)| **count > 0) {
                let share = *count as f64 / total as f64;
                let style = format!(r##"fill="#0072b2" fill-opacity="{share:.3}""##);
                let tooltip = format!("{label} labelled {}: {count} of {total}", self.labels[j]);
                canvas.bar((left + at(j), top + at(i)), (cell, cell), &style, &tooltip);
                let text = count.to_string();
                if named && text_width(&text, font) <= cell {
                    let (x, y) = (left + at(j) + cell / 2.0, top + at(i) + cell / 2.0 + font * 0.35);
                    let colour = if share > 0.5 { "#fff" } else { "currentColor" };
                    // The cell below answers for the tooltip.
                    let style = format!(r#"fill="{colour}" pointer-events="none""#);
                    canvas.text(x, y, font, Anchor::Middle, &text, &style);
                }
            }
        }
        let frame = r#"stroke="currentColor" stroke-opacity="0.4""#;
        for (from, to) in [
            ((0.0, 0.0), (side, 0.0)),
            ((side, 0.0), (side, side)),
            ((0.0, side), (side, side)),
            ((0.0, 0.0), (0.0, side)),
        ] {
            canvas.line((left + from.0, top + from.1), (left + to.0, top + to.1), frame);
        }
        Ok(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(counts: Vec<Vec<u64>>) -> HeatMap {
        let labels = (0..counts.len()).map(|i| format!("class & {i}")).collect();
        HeatMap { title: "Confusion".into(), labels, counts }
    }

    #[test]
    fn a_shade_is_the_share_of_its_row() {
        let svg = map(vec![vec![3, 1], vec![0, 5]]).svg().unwrap();
        let svg = svg.as_str();
        assert_eq!(svg.matches("<rect").count(), 3, "zero has no cell");
        for shade in ["0.750", "0.250", "1.000"] {
            assert!(svg.contains(&format!(r#"fill-opacity="{shade}""#)), "{svg}");
        }
        assert!(svg.contains("<title>class &amp; 0 labelled class &amp; 1: 1 of 4</title>"), "{svg}");
    }

    #[test]
    fn a_matrix_that_does_not_fit_its_labels_is_refused() {
        let mut wrong = map(vec![vec![1, 2], vec![3, 4]]);
        wrong.counts[1].pop();
        assert!(matches!(wrong.svg(), Err(Error::Shape { expected: 2, found: 1, .. })));
        wrong.counts.pop();
        assert!(matches!(wrong.svg(), Err(Error::Shape { expected: 2, found: 1, .. })));
    }

    #[test]
    fn many_classes_stay_small_and_silent() {
        let counts = (0..300).map(|i| (0..300).map(|j| u64::from(i == j)).collect()).collect();
        let svg = map(counts).svg().unwrap();
        assert_eq!(svg.as_str().matches("<rect").count(), 300);
        assert_eq!(svg.as_str().matches("<text").count(), 3, "title and two axes");
    }

    #[test]
    fn no_class_and_an_empty_row_draw() {
        assert!(map(vec![]).svg().is_ok());
        assert!(!map(vec![vec![0, 0], vec![1, 0]]).svg().unwrap().as_str().contains("NaN"));
    }
}
