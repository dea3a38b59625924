//! The few shapes that the plots are made of.

use std::fmt::{self, Write};

use crate::escape::xml;

/// Width of a letter as a share of the font size; a little more than sans-serif fonts need on average.
const LETTER: f64 = 0.6;

/// A finished plot: a complete SVG document, safe to put into HTML as it is.
///
/// Only the plots of this crate make one, so that nothing unescaped gets in.
#[derive(Clone, Debug, PartialEq)]
pub struct Svg(String);

impl Svg {
    /// The document, to be written to a file or embedded.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the given point lies in a text.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A plot being drawn; lengths in pixels, y downwards.
pub(super) struct Canvas {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Canvas {
    pub(super) fn new(title: &str, width: f64, height: f64) -> Canvas {
        let mut canvas = Canvas { width, height, title: title.to_owned(), body: String::new() };
        canvas.label(width / 2.0, 20.0, 14.0, Anchor::Middle, title);
        canvas
    }

    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), style: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        let ends = format!(r#"x1="{}" y1="{}" x2="{}" y2="{}""#, px(x1), px(y1), px(x2), px(y2));
        self.draw(format_args!("<line {ends} {style}/>\n"));
    }

    /// A rectangle with a tooltip.
    pub(super) fn bar(&mut self, corner: (f64, f64), size: (f64, f64), style: &str, tooltip: &str) {
        let (x, y, w, h) = (px(corner.0), px(corner.1), px(size.0), px(size.1));
        let rect = format!(r#"<rect x="{x}" y="{y}" width="{w}" height="{h}" {style}>"#);
        self.draw(format_args!("{rect}<title>{}</title></rect>\n", xml(tooltip)));
    }

    pub(super) fn circle(&mut self, at: (f64, f64), radius: f64, style: &str) {
        let (x, y, r) = (px(at.0), px(at.1), px(radius));
        self.draw(format_args!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {style}/>\n"));
    }

    /// A circle with a tooltip.
    pub(super) fn dot(&mut self, at: (f64, f64), radius: f64, style: &str, tooltip: &str) {
        let (x, y, r) = (px(at.0), px(at.1), px(radius));
        let circle = format!(r#"<circle cx="{x}" cy="{y}" r="{r}" {style}>"#);
        self.draw(format_args!("{circle}<title>{}</title></circle>\n", xml(tooltip)));
    }

    pub(super) fn path(&mut self, points: &[(f64, f64)], style: &str) {
        let points: Vec<String> = points.iter().map(|(x, y)| format!("{},{}", px(*x), px(*y))).collect();
        self.draw(format_args!("<polyline points=\"{}\" fill=\"none\" {style}/>\n", points.join(" ")));
    }

    /// Text in the reader's own text colour.
    pub(super) fn label(&mut self, x: f64, y: f64, size: f64, anchor: Anchor, text: &str) {
        self.text(x, y, size, anchor, text, r#"fill="currentColor""#);
    }

    pub(super) fn text(&mut self, x: f64, y: f64, size: f64, anchor: Anchor, text: &str, style: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let place = format!(r#"x="{}" y="{}" font-size="{}" text-anchor="{anchor}""#, px(x), px(y), px(size));
        self.draw(format_args!("<text {place} {style}>{}</text>\n", xml(text)));
    }

    /// Text that runs upwards, centred on the point.
    pub(super) fn upward(&mut self, x: f64, y: f64, size: f64, anchor: Anchor, text: &str) {
        let turn = format!(r#"fill="currentColor" transform="rotate(-90 {} {})""#, px(x), px(y));
        self.text(x, y, size, anchor, text, &turn);
    }

    pub(super) fn finish(self) -> Svg {
        let (width, height, title) = (px(self.width), px(self.height), xml(&self.title));
        Svg(format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" class="xexp-plot" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif" role="img" aria-label="{title}">
<style>.xexp-plot{{color:#1c1c1c;background:#fff}}@media(prefers-color-scheme:dark){{.xexp-plot{{color:#e4e4e4;background:#171717}}}}</style>
{}</svg>
"#,
            self.body
        ))
    }

    fn draw(&mut self, shape: fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = self.body.write_fmt(shape);
    }
}

/// Width of a text in pixels, near enough to leave room for it.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

/// As much of `text` as fits into `width` pixels; an ellipsis shows that there is more.
pub(super) fn shortened(text: &str, size: f64, width: f64) -> String {
    let fitting = (width / (size * LETTER)) as usize;
    if text.chars().count() <= fitting {
        return text.to_owned();
    }
    text.chars().take(fitting.saturating_sub(1)).chain(['…']).collect()
}

/// A length with a hundredth of a pixel, which no screen shows, and no trailing zeros.
fn px(length: f64) -> String {
    let text = format!("{length:.2}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" => "0".to_owned(),
        trimmed => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_carry_no_noise() {
        assert_eq!([1.0, 0.125, -0.001, 100.0, 2.5].map(px), ["1", "0.12", "0", "100", "2.5"]);
    }

    #[test]
    fn long_text_is_cut_where_it_shows() {
        assert_eq!(shortened("short", 10.0, 60.0), "short");
        assert_eq!(shortened("something long", 10.0, 60.0), "something…");
        assert_eq!(shortened("x", 10.0, 0.0), "…");
    }

    #[test]
    fn titles_and_labels_are_escaped() {
        let mut canvas = Canvas::new("a<b", 10.0, 10.0);
        canvas.bar((0.0, 0.0), (1.0, 1.0), "", "</title><script>");
        let svg = canvas.finish();
        assert!(!svg.as_str().contains("<script"), "{svg}");
        assert!(svg.as_str().contains(r#"aria-label="a&lt;b""#), "{svg}");
    }
}
