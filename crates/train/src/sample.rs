//! Examples as the model takes them, with the ids of their labels.

use crate::Result;
use std::sync::Arc;
use xexp_backbones::{Error, Input};

/// One example.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What the model reads.
    pub content: Content,
    /// Id of the label.
    pub label: u32,
}

/// What the model reads of one example.
#[derive(Clone, Debug, PartialEq)]
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
        /// Normalised pixels, `(channels, height, width)`.
        pixels: Arc<[f32]>,
        /// Tokens that the model makes of it.
        tokens: usize,
    },
}

impl Sample {
    /// A text of these tokens.
    pub fn text(ids: Vec<u32>, type_ids: Vec<u32>, label: u32) -> Self {
        Sample { content: Content::Text { ids, type_ids }, label }
    }

    /// Token ids and segments of a text; none of an image.
    pub fn tokens(&self) -> (&[u32], &[u32]) {
        match &self.content {
            Content::Text { ids, type_ids } => (ids, type_ids),
            Content::Image { .. } => (&[], &[]),
        }
    }
}

/// Packs the chosen samples end to end, with their labels.
///
/// # Errors
/// A sample without tokens, or texts and images in one batch.
pub fn pack<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> Result<(Input, Vec<u32>)> {
    let (mut texts, mut images, mut tokens) = (vec![], vec![], 0);
    for sample in samples.clone() {
        match &sample.content {
            Content::Text { ids, type_ids } => texts.push((&ids[..], &type_ids[..])),
            Content::Image { pixels, tokens: of_one } => {
                images.push(&pixels[..]);
                tokens = *of_one;
            }
        }
    }
    let input = match (texts.is_empty(), images.is_empty()) {
        (_, true) => Input::pack(texts)?,
        (true, false) => Input::pack_images(images, tokens)?,
        (false, false) => {
            return Err(Error::Input { reason: "texts and images in one batch".to_string() }.into());
        }
    };
    Ok((input, samples.map(|s| s.label).collect()))
}
