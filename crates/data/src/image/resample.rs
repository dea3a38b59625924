//! Resizing as Pillow does it: a separable filter, widened where the image shrinks, in fixed-point arithmetic.

use super::Image;
use core::f64::consts::PI;

/// Fraction bits of a weight: what 32 bits leave beside the eight of a value and two for sums beyond its range.
const BITS: u32 = 32 - 8 - 2;

/// The function whose values are the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// The nearest pixel, without a mean of any.
    Nearest,
    /// The mean of the pixels that a new one covers.
    Box,
    /// A triangle, two pixels wide.
    Bilinear,
    /// The cosine window of Hamming on a sinc, two pixels wide.
    Hamming,
    /// The cubic of Keys with a = −1/2, four pixels wide.
    Bicubic,
    /// A sinc in the window of a wider one, six pixels wide.
    Lanczos,
}

impl Filter {
    /// By Pillow's number, which is what `resample` holds in a `preprocessor_config.json`.
    pub fn by_number(number: u64) -> Option<Self> {
        Some(match number {
            0 => Filter::Nearest,
            1 => Filter::Lanczos,
            2 => Filter::Bilinear,
            3 => Filter::Bicubic,
            4 => Filter::Box,
            5 => Filter::Hamming,
            _ => return None,
        })
    }

    /// Half its width, in pixels.
    fn support(self) -> f64 {
        match self {
            Filter::Nearest => 0.0,
            Filter::Box => 0.5,
            Filter::Bilinear | Filter::Hamming => 1.0,
            Filter::Bicubic => 2.0,
            Filter::Lanczos => 3.0,
        }
    }

    /// Source: Keys 1981, eq. 4 (bicubic); Turkowski 1990 (Lanczos); Harris 1978 (Hamming's window).
    fn at(self, x: f64) -> f64 {
        let sinc = |x: f64| if x == 0.0 { 1.0 } else { libm::sin(PI * x) / (PI * x) };
        let distance = x.abs();
        match self {
            Filter::Nearest => 0.0,
            Filter::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Filter::Bilinear => (1.0 - distance).max(0.0),
            Filter::Hamming if distance >= 1.0 => 0.0,
            Filter::Hamming => sinc(distance) * (0.54 + 0.46 * libm::cos(PI * distance)),
            Filter::Bicubic => {
                const A: f64 = -0.5;
                if distance < 1.0 {
                    ((A + 2.0) * distance - (A + 3.0)) * distance * distance + 1.0
                } else if distance < 2.0 {
                    (((distance - 5.0) * distance + 8.0) * distance - 4.0) * A
                } else {
                    0.0
                }
            }
            Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Filter::Lanczos => 0.0,
        }
    }
}

/// The weights of one new pixel: those of the old ones from `first` on.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The weights of all new pixels of a line of `from` that becomes one of `to`.
fn taps(from: usize, to: usize, filter: Filter) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    // A filter that stayed narrow while the image shrinks would leave pixels out.
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    (0..to)
        .map(|index| {
            let centre = (index as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            let weight = |x: usize| filter.at((x as f64 - centre + 0.5) * (1.0 / stretch));
            let weights: Vec<f64> = (first..end).map(weight).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: &f64| {
                let whole = if sum == 0.0 { *weight } else { weight / sum } * f64::from(1 << BITS);
                (if whole < 0.0 { whole - 0.5 } else { whole + 0.5 }) as i32
            };
            Taps { first, weights: weights.iter().map(fixed).collect() }
        })
        .collect()
}

/// What every sum begins with, so that cutting its fraction off rounds it.
const HALF: i32 = 1 << (BITS - 1);

fn value(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

impl Image {
    /// The image in another size, of at least one pixel, to the bit as `PIL.Image.resize` of Pillow makes it: first
    /// along the rows, then, from values rounded to eight bits, along the columns.
    ///
    /// Source: Pillow, `src/libImaging/Resample.c` (the arithmetic) and `Geometry.c` (nearest).
    pub fn resized(&self, height: usize, width: usize, filter: Filter) -> Image {
        if (height, width) == (self.height, self.width) {
            return self.clone();
        }
        if filter == Filter::Nearest {
            let (rows, columns) = (nearest(self.height, height), nearest(self.width, width));
            return self.with_planes((height, width), |plane| {
                let row = |&y: &usize| columns.iter().map(move |&x| plane[y * self.width + x]);
                rows.iter().flat_map(row).collect()
            });
        }
        let across = (width != self.width).then(|| taps(self.width, width, filter));
        let down = (height != self.height).then(|| taps(self.height, height, filter));
        self.with_planes((height, width), |plane| {
            let rows = match &across {
                Some(taps) => along_rows(plane, self.width, taps),
                None => plane.to_vec(),
            };
            match &down {
                Some(taps) => along_columns(&rows, width, taps),
                None => rows,
            }
        })
    }
}

/// The old place of each new one. The position is added up, not multiplied, since that decides ties as Pillow does.
fn nearest(from: usize, to: usize) -> Vec<usize> {
    let step = from as f64 / to as f64;
    let mut at = step * 0.5;
    (0..to)
        .map(|_| {
            let place = (at as usize).min(from - 1);
            at += step;
            place
        })
        .collect()
}

fn along_rows(plane: &[u8], width: usize, taps: &[Taps]) -> Vec<u8> {
    let new = |row: &[u8], taps: &Taps| {
        let old = &row[taps.first..taps.first + taps.weights.len()];
        value(old.iter().zip(&taps.weights).fold(HALF, |sum, (&v, &w)| sum + i32::from(v) * w))
    };
    plane.chunks_exact(width).flat_map(|row| taps.iter().map(move |taps| new(row, taps))).collect()
}

fn along_columns(plane: &[u8], width: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(taps.len() * width);
    let mut sums = vec![0i32; width];
    for taps in taps {
        sums.fill(HALF);
        for (row, &weight) in plane.chunks_exact(width).skip(taps.first).zip(&taps.weights) {
            sums.iter_mut().zip(row).for_each(|(sum, &v)| *sum += i32::from(v) * weight);
        }
        out.extend(sums.iter().map(|&sum| value(sum)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(height: usize, width: usize) -> Image {
        let pixels = (0..height * width).map(|i| (i * 37 % 256) as u8).collect();
        Image { channels: 1, height, width, pixels }
    }

    /// Made with Pillow 13.0: `Image.fromarray((numpy.arange(35) * 37 % 256).astype("uint8").reshape(5, 7))`, resized.
    const PILLOW: &[(u64, usize, usize, &[u8])] = &[
        (0, 3, 3, &[37, 111, 185, 43, 117, 191, 49, 123, 197]),
        (
            0,
            5,
            9,
            &[
                0, 37, 37, 74, 111, 148, 185, 185, 222, 3, 40, 40, 77, 114, 151, 188, 188, 225, 6, 43, 43,
                80, 117, 154, 191, 191, 228, 9, 46, 46, 83, 120, 157, 194, 194, 231, 12, 49, 49, 86, 123,
                160, 197, 197, 234,
            ],
        ),
        (1, 3, 3, &[25, 112, 199, 30, 117, 204, 35, 122, 209]),
        (
            1,
            5,
            9,
            &[
                0, 21, 56, 81, 111, 141, 166, 201, 224, 1, 24, 59, 84, 114, 144, 169, 204, 227, 4, 27, 62,
                87, 117, 147, 172, 207, 230, 7, 30, 65, 90, 120, 150, 175, 210, 233, 10, 33, 68, 93, 123,
                153, 178, 213, 236,
            ],
        ),
        (2, 3, 3, &[33, 112, 191, 38, 117, 196, 43, 122, 201]),
        (
            2,
            5,
            9,
            &[
                0, 25, 53, 82, 111, 140, 169, 197, 222, 3, 28, 56, 85, 114, 143, 172, 200, 225, 6, 31, 59,
                88, 117, 146, 175, 203, 228, 9, 34, 62, 91, 120, 149, 178, 206, 231, 12, 37, 65, 94, 123,
                152, 181, 209, 234,
            ],
        ),
        (3, 3, 3, &[28, 112, 196, 33, 117, 201, 38, 122, 206]),
        (
            3,
            5,
            9,
            &[
                0, 22, 53, 82, 111, 140, 169, 200, 224, 1, 25, 56, 85, 114, 143, 172, 203, 227, 4, 28, 59,
                88, 117, 146, 175, 206, 230, 7, 31, 62, 91, 120, 149, 178, 209, 233, 10, 34, 65, 94, 123,
                152, 181, 212, 236,
            ],
        ),
        (4, 3, 3, &[21, 113, 206, 25, 117, 210, 30, 122, 215]),
        (
            4,
            5,
            9,
            &[
                0, 37, 37, 74, 111, 148, 185, 185, 222, 3, 40, 40, 77, 114, 151, 188, 188, 225, 6, 43, 43,
                80, 117, 154, 191, 191, 228, 9, 46, 46, 83, 120, 157, 194, 194, 231, 12, 49, 49, 86, 123,
                160, 197, 197, 234,
            ],
        ),
        (5, 3, 3, &[29, 112, 195, 34, 117, 200, 39, 122, 205]),
        (
            5,
            5,
            9,
            &[
                0, 31, 51, 76, 111, 146, 171, 191, 222, 3, 34, 54, 79, 114, 149, 174, 194, 225, 6, 37, 57,
                82, 117, 152, 177, 197, 228, 9, 40, 60, 85, 120, 155, 180, 200, 231, 12, 43, 63, 88, 123,
                158, 183, 203, 234,
            ],
        ),
    ];

    #[test]
    fn every_filter_gives_pillows_pixels() {
        for (number, height, width, expected) in PILLOW {
            let found = image(5, 7).resized(*height, *width, Filter::by_number(*number).unwrap());
            assert_eq!((found.height, found.width), (*height, *width));
            assert_eq!(&*found.pixels, *expected, "filter {number}, {height} × {width}");
        }
        assert_eq!(Filter::by_number(6), None);
    }

    #[test]
    fn colours_do_not_mix_and_a_constant_stays() {
        let pixels = [vec![9; 12], vec![200; 12], vec![255; 12]].concat().into();
        let image = Image { channels: 3, height: 3, width: 4, pixels };
        for number in 0..6 {
            let found = image.resized(5, 2, Filter::by_number(number).unwrap());
            assert_eq!(&*found.pixels, [vec![9; 10], vec![200; 10], vec![255; 10]].concat(), "{number}");
        }
    }
}
