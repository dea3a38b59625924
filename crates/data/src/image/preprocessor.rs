//! What a checkpoint's `preprocessor_config.json` makes of images.

use std::path::Path;
use std::sync::Arc;

use super::fields::Fields;
use super::processors::{self, Defaults, Size};
use super::resample::Filter;
use super::{Decoding, Image};
use crate::error::{Error, Result};

/// From this edge on, ConvNeXT's processor squeezes the whole image instead of cutting its middle out.
const WHOLE_FROM: usize = 384;

/// How a checkpoint wants its images: resized, cut, and `(value · factor − mean) / std`, colour by colour. Names, defaults
/// and arithmetic are those of transformers' image processors on Pillow, so that pixels come out the same to the bit.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    resize: Option<(Resize, Filter)>,
    crop: Option<(usize, usize)>,
    over_white: bool,
    /// The value of each byte in each colour; one colour stands for all.
    values: Vec<[f32; 256]>,
}

/// What an image becomes in size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resize {
    Fixed(usize, usize),
    Shorter(usize),
    /// A shorter edge, and the middle of that edge cut out of the result.
    Middle {
        edge: usize,
        middle: usize,
    },
}

impl Preprocessor {
    /// Reads the content of a `preprocessor_config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Preprocessor`] with the class or field that is unknown, missing, or of another kind.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        read(bytes).map_err(|message| Error::Preprocessor { path: path.into(), message })
    }

    /// How files are to be decoded for a model of so many colours.
    pub fn decoding(&self, channels: usize, upright: bool) -> Decoding {
        Decoding { channels, over_white: self.over_white, upright }
    }

    /// The image in the size that the model takes: resized and cut, still of eight bits.
    pub fn shaped(&self, image: &Image) -> Image {
        let (height, width) = self.resized_to(image.height, image.width);
        let mut shaped = image.resized(height, width, self.filter());
        if let Some((Resize::Middle { middle, .. }, _)) = self.resize {
            shaped = shaped.centre(middle, middle);
        }
        match self.crop {
            Some((height, width)) => shaped.centre(height, width),
            None => shaped,
        }
    }

    /// Height and width of an image once it is resized, before anything is cut.
    pub fn resized_to(&self, height: usize, width: usize) -> (usize, usize) {
        match self.resize.map(|(resize, _)| resize) {
            None => (height, width),
            Some(Resize::Fixed(height, width)) => (height, width),
            Some(Resize::Shorter(edge) | Resize::Middle { edge, .. }) => {
                // The longer edge keeps the proportions and is cut to whole pixels.
                let other =
                    |longer: usize, shorter: usize| ((edge * longer) as f64 / shorter as f64) as usize;
                if width <= height { (other(height, width), edge) } else { (edge, other(width, height)) }
            }
        }
    }

    /// Height and width of what [`Preprocessor::shaped`] makes of an image.
    pub fn shaped_to(&self, height: usize, width: usize) -> (usize, usize) {
        match (self.crop, self.resize) {
            (Some(crop), _) => crop,
            (None, Some((Resize::Middle { middle, .. }, _))) => (middle, middle),
            _ => self.resized_to(height, width),
        }
    }

    /// The side of the square that every image becomes; `None` where that is no square, or depends on the image.
    pub fn side(&self) -> Option<usize> {
        match (self.crop, self.resize) {
            (Some((height, width)), _) => (height == width).then_some(height),
            (None, Some((Resize::Middle { middle, .. }, _))) => Some(middle),
            (None, Some((Resize::Fixed(height, width), _))) => (height == width).then_some(height),
            _ => None,
        }
    }

    /// The filter that images are resized with.
    pub fn filter(&self) -> Filter {
        self.resize.map_or(Filter::Bilinear, |(_, filter)| filter)
    }

    /// The values of an image that has the model's size, `(channels, size, size)`.
    ///
    /// # Errors
    /// [`Error::ImageSize`] for an image of another size or number of colours.
    pub fn values(&self, name: &str, image: &Image, channels: usize, size: usize) -> Result<Arc<[f32]>> {
        let found = [image.channels, image.height, image.width];
        if found != [channels, size, size] || (self.values.len() != 1 && self.values.len() != channels) {
            return Err(Error::ImageSize { name: name.into(), expected: [channels, size, size], found });
        }
        let colour = |(index, plane): (usize, &'_ [u8])| {
            let table = &self.values[if self.values.len() == 1 { 0 } else { index }];
            plane.iter().map(|&value| table[usize::from(value)]).collect::<Vec<f32>>()
        };
        Ok(image.planes().enumerate().flat_map(colour).collect())
    }

    /// The values of any image: shaped, then as [`Preprocessor::values`].
    ///
    /// # Errors
    /// [`Error::ImageSize`] when the processor's size is not the model's.
    pub fn apply(&self, name: &str, image: &Image, channels: usize, size: usize) -> Result<Arc<[f32]>> {
        self.values(name, &self.shaped(image), channels, size)
    }
}

fn read(bytes: &[u8]) -> std::result::Result<Preprocessor, String> {
    let mut fields = Fields::parse(bytes)?;
    let class = ["image_processor_type", "feature_extractor_type"]
        .into_iter()
        .find_map(|field| Some((field, fields.take(field)?.as_str().unwrap_or_default().to_string())));
    let defaults: Option<&Defaults> = match &class {
        None => None,
        Some((field, name)) => Some(processors::find(name).ok_or_else(|| {
            format!("{field}: {name:?} is not supported; supported are {}", processors::names())
        })?),
    };
    let (resize, crop) = (resize(&mut fields, defaults)?, crop(&mut fields, defaults)?);
    let over_white = fields.flag("do_convert_rgb")?.unwrap_or(defaults.is_some_and(|d| d.over_white));
    let values = values(&mut fields, defaults)?;
    fields.finish()?;
    Ok(Preprocessor { resize, crop, over_white, values })
}

fn resize(
    fields: &mut Fields,
    defaults: Option<&Defaults>,
) -> std::result::Result<Option<(Resize, Filter)>, String> {
    let number_is_square = fields.flag("default_to_square")?;
    let square = number_is_square.or(defaults.map(|d| d.number_is_square)).unwrap_or(true);
    let size = fields.size("size", square)?.or(defaults.map(|d| d.size));
    let filter = match fields.number("resample")? {
        None => defaults.map_or(Filter::Bilinear, |d| d.filter),
        Some(number) => Filter::by_number(number as u64)
            .filter(|_| number >= 0.0 && number.fract() == 0.0)
            .ok_or_else(|| format!("resample: expected a number from 0 to 5, found {number}"))?,
    };
    // Only ConvNeXT's processor knows this field; elsewhere it is left over and refused.
    let share = match defaults.and_then(|d| d.kept_share) {
        None => None,
        Some(usual) => Some(fields.number("crop_pct")?.unwrap_or(usual)),
    };
    if !fields.flag("do_resize")?.unwrap_or(true) {
        return Ok(None);
    }
    let resize = match (size, share) {
        // A file of no class that names no size leaves images as they are.
        (None, _) => return Ok(None),
        (Some(Size::Fixed(height, width)), None) => Resize::Fixed(height, width),
        (Some(Size::Shorter(edge)), None) => Resize::Shorter(edge),
        (Some(Size::Fixed(..)), Some(_)) => {
            return Err("size: expected {shortest_edge} beside crop_pct".into());
        }
        (Some(Size::Shorter(edge)), Some(_)) if edge >= WHOLE_FROM => Resize::Fixed(edge, edge),
        (Some(Size::Shorter(middle)), Some(share)) if share > 0.0 && share <= 1.0 => {
            Resize::Middle { edge: (middle as f64 / share) as usize, middle }
        }
        (_, Some(share)) => return Err(format!("crop_pct: expected a share in (0, 1], found {share}")),
    };
    Ok(Some((resize, filter)))
}

fn crop(
    fields: &mut Fields,
    defaults: Option<&Defaults>,
) -> std::result::Result<Option<(usize, usize)>, String> {
    let usual = defaults.and_then(|d| d.crop);
    // A number is a square here whatever it is in `size`.
    let size = match fields.size("crop_size", true)? {
        None => usual,
        Some(Size::Fixed(height, width)) => Some((height, width)),
        Some(Size::Shorter(_)) => {
            return Err("crop_size: expected {height, width}, found a shorter edge".into());
        }
    };
    match (fields.flag("do_center_crop")?.unwrap_or(usual.is_some()), size) {
        (false, _) => Ok(None),
        (true, Some(size)) => Ok(Some(size)),
        (true, None) => Err("crop_size: expected a size beside do_center_crop, found none".into()),
    }
}

/// The value of each byte, in the order of operations and the number formats that NumPy has there: the product in 64
/// bits, cut to 32, and the rest in 32.
fn values(fields: &mut Fields, defaults: Option<&Defaults>) -> std::result::Result<Vec<[f32; 256]>, String> {
    let factor = fields.number("rescale_factor")?.unwrap_or(1.0 / 255.0);
    let factor = if fields.flag("do_rescale")?.unwrap_or(true) { factor } else { 1.0 };
    let mean = fields.colours("image_mean")?.or(defaults.map(|d| d.mean.to_vec()));
    let std = fields.colours("image_std")?.or(defaults.map(|d| d.std.to_vec()));
    let (mean, std) = if fields.flag("do_normalize")?.unwrap_or(true) {
        let missing = |field: &str| format!("{field}: expected a list of numbers, found none");
        (mean.ok_or_else(|| missing("image_mean"))?, std.ok_or_else(|| missing("image_std"))?)
    } else {
        (vec![0.0], vec![1.0])
    };
    if mean.len() != std.len() || std.iter().any(|&std| std as f32 == 0.0) {
        return Err("image_mean and image_std: expected as many of each, and no spread of 0".into());
    }
    let colour = |(mean, std): (&f64, &f64)| {
        core::array::from_fn(|byte| ((byte as f64 * factor) as f32 - *mean as f32) / *std as f32)
    };
    Ok(mean.iter().zip(&std).map(colour).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Preprocessor> {
        Preprocessor::parse("preprocessor_config.json".as_ref(), text.as_bytes())
    }

    fn image(channels: usize, height: usize, width: usize) -> Image {
        Image { channels, height, width, pixels: vec![7; channels * height * width].into() }
    }

    #[test]
    fn values_are_rescaled_and_normalised_colour_by_colour() {
        let text = r#"{"rescale_factor": 0.5, "image_mean": [1, 2, 0], "image_std": [2, 4, 0.5]}"#;
        let image = Image { channels: 3, height: 1, width: 1, pixels: Arc::from([10, 20, 30]) };
        // (5 − 1)/2, (10 − 2)/4, 15/0.5.
        assert_eq!(&*parse(text).unwrap().apply("a", &image, 3, 1).unwrap(), [2.0, 2.0, 30.0]);
        let plain = parse(r#"{"do_normalize": false}"#).unwrap();
        assert_eq!(plain.apply("a", &image, 3, 1).unwrap()[1], 20.0 / 255.0);
    }

    #[test]
    fn every_spelling_of_a_size_gives_the_size_that_transformers_makes() {
        let shape = |text: &str, height: usize, width: usize| {
            let preprocessor = parse(text).unwrap();
            let found = preprocessor.shaped(&image(3, height, width));
            assert_eq!((found.height, found.width), preprocessor.shaped_to(height, width));
            (found.height, found.width)
        };
        let vit = |rest: &str| format!(r#"{{"image_processor_type": "ViTImageProcessor"{rest}}}"#);
        for (rest, expected) in [
            ("", (224, 224)),
            (r#", "size": 32"#, (32, 32)),
            (r#", "size": [20, 30]"#, (20, 30)),
            (r#", "size": {"width": 30, "height": 20}"#, (20, 30)),
            (r#", "size": {"shortest_edge": 32}"#, (32, 64)),
            (r#", "size": 32, "default_to_square": false"#, (32, 64)),
            (r#", "do_resize": false"#, (50, 101)),
            (r#", "size": 32, "do_center_crop": true, "crop_size": 16"#, (16, 16)),
        ] {
            assert_eq!(shape(&vit(rest), 50, 101), expected, "{rest}");
        }
        // int(32 · 101 / 50) = 64 is the longer edge; the crop then takes the middle.
        let clip = r#"{"feature_extractor_type": "CLIPFeatureExtractor", "size": 32, "crop_size": 30}"#;
        assert_eq!(shape(clip, 101, 50), (30, 30));
        let next =
            |size: usize| format!(r#"{{"image_processor_type": "ConvNextImageProcessor", "size": {size}}}"#);
        assert_eq!((shape(&next(64), 50, 101), shape(&next(400), 50, 101)), ((64, 64), (400, 400)));
        assert_eq!(shape(r#"{"do_normalize": false}"#, 5, 6), (5, 6));
    }

    #[test]
    fn another_size_and_a_broken_file_are_refused() {
        let image = Image { channels: 1, height: 2, width: 1, pixels: Arc::from([0, 0]) };
        let error = parse(r#"{"do_normalize": false}"#).unwrap().apply("a/1", &image, 1, 2).unwrap_err();
        assert!(error.to_string().contains("a/1") && error.hint().is_some(), "{error}");
        for text in ["", "[]", r#"{"image_mean": [0.5]}"#, r#"{"image_mean": [0], "image_std": [0]}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_by_name() {
        let vit = |rest: &str| parse(&format!(r#"{{"image_processor_type": "ViTImageProcessor", {rest}}}"#));
        for (rest, name) in [
            (r#""do_pad": true"#, "do_pad"),
            (r#""do_flip_channel_order": true"#, "do_flip_channel_order"),
            (r#""crop_pct": 0.9"#, "crop_pct"),
            (r#""size": {"longest_edge": 3}"#, "size"),
            (r#""size": {"shortest_edge": 3, "longest_edge": 5}"#, "size"),
            (r#""size": 0"#, "size"),
            (r#""resample": 6"#, "resample"),
            (r#""do_center_crop": true"#, "crop_size"),
            (r#""data_format": "channels_last""#, "data_format"),
        ] {
            let error = vit(rest).unwrap_err().to_string();
            assert!(error.contains(name), "{rest}: {error}");
        }
        assert!(vit(r#""do_pad": false, "pad_size": null, "do_reduce_labels": false"#).is_ok());
        let error = parse(r#"{"image_processor_type": "LevitImageProcessor"}"#).unwrap_err().to_string();
        assert!(error.contains("LevitImageProcessor") && error.contains("ViTImageProcessor"), "{error}");
    }
}
