//! A picture under construction: colours between 0 and 1 that are painted over each other.

use xexp_init::Stream;

use super::palette::{Colour, mix};

/// Rows of an image, and columns.
pub const SIZE: usize = 32;
/// Colour channels of an image: red, green, blue.
pub const CHANNELS: usize = 3;

/// A picture under construction.
#[derive(Debug, Clone)]
pub(super) struct Canvas {
    /// Row by row from the top.
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A picture with a colour at every pixel's centre; x to the right, y downwards, in pixels from the top left.
    pub(super) fn new(colour: impl Fn(f64, f64) -> Colour) -> Self {
        let pixels = (0..SIZE * SIZE).map(|i| colour((i % SIZE) as f64 + 0.5, (i / SIZE) as f64 + 0.5));
        Self { pixels: pixels.collect() }
    }

    /// Paints where `distance`, in pixels and negative inside, says so. Nothing is painted further than `reach` from
    /// `(x, y)` along an axis.
    ///
    /// A pixel that the outline crosses is painted by the share that a straight edge at this distance would cover, to
    /// within the edge's slant.
    pub(super) fn paint(
        &mut self,
        [x, y]: [f64; 2],
        reach: f64,
        distance: impl Fn(f64, f64) -> f64,
        colour: impl Fn(f64, f64) -> Colour,
    ) {
        // The cast ends at 0 by itself.
        let range = |at: f64| ((at - reach) as usize)..(((at + reach) as usize + 1).min(SIZE));
        for row in range(y) {
            for column in range(x) {
                let (px, py) = (column as f64 + 0.5, row as f64 + 0.5);
                let covered = (0.5 - distance(px, py)).clamp(0.0, 1.0);
                if covered > 0.0 {
                    let pixel = &mut self.pixels[row * SIZE + column];
                    *pixel = mix(*pixel, colour(px, py), covered);
                }
            }
        }
    }

    /// Blurs along rows and columns: each pixel gives `share` of itself to each neighbour. The border keeps what would
    /// leave the picture.
    pub(super) fn blur(&mut self, share: f64) {
        for (stride, across) in [(1, SIZE), (SIZE, 1)] {
            for line in 0..SIZE {
                let at = |i: usize| line * across + i * stride;
                let mut before = self.pixels[at(0)];
                for i in 0..SIZE {
                    let (here, after) = (self.pixels[at(i)], self.pixels[at((i + 1).min(SIZE - 1))]);
                    self.pixels[at(i)] =
                        core::array::from_fn(|c| here[c] + share * (before[c] + after[c] - 2.0 * here[c]));
                    before = here;
                }
            }
        }
    }

    /// Bytes in the order channel, row, column, after adding uniform noise of at most `noise` of the range.
    pub(super) fn into_bytes(self, noise: f64, stream: &mut Stream) -> Vec<u8> {
        let mut bytes = vec![0; CHANNELS * SIZE * SIZE];
        for (i, pixel) in self.pixels.iter().enumerate() {
            // One word serves the three channels, ten bits each.
            let word = stream.u32();
            for (channel, value) in pixel.iter().enumerate() {
                let unit = f64::from(word >> (10 * channel) & 1023) / 1023.0;
                // The cast ends at 0 and 255 by itself, so noise past white is white.
                bytes[channel * SIZE * SIZE + i] = (255.0 * (value + noise * (2.0 * unit - 1.0)) + 0.5) as u8;
            }
        }
        bytes
    }

    /// The mean of a channel.
    #[cfg(test)]
    fn mean(&self, channel: usize) -> f64 {
        self.pixels.iter().map(|pixel| pixel[channel]).sum::<f64>() / self.pixels.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::PI;
    use xexp_init::Seed;

    const BLACK: Colour = [0.0; 3];
    const PIXELS: f64 = (SIZE * SIZE) as f64;

    #[test]
    fn a_disc_covers_its_area_wherever_it_lies() {
        for (x, y, radius) in [(16.0, 16.0, 12.0), (13.3, 17.9, 7.4), (20.1, 12.2, 3.0)] {
            let mut canvas = Canvas::new(|_, _| BLACK);
            let distance = |px: f64, py: f64| ((px - x) * (px - x) + (py - y) * (py - y)).sqrt() - radius;
            canvas.paint([x, y], radius + 1.0, distance, |_, _| [1.0, 0.5, 0.0]);
            // A ramp of width 1 across the circle covers pi (r^2 + 1/12). It is sampled at the pixels' centres only, and
            // that may weigh as much as an outline that is off by a fiftieth of a pixel.
            let (area, expected) = (canvas.mean(0) * PIXELS, PI * (radius * radius + 1.0 / 12.0));
            assert!(
                (area - expected).abs() < 0.02 * 2.0 * PI * radius,
                "{radius}: {area}, expected {expected}"
            );
            assert!((canvas.mean(1) - 0.5 * canvas.mean(0)).abs() < 1e-12);
            assert_eq!(canvas.mean(2), 0.0);
        }
    }

    #[test]
    fn nothing_is_painted_out_of_reach() {
        let mut canvas = Canvas::new(|_, _| BLACK);
        canvas.paint([31.0, 2.0], 4.0, |_, _| -1.0, |_, _| [1.0; 3]);
        // Columns 27 to 31 and rows 0 to 6.
        assert_eq!(canvas.mean(0) * PIXELS, 5.0 * 7.0);
    }

    #[test]
    fn blurring_spreads_a_point_and_keeps_the_sum() {
        let point = |x: f64, y: f64| if x == 10.5 && y == 20.5 { [1.0; 3] } else { BLACK };
        let mut canvas = Canvas::new(point);
        canvas.blur(0.25);
        // The outer product of (1, 2, 1) / 4 with itself.
        let near: Vec<f64> =
            (19..22).flat_map(|y| (9..12).map(move |x| y * SIZE + x)).map(|i| canvas.pixels[i][0]).collect();
        assert_eq!(near, [1.0, 2.0, 1.0, 2.0, 4.0, 2.0, 1.0, 2.0, 1.0].map(|share| share / 16.0));
        assert_eq!(canvas.mean(2) * PIXELS, 1.0);
        let mut corner = Canvas::new(|x, y| if x < 1.0 && y < 1.0 { [1.0; 3] } else { BLACK });
        corner.blur(0.125);
        assert_eq!(corner.mean(1) * PIXELS, 1.0);
    }

    #[test]
    fn bytes_lie_by_channel_row_and_column() {
        let canvas = Canvas::new(|x, y| [x / 255.0, y / 255.0, 2.0]);
        let bytes = canvas.into_bytes(0.0, &mut Seed(0).stream("unused"));
        // x = column + 1/2, and halves are rounded up.
        let at = |channel: usize, row: usize, column: usize| bytes[(channel * SIZE + row) * SIZE + column];
        assert_eq!((at(0, 3, 7), at(1, 3, 7), at(2, 3, 7)), (8, 4, 255));
    }
}
