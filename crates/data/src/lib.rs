//! From files to batches: readers, labels, splits, tokens and the data receipt.
