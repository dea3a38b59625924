//! Products of operands rounded to bf16, summed in f32, by the processor's own instruction: twice the rate of f32 products.
//!
//! In blocks that fit the caches: right operands are packed once for all threads, the output is cut among them. Source of the
//! scheme: Goto and van de Geijn 2008. Every element of the output is one sum, in an order that depends on the inner size
//! alone: neither on threads nor on how the output is cut.

#![allow(unsafe_code)]

mod lanes;
mod scratch;

use self::lanes::{COLUMNS, Left, Place, ROWS, pack_across, pack_along, round, tile};
use super::{Threads, View};
use rayon::prelude::*;

/// Lanes, of two values each, of the inner dimension in a block: a packed panel then fills the first-level cache.
const DEEP: usize = 256;
/// Rows of the left operand in a task: together with their panel they stay in the second-level cache.
const TALL: usize = 8 * ROWS;
/// Lanes of packed right operand at a time: 2 MiB.
const PACKED: usize = 1 << 19;
/// Lanes that one task packs across all panels.
const SLICE: usize = 32;

/// Whether this processor has the instruction.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
}

/// What all tasks of a product know.
struct Job<'a> {
    a: View<'a>,
    b: View<'a>,
    out: *mut f32,
    stride: usize,
    /// Lanes of a block.
    block: usize,
    /// Panels of the right operand.
    panels: usize,
}

// SAFETY: tasks write disjoint elements of the output.
unsafe impl Sync for Job<'_> {}

/// Packed panels, which tasks write each its own of, and later read.
#[derive(Clone, Copy)]
struct Packed(*mut u32);
// SAFETY: as above.
unsafe impl Send for Packed {}
// SAFETY: as above.
unsafe impl Sync for Packed {}

impl Packed {
    fn at(self, offset: usize) -> *mut u32 {
        self.0.wrapping_add(offset)
    }
}

/// `out (+)= a·b`. Neither the inner size nor the output may be empty, and one stride of each operand must be 1.
///
/// # Safety
/// As for [`super::multiply_into`]; [`is_there`] must be true.
pub(super) unsafe fn multiply(
    (out, stride): (*mut f32, usize),
    (a, b): (View<'_>, View<'_>),
    accumulate: bool,
    threads: Threads,
) {
    let lanes = a.columns.div_ceil(2);
    let block = lanes.div_ceil(lanes.div_ceil(DEEP)).next_multiple_of(SLICE);
    let panels = b.columns.div_ceil(COLUMNS);
    let together = (PACKED / (panels * COLUMNS * block)).max(1);
    let job = Job { a, b, out, stride, block, panels };
    let blocks = lanes.div_ceil(block);
    scratch::with(together.min(blocks) * panels * COLUMNS * block, |packed| {
        let packed = Packed(packed.as_mut_ptr());
        for first in (0..blocks).step_by(together) {
            let here = first..blocks.min(first + together);
            let (columns, rows) = cuts(a.rows, panels, threads);
            // By panels where the inner dimension runs along memory, else by slices of it.
            let parts = if job.b.column_stride == 1 { block / SLICE } else { panels };
            let pack = |task: usize| {
                let (number, part) = (task / parts, task % parts);
                let to = packed.at(number * panels * COLUMNS * block);
                // SAFETY: every task has a place of its own.
                unsafe { job.pack(here.start + number, part, to) };
            };
            let work = |task: usize| {
                let (column, row) = (task % columns.count, task / columns.count);
                // SAFETY: every task has its own rows and panels of the output.
                unsafe {
                    let add = accumulate || here.start > 0;
                    job.work(here.clone(), (rows.part(row), columns.part(column)), packed, add);
                }
            };
            let (packs, works) = (here.len() * parts, columns.count * rows.count);
            match threads {
                Threads::One => {
                    (0..packs).for_each(pack);
                    (0..works).for_each(work);
                }
                Threads::Pool => {
                    (0..packs).into_par_iter().for_each(pack);
                    (0..works).into_par_iter().with_max_len(1).for_each(work);
                }
            }
        }
    });
}

/// Equal parts of a range.
#[derive(Clone, Copy)]
struct Cut {
    whole: usize,
    part: usize,
    count: usize,
}

impl Cut {
    fn new(whole: usize, part: usize) -> Self {
        Cut { whole, part, count: whole.div_ceil(part) }
    }

    fn part(self, number: usize) -> std::ops::Range<usize> {
        number * self.part..self.whole.min((number + 1) * self.part)
    }
}

/// Panels and rows of a task: enough tasks that no thread waits long for the last.
fn cuts(rows: usize, panels: usize, threads: Threads) -> (Cut, Cut) {
    let tall = Cut::new(rows, TALL);
    let wanted = if threads == Threads::Pool { 4 * rayon::current_num_threads() } else { 1 };
    let columns = panels.div_ceil(wanted.div_ceil(tall.count)).max(1);
    (Cut::new(panels, columns), tall)
}

impl Job<'_> {
    /// Packs a part of a block of the right operand: a panel, or a slice of all panels.
    unsafe fn pack(&self, block: usize, part: usize, to: *mut u32) {
        let View { data, columns, row_stride, column_stride, .. } = self.b;
        let k = block * self.block * 2;
        // SAFETY: within the operand, whose extent was checked, and within the block's panels.
        unsafe {
            if column_stride == 1 {
                let first = part * SLICE;
                let Some(depth) = (self.b.rows - k).checked_sub(first * 2) else { return };
                let from = data.as_ptr().wrapping_add((k + first * 2) * row_stride);
                let to = to.wrapping_add(first * COLUMNS);
                let size = (columns, depth.min(SLICE * 2));
                pack_across((from, row_stride), size, to, (COLUMNS, COLUMNS * self.block));
            } else {
                let first = part * COLUMNS;
                let from = data.as_ptr().wrapping_add(k + first * column_stride);
                let size = ((columns - first).min(COLUMNS), (self.b.rows - k).min(self.block * 2));
                pack_along((from, column_stride), size, to.wrapping_add(first * self.block));
            }
        }
    }

    /// Some rows and panels of the output, for the packed blocks.
    unsafe fn work(
        &self,
        blocks: std::ops::Range<usize>,
        (rows, panels): (std::ops::Range<usize>, std::ops::Range<usize>),
        packed: Packed,
        add: bool,
    ) {
        let room = rows.len().next_multiple_of(ROWS) * self.block;
        scratch::with(room, |scratch| {
            for (number, block) in blocks.enumerate() {
                let k = block * self.block * 2;
                let depth = (self.a.columns - k).min(self.block * 2);
                let lanes = depth.div_ceil(2);
                // SAFETY: within the operand and the scratch memory.
                let left = unsafe { self.left(&rows, (k, depth), scratch) };
                for panel in panels.clone() {
                    let b = packed.at((number * self.panels + panel) * COLUMNS * self.block);
                    for (first, row) in rows.clone().step_by(ROWS).enumerate() {
                        let columns = (self.b.columns - panel * COLUMNS).min(COLUMNS);
                        let at = self.out.wrapping_add(row * self.stride + panel * COLUMNS);
                        let out = Place { at, stride: self.stride, columns, add: add || number > 0 };
                        let a = Left { at: left.at.wrapping_add(first * left.panel), ..left.place };
                        // SAFETY: this task's own elements; the packed panel was written before.
                        unsafe { tiles((rows.end - row).min(ROWS), a, b, lanes, out) };
                    }
                }
            }
        });
    }

    /// The rows of the left operand for a block: rounded into `scratch`, as they lie or in panels.
    unsafe fn left(
        &self,
        rows: &std::ops::Range<usize>,
        (k, depth): (usize, usize),
        scratch: &mut [u32],
    ) -> Panels {
        let View { data, row_stride, column_stride, .. } = self.a;
        let from = data.as_ptr().wrapping_add(rows.start * row_stride + k * column_stride);
        let to = scratch.as_mut_ptr();
        // SAFETY: within the operand, whose extent was checked; the scratch memory has a block of lanes for each row.
        unsafe {
            if column_stride == 1 {
                for i in 0..rows.len() {
                    round(from.wrapping_add(i * row_stride), depth, to.wrapping_add(i * self.block));
                }
                let place = Left { at: to, row: self.block, lane: 1 };
                return Panels { at: to, panel: ROWS * self.block, place };
            }
            let size = (rows.len(), depth);
            pack_across((from, column_stride), size, to, (ROWS, ROWS * self.block));
        }
        Panels { at: to, panel: ROWS * self.block, place: Left { at: to, row: 1, lane: ROWS } }
    }
}

/// Panels of [`ROWS`] rows of a left operand, `panel` lanes apart.
struct Panels {
    at: *const u32,
    panel: usize,
    place: Left,
}

/// A tile of so many rows.
unsafe fn tiles(rows: usize, a: Left, b: *const u32, lanes: usize, out: Place) {
    macro_rules! of {
        ($($count:literal)*) => {
            match rows {
                // SAFETY: vouched for by the caller.
                $($count => unsafe { tile::<$count>(a, b, lanes, out) },)*
                _ => {}
            }
        };
    }
    of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}
