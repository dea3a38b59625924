//! Sizes of images.

use serde::{Deserialize, Serialize};

use crate::dataset::Dataset;

/// Sizes of the images of a split, width and height in pixels, as their files have them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PictureSizes {
    /// The one of the fewest pixels.
    pub smallest: (usize, usize),
    /// The one in the middle, by pixels.
    pub median: (usize, usize),
    /// The one of the most pixels.
    pub largest: (usize, usize),
    /// How many sizes there are.
    pub distinct: u64,
    /// Whether EXIF orientations were followed, which transformers' processors do not do.
    pub exif_orientation: bool,
    /// Images that were turned or mirrored for it.
    pub turned: u64,
    /// Whether the images are kept in memory in the model's size.
    pub kept: bool,
    /// Files of the folder that are no images by their extension.
    pub other_files: u64,
}

impl PictureSizes {
    /// Of the images of a dataset; `None` of texts.
    pub(super) fn of(data: &Dataset) -> Option<Self> {
        let gallery = data.gallery.as_ref()?;
        let pictures: Vec<_> = data.examples.iter().filter_map(|example| example.image.as_ref()).collect();
        let mut sizes: Vec<(usize, usize)> = pictures.iter().map(|p| (p.size.1, p.size.0)).collect();
        sizes.sort_by_key(|&(width, height)| (width * height, width));
        let (smallest, median, largest) =
            (*sizes.first()?, *sizes.get((sizes.len() - 1) / 2)?, *sizes.last()?);
        sizes.dedup();
        Some(PictureSizes {
            smallest,
            median,
            largest,
            distinct: sizes.len() as u64,
            exif_orientation: gallery.upright,
            turned: pictures.iter().filter(|picture| picture.turned).count() as u64,
            kept: gallery.kept,
            other_files: gallery.other_files,
        })
    }
}
