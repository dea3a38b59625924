//! The first token of each sequence, out of the rows of all tokens and back.

use crate::Input;
use xexp_kernels::{Buffer, Pool, add};

/// The rows of the first tokens, `(batch, width)`, of `all (tokens, width)`.
pub fn take(all: &[f32], width: usize, input: &Input, pool: &Pool) -> Buffer {
    let mut first = pool.buffer(input.batch() * width);
    for (row, &start) in first.chunks_exact_mut(width).zip(input.starts()) {
        row.copy_from_slice(&all[start * width..(start + 1) * width]);
    }
    first
}

/// Adds `first (batch, width)` to the rows of the first tokens of `all (tokens, width)`.
pub fn add_back(first: &[f32], width: usize, input: &Input, all: &mut [f32]) {
    for (row, &start) in first.chunks_exact(width).zip(input.starts()) {
        add(&mut all[start * width..(start + 1) * width], row);
    }
}
