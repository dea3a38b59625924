//! The image of an example: where its pixels are, and what it is known by.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::image::{Decoded, Decoding, Image, decode};

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Still {
    /// In memory, decoded.
    Pixels(Image),
    /// In memory, as the bytes of a file.
    Bytes(Arc<[u8]>),
    /// In a file.
    File(PathBuf),
}

/// An image of an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Where it is.
    pub still: Still,
    /// SHA-256 of its bytes: of the file's, or of the pixels where there is no file.
    pub sha256: [u8; 32],
    /// Height and width as decoded, in pixels.
    pub size: (usize, usize),
    /// Whether its EXIF orientation was followed.
    pub turned: bool,
    /// The image in the size that the model takes, where there was room to keep it.
    pub kept: Option<Image>,
}

impl Picture {
    /// An image in memory.
    pub fn of_pixels(image: Image) -> Self {
        let sha256 = Sha256::digest(&image.pixels).into();
        let size = (image.height, image.width);
        Picture { still: Still::Pixels(image), sha256, size, turned: false, kept: None }
    }

    /// Its pixels, decoded.
    ///
    /// # Errors
    /// A file that cannot be read, or is no image.
    pub fn decoded(&self, decoding: Decoding) -> Result<Image, String> {
        self.still.decode(decoding).map(|(decoded, _)| decoded.image)
    }
}

impl Still {
    /// Reads and decodes; the second value is the SHA-256 of the bytes.
    ///
    /// # Errors
    /// A file that cannot be read, or is no image.
    pub fn decode(&self, decoding: Decoding) -> Result<(Decoded, [u8; 32]), String> {
        let bytes: Cow<'_, [u8]> = match self {
            Still::Pixels(image) => {
                let sha256 = Sha256::digest(&image.pixels).into();
                let colours = decoding.channels;
                let image = image
                    .in_colours(colours)
                    .ok_or_else(|| format!("expected {colours} colours, found {}", image.channels))?;
                return Ok((Decoded { image, turned: false }, sha256));
            }
            Still::Bytes(bytes) => Cow::Borrowed(bytes),
            Still::File(path) => {
                Cow::Owned(std::fs::read(path).map_err(|error| format!("cannot read it: {error}"))?)
            }
        };
        Ok((decode(&bytes, decoding)?, Sha256::digest(&bytes).into()))
    }
}
