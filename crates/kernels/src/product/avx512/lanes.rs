//! The innermost loops: rounding and packing, and the tile that stays in registers.
//!
//! A *lane* is 32 bits and holds `V` values: one f32, or two bf16 that follow each other along the inner dimension, which
//! `vdpbf16ps` multiplies and adds together. Right operands are packed in panels of [`COLUMNS`] columns, lane by lane; left
//! operands lie row by row, or in panels of [`ROWS`] rows.

#![allow(unsafe_code)]

use std::arch::x86_64::*;

/// Rows of a tile: 14 × 2 accumulators leave four of the 32 registers for operands.
pub(super) const ROWS: usize = 14;
/// Columns of a tile: two vectors.
pub(super) const COLUMNS: usize = 32;
pub(super) const VECTOR: usize = 16;
/// Rows that packing asks for before it comes to them.
const AHEAD: usize = 8;
/// Values along a column that packing asks for before it comes to them.
const FURTHER: usize = 64;

/// Sixteen lanes from the first `count` values that lie together along the inner dimension; what is missing is zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn along<const V: usize>(at: *const f32, count: usize) -> __m512i {
    // SAFETY: masked to the values that are there, says the caller; the types are 512 bits of anything.
    unsafe {
        let low = _mm512_maskz_loadu_ps(mask(count), at);
        if V == 1 {
            return _mm512_castps_si512(low);
        }
        let high = _mm512_maskz_loadu_ps(mask(count.saturating_sub(VECTOR)), at.wrapping_add(VECTOR));
        std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low))
    }
}

/// Sixteen lanes of neighbours across the inner dimension: the first `count` values at `low`, and those at `high`, or zeros,
/// as second values.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn across<const V: usize>(low: *const f32, high: Option<*const f32>, count: usize) -> __m512i {
    if V == 1 {
        // SAFETY: masked to the values that are there, says the caller.
        return _mm512_castps_si512(unsafe { _mm512_maskz_loadu_ps(mask(count), low) });
    }
    // SAFETY: masked to the values that are there, says the caller; the types are 256 bits of anything.
    let half = |at: *const f32| unsafe {
        let rounded = _mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask(count), at));
        _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(rounded))
    };
    let low = half(low);
    high.map_or(low, |high| _mm512_or_si512(low, _mm512_slli_epi32::<16>(half(high))))
}

/// A left operand: lane `p` of row `i` is at `at + i·row + p·lane`.
#[derive(Clone, Copy)]
pub(super) struct Left {
    pub at: *const u32,
    pub row: usize,
    pub lane: usize,
}

/// A place in the output: rows `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub at: *mut f32,
    pub stride: usize,
    pub columns: usize,
    pub addend: Addend,
}

/// What a sum is added to.
#[derive(Clone, Copy)]
pub(super) enum Addend {
    Zero,
    /// What is there.
    Output,
    /// The same values in each row.
    Row(*const f32),
}

/// `R × 32` (or fewer columns) of the output: the sum over `lanes` lanes of `a` and a packed panel.
///
/// # Safety
/// All lanes of `a`, the panel's `32·lanes` and the output's elements must be there and, those of the output, nobody else's.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn tile<const V: usize, const R: usize>(
    a: Left,
    panel: *const u32,
    lanes: usize,
    out: Place,
) {
    // SAFETY: indices stay below the extents that the caller vouches for.
    unsafe {
        // The output is on its way while the sums are made.
        for i in 0..R {
            for half in [0, VECTOR] {
                _mm_prefetch::<_MM_HINT_ET0>(out.at.wrapping_add(i * out.stride + half).cast());
            }
        }
        let mut sums = [[_mm512_setzero_ps(); 2]; R];
        for p in 0..lanes {
            let b = [0, 1].map(|half| _mm512_loadu_si512(panel.add(p * COLUMNS + half * VECTOR).cast()));
            let column = a.at.add(p * a.lane);
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_epi32(*column.add(i * a.row) as i32);
                sums[0] = multiplied::<V>(sums[0], a, b[0]);
                sums[1] = multiplied::<V>(sums[1], a, b[1]);
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            store(sums, i, out);
        }
    }
}

/// `R × 16·H` (or fewer columns) of the output: the sum over `lanes` lanes of `a` and of rows of `b` that lie `stride` apart, as they
/// are.
///
/// # Safety
/// All lanes of `a`, the output's columns of so many rows of `b` and the output's elements must be there and, those of the output,
/// nobody else's.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn strip<const R: usize, const H: usize>(
    a: Left,
    (b, stride): (*const f32, usize),
    lanes: usize,
    out: Place,
) {
    let masks: [__mmask16; H] = std::array::from_fn(|half| mask(out.columns.saturating_sub(half * VECTOR)));
    let mut sums = [[_mm512_setzero_ps(); H]; R];
    // SAFETY: vouched for by the caller.
    unsafe {
        for p in 0..lanes {
            let row = b.wrapping_add(p * stride);
            let b: [__m512; H] = std::array::from_fn(|half| {
                _mm512_maskz_loadu_ps(masks[half], row.wrapping_add(half * VECTOR))
            });
            let column = a.at.add(p * a.lane);
            for (i, sums) in sums.iter_mut().enumerate() {
                let a = _mm512_castsi512_ps(_mm512_set1_epi32(*column.add(i * a.row) as i32));
                for (sum, b) in sums.iter_mut().zip(b) {
                    *sum = _mm512_fmadd_ps(a, b, *sum);
                }
            }
        }
        for (i, sums) in sums.into_iter().enumerate() {
            store(sums, i, out);
        }
    }
}

/// Writes the sums of a row of a tile.
///
/// # Safety
/// The row's elements of the output must be there and nobody else's, and those of the addend there.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store<const H: usize>(sums: [__m512; H], row: usize, out: Place) {
    for (half, mut sum) in sums.into_iter().enumerate() {
        let mask = mask(out.columns.saturating_sub(half * VECTOR));
        let at = out.at.wrapping_add(row * out.stride + half * VECTOR);
        let addend = match out.addend {
            Addend::Zero => None,
            Addend::Output => Some(at.cast_const()),
            Addend::Row(values) => Some(values.wrapping_add(half * VECTOR)),
        };
        // SAFETY: masked to the columns, which the caller vouches for.
        unsafe {
            if let Some(addend) = addend {
                sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, addend));
            }
            _mm512_mask_storeu_ps(at, mask, sum);
        }
    }
}

/// `sum + a·b`, all products of a lane.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn multiplied<const V: usize>(sum: __m512, a: __m512i, b: __m512i) -> __m512 {
    if V == 1 {
        return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum);
    }
    // SAFETY: both types are 512 bits of anything.
    let [a, b] = [a, b].map(|lanes| unsafe { std::mem::transmute::<__m512i, __m512bh>(lanes) });
    _mm512_dpbf16_ps(sum, a, b)
}

/// The first `count` of sixteen, at most all.
fn mask(count: usize) -> __mmask16 {
    ((1u32 << count.min(VECTOR)) - 1) as __mmask16
}

/// Packs rows of the inner dimension into panels: `across` values of each of `depth` rows that are `stride` apart. Lane `p` of
/// value `i` goes to panel `i / width`, which are `panel` lanes apart, and there to `p·width + i mod width`; what is missing to
/// whole panels becomes zero.
///
/// # Safety
/// The values must be there, and room for a lane of every panel for every `V` rows.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn pack_across<const V: usize>(
    (from, stride): (*const f32, usize),
    (across_count, depth): (usize, usize),
    to: *mut u32,
    (width, panel): (usize, usize),
) {
    // Row by row, so that reading runs along memory: down the rows, strides of powers of two would share cache sets.
    for k in (0..depth).step_by(V) {
        // Rows may lie pages apart, where the processor does not look ahead by itself.
        for place in (0..across_count).step_by(VECTOR) {
            _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add((k + AHEAD) * stride + place).cast());
        }
        for (number, first) in (0..across_count).step_by(width).enumerate() {
            for part in (0..width).step_by(VECTOR) {
                let (place, room) = (first + part, (width - part).min(VECTOR));
                let count = across_count.saturating_sub(place).min(room);
                // SAFETY: masked to the values and the room that the caller vouches for.
                unsafe {
                    let high = (V == 2 && k + 1 < depth).then(|| from.wrapping_add((k + 1) * stride + place));
                    let lanes = across::<V>(from.wrapping_add(k * stride + place), high, count);
                    let at = to.wrapping_add(number * panel + k / V * width + part);
                    _mm512_mask_storeu_epi32(at.cast(), mask(room), lanes);
                }
            }
        }
    }
}

/// Packs columns of the inner dimension into a panel of [`COLUMNS`]: `across` of them (at most a panel), `stride` apart, of `depth`
/// values each. Lane `p` of column `i` goes to `32·p + i`; of a vector's columns those that are missing become zeros.
///
/// # Safety
/// The values must be there, and room for [`COLUMNS`] lanes for every `V` values, rounded up to sixteen.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn pack_along<const V: usize>(
    (from, stride): (*const f32, usize),
    (across, depth): (usize, usize),
    to: *mut u32,
) {
    for k in (0..depth).step_by(V * VECTOR) {
        for half in (0..across).step_by(VECTOR) {
            let mut rows = [_mm512_setzero_si512(); VECTOR];
            for (i, row) in rows.iter_mut().enumerate().take(across.saturating_sub(half)) {
                let at = from.wrapping_add((half + i) * stride + k);
                // Columns are more streams than the processor follows by itself.
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(FURTHER).cast());
                // SAFETY: within the column.
                *row = unsafe { along::<V>(at, depth - k) };
            }
            for (p, row) in transposed(rows).into_iter().enumerate() {
                let at = to.wrapping_add((k / V + p) * COLUMNS + half);
                // SAFETY: room is vouched for by the caller.
                unsafe { _mm512_storeu_si512(at.cast(), row) };
            }
        }
    }
}

/// Rounds `depth` values along the inner dimension to bf16.
///
/// # Safety
/// The values must be there, and room for their lanes, rounded up to sixteen.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn round(from: *const f32, depth: usize, to: *mut u32) {
    for k in (0..depth).step_by(2 * VECTOR) {
        // SAFETY: as in `pack_along`.
        unsafe {
            let lanes = along::<2>(from.wrapping_add(k), depth - k);
            _mm512_storeu_si512(to.wrapping_add(k / 2).cast(), lanes);
        }
    }
}

/// Sixteen vectors of sixteen, transposed: pairs, fours, eights, then halves change places.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512i; VECTOR]) -> [__m512i; VECTOR] {
    let mut pairs = rows;
    for i in 0..VECTOR / 2 {
        pairs[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        pairs[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // Of four rows `4i..`, number `4i + j` now gets the columns `4·lane + j`.
    let mut fours = pairs;
    for i in 0..VECTOR / 4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|j| pairs[4 * i + j]);
        fours[4 * i] = _mm512_unpacklo_epi64(a, c);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
    }
    let mut out = fours;
    for j in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| fours[4 * i + j]);
        // Quarters 0 and 1, and 2 and 3, of two rows of vectors.
        let (ab, ab_high) = (_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b));
        let (cd, cd_high) = (_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xee>(c, d));
        out[j] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
        out[4 + j] = _mm512_shuffle_i32x4::<0xdd>(ab, cd);
        out[8 + j] = _mm512_shuffle_i32x4::<0x88>(ab_high, cd_high);
        out[12 + j] = _mm512_shuffle_i32x4::<0xdd>(ab_high, cd_high);
    }
    out
}
