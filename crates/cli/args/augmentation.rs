//! How images are changed at random in training.

use serde::Serialize;
use xexp_data::{Augment, RandAugment};
use xexp_train::Mixing;

use super::number;

/// The flags of augmentation; all are off by default. What is drawn depends on the seed, the epoch and the example alone.
#[derive(Debug, Clone, Default, PartialEq, clap::Args, Serialize)]
#[command(next_help_heading = "Augmentation of training images")]
pub struct Augmentation {
    /// Takes a random piece of each image, of at least this share of its area and in proportions from 3:4 to 4:3
    /// [default: the whole image, as in validation].
    #[arg(long, env = "XEXP_RANDOM_CROP", value_name = "SHARE", value_parser = number::share)]
    pub random_crop: Option<f64>,
    /// Mirrors so many images, left to right.
    #[arg(long, env = "XEXP_HFLIP", value_name = "SHARE", default_value = "0", value_parser = number::share)]
    pub hflip: f64,
    /// Applies N operations drawn from RandAugment's 14 to each image, of the magnitude M from 0 to 30; 2,9 is usual, and 9
    /// the magnitude where M is left away.
    #[arg(long, env = "XEXP_RAND_AUGMENT", value_name = "N[,M]")]
    pub rand_augment: Option<RandAugment>,
    /// Changes brightness, contrast and saturation by a factor of at most 1 ± X.
    #[arg(long, env = "XEXP_COLOR_JITTER", value_name = "X", default_value = "0", value_parser = number::share)]
    pub color_jitter: f64,
    /// Blends each image and label with another of its step, by shares from Beta(ALPHA, ALPHA); 0.2 is usual.
    #[arg(long, env = "XEXP_MIXUP", value_name = "ALPHA", default_value = "0", value_parser = number::not_negative)]
    pub mixup: f64,
    /// Lays a piece of another image of its step into each, labels by area; 1 is usual. With --mixup, one of both.
    #[arg(long, env = "XEXP_CUTMIX", value_name = "ALPHA", default_value = "0", value_parser = number::not_negative)]
    pub cutmix: f64,
}

impl Augmentation {
    /// What changes single images.
    pub fn augment(&self) -> Augment {
        Augment {
            crop: self.random_crop,
            mirror: self.hflip,
            operations: self.rand_augment,
            jitter: self.color_jitter,
        }
    }

    /// What mixes two.
    pub fn mixing(&self) -> Mixing {
        Mixing { mixup: self.mixup, cutmix: self.cutmix }
    }

    /// Whether anything is on.
    pub fn is_on(&self) -> bool {
        !self.augment().is_none() || !self.mixing().is_none()
    }
}
