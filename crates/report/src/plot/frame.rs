//! What charts with two axes have in common: the frame with its grid, the legend, the colours.

use super::axis::Axis;
use super::svg::{Anchor, Canvas, shortened, text_width};

/// Width of a chart.
pub(super) const WIDTH: f64 = 680.0;
/// Height of a line of the legend.
pub(super) const LEGEND_LINE: f64 = 18.0;
const PLOT_HEIGHT: f64 = 280.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 20.0;

/// Colours that stay apart under the common kinds of colour blindness, legible on light and on dark; without
/// the palette's black and yellow.
///
/// Source: Okabe & Ito 2008, "Color universal design".
const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// The second round of colours is dashed, the third dotted, and so on.
const DASHES: [&str; 3] = ["none", "7 4", "2 3"];

/// Colour of series number `i`.
pub(super) fn colour(i: usize) -> &'static str {
    COLOURS[i % COLOURS.len()]
}

/// Stroke of series number `i`.
pub(super) fn stroke(i: usize) -> String {
    let dash = DASHES[i / COLOURS.len() % DASHES.len()];
    format!(r#"stroke="{}" stroke-width="1.8" stroke-dasharray="{dash}""#, colour(i))
}

/// The field between two axes.
pub(super) struct Frame {
    top: f64,
    x: Axis,
    y: Axis,
}

impl Frame {
    /// A frame below a legend of this height.
    pub(super) fn below(legend: f64, x: Axis, y: Axis) -> Frame {
        Frame { top: 36.0 + legend, x, y }
    }

    /// Height of the whole chart.
    pub(super) fn height(&self) -> f64 {
        self.bottom() + 52.0
    }

    /// Where the horizontal axis lies.
    pub(super) fn bottom(&self) -> f64 {
        self.top + PLOT_HEIGHT
    }

    /// Where a point lies.
    pub(super) fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (LEFT + self.x.share(x) * (WIDTH - RIGHT - LEFT), self.bottom() - self.y.share(y) * PLOT_HEIGHT)
    }

    /// Whether a point lies anywhere.
    pub(super) fn holds(&self, (x, y): (f64, f64)) -> bool {
        self.x.holds(x) && self.y.holds(y)
    }

    /// Draws grid, axes and labels.
    pub(super) fn draw(&self, canvas: &mut Canvas, x_label: &str, y_label: &str) {
        let (right, bottom, top) = (WIDTH - RIGHT, self.bottom(), self.top);
        let grid = r#"stroke="currentColor" stroke-opacity="0.15""#;
        for (value, label) in self.x.ticks() {
            let x = LEFT + self.x.share(value) * (right - LEFT);
            canvas.line((x, top), (x, bottom), grid);
            canvas.label(x, bottom + 17.0, 11.0, Anchor::Middle, &label);
        }
        for (value, label) in self.y.ticks() {
            let y = bottom - self.y.share(value) * PLOT_HEIGHT;
            canvas.line((LEFT, y), (right, y), grid);
            canvas.label(LEFT - 7.0, y + 4.0, 11.0, Anchor::End, &label);
        }
        let frame = r#"stroke="currentColor""#;
        canvas.line((LEFT, top), (LEFT, bottom), frame);
        canvas.line((LEFT, bottom), (right, bottom), frame);
        canvas.label((LEFT + right) / 2.0, bottom + 40.0, 12.0, Anchor::Middle, x_label);
        canvas.upward(18.0, (top + bottom) / 2.0, 12.0, Anchor::Middle, y_label);
    }

    /// Writes into the middle.
    pub(super) fn note(&self, canvas: &mut Canvas, text: &str) {
        let (x, y) = ((LEFT + WIDTH - RIGHT) / 2.0, (self.top + self.bottom()) / 2.0);
        canvas.label(x, y, 12.0, Anchor::Middle, text);
    }
}

/// Where an entry of the legend stands.
pub(super) struct Entry {
    /// Left end.
    pub(super) x: f64,
    /// Line, from 0.
    pub(super) line: f64,
    /// Its text, as much as fits.
    pub(super) text: String,
}

/// Entries of a legend, set in as many lines as they need.
pub(super) fn legend(texts: &[String]) -> Vec<Entry> {
    let (mut x, mut line) = (LEFT, 0.0);
    let mut entries = Vec::with_capacity(texts.len());
    for text in texts {
        let text = shortened(text, 11.0, WIDTH - LEFT - RIGHT - 28.0);
        let width = 28.0 + text_width(&text, 11.0) + 16.0;
        if x > LEFT && x + width > WIDTH - RIGHT {
            (x, line) = (LEFT, line + 1.0);
        }
        entries.push(Entry { x, line, text });
        x += width;
    }
    entries
}

/// Height of a legend.
pub(super) fn legend_height(entries: &[Entry]) -> f64 {
    LEGEND_LINE * entries.last().map_or(0.0, |entry| entry.line + 1.0)
}
