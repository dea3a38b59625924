//! Images, and what a checkpoint's `preprocessor_config.json` makes of them.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};

/// An image of eight bits a colour.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// How a checkpoint wants its pixels: `(value · factor − mean) / std`, colour by colour. Names and defaults are those
/// of transformers' image processors.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    factor: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Preprocessor {
    /// Reads the content of a `preprocessor_config.json`; `path` is for messages.
    ///
    /// # Errors
    /// [`Error::Preprocessor`] with the field that is missing or of another kind.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self> {
        let wrong = |message: String| Error::Preprocessor { path: path.into(), message };
        let fields: Value = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        let asked = |field: &str| fields.get(field).and_then(Value::as_bool).unwrap_or(true);
        let number = |value: &Value| value.as_f64().map(|v| v as f32);
        let colours = |field: &str| {
            let found = fields.get(field).and_then(Value::as_array);
            let values: Option<Vec<f32>> = found.and_then(|list| list.iter().map(number).collect());
            values
                .filter(|v| !v.is_empty())
                .ok_or_else(|| wrong(format!("{field}: expected a list of numbers")))
        };
        let factor = match fields.get("rescale_factor") {
            _ if !asked("do_rescale") => 1.0,
            None => 1.0 / 255.0,
            Some(value) => number(value).ok_or_else(|| wrong("rescale_factor: expected a number".into()))?,
        };
        if !asked("do_normalize") {
            return Ok(Preprocessor { factor, mean: vec![0.0], std: vec![1.0] });
        }
        let (mean, std) = (colours("image_mean")?, colours("image_std")?);
        if mean.len() != std.len() || std.contains(&0.0) {
            return Err(wrong(
                "image_mean and image_std: expected as many of each, and no spread of 0".into(),
            ));
        }
        Ok(Preprocessor { factor, mean, std })
    }

    /// The image's values as the model takes them, `(channels, size, size)`.
    ///
    /// # Errors
    /// [`Error::ImageSize`] for an image of another size or number of colours; nothing is resized unasked.
    pub fn apply(&self, name: &str, image: &Image, channels: usize, size: usize) -> Result<Arc<[f32]>> {
        let found = [image.channels, image.height, image.width];
        let colours = self.mean.len();
        if found != [channels, size, size] || (colours != 1 && colours != channels) {
            return Err(Error::ImageSize { name: name.into(), expected: [channels, size, size], found });
        }
        let area = size * size;
        let value = |(index, &value): (usize, &u8)| {
            let colour = if colours == 1 { 0 } else { index / area };
            (f32::from(value) * self.factor - self.mean[colour]) / self.std[colour]
        };
        Ok(image.pixels.iter().enumerate().map(value).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Preprocessor> {
        Preprocessor::parse("preprocessor_config.json".as_ref(), text.as_bytes())
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
    fn another_size_and_a_broken_file_are_refused() {
        let image = Image { channels: 1, height: 2, width: 1, pixels: Arc::from([0, 0]) };
        let error = parse(r#"{"do_normalize": false}"#).unwrap().apply("a/1", &image, 1, 2).unwrap_err();
        assert!(error.to_string().contains("a/1") && error.hint().is_some(), "{error}");
        for text in ["", "[]", r#"{"image_mean": [0.5]}"#, r#"{"image_mean": [0], "image_std": [0]}"#] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
