//! A batch of sequences, packed end to end.

use crate::{Error, Result};

/// Sequences laid end to end: sequence `s` is tokens `offsets[s]..offsets[s+1]`.
///
/// There is no padding, hence no mask and no work on tokens that are not there. What a padded batch with an
/// attention mask means is kept by [`Input::from_padded`].
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// What the tokens are made from.
    pub content: Content,
    /// Where sequences begin and end, `(batch + 1)`.
    pub offsets: Vec<usize>,
}

/// What the tokens of a batch are made from.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Words of texts.
    Words(Words),
    /// Images `(batch, channels, height, width)`, each of as many tokens as the model makes of it.
    Images(Vec<f32>),
}

/// Words of a batch of texts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// Token ids, `(tokens)`.
    pub ids: Vec<u32>,
    /// Segment of each token, `(tokens)`.
    pub type_ids: Vec<u32>,
    /// Position of each token in its sequence, `(tokens)`.
    pub positions: Vec<u32>,
}

impl Input {
    /// Packs sequences of (ids, type ids).
    ///
    /// # Errors
    /// [`Error::Input`] for an empty sequence, or ids and type ids of different lengths.
    pub fn pack<'a>(sequences: impl IntoIterator<Item = (&'a [u32], &'a [u32])>) -> Result<Self> {
        let (mut words, mut offsets) = (Words::default(), vec![0]);
        for (index, (ids, type_ids)) in sequences.into_iter().enumerate() {
            if ids.is_empty() || ids.len() != type_ids.len() {
                let reason =
                    format!("sequence {index} has {} ids and {} type ids", ids.len(), type_ids.len());
                return Err(Error::Input { reason });
            }
            words.ids.extend_from_slice(ids);
            words.type_ids.extend_from_slice(type_ids);
            words.positions.extend(0..ids.len() as u32);
            offsets.push(words.ids.len());
        }
        Ok(Input { content: Content::Words(words), offsets })
    }

    /// Packs a padded batch, all of shape `(batch, length)`: tokens whose mask is 0 are left out, the others
    /// keep the position of their column, as absolute position embeddings do in transformers.
    ///
    /// # Errors
    /// [`Error::Input`] for lengths that differ or a row without tokens.
    pub fn from_padded(ids: &[u32], type_ids: &[u32], mask: &[u32], length: usize) -> Result<Self> {
        if length == 0
            || ids.len() != type_ids.len()
            || ids.len() != mask.len()
            || !ids.len().is_multiple_of(length)
        {
            let (a, b, c) = (ids.len(), type_ids.len(), mask.len());
            let reason = format!("{a} ids, {b} type ids and {c} mask values do not make rows of {length}");
            return Err(Error::Input { reason });
        }
        let (mut words, mut offsets) = (Words::default(), vec![0]);
        for (row, start) in (0..ids.len()).step_by(length).enumerate() {
            for column in (0..length).filter(|c| mask[start + c] != 0) {
                words.ids.push(ids[start + column]);
                words.type_ids.push(type_ids[start + column]);
                words.positions.push(column as u32);
            }
            if offsets.last() == Some(&words.ids.len()) {
                return Err(Error::Input { reason: format!("row {row} of the mask is all zeros") });
            }
            offsets.push(words.ids.len());
        }
        Ok(Input { content: Content::Words(words), offsets })
    }

    /// Packs images, each `(channels, height, width)`, of which the model makes `tokens` tokens each.
    ///
    /// # Errors
    /// [`Error::Input`] for no pixels or tokens, or images of different sizes.
    pub fn pack_images<'a>(images: impl IntoIterator<Item = &'a [f32]>, tokens: usize) -> Result<Self> {
        let (mut pixels, mut offsets, mut size) = (vec![], vec![0], None);
        for (index, image) in images.into_iter().enumerate() {
            let expected = *size.get_or_insert(image.len());
            if image.is_empty() || image.len() != expected || tokens == 0 {
                let reason = format!(
                    "image {index} has {} values, expected {expected}, in {tokens} tokens",
                    image.len()
                );
                return Err(Error::Input { reason });
            }
            pixels.extend_from_slice(image);
            offsets.push(tokens * (index + 1));
        }
        Ok(Input { content: Content::Images(pixels), offsets })
    }

    /// The rows of the sequences' first tokens.
    pub fn starts(&self) -> &[usize] {
        &self.offsets[..self.batch()]
    }

    /// The words.
    ///
    /// # Errors
    /// [`Error::Input`] when these are images.
    pub fn words(&self) -> Result<&Words> {
        match &self.content {
            Content::Words(words) => Ok(words),
            Content::Images(_) => {
                Err(Error::Input { reason: "expected texts for a text encoder, found images".to_string() })
            }
        }
    }

    /// The pixels `(batch, channels, height, width)`.
    ///
    /// # Errors
    /// [`Error::Input`] when these are words.
    pub fn images(&self) -> Result<&[f32]> {
        match &self.content {
            Content::Images(pixels) => Ok(pixels),
            Content::Words(_) => {
                Err(Error::Input { reason: "expected images for an image encoder, found texts".to_string() })
            }
        }
    }

    /// The row of each sequence's last token that is not `pad`: the token by which transformers reads a decoder. A text
    /// that ends in the padding token, which may be the end token too, is read by what comes before; one of nothing else
    /// by its first token.
    ///
    /// # Errors
    /// [`Error::Input`] when these are images.
    pub fn last_tokens(&self, pad: Option<u32>) -> Result<Vec<u32>> {
        let ids = &self.words()?.ids;
        let last = |range: &[usize]| {
            let found = (range[0]..range[1]).rev().find(|row| Some(ids[*row]) != pad);
            found.unwrap_or(range[0]) as u32
        };
        Ok(self.offsets.windows(2).map(last).collect())
    }

    /// Number of sequences.
    pub fn batch(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.offsets.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_batch_keeps_the_tokens_of_its_mask_and_their_columns() {
        let input =
            Input::from_padded(&[5, 6, 0, 0, 7, 8], &[0, 1, 0, 0, 0, 1], &[1, 1, 0, 0, 1, 1], 3).unwrap();
        let words = input.words().unwrap();
        assert_eq!((&words.ids[..], &words.type_ids[..]), (&[5, 6, 7, 8][..], &[0, 1, 0, 1][..]));
        assert_eq!((&words.positions[..], &input.offsets[..]), (&[0, 1, 1, 2][..], &[0, 2, 4][..]));
    }

    #[test]
    fn the_last_token_is_the_last_that_is_no_padding() {
        let texts: [&[u32]; 4] = [&[5, 6], &[7, 2, 2], &[2, 2], &[2, 8]];
        let input = Input::pack(texts.map(|ids| (ids, &[0; 3][..ids.len()]))).unwrap();
        assert_eq!(input.last_tokens(Some(2)).unwrap(), [1, 2, 5, 8]);
        assert_eq!(input.last_tokens(None).unwrap(), [1, 4, 6, 8]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Input::pack([(&[1u32, 2][..], &[0u32][..])]).is_err());
        assert!(Input::pack([(&[][..], &[][..])]).is_err());
        assert!(Input::from_padded(&[1, 2], &[0, 0], &[0, 0], 2).is_err());
        assert!(Input::from_padded(&[1, 2, 3], &[0; 3], &[1; 3], 2).is_err());
        assert!(Input::pack_images([&[0.0; 4][..], &[0.0; 3][..]], 2).is_err());
        assert!(Input::pack_images([&[0.0; 4][..]], 0).is_err());
    }
}
