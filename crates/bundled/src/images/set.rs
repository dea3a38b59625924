//! The sets: their labels, their splits, and each image as a function of its name.

use core::f64::consts::PI;

use xexp_init::Seed;

use super::scene::{self, Freedom};
use super::{pattern, shape, symbol};

/// The names of the sets: the one to pretrain on, and the one to transfer to.
pub const NAMES: [&str; 2] = ["shapes", "symbols"];

/// The seed of all images, fixed: a set is the same for everybody.
const SEED: Seed = Seed(20_261_124);

/// The textures that labels of shapes name, in alphabetical order. Others appear in backgrounds and on symbols.
const TEXTURES: [&str; 3] = ["noise", "plain", "stripes"];

/// Shapes stand upright, give or take 30 degrees. Turned at will, they have no mean picture to begin from either, and
/// a small network needs many more epochs.
const SHAPES: Freedom = Freedom {
    least: 0.0,
    turn: 30.0 / 180.0 * PI,
    scale: (0.6, 0.95),
    stretch: 1.12,
    behind: 4,
    before: 1,
    noise: 0.06,
};
/// Symbols stand upright, give or take 35 degrees, and none of their pictures is easy: there the first set's use shows.
const SYMBOLS: Freedom = Freedom {
    least: 0.5,
    turn: 35.0 / 180.0 * PI,
    scale: (0.55, 0.95),
    stretch: 1.2,
    behind: 4,
    before: 1,
    noise: 0.06,
};

/// An image of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its name within the set, the split and the number in it: `train/00017`.
    pub id: String,
    /// Index of its class in [`ImageSet::labels`].
    pub label: usize,
    /// Bytes in the order channel, row, column: [`CHANNELS`](super::CHANNELS) × [`SIZE`](super::SIZE) × `SIZE`.
    pub pixels: Vec<u8>,
}

/// A set of images that is drawn when asked for.
#[derive(Debug, Clone)]
pub struct ImageSet {
    /// Its name, one of [`NAMES`].
    pub name: &'static str,
    /// The classes, in natural order.
    pub labels: Vec<String>,
    /// The splits and how many images of each class they hold.
    pub splits: &'static [(&'static str, usize)],
    draw: Draw,
}

/// From the class and the image's own stream to its bytes.
type Draw = fn(usize, &mut xexp_init::Stream) -> Vec<u8>;

/// The set `name`; `None` unless it is one of [`NAMES`].
pub fn image_set(name: &str) -> Option<ImageSet> {
    match name {
        "shapes" => {
            let of = |shape: &'static str| TEXTURES.iter().map(move |texture| format!("{shape} {texture}"));
            let labels = shape::NAMES.into_iter().flat_map(of).collect();
            Some(ImageSet {
                name: "shapes",
                labels,
                splits: &[("train", 300), ("valid", 10)],
                draw: draw_shape,
            })
        }
        "symbols" => {
            let labels = symbol::NAMES.iter().map(ToString::to_string).collect();
            let splits = &[("train", 64), ("valid", 16), ("test", 64)];
            Some(ImageSet { name: "symbols", labels, splits, draw: draw_symbol })
        }
        _ => None,
    }
}

/// All images of a split of a set, in order; `None` if there is no such set or split.
pub fn images(set: &str, split: &str) -> Option<Vec<Image>> {
    let set = image_set(set)?;
    (0..set.len(split)?).map(|index| set.image(split, index)).collect()
}

impl ImageSet {
    /// Number of images in a split; `None` if there is no such split.
    pub fn len(&self, split: &str) -> Option<usize> {
        let (_, each) = self.splits.iter().find(|(name, _)| *name == split)?;
        Some(each * self.labels.len())
    }

    /// Image `index` of a split; `None` if there is no such split or image.
    ///
    /// Classes take turns, in the order of the labels: the first images of a split hold equally many of each class.
    /// What is drawn is a function of the set's name, the split and the index, and of nothing else.
    pub fn image(&self, split: &str, index: usize) -> Option<Image> {
        if index >= self.len(split)? {
            return None;
        }
        let id = format!("{split}/{index:05}");
        let label = index % self.labels.len();
        let mut stream = SEED.stream(&format!("images/{}/{id}", self.name));
        Some(Image { pixels: (self.draw)(label, &mut stream), id, label })
    }
}

fn draw_shape(label: usize, stream: &mut xexp_init::Stream) -> Vec<u8> {
    let figure = shape::shape(label / TEXTURES.len(), stream.uniform());
    scene::draw(&figure, pattern::index(TEXTURES[label % TEXTURES.len()]), &SHAPES, stream)
}

fn draw_symbol(label: usize, stream: &mut xexp_init::Stream) -> Vec<u8> {
    let figure = symbol::symbol(label, stream.uniform());
    let texture = stream.below(pattern::NAMES.len() as u64) as usize;
    scene::draw(&figure, texture, &SYMBOLS, stream)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::{CHANNELS, SIZE};
    use std::collections::BTreeSet;

    /// FNV-1a with 64 bits, of Fowler, Noll and Vo.
    fn fingerprint(bytes: impl Iterator<Item = u8>) -> u64 {
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    #[test]
    fn labels_are_distinct_and_the_sets_share_none() {
        let (shapes, symbols) = (image_set("shapes").unwrap(), image_set("symbols").unwrap());
        assert_eq!((shapes.labels.len(), symbols.labels.len()), (24 * 3, 12));
        for set in [&shapes, &symbols] {
            // No label holds a digit, so natural order is that of the bytes.
            assert!(
                set.labels.is_sorted() && set.labels.iter().all(|l| !l.contains(char::is_numeric)),
                "{set:?}"
            );
            assert_eq!(set.labels.iter().collect::<BTreeSet<_>>().len(), set.labels.len());
        }
        for symbol in &symbols.labels {
            assert!(
                shapes.labels.iter().all(|label| !label.split(' ').any(|word| word == symbol)),
                "{symbol}"
            );
        }
        assert!(image_set("letters").is_none() && images("symbols", "dev").is_none());
    }

    #[test]
    fn every_split_holds_equally_many_images_of_each_class_and_shares_none() {
        for name in NAMES {
            let set = image_set(name).unwrap();
            let mut seen = BTreeSet::new();
            for (split, each) in set.splits {
                let images = images(name, split).unwrap();
                let mut counts = vec![0; set.labels.len()];
                for (index, image) in images.into_iter().enumerate() {
                    assert_eq!(image.id, format!("{split}/{index:05}"));
                    assert_eq!(image.pixels.len(), CHANNELS * SIZE * SIZE);
                    counts[image.label] += 1;
                    assert!(seen.insert(image.pixels), "{name} {}", image.id);
                }
                assert_eq!(counts, vec![*each; set.labels.len()]);
                assert!(set.image(split, each * counts.len()).is_none());
            }
        }
    }

    #[test]
    fn an_image_does_not_depend_on_what_was_drawn_before_or_on_the_thread() {
        let all = images("symbols", "valid").unwrap();
        let set = image_set("symbols").unwrap();
        let backwards: Vec<Image> = std::thread::scope(|scope| {
            let draw = || (0..all.len()).rev().map(|index| set.image("valid", index).unwrap()).collect();
            scope.spawn(draw).join().unwrap()
        });
        assert_eq!(all, backwards.into_iter().rev().collect::<Vec<_>>());
    }

    #[test]
    fn the_drawing_has_not_changed() {
        // Goldens of our own, from the day the sets were made: whoever changes the drawing on purpose writes new ones,
        // for results that rest on the old images cannot be repeated with the new.
        for (name, split, index, expected) in [
            ("shapes", "train", 0, 0xd462_86d6_4a31_390f),
            ("shapes", "train", 4321, 0x2068_9a6f_f95d_c0a4),
            ("shapes", "valid", 77, 0xc024_d887_ce77_d9c7),
            ("symbols", "train", 11, 0x48c8_4e05_7843_b1b8),
            ("symbols", "valid", 100, 0x9aae_3419_da39_4bce),
            ("symbols", "test", 767, 0xb712_f015_bd23_d10d),
        ] {
            let image = image_set(name).unwrap().image(split, index).unwrap();
            let found = fingerprint(image.pixels.into_iter());
            assert_eq!(found, expected, "{name} {split} {index}: {found:#018x}");
        }
    }
}
