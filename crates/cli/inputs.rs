//! From texts to samples: the tokenizer, the length limit, labels by id.

use xexp_backbones::Error;
use xexp_backbones::folder::Folder;
use xexp_data::{Dataset, Encoded, Labels, Tokenizer};
use xexp_train::Sample;

use crate::args::Shared;
use crate::failure::Failure;

/// Most tokens kept of a text where nothing is said and the model could take more.
const DEFAULT_MAX_LENGTH: usize = 256;

/// A tokenizer and how many tokens it may give.
pub struct Encoder {
    tokenizer: Tokenizer,
    /// Rows of the model's word table.
    vocabulary: usize,
    /// Most tokens kept of a text.
    pub max_length: usize,
}

impl Encoder {
    /// The tokenizer of a model; it gives at most as many tokens as the model has positions for.
    ///
    /// # Errors
    /// A tokenizer that cannot be read, a `--max-length` beyond the limit.
    pub fn new(folder: &Folder, shared: &Shared) -> Result<Self, Failure> {
        let limit = folder.config.size("max_position_embeddings")?;
        let max_length = shared.max_length.map_or(limit.min(DEFAULT_MAX_LENGTH), usize::from);
        if max_length > limit {
            let message = format!("--max-length {max_length}: the model takes at most {limit} tokens");
            return Err(Failure::input(message).hint(format!("give at most --max-length {limit}")));
        }
        let vocabulary = folder.config.size("vocab_size")?;
        Ok(Encoder {
            tokenizer: Tokenizer::from_bytes(&folder.path.join("tokenizer.json"), &folder.companion()?)?,
            vocabulary,
            max_length,
        })
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

/// Encodings with the ids of their labels.
///
/// # Errors
/// A label that the table lacks, with its line.
pub fn labelled(encoded: &[Encoded], data: &Dataset, labels: &Labels) -> Result<Vec<Sample>, Failure> {
    let ids = labels.ids(data)?;
    Ok(encoded.iter().zip(ids).map(|(encoded, id)| sample(encoded, id as u32)).collect())
}

/// An encoding under the id of its label; 0 where there is none to know.
pub fn sample(encoded: &Encoded, label: u32) -> Sample {
    Sample::text(encoded.ids.clone(), encoded.type_ids.clone(), label)
}
