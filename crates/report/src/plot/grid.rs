//! Numbers by row and column as shades: what heads do, layer by layer.

use super::svg::{Anchor, Canvas, Svg, text_width};
use crate::Cell;

/// The side of the area that the cells fill when there are many.
const FIELD: f64 = 560.0;
/// The legend's width, and its steps.
const LEGEND: f64 = 160.0;
const STEPS: usize = 24;

/// A number a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Heading of the plot.
    pub title: String,
    /// What runs downwards.
    pub row_label: String,
    /// What runs to the right.
    pub column_label: String,
    /// The numbers, row after row; rows may be of different lengths, and a cell without a number stays empty.
    pub values: Vec<Vec<Option<f64>>>,
    /// The numbers of the lightest and the darkest shade; those beyond have its end's.
    pub range: (f64, f64),
}

impl Grid {
    /// The plot: a shade a cell, with its number in a tooltip, and in the cell where there is room.
    pub fn svg(&self) -> Svg {
        let columns = self.values.iter().map(Vec::len).max().unwrap_or(0);
        let count = self.values.len().max(columns).max(1);
        let cell = (FIELD / count as f64).clamp(8.0, 38.0);
        let font = (cell * 0.32).clamp(7.0, 11.0);
        let (left, top) = (64.0, 92.0);
        let (width, height) = (cell * columns as f64, cell * self.values.len() as f64);
        let mut canvas = Canvas::new(
            &self.title,
            (left + width + 24.0).max(left + LEGEND + 120.0).max(text_width(&self.title, 14.0) + 24.0),
            top + height + 16.0,
        );
        self.legend(&mut canvas, left);
        canvas.label(left + width / 2.0, top - 22.0, 11.0, Anchor::Middle, &self.column_label);
        canvas.upward(18.0, top + height / 2.0, 11.0, Anchor::Middle, &self.row_label);
        let named = (text_width("000", 10.0) / cell).ceil().max(1.0) as usize;
        for column in (0..columns).step_by(named) {
            let x = left + (column as f64 + 0.5) * cell;
            canvas.label(x, top - 6.0, 10.0, Anchor::Middle, &column.to_string());
        }
        for (row, values) in self.values.iter().enumerate() {
            let y = top + row as f64 * cell;
            if row % (12.0 / cell).ceil().max(1.0) as usize == 0 {
                canvas.label(left - 6.0, y + cell / 2.0 + 3.5, 10.0, Anchor::End, &row.to_string());
            }
            for (column, value) in values.iter().enumerate() {
                let Some(value) = value.filter(|value| value.is_finite()) else { continue };
                let (x, share) = (left + column as f64 * cell, self.share(value));
                let text = Cell::significant(value, 3).text();
                let short = Cell::decimals(value, 2).text();
                let tooltip = format!("{} {row}, {} {column}: {text}", self.row_label, self.column_label);
                canvas.bar((x, y), (cell - 1.0, cell - 1.0), &shade(share), &tooltip);
                if let Some(text) = [text, short].iter().find(|text| text_width(text, font) < cell) {
                    let colour = if share > 0.55 { "#fff" } else { "currentColor" };
                    // The cell below answers for the tooltip.
                    let style = format!(r#"fill="{colour}" pointer-events="none""#);
                    canvas.text(
                        x + cell / 2.0,
                        y + cell / 2.0 + font * 0.35,
                        font,
                        Anchor::Middle,
                        text,
                        &style,
                    );
                }
            }
        }
        canvas.finish()
    }

    /// Where a number lies between the lightest shade and the darkest.
    fn share(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        if high > low { ((value - low) / (high - low)).clamp(0.0, 1.0) } else { 0.0 }
    }

    fn legend(&self, canvas: &mut Canvas, left: f64) {
        let step = LEGEND / STEPS as f64;
        for i in 0..STEPS {
            let share = i as f64 / (STEPS - 1) as f64;
            let value = self.range.0 + share * (self.range.1 - self.range.0);
            let tooltip = Cell::significant(value, 3).text();
            canvas.bar((left + i as f64 * step, 36.0), (step, 10.0), &shade(share), &tooltip);
        }
        let end = |value: f64| Cell::significant(value, 3).text();
        canvas.label(left - 6.0, 45.0, 10.0, Anchor::End, &end(self.range.0));
        canvas.label(left + LEGEND + 6.0, 45.0, 10.0, Anchor::Start, &end(self.range.1));
    }
}

fn shade(share: f64) -> String {
    format!(r##"fill="#0072b2" fill-opacity="{:.3}""##, 0.06 + 0.94 * share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid(values: Vec<Vec<Option<f64>>>) -> String {
        let (row_label, column_label) = ("layer".into(), "head".into());
        let grid = Grid { title: "Entropy".into(), row_label, column_label, values, range: (0.0, 2.0) };
        grid.svg().as_str().to_owned()
    }

    #[test]
    fn a_shade_is_the_place_in_the_range_and_an_empty_cell_has_none() {
        let svg = grid(vec![vec![Some(1.0), None], vec![Some(5.0), Some(f64::NAN)]]);
        assert_eq!(svg.matches("<rect").count(), 2 + STEPS, "{svg}");
        assert!(svg.contains("<title>layer 0, head 0: 1.00</title>"), "{svg}");
        assert!(svg.contains(r#"fill-opacity="0.530""#) && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn nothing_and_much_draw() {
        assert!(!grid(vec![]).contains("NaN"));
        let many = (0..40).map(|i| (0..40).map(|j| Some(f64::from(i * j))).collect()).collect();
        assert_eq!(grid(many).matches("<rect").count(), 1600 + STEPS);
    }
}
