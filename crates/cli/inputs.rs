//! From examples to samples: texts through the tokenizer, images through the preprocessor, labels by id.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use xexp_backbones::Error;
use xexp_backbones::config::LARGEST;
use xexp_backbones::families::Modality;
use xexp_backbones::folder::Folder;
use xexp_backbones::layers::ImageShape;
use xexp_data::{Augment, Dataset, Encoded, Example, Labels, Preprocessor, Task, Tokenizer, Viewer};
use xexp_train::{Content, Sample, Target};

use crate::args::{Reading, Shared};
use crate::failure::Failure;
use crate::photo::Photo;
use crate::places::Data;
use crate::reading::{Wanted, read};

/// Most tokens kept of a text where nothing is said and the model could take more.
const DEFAULT_MAX_LENGTH: usize = 256;

/// What turns a model's examples into its samples.
pub enum Encoder {
    /// Of a text model.
    Text(Box<TextEncoder>),
    /// Of an image model: how it looks at images, and the tokens that it makes of one.
    Image(Viewer, usize),
}

/// A tokenizer and how many tokens it may give.
pub struct TextEncoder {
    tokenizer: Tokenizer,
    /// Rows of the model's word table.
    vocabulary: usize,
    /// Most tokens kept of a text.
    pub max_length: usize,
}

/// What is said of how texts and images become a model's.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Most tokens kept of a text, if any number is said.
    pub max_length: Option<NonZeroUsize>,
    /// Whether EXIF orientations are followed.
    pub upright: bool,
    /// Bytes that may be kept of images in the model's size.
    pub image_cache: usize,
}

impl Terms {
    /// As the flags have them.
    pub fn new(shared: &Shared, reading: &Reading) -> Self {
        Terms {
            max_length: shared.max_length,
            upright: !reading.ignore_exif,
            image_cache: shared.image_cache as usize * 1_000_000,
        }
    }
}

/// The samples of a dataset, in its order, of class 0 until [`Prepared::labelled`].
pub struct Prepared {
    /// The samples.
    pub samples: Vec<Sample>,
    /// Lengths of the texts, for the receipt; `None` of images.
    pub encoded: Option<Vec<Encoded>>,
}

impl Encoder {
    /// Of a model; `image` are the images that its backbone takes, if it takes any.
    ///
    /// # Errors
    /// A tokenizer or preprocessor that cannot be read, a `--max-length` that the model cannot take.
    pub fn new(folder: &Folder, image: Option<ImageShape>, terms: Terms) -> Result<Self, Failure> {
        let (name, bytes) = (folder.family.modality.companion(), folder.companion()?);
        let path = folder.path.join(name);
        match (folder.family.modality, image) {
            (Modality::Image, Some(image)) => {
                if terms.max_length.is_some() {
                    return Err(Failure::input("--max-length: an image has no length to cut"));
                }
                let viewer = Viewer {
                    preprocessor: Preprocessor::parse(&path, &bytes)?,
                    channels: image.channels,
                    size: image.size,
                    upright: terms.upright,
                    budget: terms.image_cache,
                };
                Ok(Encoder::Image(viewer, image.tokens))
            }
            _ => {
                let limit = match folder.family.longest(&folder.config)? {
                    Some(longest) => longest,
                    // Where nothing bounds it and nothing is said, only memory does.
                    None => folder.config.size_or("max_position_embeddings", LARGEST)?,
                };
                let vocabulary = folder.config.size("vocab_size")?;
                let tokenizer = Tokenizer::from_bytes(&path, &bytes)?;
                TextEncoder::new(tokenizer, vocabulary, limit, terms.max_length.map(usize::from))
                    .map(|text| Encoder::Text(Box::new(text)))
            }
        }
    }

    /// Ids of the tokens that stand for no part of a text; none of images.
    pub fn special_tokens(&self) -> BTreeSet<u32> {
        match self {
            Encoder::Text(text) => text.tokenizer.special_ids(),
            Encoder::Image(..) => BTreeSet::new(),
        }
    }

    /// Most tokens kept of a text; `None` of images.
    pub fn max_length(&self) -> Option<usize> {
        match self {
            Encoder::Text(text) => Some(text.max_length),
            Encoder::Image(..) => None,
        }
    }

    /// Reads data of the model's kind.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(&mut self, place: &Data, reading: &Reading, wanted: Wanted) -> Result<Dataset, Failure> {
        match self {
            Encoder::Text(_) if place.is_images_alone() => Err(mismatch(place, "images", "a text model")),
            Encoder::Text(_) => read(place, reading, wanted, None),
            Encoder::Image(viewer, _) => read(place, reading, wanted, Some(viewer)),
        }
    }

    /// The samples of the data, images changed as `augment` says when they are trained on.
    ///
    /// # Errors
    /// Texts for an image model or the other way round; a text that the tokenizer refuses, a token that the model has
    /// no row for, an image of another size.
    pub fn prepare(&self, data: &Dataset, augment: Augment) -> Result<Prepared, Failure> {
        match (self, data.is_images()) {
            (Encoder::Text(text), false) => {
                let encoded = text.encode(data)?;
                let sample = |e: &Encoded| Sample::text(e.ids.clone(), e.type_ids.clone(), 0);
                Ok(Prepared { samples: encoded.iter().map(sample).collect(), encoded: Some(encoded) })
            }
            (Encoder::Image(viewer, tokens), true) => {
                let viewer = Arc::new(viewer.clone());
                let sample = |example: &Example| {
                    let photo = Photo::of(example, &viewer, augment)?;
                    let content = Content::Image { image: Arc::new(photo), tokens: *tokens };
                    Some(Ok(Sample { content, target: Target::Class(0) }))
                };
                let samples: Result<Vec<Sample>, Failure> = data.examples.iter().filter_map(sample).collect();
                Ok(Prepared { samples: samples?, encoded: None })
            }
            (Encoder::Text(_), true) => Err(mismatch(&data.path.display(), "images", "a text model")),
            (Encoder::Image(..), false) => Err(mismatch(&data.path.display(), "texts", "an image model")),
        }
    }
}

fn mismatch(place: &dyn std::fmt::Display, what: &str, model: &str) -> Failure {
    Failure::input(format!("{place} holds {what}, which {model} cannot read"))
        .hint("choose a model of the kind of the data with --model, or leave it away")
}

impl TextEncoder {
    /// A tokenizer for a model of `vocabulary` word vectors and `limit` positions.
    ///
    /// # Errors
    /// A `max_length` beyond the limit.
    pub fn new(
        tokenizer: Tokenizer,
        vocabulary: usize,
        limit: usize,
        max_length: Option<usize>,
    ) -> Result<Self, Failure> {
        let max_length = max_length.unwrap_or(limit.min(DEFAULT_MAX_LENGTH));
        if max_length > limit {
            let message = format!("--max-length {max_length}: the model takes at most {limit} tokens");
            return Err(Failure::input(message).hint(format!("give at most --max-length {limit}")));
        }
        Ok(TextEncoder { tokenizer, vocabulary, max_length })
    }

    /// The tokens of texts that come from several files.
    ///
    /// # Errors
    /// As [`TextEncoder::encode`].
    pub fn encode_texts(&self, texts: &[Example]) -> Result<Vec<Encoded>, Failure> {
        let encoded = self.tokenizer.encode_examples(texts, self.max_length)?;
        match encoded.iter().flat_map(|e| &e.ids).find(|&&id| id as usize >= self.vocabulary) {
            Some(&id) => Err(Error::TokenId { id, what: "vocabulary", count: self.vocabulary }.into()),
            None => Ok(encoded),
        }
    }

    /// The tokens of each example.
    ///
    /// # Errors
    /// A text that the tokenizer refuses, or a token that the model has no row for: found here, before hours of
    /// training come to it.
    pub fn encode(&self, data: &Dataset) -> Result<Vec<Encoded>, Failure> {
        let encoded = self.tokenizer.encode_examples(&data.examples, self.max_length)?;
        for (tokens, example) in encoded.iter().zip(&data.examples) {
            if let Some(&id) = tokens.ids.iter().find(|&&id| id as usize >= self.vocabulary) {
                let error = Error::TokenId { id, what: "vocabulary", count: self.vocabulary };
                let message = format!("{}:{}: {error}", data.path.display(), example.line);
                return Err(Failure::input(message).hint(error.hint().unwrap_or_default()));
            }
        }
        Ok(encoded)
    }
}

impl Prepared {
    /// The samples with what should be said of them.
    ///
    /// # Errors
    /// A label that the table lacks, with its line.
    pub fn labelled(&self, data: &Dataset, labels: &Labels) -> Result<Vec<Sample>, Failure> {
        let hot = |set: Vec<usize>| {
            let mut hot = vec![0.0; labels.len()];
            set.into_iter().for_each(|id| hot[id] = 1.0);
            Target::Labels(hot.into())
        };
        let targets: Vec<Target> = match labels.task() {
            Task::SingleLabel => labels.ids(data)?.into_iter().map(|id| Target::Class(id as u32)).collect(),
            Task::MultiLabel => labels.sets(data)?.into_iter().map(hot).collect(),
            Task::Regression => labels.values(data)?.into_iter().map(|v| Target::Value(v as f32)).collect(),
        };
        let sample = |(sample, target): (&Sample, Target)| Sample { target, ..sample.clone() };
        Ok(self.samples.iter().zip(targets).map(sample).collect())
    }
}
