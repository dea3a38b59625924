//! Products too small to cut and to pack, such as those of an attention's head: rows of the right operand are read where they
//! lie, and only what lies along the inner dimension is turned first.

#![allow(unsafe_code)]

use super::lanes::{COLUMNS, Left, Place, ROWS, VECTOR, pack_along, strip};
use super::{View, addend, scratch};
use crate::product::Start;

/// The longest inner dimension: rows of the left operand that are further apart may share a set of the cache.
const LONGEST: usize = 512;
/// Rows and columns from which it pays to turn the right operand.
const FEWEST: usize = 8;

/// Whether this is the faster way for one thread.
pub(in crate::product) fn pays(a: View<'_>, b: View<'_>) -> bool {
    b.rows <= LONGEST && (b.column_stride == 1 || a.rows >= FEWEST && b.columns >= FEWEST)
}

/// `out = start + a·b` in f32, on this thread.
///
/// # Safety
/// As for [`super::super::multiply_into`]; [`super::is_there`] must be true.
pub(in crate::product) unsafe fn multiply(
    (out, stride): (*mut f32, usize),
    (a, b): (View<'_>, View<'_>),
    start: Start<'_>,
) {
    let turned = b.column_stride != 1;
    let room = if turned { b.rows.next_multiple_of(VECTOR) * COLUMNS } else { 0 };
    scratch::with(room, |panel| {
        for first in (0..b.columns).step_by(COLUMNS) {
            let columns = (b.columns - first).min(COLUMNS);
            let from = b.data.as_ptr().wrapping_add(first * b.column_stride);
            let right = if turned {
                // SAFETY: within the operand, whose extent was checked, and within the panel.
                unsafe { pack_along::<1>((from, b.column_stride), (columns, b.rows), panel.as_mut_ptr()) };
                (panel.as_ptr().cast(), COLUMNS)
            } else {
                (from, b.row_stride)
            };
            for row in (0..a.rows).step_by(ROWS) {
                let at = a.data.as_ptr().wrapping_add(row * a.row_stride).cast();
                let left = Left { at, row: a.row_stride, lane: a.column_stride };
                let at = out.wrapping_add(row * stride + first);
                let place = Place { at, stride, columns, addend: addend(start, first, 0) };
                // SAFETY: within the operands and the output, for which the caller vouches.
                unsafe { strips((a.rows - row).min(ROWS), left, right, b.rows, place) };
            }
        }
    });
}

/// A strip of so many rows, of one vector of columns or of two.
unsafe fn strips(rows: usize, a: Left, b: (*const f32, usize), lanes: usize, out: Place) {
    macro_rules! of {
        ($($count:literal)*) => {
            match (rows, out.columns > VECTOR) {
                $(
                    // SAFETY: vouched for by the caller.
                    ($count, false) => unsafe { strip::<$count, 1>(a, b, lanes, out) },
                    // SAFETY: as above.
                    ($count, true) => unsafe { strip::<$count, 2>(a, b, lanes, out) },
                )*
                _ => {}
            }
        };
    }
    of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
}
