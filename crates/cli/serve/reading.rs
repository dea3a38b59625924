//! From requests to samples: texts through the tokenizer, images through the preprocessor.

use std::sync::Arc;

use rayon::prelude::*;
use xexp_data::{Augment, Encoded, Example, Still, Viewer};
use xexp_train::{Pixels, Sample};

use super::engine::Prepared;
use super::queue::Job;
use super::refusal::Refusal;
use super::request::{Inputs, Text};
use crate::failure::Failure;
use crate::inputs::{Encoder, TextEncoder};
use crate::photo::Photo;

/// Reads several requests at once, each by itself.
pub fn prepare(encoder: &Encoder, jobs: &[Job]) -> Vec<Result<Prepared, Refusal>> {
    jobs.par_iter()
        .map(|job| match (encoder, &job.inputs) {
            (Encoder::Text(encoder), Inputs::Texts(texts)) => texts_of(encoder, texts, job.truncate),
            (Encoder::Image(viewer, tokens), Inputs::Image(bytes)) => image_of(viewer, *tokens, bytes),
            // Held against the content type before it came here.
            (Encoder::Text(_), Inputs::Image(_)) => Err(Refusal::wrong("expected texts, found an image", "")),
            (Encoder::Image(..), Inputs::Texts(_)) => {
                Err(Refusal::wrong("expected an image, found texts", ""))
            }
        })
        .collect()
}

/// The samples of one text, cut where it is too long.
///
/// # Errors
/// Special tokens that leave no room for a text; a token that the model has no row for.
pub fn samples(encoder: &TextEncoder, text: &str) -> Result<Vec<Sample>, Failure> {
    let encoded = encoder.encode_texts(&examples(&[Text { text: text.to_string(), pair: None }]))?;
    Ok(encoded.into_iter().map(sample).collect())
}

fn examples(texts: &[Text]) -> Vec<Example> {
    let example = |(index, text): (usize, &Text)| Example {
        id: index.to_string(),
        text: text.text.clone(),
        pair: text.pair.clone(),
        image: None,
        label: None,
        line: index as u64,
    };
    texts.iter().enumerate().map(example).collect()
}

fn sample(encoded: Encoded) -> Sample {
    Sample::text(encoded.ids, encoded.type_ids, 0)
}

/// The tokens of texts; one that is longer than the model takes is cut or refused.
fn texts_of(encoder: &TextEncoder, texts: &[Text], truncate: bool) -> Result<Prepared, Refusal> {
    let encoded = encoder.encode_texts(&examples(texts)).map_err(|failure| {
        Refusal::wrong(failure.message(), "the tokenizer and the model cannot read this text")
    })?;
    for (index, one) in encoded.iter().enumerate() {
        if one.ids.is_empty() {
            let error = format!("inputs[{index}]: the tokenizer makes no token of it");
            return Err(Refusal::wrong(error, "leave out what there is nothing to say of"));
        }
        if one.full_length > one.ids.len() && !truncate {
            let (most, found) = (encoder.max_length, one.full_length);
            let error = format!("inputs[{index}]: expected at most {most} tokens, found {found}");
            return Err(Refusal::wrong(error, "shorten it, or ask for it to be cut with \"truncate\": true"));
        }
    }
    let tokens = encoded.iter().map(|one| one.ids.len()).collect();
    let lengths = encoded.iter().map(|one| (one.ids.len(), one.full_length)).collect();
    Ok(Prepared { samples: encoded.into_iter().map(sample).collect(), tokens, lengths })
}

/// The pixels of an image, as the model takes them.
fn image_of(viewer: &Viewer, tokens: usize, bytes: &[u8]) -> Result<Prepared, Refusal> {
    let wrong =
        |message: String| Refusal::wrong(format!("the image: {message}"), "send a JPEG, PNG or WebP file");
    let picture = viewer.look(Still::Bytes(bytes.into()), true).map_err(wrong)?;
    let example = Example {
        id: String::new(),
        text: "the body".into(),
        pair: None,
        image: Some(picture),
        label: None,
        line: 0,
    };
    let photo = Photo::of(&example, &Arc::new(viewer.clone()), Augment::default());
    let pixels = match photo {
        Some(photo) => photo.pixels(None).map_err(|error| wrong(error.to_string()))?,
        None => return Err(wrong("there is none".to_string())),
    };
    Ok(Prepared { samples: vec![Sample::image(pixels, tokens, 0)], tokens: vec![tokens], lengths: vec![] })
}
