//! Images: from the bytes of a file to the values that a model takes.

mod augment;
mod crop;
mod decode;
mod fields;
mod preprocessor;
mod processors;
mod rand_augment;
mod resample;

use std::sync::Arc;

pub use augment::Augment;
pub use decode::{Decoded, Decoding, decode};
pub use preprocessor::Preprocessor;
pub use rand_augment::RandAugment;
pub use resample::Filter;

/// An image of eight bits a colour.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Image {
    /// Colours of a pixel: 1 or 3.
    pub channels: usize,
    /// Height, in pixels.
    pub height: usize,
    /// Width, in pixels.
    pub width: usize,
    /// The values, `(channels, height, width)`.
    pub pixels: Arc<[u8]>,
}

impl Image {
    /// The planes, one a colour, `(height, width)` each.
    pub(crate) fn planes(&self) -> impl Iterator<Item = &[u8]> {
        self.pixels.chunks_exact((self.height * self.width).max(1))
    }

    /// The same colours with every plane made anew, of another size.
    pub(crate) fn with_planes(
        &self,
        (height, width): (usize, usize),
        plane: impl Fn(&[u8]) -> Vec<u8>,
    ) -> Image {
        let pixels = self.planes().flat_map(plane).collect();
        Image { channels: self.channels, height, width, pixels }
    }

    /// The same image in so many colours: a grey one thrice, or the luminance of three. `None` for other numbers.
    ///
    /// Source: ITU-R BT.601 (luma), with the integer weights that Pillow gives it.
    pub fn in_colours(&self, channels: usize) -> Option<Image> {
        let (height, width) = (self.height, self.width);
        let pixels: Arc<[u8]> = match (self.channels, channels) {
            (from, to) if from == to => self.pixels.clone(),
            (1, 3) => self.pixels.repeat(3).into(),
            (3, 1) => {
                let (r, rest) = self.pixels.split_at(height * width);
                let (g, b) = rest.split_at(height * width);
                r.iter().zip(g).zip(b).map(|((&r, &g), &b)| luma([r, g, b])).collect()
            }
            _ => return None,
        };
        Some(Image { channels, height, width, pixels })
    }
}

fn luma([r, g, b]: [u8; 3]) -> u8 {
    let sum = u32::from(r) * 19_595 + u32::from(g) * 38_470 + u32::from(b) * 7_471 + (1 << 15);
    (sum >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_the_grey_that_pillow_makes_of_them() {
        // Pixels by Pillow 13.0: Image.fromarray([[[10,200,31],[255,255,254],[1,2,3],[99,98,97]]]).convert("L").
        let pixels = Arc::from([10, 255, 1, 99, 200, 255, 2, 98, 31, 254, 3, 97]);
        let image = Image { channels: 3, height: 1, width: 4, pixels };
        let grey = image.in_colours(1).unwrap();
        assert_eq!(&*grey.pixels, [124, 255, 2, 98]);
        assert_eq!(&*grey.in_colours(3).unwrap().pixels, [124, 255, 2, 98].repeat(3));
        assert_eq!(image.in_colours(4), None);
    }
}
