//! Reliability diagrams: how often a classifier is right when it says how sure it is.

use serde::{Deserialize, Serialize};

use super::axis::Axis;
use super::svg::{Anchor, Canvas, Svg};
use crate::{Error, Result};

const SIDE: f64 = 320.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 40.0;
const STRIP: f64 = 56.0;

/// Examples whose confidence lies in `(low, high]`.
///
/// Source: Guo et al. 2017, "On calibration of modern neural networks", §2.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Lower bound of the confidence, not included.
    pub low: f64,
    /// Upper bound of the confidence, included.
    pub high: f64,
    /// Number of examples.
    pub count: u64,
    /// Their mean confidence; 0 without examples.
    pub confidence: f64,
    /// The share of them that is labelled right; 0 without examples.
    pub accuracy: f64,
}

/// Accuracy by confidence, with the number of examples below.
#[derive(Clone, Debug, PartialEq)]
pub struct Reliability {
    /// Heading of the plot.
    pub title: String,
    /// Bins of confidence within `0..=1`.
    pub bins: Vec<Bin>,
}

impl Reliability {
    /// The plot: a bar a bin as high as its accuracy, a mark at its mean confidence, and the diagonal of
    /// perfect calibration. Empty bins stay empty; numbers are in the tooltips.
    ///
    /// # Errors
    /// [`Error::Share`] for a bound, confidence or accuracy outside `0..=1`.
    pub fn svg(&self) -> Result<Svg> {
        for bin in &self.bins {
            for (what, found) in [
                ("lower bound of a bin", bin.low),
                ("upper bound of a bin", bin.high),
                ("mean confidence of a bin", bin.confidence),
                ("accuracy of a bin", bin.accuracy),
            ] {
                if !(0.0..=1.0).contains(&found) {
                    return Err(Error::Share { what, found });
                }
            }
        }
        let (right, bottom) = (LEFT + SIDE, TOP + SIDE);
        let mut canvas = Canvas::new(&self.title, right + 24.0, bottom + STRIP + 64.0);
        let axis = Axis::unit();
        let x = |value: f64| LEFT + value * SIDE;
        let y = |value: f64| bottom - value * SIDE;
        let grid = r#"stroke="currentColor" stroke-opacity="0.15""#;
        for (value, label) in axis.ticks() {
            canvas.line((LEFT, y(value)), (right, y(value)), grid);
            canvas.label(LEFT - 7.0, y(value) + 4.0, 11.0, Anchor::End, &label);
            canvas.label(x(value), bottom + STRIP + 22.0, 11.0, Anchor::Middle, &label);
        }
        let most = self.bins.iter().map(|bin| bin.count).max().unwrap_or(0);
        for bin in self.bins.iter().filter(|bin| bin.count > 0) {
            let tooltip = format!(
                "confidence {:.3} to {:.3}: {} examples, mean confidence {:.3}, accuracy {:.3}",
                bin.low, bin.high, bin.count, bin.confidence, bin.accuracy
            );
            let (from, width) = (x(bin.low), x(bin.high) - x(bin.low));
            let style = r##"fill="#0072b2" fill-opacity="0.75""##;
            canvas.bar((from, y(bin.accuracy)), (width, bottom - y(bin.accuracy)), style, &tooltip);
            let mark = r##"stroke="#d55e00" stroke-width="2.5""##;
            canvas.line((from, y(bin.confidence)), (from + width, y(bin.confidence)), mark);
            let height = bin.count as f64 / most as f64 * (STRIP - 10.0);
            let style = r#"fill="currentColor" fill-opacity="0.35""#;
            canvas.bar((from, bottom + STRIP + 4.0 - height), (width, height), style, &tooltip);
        }
        let frame = r#"stroke="currentColor""#;
        canvas.line((x(0.0), y(0.0)), (x(1.0), y(1.0)), r#"stroke="currentColor" stroke-dasharray="4 4""#);
        canvas.line((LEFT, TOP), (LEFT, bottom), frame);
        canvas.line((LEFT, bottom), (right, bottom), frame);
        canvas.line((LEFT, bottom + STRIP + 4.0), (right, bottom + STRIP + 4.0), frame);
        canvas.label((LEFT + right) / 2.0, bottom + STRIP + 46.0, 12.0, Anchor::Middle, "confidence");
        canvas.upward(18.0, (TOP + bottom) / 2.0, 12.0, Anchor::Middle, "accuracy");
        canvas.upward(18.0, bottom + STRIP / 2.0 + 4.0, 12.0, Anchor::Middle, "examples");
        Ok(canvas.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_the_accuracy_of_its_bin() {
        let full = Bin { low: 0.5, high: 0.75, count: 8, confidence: 0.6, accuracy: 0.25 };
        let empty = Bin { low: 0.75, high: 1.0, count: 0, confidence: 0.0, accuracy: 0.0 };
        let svg = Reliability { title: "Calibration".into(), bins: vec![full, empty] }.svg().unwrap();
        let svg = svg.as_str();
        // 320 pixels: the bin starts at 64 + 160, is 80 wide and 80 high; the floor is at 360.
        assert!(svg.contains(r#"<rect x="224" y="280" width="80" height="80""#), "{svg}");
        // Mean confidence 0.6 lies 192 pixels above the floor.
        assert!(svg.contains(r#"x1="224" y1="168" x2="304" y2="168""#), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 2, "an empty bin has no bars");
    }

    #[test]
    fn no_bins_draw_only_the_axes() {
        let svg = Reliability { title: "x".into(), bins: vec![] }.svg().unwrap();
        assert!(svg.as_str().contains("<line") && !svg.as_str().contains("<rect"));
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for confidence in [1.5, -0.1, f64::NAN] {
            let bin = Bin { low: 0.5, high: 0.75, count: 1, confidence, accuracy: 1.0 };
            let drawn = Reliability { title: "x".into(), bins: vec![bin] }.svg();
            assert!(matches!(drawn, Err(Error::Share { what: "mean confidence of a bin", .. })));
        }
    }
}
