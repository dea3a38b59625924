//! Images changed at random, as a class survives it: a piece of them, mirrored, in other colours.

use xexp_init::Stream;

use super::{Filter, Image, RandAugment};

/// What may be changed. All switched off changes nothing and draws nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Augment {
    /// The least share of the area that a random piece has; the piece then takes the whole image's place.
    pub crop: Option<f64>,
    /// How often an image is mirrored, left to right.
    pub mirror: f64,
    /// Operations drawn at random.
    pub operations: Option<RandAugment>,
    /// By how much brightness, contrast and saturation are changed at most, as a share.
    pub jitter: f64,
}

/// Proportions of a random piece, width over height, at least and at most.
const ASPECT: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
/// Pieces tried before the middle is taken.
const TRIES: usize = 10;

impl Augment {
    /// Whether it changes anything.
    pub fn is_none(&self) -> bool {
        *self == Augment::default()
    }

    /// The image mirrored, after random operations, and in other colours, as the stream has it.
    pub fn changed(&self, image: Image, stream: &mut Stream) -> Image {
        let mut image = image;
        if self.mirror > 0.0 && stream.uniform() < self.mirror {
            image = image.mirrored();
        }
        if let Some(operations) = &self.operations {
            image = operations.applied(image, stream);
        }
        if self.jitter > 0.0 {
            let mut factor = || 1.0 + self.jitter * (2.0 * stream.uniform() - 1.0);
            let (brightness, contrast, saturation) = (factor(), factor(), factor());
            image = image.brightened(brightness).contrasted(contrast).saturated(saturation);
        }
        image
    }
}

impl Image {
    /// A random piece of at least the share `least` of the area, resized to `size` pixels high and wide.
    ///
    /// Source: Szegedy et al. 2015, §6 (the share of the area even, the logarithm of the proportions even).
    pub fn random_piece(&self, least: f64, size: usize, filter: Filter, stream: &mut Stream) -> Image {
        let (height, width) = (self.height as f64, self.width as f64);
        let between = |(low, high): (f64, f64), u: f64| low + (high - low) * u;
        for _ in 0..TRIES {
            let area = height * width * between((least, 1.0), stream.uniform());
            let aspect = libm::exp(between((libm::log(ASPECT.0), libm::log(ASPECT.1)), stream.uniform()));
            let (h, w) = ((area / aspect).sqrt().round() as usize, (area * aspect).sqrt().round() as usize);
            if (1..=self.height).contains(&h) && (1..=self.width).contains(&w) {
                let top = stream.below((self.height - h + 1) as u64) as isize;
                let left = stream.below((self.width - w + 1) as u64) as isize;
                return self.piece((top, left), (h, w)).resized(size, size, filter);
            }
        }
        // Of a long strip, the middle in the nearest proportions that are allowed.
        let h = height.min(width / ASPECT.0).round() as usize;
        let w = width.min(height * ASPECT.1).round() as usize;
        self.centre(h, w).resized(size, size, filter)
    }

    /// Left and right changed places.
    pub fn mirrored(&self) -> Image {
        self.with_planes((self.height, self.width), |plane| {
            plane.chunks_exact(self.width.max(1)).flat_map(|row| row.iter().rev().copied()).collect()
        })
    }

    /// Every value times `factor`: black stays.
    fn brightened(&self, factor: f64) -> Image {
        self.away_from(|_| 0.0, factor)
    }

    /// Every value `factor` times as far from the image's mean grey.
    fn contrasted(&self, factor: f64) -> Image {
        let Some(grey) = self.in_colours(1) else { return self.clone() };
        let sum: u64 = grey.pixels.iter().map(|&value| u64::from(value)).sum();
        let mean = sum as f64 / grey.pixels.len().max(1) as f64;
        self.away_from(|_| mean, factor)
    }

    /// Every value `factor` times as far from the pixel's grey; a grey image stays.
    fn saturated(&self, factor: f64) -> Image {
        match self.in_colours(1) {
            Some(grey) => self.away_from(|pixel| f64::from(grey.pixels[pixel]), factor),
            None => self.clone(),
        }
    }

    fn away_from(&self, centre: impl Fn(usize) -> f64, factor: f64) -> Image {
        let changed = |(pixel, &value): (usize, &u8)| {
            let centre = centre(pixel);
            (centre + factor * (f64::from(value) - centre)).round().clamp(0.0, 255.0) as u8
        };
        self.with_planes((self.height, self.width), |plane| plane.iter().enumerate().map(changed).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xexp_init::Seed;

    fn image(height: usize, width: usize) -> Image {
        let pixels = (0..3 * height * width).map(|i| (i * 37 % 256) as u8).collect();
        Image { channels: 3, height, width, pixels }
    }

    #[test]
    fn what_is_switched_off_changes_and_draws_nothing() {
        let (nothing, mut stream) = (Augment::default(), Seed(1).stream("a"));
        assert!(nothing.is_none());
        assert_eq!(nothing.changed(image(5, 6), &mut stream), image(5, 6));
        assert_eq!(stream.position(), 0);
    }

    #[test]
    fn mirroring_twice_gives_the_image_back_and_happens_as_often_as_asked() {
        assert_eq!(image(2, 3).mirrored().mirrored(), image(2, 3));
        assert_eq!(&*image(1, 3).mirrored().pixels, [74, 37, 0, 185, 148, 111, 40, 3, 222]);
        let half = Augment { mirror: 0.5, ..Augment::default() };
        let mut stream = Seed(1).stream("mirror");
        let times = (0..2000).filter(|_| half.changed(image(1, 3), &mut stream) != image(1, 3)).count();
        // A binomial count: six standard deviations are 6 · √500 = 134.
        assert!(times.abs_diff(1000) < 134, "{times}");
    }

    #[test]
    fn pieces_have_the_size_asked_for_and_lie_within_the_image() {
        // Black beyond the image would show in an image that is white everywhere.
        let mut stream = Seed(1).stream("pieces");
        for (height, width) in [(7, 9), (40, 30), (1, 50), (50, 2), (1, 1)] {
            let white = Image { channels: 3, height, width, pixels: vec![255; 3 * height * width].into() };
            for _ in 0..100 {
                let piece = white.random_piece(0.08, 5, Filter::Bicubic, &mut stream);
                assert_eq!((piece.height, piece.width, &*piece.pixels), (5, 5, &[255; 75][..]));
            }
        }
    }

    #[test]
    fn colours_move_as_the_definitions_say() {
        let image = Image { channels: 3, height: 1, width: 2, pixels: [100, 200, 100, 200, 100, 200].into() };
        assert_eq!(&*image.brightened(0.5).pixels, [50, 100, 50, 100, 50, 100]);
        // The mean grey is 150; grey pixels have no colour to lose.
        assert_eq!(&*image.contrasted(1.5).pixels, [75, 225, 75, 225, 75, 225]);
        assert_eq!(image.saturated(0.0), image);
        let red = Image { channels: 3, height: 1, width: 1, pixels: [255, 0, 0].into() };
        assert_eq!(&*red.saturated(0.0).pixels, [76, 76, 76]);
    }
}
