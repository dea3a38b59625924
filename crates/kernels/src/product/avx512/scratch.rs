//! Memory for packed operands, kept from product to product.

use std::cell::RefCell;

/// Bytes of a cache line, and of a vector: a vector that straddles two costs twice.
const LINE: usize = 64;
/// Lanes of a line.
const LANES: usize = LINE / size_of::<u32>();

thread_local! {
    /// What earlier products of this thread left. More than one, since a thread that waits for the other half of a product may
    /// begin another meanwhile.
    static SPARE: RefCell<Vec<Vec<u32>>> = const { RefCell::new(vec![]) };
}

/// Gives `work` at least `lanes` lanes of whatever content, on a line's border.
pub(super) fn with<R>(lanes: usize, work: impl FnOnce(&mut [u32]) -> R) -> R {
    let mut memory = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if memory.len() < lanes + LANES {
        memory.resize(lanes + LANES, 0);
    }
    let first = memory.as_ptr().align_offset(LINE);
    let done = work(&mut memory[first..]);
    SPARE.with_borrow_mut(|spare| spare.push(memory));
    done
}
