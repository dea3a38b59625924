//! Index batches of one epoch.

use crate::error::{Error, Result};

/// The batches of one pass over `n` examples: an order of the indices `0..n`, dealt out `size` at a time. Every index
/// comes once; the last batch may be short.
///
/// There are no length buckets. Buckets exist to spare padding, and here is none to spare: the sequences of a batch
/// are laid end to end, so a batch costs what its tokens cost, whoever their neighbours are. A shuffled epoch can
/// therefore be a true uniform permutation, which buckets by length are not, and evaluation runs in the file's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batches {
    order: Vec<usize>,
    size: usize,
}

impl Batches {
    /// Batches in the order of the indices.
    ///
    /// # Errors
    /// [`Error::BatchSize`] for a size of 0.
    pub fn in_order(n: usize, size: usize) -> Result<Self> {
        if size == 0 {
            return Err(Error::BatchSize);
        }
        Ok(Batches { order: (0..n).collect(), size })
    }

    /// Batches in an order of `shuffle`, the shuffle of a stream named after the epoch: so an epoch's order depends on
    /// the seed and the epoch alone, and a resumed run finds it again without replaying the epochs before.
    ///
    /// # Errors
    /// [`Error::BatchSize`] for a size of 0.
    pub fn shuffled(n: usize, size: usize, shuffle: &mut dyn FnMut(&mut [usize])) -> Result<Self> {
        let mut batches = Batches::in_order(n, size)?;
        shuffle(&mut batches.order);
        Ok(batches)
    }

    /// Number of batches.
    pub fn len(&self) -> usize {
        self.order.len().div_ceil(self.size)
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Batch `index`; none after the last.
    pub fn get(&self, index: usize) -> Option<&[usize]> {
        let start = index.checked_mul(self.size).filter(|&start| start < self.order.len())?;
        Some(&self.order[start..(start + self.size).min(self.order.len())])
    }

    /// All batches in turn.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.order.chunks(self.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_comes_once_and_only_the_last_batch_is_short() {
        for (n, size, lengths) in
            [(10, 4, vec![4, 4, 2]), (8, 4, vec![4, 4]), (3, 9, vec![3]), (0, 4, vec![]), (3, 1, vec![1; 3])]
        {
            let batches = Batches::shuffled(n, size, &mut |order| order.reverse()).unwrap();
            assert_eq!(batches.iter().map(<[usize]>::len).collect::<Vec<_>>(), lengths);
            assert_eq!((batches.len(), batches.is_empty()), (lengths.len(), n == 0));
            assert_eq!(
                batches.iter().flatten().copied().collect::<Vec<_>>(),
                (0..n).rev().collect::<Vec<_>>()
            );
            for (index, batch) in batches.iter().enumerate() {
                assert_eq!(batches.get(index), Some(batch));
            }
            assert_eq!(batches.get(lengths.len()), None);
        }
    }

    #[test]
    fn a_batch_of_nothing_is_refused() {
        assert!(matches!(Batches::in_order(3, 0), Err(Error::BatchSize)));
    }
}
