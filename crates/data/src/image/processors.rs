//! The image processors of transformers that are known here, with what each takes for granted.

use super::resample::Filter;

/// What a processor does where its file says nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Defaults {
    pub(super) filter: Filter,
    pub(super) size: Size,
    /// Whether a size of one number is a square, rather than the shorter edge.
    pub(super) number_is_square: bool,
    pub(super) crop: Option<(usize, usize)>,
    pub(super) mean: [f64; 3],
    pub(super) std: [f64; 3],
    pub(super) over_white: bool,
    /// Whether the size means a cut-out of a larger image, and how much of its edge the cut-out leaves.
    pub(super) kept_share: Option<f64>,
}

/// What an image is resized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Size {
    /// A height and a width.
    Fixed(usize, usize),
    /// A shorter edge; the other keeps the proportions.
    Shorter(usize),
}

const HALF: [f64; 3] = [0.5; 3];
/// Mean and spread of the colours that CLIP was trained on. Source: Radford et al. 2021, the published code.
const CLIP: ([f64; 3], [f64; 3]) =
    ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]);

const VIT: Defaults = Defaults {
    filter: Filter::Bilinear,
    size: Size::Fixed(224, 224),
    number_is_square: true,
    crop: None,
    mean: HALF,
    std: HALF,
    over_white: false,
    kept_share: None,
};
const BEIT: Defaults = Defaults { filter: Filter::Bicubic, ..VIT };
const BIT: Defaults = Defaults {
    size: Size::Shorter(224),
    number_is_square: false,
    crop: Some((224, 224)),
    mean: CLIP.0,
    std: CLIP.1,
    over_white: true,
    ..BEIT
};
const MOBILE_NET: Defaults =
    Defaults { size: Size::Shorter(256), number_is_square: false, crop: Some((224, 224)), ..VIT };

/// Names without the endings `ImageProcessor`, `ImageProcessorFast`, `ImageProcessorPil` and `FeatureExtractor`.
pub(super) const PROCESSORS: &[(&str, Defaults)] = &[
    ("Beit", BEIT),
    ("Bit", BIT),
    ("CLIP", BIT),
    (
        "ConvNext",
        Defaults {
            size: Size::Shorter(384),
            number_is_square: false,
            kept_share: Some(224.0 / 256.0),
            ..BEIT
        },
    ),
    ("DeiT", Defaults { size: Size::Fixed(256, 256), crop: Some((224, 224)), ..BEIT }),
    ("MobileNetV1", MOBILE_NET),
    ("MobileNetV2", MOBILE_NET),
    ("Siglip", Defaults { number_is_square: false, over_white: true, ..BEIT }),
    ("ViT", VIT),
];

/// The defaults of a processor by its class.
pub(super) fn find(class: &str) -> Option<&'static Defaults> {
    let endings = ["ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor"];
    let name = endings.iter().find_map(|ending| class.strip_suffix(ending))?;
    PROCESSORS.iter().find(|(known, _)| *known == name).map(|(_, defaults)| defaults)
}

/// The classes known, for messages.
pub(super) fn names() -> String {
    let names: Vec<String> = PROCESSORS.iter().map(|(name, _)| format!("{name}ImageProcessor")).collect();
    names.join(", ")
}
