//! A batch of token sequences, packed end to end.

use crate::{Error, Result};

/// Sequences laid end to end: sequence `s` is tokens `offsets[s]..offsets[s+1]`.
///
/// There is no padding, hence no mask and no work on tokens that are not there. What a padded batch with an
/// attention mask means is kept by [`Input::from_padded`].
#[derive(Clone, Debug)]
pub struct Input {
    /// Token ids, `(tokens)`.
    pub ids: Vec<u32>,
    /// Segment of each token, `(tokens)`.
    pub type_ids: Vec<u32>,
    /// Position of each token in its sequence, `(tokens)`.
    pub positions: Vec<u32>,
    /// Where sequences begin and end, `(batch + 1)`.
    pub offsets: Vec<usize>,
}

impl Input {
    /// Packs sequences of (ids, type ids).
    ///
    /// # Errors
    /// [`Error::Input`] for an empty sequence, or ids and type ids of different lengths.
    pub fn pack<'a>(sequences: impl IntoIterator<Item = (&'a [u32], &'a [u32])>) -> Result<Self> {
        let mut input = Input { ids: vec![], type_ids: vec![], positions: vec![], offsets: vec![0] };
        for (index, (ids, type_ids)) in sequences.into_iter().enumerate() {
            if ids.is_empty() || ids.len() != type_ids.len() {
                let reason =
                    format!("sequence {index} has {} ids and {} type ids", ids.len(), type_ids.len());
                return Err(Error::Input { reason });
            }
            input.ids.extend_from_slice(ids);
            input.type_ids.extend_from_slice(type_ids);
            input.positions.extend(0..ids.len() as u32);
            input.offsets.push(input.ids.len());
        }
        Ok(input)
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
        let mut input = Input { ids: vec![], type_ids: vec![], positions: vec![], offsets: vec![0] };
        for (row, start) in (0..ids.len()).step_by(length).enumerate() {
            for column in (0..length).filter(|c| mask[start + c] != 0) {
                input.ids.push(ids[start + column]);
                input.type_ids.push(type_ids[start + column]);
                input.positions.push(column as u32);
            }
            if input.offsets.last() == Some(&input.ids.len()) {
                return Err(Error::Input { reason: format!("row {row} of the mask is all zeros") });
            }
            input.offsets.push(input.ids.len());
        }
        Ok(input)
    }

    /// Number of sequences.
    pub fn batch(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of tokens.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_padded_batch_keeps_the_tokens_of_its_mask_and_their_columns() {
        let input =
            Input::from_padded(&[5, 6, 0, 0, 7, 8], &[0, 1, 0, 0, 0, 1], &[1, 1, 0, 0, 1, 1], 3).unwrap();
        assert_eq!((input.ids, input.type_ids), (vec![5, 6, 7, 8], vec![0, 1, 0, 1]));
        assert_eq!((input.positions, input.offsets), (vec![0, 1, 1, 2], vec![0, 2, 4]));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Input::pack([(&[1u32, 2][..], &[0u32][..])]).is_err());
        assert!(Input::pack([(&[][..], &[][..])]).is_err());
        assert!(Input::from_padded(&[1, 2], &[0, 0], &[0, 0], 2).is_err());
        assert!(Input::from_padded(&[1, 2, 3], &[0; 3], &[1; 3], 2).is_err());
    }
}
