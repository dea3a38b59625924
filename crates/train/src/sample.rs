//! Examples as the model takes them, with what it should say of them.

use crate::Result;
use std::fmt::Debug;
use std::sync::Arc;
use xexp_backbones::{Error, Input, Seed};
use xexp_heads::Truth;

/// One example.
#[derive(Clone, Debug)]
pub struct Sample {
    /// What the model reads.
    pub content: Content,
    /// What the model should say.
    pub target: Target,
}

/// What a model should say of one example.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// Id of a class.
    Class(u32),
    /// Which labels apply: 1 or 0 of each, `(labels,)`.
    Labels(Arc<[f32]>),
    /// A value.
    Value(f32),
}

impl Target {
    /// The class's id; `None` of other tasks.
    pub fn class(&self) -> Option<u32> {
        match self {
            Target::Class(id) => Some(*id),
            Target::Labels(_) | Target::Value(_) => None,
        }
    }
}

/// What the model reads of one example.
#[derive(Clone, Debug)]
pub enum Content {
    /// A text.
    Text {
        /// Token ids.
        ids: Vec<u32>,
        /// Segment of each token.
        type_ids: Vec<u32>,
    },
    /// An image.
    Image {
        /// What gives its pixels.
        image: Arc<dyn Pixels>,
        /// Tokens that the model makes of it.
        tokens: usize,
    },
}

/// An image that is decoded when it is wanted.
pub trait Pixels: Debug + Send + Sync {
    /// Normalised pixels, `(channels, height, width)`: as the image is, or as `visit` sees it.
    ///
    /// # Errors
    /// A file that cannot be read any more.
    fn pixels(&self, visit: Option<Visit>) -> Result<Arc<[f32]>>;
}

/// An example's turn in an epoch of training, which names the random streams of its augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Seed of the run.
    pub seed: Seed,
    /// The epoch, from 0.
    pub epoch: u64,
    /// Number of the example among those trained on.
    pub example: usize,
}

/// Pixels in memory, the same in every visit.
#[derive(Debug)]
struct Fixed(Arc<[f32]>);

impl Pixels for Fixed {
    fn pixels(&self, _: Option<Visit>) -> Result<Arc<[f32]>> {
        Ok(self.0.clone())
    }
}

impl Sample {
    /// A text of these tokens.
    pub fn text(ids: Vec<u32>, type_ids: Vec<u32>, label: u32) -> Self {
        Sample { content: Content::Text { ids, type_ids }, target: Target::Class(label) }
    }

    /// An image of these normalised pixels, `(channels, height, width)`.
    pub fn image(pixels: Arc<[f32]>, tokens: usize, label: u32) -> Self {
        let content = Content::Image { image: Arc::new(Fixed(pixels)), tokens };
        Sample { content, target: Target::Class(label) }
    }

    /// Token ids and segments of a text; none of an image.
    pub fn tokens(&self) -> (&[u32], &[u32]) {
        match &self.content {
            Content::Text { ids, type_ids } => (ids, type_ids),
            Content::Image { .. } => (&[], &[]),
        }
    }
}

/// Packs the chosen samples end to end, with their truth; images as they are, without augmentation.
///
/// # Errors
/// As [`pack_with`] and [`truth`]; an image that cannot be read.
pub fn pack<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Result<(Input, Truth)> {
    let pixels = |sample: &Sample| match &sample.content {
        Content::Text { .. } => None,
        Content::Image { image, .. } => Some(image.pixels(None)),
    };
    let images: Vec<Arc<[f32]>> = samples.clone().filter_map(pixels).collect::<Result<_>>()?;
    Ok((pack_with(samples.clone(), &images)?, truth(samples)?))
}

/// The same without the truth, and with the pixels of the images given, in the order of the samples.
///
/// # Errors
/// A sample without tokens, texts and images in one batch, a number of images other than that of the samples that are some.
pub fn pack_with<'a>(
    samples: impl Iterator<Item = &'a Sample> + Clone,
    images: &[Arc<[f32]>],
) -> Result<Input> {
    let (mut texts, mut tokens, mut wanted) = (vec![], 0, 0);
    for sample in samples {
        match &sample.content {
            Content::Text { ids, type_ids } => texts.push((&ids[..], &type_ids[..])),
            Content::Image { tokens: of_one, .. } => (tokens, wanted) = (*of_one, wanted + 1),
        }
    }
    let wrong = |reason: String| Err(Error::Input { reason }.into());
    Ok(match (texts.is_empty(), wanted == 0) {
        _ if wanted != images.len() => return wrong(format!("{wanted} images, pixels of {}", images.len())),
        (_, true) => Input::pack(texts)?,
        (true, false) => Input::pack_images(images.iter().map(|pixels| &pixels[..]), tokens)?,
        (false, false) => return wrong("texts and images in one batch".to_string()),
    })
}

/// What the samples' targets are together; classes where there are none.
///
/// # Errors
/// Targets of several tasks.
pub fn truth<'a>(samples: impl Iterator<Item = &'a Sample>) -> Result<Truth> {
    let mut all: Option<Truth> = None;
    for sample in samples {
        match (&mut all, &sample.target) {
            (None, Target::Class(id)) => all = Some(Truth::Classes(vec![*id])),
            (None, Target::Labels(hot)) => all = Some(Truth::Labels(hot.to_vec())),
            (None, Target::Value(value)) => all = Some(Truth::Values(vec![*value])),
            (Some(Truth::Classes(ids)), Target::Class(id)) => ids.push(*id),
            (Some(Truth::Labels(rows)), Target::Labels(hot)) => rows.extend_from_slice(hot),
            (Some(Truth::Values(values)), Target::Value(value)) => values.push(*value),
            _ => return Err(Error::Input { reason: "targets of several tasks in one batch".into() }.into()),
        }
    }
    Ok(all.unwrap_or(Truth::Classes(vec![])))
}
