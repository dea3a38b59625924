//! `y = x Wᵀ + b` and its gradients.
//!
//! Shapes: `x (rows, input)`, `w (output, input)` as the Hub stores it, `b (output)`, `y (rows, output)`.

use crate::column_sums;
use crate::product::{Precision, Start, Threads, View, multiply_at};
use rayon::prelude::*;

/// `y = x wᵀ + b`. The sizes follow from the lengths: `output` is `y.len() / rows`.
///
/// The rows of `y` may lie apart: see [`forward_into`].
pub fn forward(x: &[f32], w: &[f32], b: Option<&[f32]>, y: &mut [f32]) {
    let (input, output) = sizes(x.len(), w.len(), y.len());
    let mut columns = Columns { data: y, stride: output, start: 0, width: output };
    forward_into(x, w, b, &mut columns, input, Precision::F32);
}

/// Some columns of a wider matrix: rows of `width` values, `stride` apart, from column `start`.
pub struct Columns<'a> {
    /// The whole matrix.
    pub data: &'a mut [f32],
    /// Its number of columns.
    pub stride: usize,
    /// The first column meant.
    pub start: usize,
    /// How many columns are meant.
    pub width: usize,
}

/// [`forward`] into some columns of a wider matrix, so that queries, keys and values can stand side by side; `x` and `w` rounded
/// as `precision` says.
pub fn forward_into(
    x: &[f32],
    w: &[f32],
    b: Option<&[f32]>,
    y: &mut Columns<'_>,
    input: usize,
    precision: Precision,
) {
    let rows = x.len() / input;
    let (x, w) = (View::new(x, rows, input, input), View::new(w, y.width, input, input).t());
    let start = b.map_or(Start::Zero, Start::Row);
    multiply_at(precision, &mut y.data[y.start..], y.stride, x, w, start, Threads::Pool);
}

/// `y += x wᵀ`, to some columns of a wider matrix; else as [`forward_into`].
pub fn add_into(x: &[f32], w: &[f32], y: &mut Columns<'_>, input: usize, precision: Precision) {
    let rows = x.len() / input;
    let (x, w) = (View::new(x, rows, input, input), View::new(w, y.width, input, input).t());
    multiply_at(precision, &mut y.data[y.start..], y.stride, x, w, Start::Output, Threads::Pool);
}

/// The gradient's side of [`forward_into`]: rows of `width` values, `stride` apart, from column `start`.
#[derive(Clone, Copy)]
pub struct GradColumns<'a> {
    /// The whole matrix.
    pub data: &'a [f32],
    /// Its number of columns.
    pub stride: usize,
    /// The first column meant.
    pub start: usize,
    /// How many columns are meant.
    pub width: usize,
    /// How it, and what it is multiplied with, are rounded.
    pub precision: Precision,
}

impl<'a> GradColumns<'a> {
    /// A whole matrix of `width` columns, not rounded.
    pub fn all(data: &'a [f32], width: usize) -> Self {
        GradColumns { data, stride: width, start: 0, width, precision: Precision::F32 }
    }

    /// The same, rounded as `precision` says.
    pub fn at(self, precision: Precision) -> Self {
        GradColumns { precision, ..self }
    }

    fn view(self) -> View<'a> {
        let rows = self.data.len() / self.stride;
        View::new(&self.data[self.start..], rows, self.width, self.stride)
    }
}

/// `dx = dy w`, or `dx += dy w` when `accumulate`.
pub fn backward_input(dy: GradColumns<'_>, w: &[f32], dx: &mut [f32], accumulate: bool) {
    let input = w.len() / dy.width;
    let w = View::new(w, dy.width, input, input);
    multiply_at(dy.precision, dx, input, dy.view(), w, Start::output(accumulate), Threads::Pool);
}

/// `dw += dyᵀ x`.
pub fn backward_weight(dy: GradColumns<'_>, x: &[f32], dw: &mut [f32]) {
    let input = dw.len() / dy.width;
    let rows = x.len() / input;
    let x = View::new(x, rows, input, input);
    multiply_at(dy.precision, dw, input, dy.view().t(), x, Start::Output, Threads::Pool);
}

/// `db += Σ_rows dy`.
pub fn backward_bias(dy: GradColumns<'_>, db: &mut [f32]) {
    if dy.stride == dy.width {
        return column_sums(dy.data, db);
    }
    // 128 rows a part: the parts are fixed by the shape, so the order of additions is too.
    let parts: Vec<Vec<f32>> = dy
        .data
        .par_chunks(dy.stride * 128)
        .map(|rows| {
            let mut part = vec![0f32; dy.width];
            for row in rows.chunks_exact(dy.stride) {
                let row = &row[dy.start..dy.start + dy.width];
                part.iter_mut().zip(row).for_each(|(sum, v)| *sum += v);
            }
            part
        })
        .collect();
    for part in parts {
        db.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
    }
}

/// `(input, output)` from the lengths of `x (rows, input)`, `w (output, input)`, `y (rows, output)`:
/// `input² = |x||w|/|y|`.
fn sizes(x: usize, w: usize, y: usize) -> (usize, usize) {
    let square = (x as u128 * w as u128).checked_div(y as u128).unwrap_or(0);
    let input = square.isqrt() as usize;
    assert!(input > 0 && w.is_multiple_of(input) && x.is_multiple_of(input), "linear: lengths {x}, {w}, {y}");
    (input, w / input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Tensor, Var};

    fn wave(n: usize, k: f32) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * k + 0.3).sin()).collect()
    }

    fn close(a: &[f32], b: &Tensor, tolerance: f32) {
        let b = b.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(a.len(), b.len());
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(worst < tolerance, "differs by {worst}");
    }

    #[test]
    fn forward_and_gradients_are_those_of_autograd() {
        let (rows, input, output) = (150, 24, 10);
        let (x, w, b) = (wave(rows * input, 0.7), wave(output * input, 0.13), wave(output, 1.0));
        let dy = wave(rows * output, 0.31);
        let cpu = Device::Cpu;
        let tx = Var::from_vec(x.clone(), (rows, input), &cpu).unwrap();
        let tw = Var::from_vec(w.clone(), (output, input), &cpu).unwrap();
        let tb = Var::from_vec(b.clone(), output, &cpu).unwrap();
        let ty = tx.matmul(&tw.t().unwrap()).unwrap().broadcast_add(&tb).unwrap();
        let weight = Tensor::from_vec(dy.clone(), (rows, output), &cpu).unwrap();
        let grads = (&ty * weight).unwrap().sum_all().unwrap().backward().unwrap();

        let mut y = vec![0.0; rows * output];
        forward(&x, &w, Some(&b), &mut y);
        // Sums of at most 150 products of size one: 150 · 2⁻²⁴ ≈ 1e-5.
        close(&y, &ty, 2e-5);
        let g = GradColumns::all(&dy, output);
        let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; w.len()], vec![0.0; output]);
        backward_input(g, &w, &mut dx, false);
        backward_weight(g, &x, &mut dw);
        backward_bias(g, &mut db);
        close(&dx, grads.get(&tx).unwrap(), 2e-5);
        close(&dw, grads.get(&tw).unwrap(), 5e-5);
        close(&db, grads.get(&tb).unwrap(), 5e-5);
    }

    #[test]
    fn columns_of_a_wider_matrix_are_written_and_read_alone() {
        let (rows, input) = (5, 4);
        let (x, w) = (wave(rows * input, 0.7), wave(3 * input, 0.2));
        let mut plain = vec![0.0; rows * 3];
        forward(&x, &w, None, &mut plain);
        let mut wide = vec![9.0; rows * 8];
        let mut columns = Columns { data: &mut wide, stride: 8, start: 2, width: 3 };
        forward_into(&x, &w, None, &mut columns, input, Precision::F32);
        let before = wide.clone();
        // Twice the product: adding the same once more is exact.
        add_into(
            &x,
            &w,
            &mut Columns { data: &mut wide, stride: 8, start: 2, width: 3 },
            input,
            Precision::F32,
        );
        let columns = |wide: &[f32]| wide.chunks(8).flat_map(|row| row[2..5].to_vec()).collect::<Vec<_>>();
        assert!(columns(&wide).iter().zip(&plain).all(|(sum, one)| (sum - 2.0 * one).abs() < 2e-6));
        assert_eq!((wide[1], wide[5]), (9.0, 9.0));
        wide = before;
        for r in 0..rows {
            assert_eq!(wide[r * 8 + 2..r * 8 + 5], plain[r * 3..r * 3 + 3]);
            assert_eq!((wide[r * 8 + 1], wide[r * 8 + 5]), (9.0, 9.0));
        }
        let (mut db, mut direct) = (vec![0.0; 3], vec![0.0; 3]);
        let columns = GradColumns { stride: 8, start: 2, ..GradColumns::all(&wide, 3) };
        backward_bias(columns, &mut db);
        backward_bias(GradColumns::all(&plain, 3), &mut direct);
        assert_eq!(db, direct);
    }
}
