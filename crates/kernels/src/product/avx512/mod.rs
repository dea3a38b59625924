//! Products in f32, and of operands rounded to bf16 and summed in f32 by the processor's own instruction, at twice the rate.
//!
//! `V` is the number of values of a lane: 1 for f32, 2 for bf16.
//!
//! In blocks that fit the caches: right operands are packed once for all threads, the output is cut among them. Source of the
//! scheme: Goto and van de Geijn 2008. Every element of the output is one sum, in an order that depends on the inner size
//! alone: neither on threads nor on how the output is cut.

#![allow(unsafe_code)]

mod lanes;
mod scratch;
pub(super) mod small;

use self::lanes::{Addend, COLUMNS, Left, Place, ROWS, pack_across, pack_along, round, tile};
use super::{Start, Threads, View};
use rayon::prelude::*;

/// Lanes of the inner dimension in a block: the rows of a tile then fill the first-level cache, and panels stream past them.
const DEEP: usize = 512;
/// Tiles of rows of the left operand in a task, at most: with a panel they stay in the second-level cache.
const TALL: usize = 8;
/// Lanes of packed right operand at a time, if a block has no more: 2 MiB.
const PACKED: usize = 1 << 19;
/// Lanes between panels: at a distance of a power of two they would share a set of the caches.
const APART: usize = 48;
/// Lanes that one task packs across all panels.
const SLICE: usize = 32;

/// Whether this processor has the instructions, of both kinds.
pub(super) fn is_there() -> bool {
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16")
}

/// Whether these kernels are the faster ones for f32: tiles want rows, and what is packed wants to be used often.
pub(super) fn pays(a: View<'_>, b: View<'_>) -> bool {
    let wide = if a.column_stride == 1 { 2 * COLUMNS } else { 8 * COLUMNS };
    a.rows >= 2 * ROWS && b.columns >= wide
}

/// What all tasks of a product know.
struct Job<'a, const V: usize> {
    a: View<'a>,
    b: View<'a>,
    out: *mut f32,
    stride: usize,
    /// Lanes of a block.
    block: usize,
    /// Panels of the right operand.
    panels: usize,
    start: Start<'a>,
}

// SAFETY: tasks write disjoint elements of the output.
unsafe impl<const V: usize> Sync for Job<'_, V> {}

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
pub(super) unsafe fn multiply<const V: usize>(
    (out, stride): (*mut f32, usize),
    (a, b): (View<'_>, View<'_>),
    start: Start<'_>,
    threads: Threads,
) {
    let lanes = a.columns.div_ceil(V);
    let block = lanes.div_ceil(lanes.div_ceil(DEEP)).next_multiple_of(SLICE);
    let panels = b.columns.div_ceil(COLUMNS);
    let panel = block * COLUMNS + APART;
    let together = (PACKED / (panels * panel)).max(1);
    let job = Job::<V> { a, b, out, stride, block, panels, start };
    let blocks = lanes.div_ceil(block);
    scratch::with(together.min(blocks) * panels * panel, |packed| {
        let packed = Packed(packed.as_mut_ptr());
        for first in (0..blocks).step_by(together) {
            let here = first..blocks.min(first + together);
            let (columns, rows) = job.cuts(threads);
            // By panels where the inner dimension runs along memory, else by slices of it.
            let parts = if job.b.column_stride == 1 { block / SLICE } else { panels };
            let pack = |task: usize| {
                let (number, part) = (task / parts, task % parts);
                let to = packed.at(number * panels * panel);
                // SAFETY: every task has a place of its own.
                unsafe { job.pack(here.start + number, part, to) };
            };
            let work = |task: usize| {
                let (column, row) = (task % columns.count, task / columns.count);
                // SAFETY: every task has its own rows and panels of the output.
                unsafe {
                    let rows = rows.part(row);
                    let rows = rows.start * ROWS..a.rows.min(rows.end * ROWS);
                    job.work(here.clone(), (rows, columns.part(column)), packed);
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

/// Parts of a range that differ by one at most.
#[derive(Clone, Copy)]
struct Cut {
    whole: usize,
    count: usize,
}

impl Cut {
    fn part(self, number: usize) -> std::ops::Range<usize> {
        number * self.whole / self.count..(number + 1) * self.whole / self.count
    }
}

impl<const V: usize> Job<'_, V> {
    /// Panels, and tiles of rows, of a task: enough tasks that no thread waits long for the last. Cutting the panels has a left
    /// operand packed again for each part: where it is packed at all, rows are cut first.
    fn cuts(&self, threads: Threads) -> (Cut, Cut) {
        let tiles = self.a.rows.div_ceil(ROWS);
        let packed = V == 2 || self.a.column_stride != 1;
        let wanted = match threads {
            Threads::One => 1,
            Threads::Pool => rayon::current_num_threads() * if packed { 4 } else { 32 },
        };
        let least = if packed { wanted.min(tiles) } else { 1 };
        let rows = Cut { whole: tiles, count: tiles.div_ceil(TALL).max(least) };
        (Cut { whole: self.panels, count: wanted.div_ceil(rows.count).min(self.panels) }, rows)
    }

    /// Lanes from one panel to the next, of so many rows or columns.
    fn panel(&self, width: usize) -> usize {
        self.block * width + APART
    }

    /// Packs a part of a block of the right operand: a panel, or a slice of all panels.
    unsafe fn pack(&self, block: usize, part: usize, to: *mut u32) {
        let View { data, columns, row_stride, column_stride, .. } = self.b;
        let k = block * self.block * V;
        // SAFETY: within the operand, whose extent was checked, and within the block's panels.
        unsafe {
            if column_stride == 1 {
                let first = part * SLICE;
                let Some(depth) = (self.b.rows - k).checked_sub(first * V) else { return };
                let from = data.as_ptr().wrapping_add((k + first * V) * row_stride);
                let to = to.wrapping_add(first * COLUMNS);
                let size = (columns, depth.min(SLICE * V));
                pack_across::<V>((from, row_stride), size, to, (COLUMNS, self.panel(COLUMNS)));
            } else {
                let first = part * COLUMNS;
                let from = data.as_ptr().wrapping_add(k + first * column_stride);
                let size = ((columns - first).min(COLUMNS), (self.b.rows - k).min(self.block * V));
                pack_along::<V>((from, column_stride), size, to.wrapping_add(part * self.panel(COLUMNS)));
            }
        }
    }

    /// Some rows and panels of the output, for the packed blocks.
    unsafe fn work(
        &self,
        blocks: std::ops::Range<usize>,
        (rows, panels): (std::ops::Range<usize>, std::ops::Range<usize>),
        packed: Packed,
    ) {
        let room = rows.len().div_ceil(ROWS) * self.panel(ROWS);
        scratch::with(room, |scratch| {
            for (number, block) in blocks.enumerate() {
                let k = block * self.block * V;
                let depth = (self.a.columns - k).min(self.block * V);
                let lanes = depth.div_ceil(V);
                // SAFETY: within the operand and the scratch memory.
                let left = unsafe { self.left(&rows, (k, depth), scratch) };
                for panel in panels.clone() {
                    let addend = addend(self.start, panel * COLUMNS, block);
                    let b = packed.at((number * self.panels + panel) * self.panel(COLUMNS));
                    for (first, row) in rows.clone().step_by(ROWS).enumerate() {
                        let columns = (self.b.columns - panel * COLUMNS).min(COLUMNS);
                        let at = self.out.wrapping_add(row * self.stride + panel * COLUMNS);
                        let out = Place { at, stride: self.stride, columns, addend };
                        let a = Left { at: left.at.wrapping_add(first * left.panel), ..left.place };
                        // SAFETY: this task's own elements; the packed panel was written before.
                        unsafe { tiles::<V>((rows.end - row).min(ROWS), a, b, lanes, out) };
                    }
                }
            }
        });
    }

    /// The rows of the left operand for a block: where they are, or rounded into `scratch` as they lie, or there in panels.
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
            if column_stride == 1 && V == 1 {
                let at = from.cast();
                let place = Left { at, row: row_stride, lane: 1 };
                return Panels { at, panel: ROWS * row_stride, place };
            }
            if column_stride == 1 {
                for i in 0..rows.len() {
                    round(from.wrapping_add(i * row_stride), depth, to.wrapping_add(i * self.block));
                }
                let place = Left { at: to, row: self.block, lane: 1 };
                return Panels { at: to, panel: ROWS * self.block, place };
            }
            let size = (rows.len(), depth);
            pack_across::<V>((from, column_stride), size, to, (ROWS, self.panel(ROWS)));
        }
        Panels { at: to, panel: self.panel(ROWS), place: Left { at: to, row: 1, lane: ROWS } }
    }
}

/// What the sums of a block are added to, from a column on.
fn addend(start: Start<'_>, column: usize, block: usize) -> Addend {
    match start {
        _ if block > 0 => Addend::Output,
        Start::Zero => Addend::Zero,
        Start::Output => Addend::Output,
        Start::Row(row) => Addend::Row(row.as_ptr().wrapping_add(column)),
    }
}

/// Panels of [`ROWS`] rows of a left operand, `panel` lanes apart.
struct Panels {
    at: *const u32,
    panel: usize,
    place: Left,
}

/// A tile of so many rows.
unsafe fn tiles<const V: usize>(rows: usize, a: Left, b: *const u32, lanes: usize, out: Place) {
    macro_rules! of {
        ($($count:literal)*) => {
            match rows {
                // SAFETY: vouched for by the caller.
                $($count => unsafe { tile::<V, $count>(a, b, lanes, out) },)*
                _ => {}
            }
        };
    }
    of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}
