//! Matrix products on slices: the safe face of our own kernels, and of the `gemm` crate where these do not run or do not pay.

#![allow(unsafe_code)]

use crate::attention::Shared;
use rayon::prelude::*;

#[cfg(target_arch = "x86_64")]
mod avx512;

/// How the operands of a product are rounded; sums are in f32 always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// Not at all.
    F32,
    /// To bf16, to the nearest even: eight bits of mantissa, twice the speed where the processor multiplies them.
    Bf16,
}

impl Precision {
    /// Whether the processor multiplies numbers of this kind; where it does not, they are rounded and multiplied as f32.
    pub fn is_native(self) -> bool {
        match self {
            Precision::F32 => true,
            #[cfg(target_arch = "x86_64")]
            Precision::Bf16 => avx512::is_there(),
            #[cfg(not(target_arch = "x86_64"))]
            Precision::Bf16 => false,
        }
    }
}

/// A matrix read from a slice by strides, in elements.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> View<'a> {
    /// `rows × columns`, rows `stride` elements apart.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        View { data, rows, columns, row_stride: stride, column_stride: 1 }
    }

    /// The transpose of this view.
    pub(crate) fn t(self) -> Self {
        View {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Whether a product may use the thread pool; inside a parallel region it must not.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Threads {
    One,
    Pool,
}

/// What a product is added to.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Nothing.
    Zero,
    /// What the output holds.
    Output,
    /// A row, the same for all rows of the output: a bias.
    Row(&'a [f32]),
}

impl Start<'_> {
    /// What the output holds, if it is to be kept.
    pub(crate) fn output(accumulate: bool) -> Self {
        if accumulate { Start::Output } else { Start::Zero }
    }
}

fn extent(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 { 0 } else { (rows - 1) * row_stride + (columns - 1) * column_stride + 1 }
}

/// `out = a·b`, or `out += a·b` when `accumulate`; `out` has rows `stride` elements apart.
pub(crate) fn multiply(
    out: &mut [f32],
    stride: usize,
    a: View<'_>,
    b: View<'_>,
    accumulate: bool,
    threads: Threads,
) {
    multiply_at(Precision::F32, out, stride, a, b, Start::output(accumulate), threads);
}

/// `out = start + a·b`, with the operands rounded first.
pub(crate) fn multiply_at(
    precision: Precision,
    out: &mut [f32],
    stride: usize,
    a: View<'_>,
    b: View<'_>,
    start: Start<'_>,
    threads: Threads,
) {
    if let Start::Row(row) = start {
        assert_eq!(row.len(), b.columns, "product: a row to start from");
    }
    assert!(
        extent(a.rows, b.columns, stride, 1) <= out.len() && b.columns <= stride,
        "product: output extent"
    );
    // SAFETY: the extent of `out` was checked just above, and `&mut` makes it the only access to that memory.
    unsafe { multiply_rounded(precision, (out.as_mut_ptr(), stride), (a, b), start, threads) }
}

/// [`multiply`] into raw memory, for threads that write disjoint columns of one buffer.
///
/// # Safety
/// `out` must be valid for writes (and reads, when accumulating) of `a.rows` rows of `b.columns` elements,
/// `stride` elements apart, and nothing else may touch those elements meanwhile.
pub(crate) unsafe fn multiply_into(
    out: *mut f32,
    stride: usize,
    a: View<'_>,
    b: View<'_>,
    accumulate: bool,
    threads: Threads,
) {
    // SAFETY: vouched for by the caller.
    unsafe { multiply_rounded(Precision::F32, (out, stride), (a, b), Start::output(accumulate), threads) }
}

unsafe fn multiply_rounded(
    precision: Precision,
    out: (*mut f32, usize),
    (a, b): (View<'_>, View<'_>),
    start: Start<'_>,
    threads: Threads,
) {
    assert!(a.columns == b.rows, "product: inner sizes {} and {}", a.columns, b.rows);
    for m in [a, b] {
        assert!(extent(m.rows, m.columns, m.row_stride, m.column_stride) <= m.data.len(), "product: extent");
    }
    let products = a.rows * a.columns * b.columns;
    // Waking the pool costs some microseconds: not worth it below about a hundred thousand products.
    let threads = if products < 1 << 17 { Threads::One } else { threads };
    #[cfg(target_arch = "x86_64")]
    if products > 0 && avx512::is_there() {
        // SAFETY: operands were checked to lie within their slices; the caller vouches for `out`.
        match precision {
            Precision::F32 if avx512::pays(a, b) => {
                return unsafe { avx512::multiply::<1>(out, (a, b), start, threads) };
            }
            Precision::F32 if threads == Threads::One && avx512::small::pays(a, b) => {
                return unsafe { avx512::small::multiply(out, (a, b), start) };
            }
            Precision::F32 => {}
            Precision::Bf16 => return unsafe { avx512::multiply::<2>(out, (a, b), start, threads) },
        }
    }
    if precision == Precision::F32 {
        // SAFETY: as above.
        return unsafe { single(out, (a, b), start, threads) };
    }
    let [a_values, b_values] = [a, b].map(|m| rounded(m.data));
    let (a, b) = (View { data: &a_values, ..a }, View { data: &b_values, ..b });
    // SAFETY: as above; the rounded operands have the same extents.
    unsafe { single(out, (a, b), start, threads) }
}

/// In f32, by the `gemm` crate.
unsafe fn single(
    (out, stride): (*mut f32, usize),
    (a, b): (View<'_>, View<'_>),
    start: Start<'_>,
    threads: Threads,
) {
    if let Start::Row(row) = start {
        let out = Shared::at_pointer(out);
        // SAFETY: a row of the output, which the caller vouches for; one of `start` has as many columns.
        let copy =
            |i: usize| unsafe { std::ptr::copy_nonoverlapping(row.as_ptr(), out.at(i * stride), row.len()) };
        match threads {
            Threads::Pool => (0..a.rows).into_par_iter().with_min_len(64).for_each(copy),
            Threads::One => (0..a.rows).for_each(copy),
        }
    }
    let parallelism = match threads {
        Threads::Pool => gemm::Parallelism::Rayon(rayon::current_num_threads()),
        Threads::One => gemm::Parallelism::None,
    };
    // SAFETY: checked by the caller, who vouches for `out`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            stride as isize,
            !matches!(start, Start::Zero),
            a.data.as_ptr(),
            a.column_stride as isize,
            a.row_stride as isize,
            b.data.as_ptr(),
            b.column_stride as isize,
            b.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            parallelism,
        );
    }
}

/// Values as bf16 has them, to the nearest even.
fn rounded(values: &[f32]) -> Vec<f32> {
    values.par_iter().map(|&value| half::bf16::from_f32(value).to_f32()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strided_and_transposed_products_match_the_sum_of_products() {
        let a: Vec<f32> = (0..12).map(|v| v as f32 - 5.0).collect(); // 3 × 3 in rows of 4
        let b: Vec<f32> = (0..6).map(|v| (v * v) as f32).collect(); // 2 × 3, used transposed
        let mut out = vec![100.0; 3 * 5];
        let (va, vb) = (View::new(&a, 3, 3, 4), View::new(&b, 2, 3, 3).t());
        multiply(&mut out, 5, va, vb, false, Threads::One);
        for i in 0..3 {
            for j in 0..2 {
                let expected: f32 = (0..3).map(|k| a[i * 4 + k] * b[j * 3 + k]).sum();
                assert_eq!(out[i * 5 + j], expected);
            }
            assert_eq!(out[i * 5 + 2..i * 5 + 5], [100.0; 3]);
        }
    }

    /// Some values of mixed signs and sizes.
    fn wave(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| ((i as f32) * step).sin() * (1.0 + (i % 7) as f32)).collect()
    }

    /// Products whose operands have eight bits, in double precision: of `half`, not of the kernels.
    fn brief(m: View<'_>, i: usize, j: usize) -> f64 {
        half::bf16::from_f32(m.data[i * m.row_stride + j * m.column_stride]).to_f64()
    }

    #[test]
    fn rounded_products_are_sums_of_rounded_factors_at_all_edges() {
        let sizes = [
            (1, 1, 1),
            (3, 5, 2),
            (14, 32, 512),
            (15, 33, 513),
            (29, 31, 67),
            (130, 70, 1030),
            (40, 1600, 540),
        ];
        for (m, n, k) in sizes {
            for turned in 0..4 {
                let (a, b) = (wave(m * k, 0.37), wave(k * n, 0.71));
                let a = if turned & 1 == 0 { View::new(&a, m, k, k) } else { View::new(&a, k, m, m).t() };
                let b = if turned & 2 == 0 { View::new(&b, k, n, n) } else { View::new(&b, n, k, k).t() };
                for (add, threads) in [(false, Threads::One), (true, Threads::Pool)] {
                    let stride = n + 3;
                    let mut out = vec![5.0; m * stride];
                    multiply_at(Precision::Bf16, &mut out, stride, a, b, Start::output(add), threads);
                    for (i, row) in out.chunks_exact(stride).enumerate() {
                        assert_eq!(row[n..], [5.0; 3], "beside the output");
                        for (j, &found) in row[..n].iter().enumerate() {
                            let terms = || (0..k).map(|p| brief(a, i, p) * brief(b, p, j));
                            let start = if add { 5.0 } else { 0.0 };
                            let expected = start + terms().sum::<f64>();
                            // One rounding a term, in whatever order.
                            let bound = (k + 1) as f64
                                * 2f64.powi(-24)
                                * (start + terms().map(f64::abs).sum::<f64>());
                            let off = (f64::from(found) - expected).abs();
                            assert!(off <= bound + 1e-30, "{m} × {n} × {k}, {turned}: {off} at ({i}, {j})");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn products_begin_with_nothing_the_output_or_a_row() {
        for (m, n, k) in
            [(1, 1, 1), (14, 32, 512), (15, 33, 513), (29, 31, 67), (130, 70, 1030), (40, 1600, 540)]
        {
            for turned in 0..4 {
                // Whole numbers: all sums are exact, in any order.
                let whole =
                    |count: usize, step: usize| (0..count).map(|i| (i * step % 11) as f32 - 5.0).collect();
                let (a, b): (Vec<f32>, Vec<f32>) = (whole(m * k, 5), whole(k * n, 7));
                let row: Vec<f32> = whole(n, 3);
                let a = if turned & 1 == 0 { View::new(&a, m, k, k) } else { View::new(&a, k, m, m).t() };
                let b = if turned & 2 == 0 { View::new(&b, k, n, n) } else { View::new(&b, n, k, k).t() };
                let starts = [(Start::Zero, 0.0), (Start::Output, 5.0), (Start::Row(&row), 0.0)];
                let ways =
                    [Threads::One, Threads::Pool].map(|threads| [(threads, 0), (threads, 1), (threads, 2)]);
                for ((start, first), (threads, way)) in starts
                    .into_iter()
                    .flat_map(|start| ways.into_iter().flatten().map(move |way| (start, way)))
                {
                    let mut out = vec![5.0; m * (n + 3)];
                    let place = (out.as_mut_ptr(), n + 3);
                    // SAFETY: the output has `m` rows of `n + 3`, the operands their sizes.
                    unsafe {
                        // By our own kernels, where they are, and by the crate.
                        match way {
                            #[cfg(target_arch = "x86_64")]
                            1 if avx512::is_there() => avx512::multiply::<1>(place, (a, b), start, threads),
                            #[cfg(target_arch = "x86_64")]
                            2 if avx512::is_there() => avx512::small::multiply(place, (a, b), start),
                            _ => single(place, (a, b), start, threads),
                        }
                    }
                    for (i, found) in out.chunks_exact(n + 3).enumerate() {
                        assert_eq!(found[n..], [5.0; 3], "beside the output");
                        for (j, &found) in found[..n].iter().enumerate() {
                            let at = |m: View<'_>, i, j| m.data[i * m.row_stride + j * m.column_stride];
                            let sum: f32 = (0..k).map(|p| at(a, i, p) * at(b, p, j)).sum();
                            let first = if let Start::Row(row) = start { row[j] } else { first };
                            assert_eq!(found, first + sum, "{m} × {n} × {k}, {turned}, at ({i}, {j})");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn rounded_products_keep_what_is_no_number() {
        for wrong in [f32::NAN, f32::INFINITY, f32::MAX] {
            let (a, b) = ([1.0, wrong, 2.0], [1.0; 3]);
            let mut out = [0.0];
            let (a, b) = (View::new(&a, 1, 3, 3), View::new(&b, 3, 1, 1));
            multiply_at(Precision::Bf16, &mut out, 1, a, b, Start::Zero, Threads::One);
            assert!(!out[0].is_finite(), "{wrong} became {}", out[0]);
        }
    }

    #[test]
    fn without_an_inner_dimension_the_output_is_zero_or_stays() {
        for precision in [Precision::F32, Precision::Bf16] {
            let (a, b) = (View::new(&[], 2, 0, 0), View::new(&[], 0, 2, 2));
            let mut out = [3.0; 4];
            multiply_at(precision, &mut out, 2, a, b, Start::Output, Threads::One);
            assert_eq!(out, [3.0; 4]);
            multiply_at(precision, &mut out, 2, a, b, Start::Zero, Threads::One);
            assert_eq!(out, [0.0; 4]);
        }
    }

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        for precision in [Precision::F32, Precision::Bf16] {
            let (a, b) = (wave(300 * 384, 0.37), wave(384 * 200, 0.11));
            let run = |threads| {
                let mut out = vec![0.0; 300 * 200];
                let (a, b) = (View::new(&a, 300, 384, 384), View::new(&b, 384, 200, 200));
                multiply_at(precision, &mut out, 200, a, b, Start::Zero, threads);
                out
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
            let one = run(Threads::One);
            assert!(one == run(Threads::Pool));
            assert!(one == pool.install(|| run(Threads::Pool)));
        }
    }
}
