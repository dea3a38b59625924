//! Matrix products on slices: the safe face of the `gemm` crate.

#![allow(unsafe_code)]

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
    assert!(
        extent(a.rows, b.columns, stride, 1) <= out.len() && b.columns <= stride,
        "product: output extent"
    );
    // SAFETY: the extent of `out` was checked just above, and `&mut` makes it the only access to that memory.
    unsafe { multiply_into(out.as_mut_ptr(), stride, a, b, accumulate, threads) }
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
    assert!(a.columns == b.rows, "product: inner sizes {} and {}", a.columns, b.rows);
    for m in [a, b] {
        assert!(extent(m.rows, m.columns, m.row_stride, m.column_stride) <= m.data.len(), "product: extent");
    }
    // Waking the pool costs some microseconds: not worth it below about a hundred thousand products.
    let small = a.rows * a.columns * b.columns < 1 << 17;
    let parallelism = match threads {
        Threads::Pool if !small => gemm::Parallelism::Rayon(rayon::current_num_threads()),
        _ => gemm::Parallelism::None,
    };
    // SAFETY: operands were checked to lie within their slices; the caller vouches for `out`.
    unsafe {
        gemm::gemm(
            a.rows,
            b.columns,
            a.columns,
            out,
            1,
            stride as isize,
            accumulate,
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

    #[test]
    fn the_number_of_threads_does_not_change_a_bit() {
        let values = |n: usize, k: f32| (0..n).map(|i| ((i as f32) * k).sin()).collect::<Vec<_>>();
        let (a, b) = (values(300 * 384, 0.37), values(384 * 200, 0.11));
        let run = |threads| {
            let mut out = vec![0.0; 300 * 200];
            multiply(
                &mut out,
                200,
                View::new(&a, 300, 384, 384),
                View::new(&b, 384, 200, 200),
                false,
                threads,
            );
            out
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let one = run(Threads::One);
        assert!(one == run(Threads::Pool));
        assert!(one == pool.install(|| run(Threads::Pool)));
    }
}
