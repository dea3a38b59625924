//! RandAugment: a few operations drawn at random, all of one strength.
//!
//! Source: Cubuk et al. 2020, arXiv 1909.13719, figure 2 and its list of operations; their ranges at the greatest magnitude
//! are those of torchvision's `RandAugment`.

use std::str::FromStr;

use serde::Serialize;
use xexp_init::Stream;

use super::Image;

/// The greatest magnitude.
const GREATEST: f64 = 30.0;

/// How many operations, and how strong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RandAugment {
    /// Operations on an image, one after the other, drawn with repetition.
    pub operations: u8,
    /// From 0, which changes nothing or next to nothing, to 30.
    pub magnitude: f64,
}

impl FromStr for RandAugment {
    type Err = String;

    /// `N` or `N,M`; the magnitude is 9 where it is not given.
    fn from_str(text: &str) -> Result<Self, String> {
        let (operations, magnitude) = text.split_once(',').unwrap_or((text, "9"));
        let operations = operations.trim().parse().ok().filter(|count| (1..=14).contains(count));
        let magnitude = magnitude.trim().parse().ok().filter(|m| (0.0..=GREATEST).contains(m));
        match (operations, magnitude) {
            (Some(operations), Some(magnitude)) => Ok(RandAugment { operations, magnitude }),
            _ => {
                Err("expected N or N,M: N operations, 1 to 14, of the magnitude M, 0 to 30, such as 2,9"
                    .into())
            }
        }
    }
}

/// What may be done to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Identity,
    ShearX,
    ShearY,
    TranslateX,
    TranslateY,
    Rotate,
    Brightness,
    Color,
    Contrast,
    Sharpness,
    Posterize,
    Solarize,
    AutoContrast,
    Equalize,
}

const ALL: [Operation; 14] = [
    Operation::Identity,
    Operation::ShearX,
    Operation::ShearY,
    Operation::TranslateX,
    Operation::TranslateY,
    Operation::Rotate,
    Operation::Brightness,
    Operation::Color,
    Operation::Contrast,
    Operation::Sharpness,
    Operation::Posterize,
    Operation::Solarize,
    Operation::AutoContrast,
    Operation::Equalize,
];

impl RandAugment {
    /// The image after its operations; two draws each, whatever they are.
    pub(super) fn applied(&self, image: Image, stream: &mut Stream) -> Image {
        (0..self.operations).fold(image, |image, _| {
            let operation = ALL[stream.below(ALL.len() as u64) as usize];
            let sign = if stream.uniform() < 0.5 { -1.0 } else { 1.0 };
            operation.on(&image, self.magnitude / GREATEST, sign)
        })
    }
}

impl Operation {
    /// The image changed at a level from 0 to 1, one way or the other where there are two.
    fn on(self, image: &Image, level: f64, sign: f64) -> Image {
        let shift = |length: usize| (150.0 / 331.0 * length as f64 * level) as isize * sign as isize;
        let factor = 1.0 + 0.9 * level * sign;
        match self {
            Operation::Identity => image.clone(),
            Operation::ShearX => image.affine([1.0, 0.3 * level * sign, 0.0, 0.0, 1.0, 0.0]),
            Operation::ShearY => image.affine([1.0, 0.0, 0.0, 0.3 * level * sign, 1.0, 0.0]),
            Operation::TranslateX => image.piece((0, -shift(image.width)), (image.height, image.width)),
            Operation::TranslateY => image.piece((-shift(image.height), 0), (image.height, image.width)),
            Operation::Rotate => image.rotated(30.0 * level * sign),
            Operation::Brightness => image.blended(|_, _| 0, factor),
            Operation::Color => match image.in_colours(1) {
                Some(grey) => image.blended(|_, pixel| grey.pixels[pixel], factor),
                None => image.clone(),
            },
            Operation::Contrast => match image.in_colours(1) {
                Some(grey) => {
                    let sum: u64 = grey.pixels.iter().map(|&value| u64::from(value)).sum();
                    let mean = (sum as f64 / grey.pixels.len().max(1) as f64 + 0.5) as u8;
                    image.blended(|_, _| mean, factor)
                }
                None => image.clone(),
            },
            Operation::Sharpness => {
                let smooth = image.smoothed();
                let size = image.height * image.width;
                image.blended(|plane, pixel| smooth.pixels[plane * size + pixel], factor)
            }
            Operation::Posterize => {
                let kept = 8 - (4.0 * level).round() as u32;
                image.mapped(|_| std::array::from_fn(|value| value as u8 & !((1u32 << (8 - kept)) - 1) as u8))
            }
            Operation::Solarize => {
                let threshold = 255.0 * (1.0 - level);
                image.mapped(|_| {
                    std::array::from_fn(|v| if (v as f64) < threshold { v as u8 } else { 255 - v as u8 })
                })
            }
            Operation::AutoContrast => image.mapped(stretched),
            Operation::Equalize => image.mapped(equalized),
        }
    }
}

/// The values of a plane stretched to reach from 0 to 255.
fn stretched(plane: &[u8]) -> [u8; 256] {
    let (low, high) = plane.iter().fold((255, 0), |(low, high), &v| (v.min(low), v.max(high)));
    if high <= low {
        return std::array::from_fn(|value| value as u8);
    }
    let scale = 255.0 / f64::from(high - low);
    let offset = -f64::from(low) * scale;
    std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
}

/// The values of a plane moved so that all become about equally frequent.
fn equalized(plane: &[u8]) -> [u8; 256] {
    let mut counts = [0usize; 256];
    plane.iter().for_each(|&value| counts[usize::from(value)] += 1);
    let last = counts.iter().rev().find(|&&count| count > 0).copied().unwrap_or_default();
    let step = (plane.len() - last) / 255;
    if step == 0 {
        return std::array::from_fn(|value| value as u8);
    }
    let mut before = step / 2;
    std::array::from_fn(|value| {
        let moved = before / step;
        before += counts[value];
        moved.min(255) as u8
    })
}

impl Image {
    /// Every value by the table of its plane.
    fn mapped(&self, table: impl Fn(&[u8]) -> [u8; 256]) -> Image {
        self.with_planes((self.height, self.width), |plane| {
            let table = table(plane);
            plane.iter().map(|&value| table[usize::from(value)]).collect()
        })
    }

    /// Between another image and this one, or beyond: `other + factor · (this − other)`, cut off below, in the single
    /// precision of `PIL.Image.blend`. `other` is asked by plane and pixel.
    fn blended(&self, other: impl Fn(usize, usize) -> u8, factor: f64) -> Image {
        let size = (self.height * self.width).max(1);
        let pixels = self.pixels.iter().enumerate().map(|(index, &value)| {
            let from = f32::from(other(index / size, index % size));
            // Beyond 0 and 255 the conversion stays at them.
            (from + factor as f32 * (f32::from(value) - from)) as u8
        });
        Image { pixels: pixels.collect(), ..self.clone() }
    }

    /// The mean of each pixel's neighbourhood, the pixel itself five times; the border stays.
    ///
    /// Source: `PIL.ImageFilter.SMOOTH`, of weights 1 and 5 over 13.
    fn smoothed(&self) -> Image {
        let (height, width) = (self.height, self.width);
        let (side, middle) = (1.0 / 13.0_f32, 5.0 / 13.0_f32);
        self.with_planes((height, width), |plane| {
            let mut out = plane.to_vec();
            for y in 1..height.saturating_sub(1) {
                for x in 1..width.saturating_sub(1) {
                    let line = |y: usize, centre: f32| {
                        let at = |x: usize| f32::from(plane[y * width + x]);
                        at(x - 1) * side + at(x) * centre + at(x + 1) * side
                    };
                    out[y * width + x] =
                        (0.5 + line(y + 1, side) + line(y, middle) + line(y - 1, side)) as u8;
                }
            }
            out
        })
    }

    /// Turned against the clock about its middle by so many degrees; black where nothing comes from.
    fn rotated(&self, degrees: f64) -> Image {
        if degrees == 0.0 {
            return self.clone();
        }
        let (sin, cos) = libm::sincos(-degrees.to_radians());
        let (x, y) = (self.width as f64 / 2.0, self.height as f64 / 2.0);
        self.affine([cos, sin, x - cos * x - sin * y, -sin, cos, y + sin * x - cos * y])
    }

    /// Each pixel from where the matrix leads its middle, `(a·x + b·y + c, d·x + e·y + f)`: the nearest one, black beyond.
    ///
    /// Source: `PIL.Image.transform`, whose places are of 16 bits after the point.
    fn affine(&self, [a, b, c, d, e, f]: [f64; 6]) -> Image {
        let fixed = |value: f64| (value * 65_536.0 + 0.5).floor() as i64;
        let steps = [a, b, d, e].map(fixed);
        let first = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
        let (height, width) = (self.height as i64, self.width as i64);
        self.with_planes((self.height, self.width), |plane| {
            let mut out = Vec::with_capacity(plane.len());
            for y in 0..height {
                for x in 0..width {
                    let from_x = (first.0 + steps[1] * y + steps[0] * x) >> 16;
                    let from_y = (first.1 + steps[3] * y + steps[2] * x) >> 16;
                    let inside = (0..width).contains(&from_x) && (0..height).contains(&from_y);
                    out.push(if inside { plane[(from_y * width + from_x) as usize] } else { 0 });
                }
            }
            out
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Decoding, decode};
    use sha2::{Digest, Sha256};
    use xexp_init::Seed;

    fn photo() -> Image {
        let bytes = include_bytes!("../../tests/pillow/photo.png");
        decode(bytes, Decoding { channels: 3, over_white: false, upright: false }).unwrap().image
    }

    #[test]
    fn every_operation_is_pillows_to_the_bit() {
        let text = include_str!("../../tests/pillow/expected.json");
        let expected: std::collections::BTreeMap<String, String> = serde_json::from_str(text).unwrap();
        let mut wrong = vec![];
        for (name, hash) in &expected {
            let operation =
                ALL.iter().find(|op| name.trim_end_matches(['+', '-']) == format!("{op:?}")).unwrap();
            let sign = if name.ends_with('-') { -1.0 } else { 1.0 };
            let made = operation.on(&photo(), 9.0 / 30.0, sign);
            let found: String =
                Sha256::digest(&made.pixels).iter().map(|byte| format!("{byte:02x}")).collect();
            if found != *hash {
                wrong.push(name);
            }
        }
        assert_eq!((expected.len(), wrong), (23, vec![]));
    }

    #[test]
    fn what_is_drawn_is_a_function_of_the_stream_and_names_both_ways() {
        let augment: RandAugment = "2".parse().unwrap();
        assert_eq!(augment, RandAugment { operations: 2, magnitude: 9.0 });
        let drawn = |name: &str| {
            let mut stream = Seed(1).stream(name);
            let image = augment.applied(photo(), &mut stream);
            (image, stream.position())
        };
        assert_eq!(drawn("a"), drawn("a"));
        assert_ne!(drawn("a").0, drawn("b").0);
        for text in ["", "0", "15", "2,31", "2,-1", "2,x", "2,NaN", "2,9,1"] {
            assert!(text.parse::<RandAugment>().is_err(), "{text}");
        }
    }

    #[test]
    fn small_and_flat_images_survive_every_operation() {
        for (height, width) in [(1, 1), (1, 5), (2, 2)] {
            for channels in [1, 3] {
                let pixels = vec![7; channels * height * width].into();
                let image = Image { channels, height, width, pixels };
                for operation in ALL {
                    let made = operation.on(&image, 1.0, -1.0);
                    assert_eq!(
                        (made.height, made.width, made.pixels.len()),
                        (height, width, channels * height * width)
                    );
                }
            }
        }
    }
}
